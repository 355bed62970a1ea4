//! Small pictures: sparklines, bars, and the strip of outages. Each has a text that says the same.

use std::fmt::Write as _;

use super::DAY_MS;
use super::format;
use super::html::Html;
use super::view::{Outage, View};

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 44.0;

/// A line of values, with those of `marked` as bars below it.
pub(super) fn sparkline(html: &mut Html, label: &str, values: &[f64], marked: &[f64]) {
    let values = &values[values.len().saturating_sub(60)..];
    let marked = &marked[marked.len().saturating_sub(60)..];
    let top = values.iter().copied().fold(0.0, f64::max);
    let step = WIDTH / values.len().saturating_sub(1).max(1) as f64;
    let y = |value: f64| HEIGHT - 2.0 - value / top.max(1e-9) * (HEIGHT - 6.0);
    html.raw(
        "<svg class=\"spark\" viewBox=\"0 0 240 44\" preserveAspectRatio=\"none\" role=\"img\"",
    );
    html.attribute("aria-label", label).raw(">");
    let mut line = String::new();
    for (at, value) in values.iter().enumerate() {
        let _ = write!(line, "{:.1},{:.1} ", at as f64 * step, y(*value));
    }
    if values.len() > 1 {
        let area = format!("0,{HEIGHT} {line}{WIDTH},{HEIGHT}");
        html.raw("<polygon class=\"area\"")
            .attribute("points", area)
            .raw("/>");
        html.raw("<polyline class=\"line\"")
            .attribute("points", line.trim_end())
            .raw("/>");
    }
    for (at, value) in marked.iter().enumerate().filter(|(_, value)| **value > 0.0) {
        let top = y(*value);
        html.raw("<rect class=\"mark\"");
        html.attribute("x", format!("{:.1}", at as f64 * step - 1.5));
        html.attribute("y", format!("{top:.1}"))
            .attribute("width", "3");
        html.attribute("height", format!("{:.1}", HEIGHT - top))
            .raw("/>");
    }
    html.raw("</svg>");
}

/// A bar for a drift: full at three times the critical threshold.
pub(super) fn drift_bar(html: &mut Html, psi: f64, severity: &'static str) {
    let share = (psi / 0.75).clamp(0.02, 1.0) * 100.0;
    html.raw("<svg class=\"bar\" viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
    html.raw("<rect class=\"track\" width=\"100\" height=\"6\"/><rect class=\"fill ")
        .raw(severity);
    html.raw("\" height=\"6\"")
        .attribute("width", format!("{share:.1}"))
        .raw("/></svg>");
}

/// The last day from left to right: the times without the platform, and those before the start.
pub(super) fn strip(html: &mut Html, view: &View) {
    let begin = view.now_ms.saturating_sub(DAY_MS);
    let down: u64 = view.outages.iter().map(|outage| length(outage, view)).sum();
    let label = match view.outages.len() {
        0 => "No outage in the last 24 hours".to_owned(),
        1 => format!("1 outage in the last 24 hours, {}", format::duration(down)),
        n => format!(
            "{n} outages in the last 24 hours, {} in all",
            format::duration(down)
        ),
    };
    html.raw(
        "<svg class=\"strip\" viewBox=\"0 0 1440 36\" preserveAspectRatio=\"none\" role=\"img\"",
    );
    html.attribute("aria-label", &label);
    html.raw("><rect class=\"up\" width=\"1440\" height=\"36\"/>");
    let x = |ms: u64| ms.saturating_sub(begin) as f64 / 60_000.0;
    if view.started_ms > begin && view.outages.iter().all(|o| o.begin_ms >= view.started_ms) {
        html.raw("<rect class=\"unknown\" height=\"36\"");
        html.attribute("width", format!("{:.1}", x(view.started_ms)))
            .raw("/>");
    }
    for outage in &view.outages {
        let end = outage.end_ms.unwrap_or(view.now_ms);
        let width = (x(end) - x(outage.begin_ms)).max(5.0);
        html.raw("<rect class=\"down\" height=\"36\"");
        html.attribute(
            "x",
            format!("{:.1}", x(outage.begin_ms).min(1440.0 - width)),
        );
        html.attribute("width", format!("{width:.1}")).raw("/>");
    }
    html.raw("</svg><div class=\"axis\" aria-hidden=\"true\"><span>24 h ago</span><span>now</span></div><p>");
    html.text(label).raw(".</p>");
    if !view.outages.is_empty() {
        html.raw("<details id=\"outage-list\"><summary>Each outage</summary><ul>");
        for outage in view.outages.iter().rev() {
            html.raw("<li>").time(outage.begin_ms).raw(", ");
            match outage.end_ms {
                Some(_) => html.text(format::duration(length(outage, view))),
                None => html.raw("not over yet"),
            };
            html.raw(": ").text(&outage.reason).raw("</li>");
        }
        html.raw("</ul></details>");
    }
}

fn length(outage: &Outage, view: &View) -> u64 {
    let end = outage.end_ms.unwrap_or(view.now_ms);
    end.saturating_sub(outage.begin_ms.max(view.now_ms.saturating_sub(DAY_MS)))
}
