//! `luml-satellite top`: the operator's page in a terminal; once and plain if it is piped.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::process::{ExitCode, Termination};
use std::thread;
use std::time::Duration;

use satellite_sdk::Exit;
use serde_json::Value;

use crate::status::Status;

const PERIOD: Duration = Duration::from_secs(1);
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub fn top() -> ExitCode {
    let is_live = io::stdout().is_terminal();
    let paint = Paint(is_live && std::env::var_os("NO_COLOR").is_none());
    let status = match Status::from_env() {
        Ok(status) => status,
        Err(error) => return Exit::from(error).report(),
    };
    loop {
        let screen = match status.get() {
            Ok(view) => screen(&view, &paint),
            Err(error) if !is_live => return Exit::from(error).report(),
            Err(error) => format!("{}\n", clean(&error.to_string())),
        };
        if !is_live {
            print!("{screen}");
            return ExitCode::SUCCESS;
        }
        // Each line is overwritten in place: a cleared screen would flicker.
        let screen = screen.replace('\n', "\x1b[K\n");
        let mut out = io::stdout().lock();
        let written = write!(out, "\x1b[H{screen}\x1b[J").and_then(|()| out.flush());
        if written.is_err() {
            return ExitCode::SUCCESS; // the terminal is gone
        }
        drop(out);
        thread::sleep(PERIOD);
    }
}

/// Colours, if they are wanted.
struct Paint(bool);

impl Paint {
    fn tone(&self, word: &str) -> String {
        let code = match word {
            "connected" | "active" | "done" | "normal" => 32,
            "warning" | "not_responding" | "starting" => 33,
            "disconnected" | "failed" | "critical" | "deletion_failed" => 31,
            "pending" | "running" | "acknowledged" => 36,
            _ => 2,
        };
        self.code(word, code)
    }

    fn code(&self, text: &str, code: u8) -> String {
        match self.0 {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

fn screen(view: &Value, paint: &Paint) -> String {
    let mut out = String::new();
    let now = view["now_ms"].as_u64().unwrap_or_default();
    let text = |value: &Value| clean(value.as_str().unwrap_or_default());
    let state = match (&view["connected_since_ms"], &view["disconnected_because"]) {
        (Value::Number(_), _) => "connected",
        (_, Value::String(_)) => "disconnected",
        _ => "starting",
    };
    let title = format!("{} {}", text(&view["program"]), text(&view["version"]));
    let _ = writeln!(
        out,
        "{}  {}  {}",
        paint.code(&title, 1),
        paint.tone(state),
        text(&view["platform"])
    );
    if let Some(reason) = view["disconnected_because"].as_str() {
        let _ = writeln!(out, "  {}", clean(reason));
    }
    for kind in ["problems", "warnings"] {
        for fact in list(&view[kind]).filter(|fact| fact["name"] != "platform") {
            let _ = writeln!(out, "  {}: {}", text(&fact["name"]), text(&fact["value"]));
        }
    }
    let panel = &view["panel"];
    heading(&mut out, paint, "ALERTS");
    let open = list(&panel["alerts"]).filter(|alert| alert["state"] != "resolved");
    let before = out.len();
    for alert in open {
        let _ = writeln!(
            out,
            "  {} {}  {}: {}, threshold {}, since {}",
            paint.tone(&format!("{:<8}", text(&alert["severity"]))),
            text(&alert["deployment"]),
            text(&alert["what"]),
            text(&alert["value"]),
            text(&alert["threshold"]),
            ago(now, &alert["first_seen_ms"]),
        );
    }
    if out.len() == before {
        out.push_str("  none\n");
    }
    heading(&mut out, paint, "DEPLOYMENTS");
    for deployment in list(&panel["deployments"]) {
        write_deployment(&mut out, deployment, paint);
    }
    heading(&mut out, paint, "TASKS");
    let tasks = list(&view["running"]).chain(list(&view["ended"]));
    for task in tasks.take(10) {
        let _ = writeln!(
            out,
            "  {} {}  {}  {}  {}",
            paint.tone(&format!("{:<8}", text(&task["status"]))),
            text(&task["task_type"]),
            text(&task["id"]),
            ago(now, &task["started_ms"]),
            text(&task["reason"])
        );
    }
    out
}

fn write_deployment(out: &mut String, deployment: &Value, paint: &Paint) {
    let text = |name: &str| clean(deployment[name].as_str().unwrap_or_default());
    let number = |name: &str| deployment[name].as_f64().unwrap_or_default();
    let status = paint.tone(&format!("{:<10}", text("status")));
    let _ = writeln!(out, "  {status} {}  {}", text("name"), text("id"));
    if deployment["is_monitored"] != true {
        return;
    }
    let requests: Vec<f64> = list(&deployment["requests"])
        .filter_map(Value::as_f64)
        .collect();
    let drift = list(&deployment["features"]).find_map(|feature| feature["psi"].as_f64());
    let optional = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    let _ = writeln!(
        out,
        "    {}  {:.0} requests, {:.1} % errors, p50 {:.1} ms, p95 {:.1} ms, input drift {}, \
         output drift {}",
        sparkline(&requests),
        requests.iter().sum::<f64>(),
        number("error_rate") * 100.0,
        number("p50_ms"),
        number("p95_ms"),
        optional(drift),
        optional(deployment["output_psi"].as_f64()),
    );
}

fn heading(out: &mut String, paint: &Paint, word: &str) {
    let _ = writeln!(out, "\n{}", paint.code(word, 2));
}

/// The last 30 values.
fn sparkline(values: &[f64]) -> String {
    let values = &values[values.len().saturating_sub(30)..];
    let top = values.iter().copied().fold(1.0, f64::max);
    let bar = |value: &f64| BARS[((value / top * 7.0).round() as usize).min(7)];
    values.iter().map(bar).collect()
}

fn ago(now: u64, then: &Value) -> String {
    let seconds = now.saturating_sub(then.as_u64().unwrap_or(now)) / 1000;
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        _ => format!("{} h ago", seconds / 3600),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Without control characters: a name must not move the cursor.
/// Text from outside without what controls a terminal.
pub fn clean(text: &str) -> String {
    let shown = |c: char| if is_control(c) { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// Control characters, and those that change the direction of text.
pub fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_screen_lists_alerts_deployments_and_tasks_without_control_characters() {
        let view = json!({
            "program": "luml-satellite", "version": "1", "platform": "http://p", "now_ms": 100_000,
            "connected_since_ms": 1, "problems": [], "warnings": [], "running": [],
            "ended": [{ "id": "t-1", "task_type": "deploy", "status": "failed", "started_ms": 40_000, "reason": "no \u{1b}[2J image" }],
            "panel": {
                "alerts": [
                    { "severity": "critical", "state": "open", "deployment": "line", "what": "Error rate", "value": "9.0 %", "threshold": "5.0 %", "first_seen_ms": 70_000 },
                    { "severity": "warning", "state": "resolved", "what": "Old" },
                ],
                "deployments": [{
                    "id": "d-1", "name": "line\u{7}", "status": "active", "is_monitored": true,
                    "requests": [0, 4, 8], "error_rate": 0.09, "p50_ms": 1.0, "p95_ms": 2.0,
                    "features": [{ "psi": 0.3 }], "output_psi": null,
                }],
            },
        });
        let screen = screen(&view, &Paint(false));
        for expected in [
            "luml-satellite 1  connected  http://p",
            "critical line  Error rate: 9.0 %, threshold 5.0 %, since 30 s ago",
            "▁▅█  12 requests, 9.0 % errors, p50 1.0 ms, p95 2.0 ms, input drift 0.30, output drift -",
            "failed   deploy  t-1  60 s ago  no \u{fffd}[2J image",
        ] {
            assert!(
                screen.contains(expected),
                "{expected:?} is missing in\n{screen}"
            );
        }
        assert!(!screen.contains("Old") && !screen.contains('\u{1b}') && !screen.contains('\u{7}'));
    }
}
