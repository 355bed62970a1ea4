//! The document, and its sections: events replace a section that has changed.

use super::format;
use super::html::Html;
use super::parts;
use super::view::{Alert, Deployment, Fact, Feature, Task, Tone, View};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The whole document.
pub(super) fn document(view: &View) -> String {
    let mut html = Html::default();
    html.raw("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"data:,\"><title>");
    html.text(title(view)).raw("</title><style>").raw(STYLE);
    html.raw("</style><a class=\"skip\" href=\"#main\">Skip to the content</a><main id=\"main\">");
    for section in sections(view) {
        html.0.push_str(&section);
    }
    html.raw("</main><footer><nav aria-label=\"Endpoints\">");
    html.raw("<a href=\"/status.json\">status.json</a> <a href=\"/metrics\">metrics</a> <a href=\"/readyz\">readyz</a> <a href=\"/healthz\">healthz</a>");
    html.raw("</nav><p id=\"live\">As of ").time(view.now_ms);
    html.raw("</p></footer><script>")
        .raw(SCRIPT)
        .raw("</script></html>\n");
    html.0
}

/// The sections in their order; each is one element with an id, without a line break.
pub(super) fn sections(view: &View) -> [String; 6] {
    let sections: [fn(&mut Html, &View); 6] = [header, alerts, deployments, tasks, outages, engine];
    sections.map(|section| {
        let mut html = Html::default();
        section(&mut html, view);
        html.0
    })
}

fn title(view: &View) -> String {
    let word = state(view);
    let open = open_alerts(view);
    match open {
        0 => format!("{}: {word}", view.program),
        1 => format!("{}: {word}, 1 alert", view.program),
        open => format!("{}: {word}, {open} alerts", view.program),
    }
}

fn state(view: &View) -> &'static str {
    match (view.connected_since_ms, &view.disconnected_because) {
        (Some(_), _) => "connected",
        (None, Some(_)) => "disconnected",
        (None, None) => "starting",
    }
}

fn open_alerts(view: &View) -> usize {
    let alerts = view.panel.alerts.iter();
    alerts.filter(|alert| alert.state == "open").count()
}

fn header(html: &mut Html, view: &View) {
    html.raw("<header id=\"header\"")
        .attribute("data-title", title(view))
        .raw("><div class=\"top\"><h1>");
    html.text(&view.program)
        .raw(" <small>")
        .text(&view.version)
        .raw("</small></h1>");
    html.badge(state(view), Tone::of(state(view)));
    html.raw("</div><p class=\"hidden\" role=\"status\">")
        .text(title(view))
        .raw("</p><dl class=\"facts\"><div><dt>Platform</dt><dd>");
    html.text(&view.platform).raw("</dd></div><div><dt>");
    let outage = view.outages.iter().rfind(|outage| outage.end_ms.is_none());
    match (view.connected_since_ms, outage) {
        (Some(since), _) => html.raw("Connected since</dt><dd>").time(since),
        (None, Some(outage)) => html
            .raw("Disconnected since</dt><dd>")
            .time(outage.begin_ms),
        (None, None) => html.raw("Connected</dt><dd>not yet"),
    };
    html.raw("</dd></div><div><dt>Running since</dt><dd>")
        .time(view.started_ms);
    html.raw("</dd></div></dl>");
    if let Some(reason) = &view.disconnected_because {
        html.raw("<p class=\"note bad\"><b>The platform does not respond.</b> ")
            .text(reason);
        html.raw(" Predictions are served meanwhile.</p>");
    }
    for (facts, class) in [(&view.problems, "note bad"), (&view.warnings, "note warn")] {
        let others = facts.iter().filter(|fact| fact.name != "platform");
        for Fact { name, value } in others {
            html.raw("<p class=\"")
                .raw(class)
                .raw("\"><b>")
                .text(name)
                .raw(":</b> ");
            html.text(value).raw("</p>");
        }
    }
    html.raw("</header>");
}

fn begin(html: &mut Html, id: &'static str, heading: &'static str) {
    html.raw("<section id=\"")
        .raw(id)
        .raw("\" aria-labelledby=\"h-")
        .raw(id);
    html.raw("\"><h2 id=\"h-")
        .raw(id)
        .raw("\">")
        .raw(heading)
        .raw("</h2>");
}

fn alerts(html: &mut Html, view: &View) {
    let alerts = &view.panel.alerts;
    let is_over = |alert: &&Alert| alert.state == "resolved";
    let (over, current): (Vec<_>, Vec<_>) = alerts.iter().partition(is_over);
    let shown: Vec<&Alert> = current
        .into_iter()
        .take(50)
        .chain(over.into_iter().take(3))
        .collect();
    if shown.is_empty() {
        html.raw("<section id=\"alerts\" hidden></section>");
        return;
    }
    begin(html, "alerts", "Alerts");
    html.raw("<ul class=\"alerts\">");
    for alert in shown {
        let is_over = alert.state == "resolved";
        html.raw("<li class=\"").raw(match is_over {
            true => "quiet",
            false => Tone::of(&alert.severity).class(),
        });
        html.raw("\"")
            .attribute("data-key", &alert.id)
            .raw("><div><b>")
            .text(&alert.what);
        html.raw("</b> ").badge(
            &alert.severity,
            if is_over {
                Tone::Quiet
            } else {
                Tone::of(&alert.severity)
            },
        );
        html.raw(" ").badge(&alert.state, Tone::of(&alert.state));
        html.raw("<p>")
            .text(&alert.deployment)
            .raw(": ")
            .text(&alert.value);
        html.raw(", threshold ")
            .text(&alert.threshold)
            .raw(". First seen ")
            .time(alert.first_seen_ms);
        html.raw(match is_over {
            true => ", resolved ",
            false => ", last seen ",
        });
        html.time(alert.last_seen_ms).raw(".</p></div>");
        if alert.state == "open" {
            html.raw("<form method=\"post\" action=\"/alerts/acknowledge\"><input type=\"hidden\" name=\"alert\"");
            html.attribute("value", &alert.id).raw("><button");
            html.attribute("aria-label", format!("Acknowledge: {}", alert.what));
            html.raw(">Acknowledge</button></form>");
        }
        html.raw("</li>");
    }
    html.raw("</ul></section>");
}

fn deployments(html: &mut Html, view: &View) {
    if view.panel.engine.is_empty() && view.panel.deployments.is_empty() {
        // A worker without models.
        html.raw("<section id=\"deployments\" hidden></section>");
        return;
    }
    begin(html, "deployments", "Deployments");
    if view.panel.deployments.is_empty() {
        html.raw("<p class=\"empty\">None yet. They appear here as soon as the platform assigns one.</p>");
    }
    html.raw("<div class=\"cards\">");
    for deployment in &view.panel.deployments {
        card(html, deployment);
    }
    html.raw("</div></section>");
}

fn card(html: &mut Html, deployment: &Deployment) {
    html.raw("<article class=\"card\"")
        .attribute("data-key", &deployment.id);
    html.raw("><div class=\"top\"><h3>")
        .text(&deployment.name)
        .raw("</h3>");
    html.badge(&deployment.status, Tone::of(&deployment.status));
    html.raw("</div><p class=\"id\">")
        .text(&deployment.id)
        .raw("</p>");
    if !deployment.is_monitored {
        html.raw("<p class=\"empty\">Predictions are not monitored.</p></article>");
        return;
    }
    let span = format::duration(deployment.interval_s * 1000 * deployment.requests.len() as u64);
    let requests: u64 = deployment.requests.iter().sum();
    let errors: u64 = deployment.errors.iter().sum();
    let floats = |counts: &[u64]| counts.iter().map(|n| *n as f64).collect::<Vec<_>>();
    html.raw("<div class=\"lines\"><figure><figcaption><span>Requests</span> <b>")
        .text(format::count(requests));
    html.raw("</b> <span class=\"unit\">in ")
        .text(&span)
        .raw(", ");
    html.text(format::count(errors))
        .raw(" failed</span></figcaption>");
    let label = format!("{requests} requests in {span}, {errors} failed");
    parts::sparkline(
        html,
        &label,
        &floats(&deployment.requests),
        &floats(&deployment.errors),
    );
    html.raw("</figure><figure><figcaption><span>Latency</span> <b>");
    html.text(format::milliseconds(deployment.p95_ms))
        .raw("</b> <span class=\"unit\">95th percentile, median ");
    html.text(format::milliseconds(deployment.p50_ms))
        .raw("</span></figcaption>");
    let label = format!(
        "95th percentile of the latency, now {}",
        format::milliseconds(deployment.p95_ms)
    );
    parts::sparkline(html, &label, &deployment.latency_p95_ms, &[]);
    html.raw("</figure></div>");
    window(html, deployment);
    html.raw("</article>");
}

/// The figures of the last window.
fn window(html: &mut Html, deployment: &Deployment) {
    html.raw("<dl class=\"figures\"><div><dt>Error rate</dt><dd>");
    html.text(format::percent(deployment.error_rate))
        .raw("</dd></div>");
    let mut figure = |name: &'static str, value: Option<String>| {
        if let Some(value) = value {
            html.raw("<div><dt>")
                .raw(name)
                .raw("</dt><dd>")
                .text(value)
                .raw("</dd></div>");
        }
    };
    let score = |psi: Option<f64>| psi.map(|psi| format!("{psi:.2}"));
    let drift = deployment.features.first().and_then(|feature| feature.psi);
    figure("Input drift", score(drift));
    figure("Output drift", score(deployment.output_psi));
    figure(
        "Centre shift",
        deployment
            .centroid_shift
            .map(|shift| format!("{shift:.1} σ")),
    );
    figure("Outliers", deployment.outlier_rate.map(format::percent));
    html.raw("</dl>");
    if deployment.features.is_empty() {
        return;
    }
    html.raw("<details")
        .attribute("id", format!("features-{}", deployment.id))
        .raw("><summary>");
    html.text(match deployment.features.len() {
        1 => "1 feature".to_owned(),
        features => format!("{features} features"),
    });
    html.raw("</summary><table><thead><tr><th scope=\"col\">Feature<th scope=\"col\">Drift<th scope=\"col\">Missing<th scope=\"col\">Type<th scope=\"col\">Range</tr></thead><tbody>");
    for feature in deployment.features.iter().take(100) {
        row(html, feature);
    }
    html.raw("</tbody></table></details>");
}

fn row(html: &mut Html, feature: &Feature) {
    html.raw("<tr")
        .attribute("data-key", &feature.name)
        .raw("><th scope=\"row\">");
    html.text(&feature.name).raw("</th><td>");
    match feature.psi {
        Some(psi) => {
            let severity = match psi {
                psi if psi > 0.25 => "bad",
                psi if psi >= 0.1 => "warn",
                _ => "good",
            };
            html.text(format!("{psi:.2}"));
            parts::drift_bar(html, psi, severity);
        }
        None => {
            html.raw("–");
        }
    }
    for share in [feature.missing, feature.mistyped, feature.unexpected] {
        html.raw("</td><td>").text(format::percent(share));
    }
    html.raw("</td></tr>");
}

fn tasks(html: &mut Html, view: &View) {
    begin(html, "tasks", "Tasks");
    if view.running.is_empty() && view.ended.is_empty() {
        html.raw("<p class=\"empty\">None since the start.</p></section>");
        return;
    }
    html.raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Running tasks and the last 50\"><table><thead><tr><th scope=\"col\">Task<th scope=\"col\">Status<th scope=\"col\">Started<th scope=\"col\">Took<th scope=\"col\">Reason</tr></thead><tbody>");
    for task in view.running.iter().chain(&view.ended) {
        let Task { id, task_type, .. } = task;
        html.raw("<tr")
            .attribute("data-key", id)
            .raw("><th scope=\"row\">")
            .text(task_type);
        html.raw(" <span class=\"id\">")
            .text(id)
            .raw("</span></th><td>");
        html.badge(&task.status, Tone::of(&task.status))
            .raw("</td><td>")
            .time(task.started_ms);
        html.raw("</td><td>");
        if let Some(end) = task.ended_ms {
            html.text(format::duration(end.saturating_sub(task.started_ms)));
        }
        html.raw("</td><td class=\"reason\">")
            .text(task.reason.as_deref().unwrap_or_default());
        html.raw("</td></tr>");
    }
    html.raw("</tbody></table></div></section>");
}

fn outages(html: &mut Html, view: &View) {
    begin(html, "outages", "Connection, last 24 hours");
    parts::strip(html, view);
    html.raw("</section>");
}

fn engine(html: &mut Html, view: &View) {
    if view.panel.engine.is_empty() {
        html.raw("<section id=\"engine\" hidden></section>");
        return;
    }
    begin(html, "engine", "Engine");
    html.raw("<dl class=\"facts\">");
    for Fact { name, value } in &view.panel.engine {
        html.raw("<div><dt>")
            .text(name)
            .raw("</dt><dd>")
            .text(value)
            .raw("</dd></div>");
    }
    html.raw("</dl></section>");
}
