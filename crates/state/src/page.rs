//! The page at `/`: the processor, its health, and links to the endpoints.

use std::fmt::Write as _;

use serde_json::json;

use super::core::Core;
use satellite_serve::{Request, Response};

/// The page loads no resources and runs no scripts.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

pub(super) fn answer(core: &Core, request: &Request<'_>) -> Response {
    let accept = request.header("accept").unwrap_or_default();
    let response = match accept.contains("application/json") && !accept.contains("text/html") {
        true => Response::json(200, list(core)),
        false => Response::new(200)
            .header("content-type", "text/html; charset=utf-8")
            .body(page(core).into_bytes()),
    };
    response
        .header("content-security-policy", POLICY)
        .header("x-content-type-options", "nosniff")
        .header("x-frame-options", "DENY")
        .header("referrer-policy", "no-referrer")
        .header("vary", "accept")
}

/// The same response as that of dory-sdk.
fn list(core: &Core) -> String {
    let paths = &core.settings.paths;
    let endpoints = [
        paths.health.as_str(),
        &paths.ready,
        &paths.metrics,
        "/state",
        "/prestop",
    ];
    json!({ "service": "dory-processor", "endpoints": endpoints }).to_string()
}

fn page(core: &Core) -> String {
    let settings = &core.settings;
    let id = escaped(&settings.processor_id);
    let problems = core.health.problems();
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{id}</title>\n\
         <style>body{{font:16px/1.5 sans-serif;margin:2em auto;max-width:40em;padding:0 1em}}\
         dt{{font-weight:bold}}</style>\n<h1>{id}</h1>\n"
    );
    match problems.is_empty() {
        true => page.push_str("<p>Ready.</p>\n"),
        false => page.push_str("<p>Not ready:</p>\n<ul>\n"),
    }
    for (name, reason) in &problems {
        let (name, reason) = (escaped(name), escaped(reason));
        let _ = writeln!(page, "<li>{name}: {reason}</li>");
    }
    if !problems.is_empty() {
        page.push_str("</ul>\n");
    }
    let uptime = core.started_at.elapsed().as_secs();
    let _ = write!(
        page,
        "<dl>\n<dt>Pod</dt><dd>{}</dd>\n<dt>Namespace</dt><dd>{}</dd>\n\
         <dt>Up for</dt><dd>{} h {} min {} s</dd>\n\
         <dt>Saved generation</dt><dd>{}</dd>\n<dt>Kit</dt><dd>satellite-sdk {}</dd>\n</dl>\n<ul>\n",
        escaped(&settings.pod_name),
        escaped(&settings.pod_namespace),
        uptime / 3600,
        uptime / 60 % 60,
        uptime % 60,
        core.generation_now()
            .map_or_else(|| "being saved".to_owned(), |n| n.to_string()),
        env!("CARGO_PKG_VERSION"),
    );
    let paths = &settings.paths;
    for (path, what) in [
        (paths.health.as_str(), "liveness"),
        (&paths.ready, "readiness"),
        (&paths.metrics, "metrics for Prometheus"),
        ("/state", "the state, for whoever may read it"),
    ] {
        let path = escaped(path);
        let _ = writeln!(page, "<li><a href=\"{path}\">{path}</a>: {what}</li>");
    }
    page.push_str("</ul>\n</html>\n");
    page
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
