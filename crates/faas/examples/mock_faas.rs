//! Runs `MockFaas` as a process of its own, for clients in other languages.
//!
//! ```sh
//! cargo run -p satellite-faas --features testing --example mock_faas -- gateway
//! ```
//!
//! The argument is `contract` (default), `gateway` or `server`. The first line of the output is
//! `{"url": …, "key": …}`. Each line of the input is a command in JSON, and is answered by one
//! line. The process ends when its input does.
//!
//! | command | effect |
//! |---|---|
//! | `{"fault": KIND, "method": "POST", "path": "/execute"}` | injects a fault into the next matching request; see `fault` below |
//! | `{"cut_stream": BYTES}` | breaks the next stream after this many bytes |
//! | `{"limit_rate": N}` | rejects the next requests |
//! | `{"max_time": SECONDS}`, `{"max_output": BYTES}` | limits of executions |
//! | `{"add_image": NAME}` | adds an image |
//! | `{"report": true}` | answers with the requests so far and the number of executions |

use std::io::{BufRead, Write};
use std::time::Duration;

use satellite_faas::{FaasKind, MockFaas};
use satellite_serve::testing::Fault;
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kind = match std::env::args().nth(1).as_deref() {
        None | Some("contract") => FaasKind::Contract,
        Some("gateway") => FaasKind::Gateway,
        Some("server") => FaasKind::Server,
        Some(other) => {
            return Err(format!("expected contract, gateway or server, found {other}").into());
        }
    };
    let mock = MockFaas::of(kind);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", json!({ "url": mock.url(), "key": mock.key() }))?;
    for line in std::io::stdin().lock().lines() {
        let answer = obey(&mock, &line?).unwrap_or_else(|error| json!({ "error": error }));
        writeln!(out, "{answer}")?;
    }
    Ok(())
}

/// Carries out one command.
fn obey(mock: &MockFaas, line: &str) -> Result<Value, String> {
    let command: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let (name, argument) = command
        .as_object()
        .and_then(|fields| {
            fields
                .iter()
                .find(|(name, _)| COMMANDS.contains(&name.as_str()))
        })
        .ok_or_else(|| format!("expected one of {COMMANDS:?}"))?;
    let number = || {
        argument
            .as_u64()
            .ok_or(format!("{name}: expected a number"))
    };
    let small = || Ok::<_, String>(usize::try_from(number()?).unwrap_or(usize::MAX));
    match name.as_str() {
        "fault" => {
            let [method, path] = ["method", "path"].map(|name| command[name].as_str());
            let fault = fault(argument).ok_or_else(|| format!("unknown fault {argument}"))?;
            mock.fault(method.unwrap_or("POST"), path.unwrap_or("/"), fault);
        }
        "cut_stream" => mock.cut_stream(small()?),
        "limit_rate" => mock.limit_rate(u32::try_from(number()?).unwrap_or(u32::MAX)),
        "max_time" => mock.max_time(Duration::from_secs(number()?)),
        "max_output" => mock.max_output(small()?),
        "add_image" => mock.add_image(argument.as_str().unwrap_or_default()),
        _ => return Ok(report(mock)),
    }
    Ok(json!({ "done": name }))
}

const COMMANDS: [&str; 7] = [
    "fault",
    "cut_stream",
    "limit_rate",
    "max_time",
    "max_output",
    "add_image",
    "report",
];

/// `"reset"`, or an object for a fault with a parameter: `{"status": 503}`.
fn fault(description: &Value) -> Option<Fault> {
    if let Some(name) = description.as_str() {
        return Some(match name {
            "reset" => Fault::Reset,
            "drop" => Fault::Drop,
            "half_body" => Fault::HalfBody,
            "not_json" => Fault::NotJson,
            "empty" => Fault::Empty,
            "done_but_no_answer" => Fault::DoneButNoAnswer,
            _ => return None,
        });
    }
    let number = |name: &str| description[name].as_u64();
    if let Some(target) = description["redirect"].as_str() {
        return Some(Fault::Redirect(target.to_owned()));
    }
    if let Some(ms) = number("stall_ms") {
        return Some(Fault::Stall(Duration::from_millis(ms)));
    }
    if let Some(ms) = number("slow_answer_ms") {
        return Some(Fault::SlowAnswer(Duration::from_millis(ms)));
    }
    let status = u16::try_from(number("status")?).ok()?;
    Some(match number("retry_after") {
        Some(seconds) => Fault::RetryAfter { status, seconds },
        None => Fault::Status(status),
    })
}

fn report(mock: &MockFaas) -> Value {
    let describe = |seen: &satellite_serve::testing::RecordedRequest| {
        json!({
            "method": seen.method,
            "path": seen.path,
            "status": seen.status,
            "authorization": seen.authorization,
            "body": String::from_utf8_lossy(&seen.body),
        })
    };
    let requests: Vec<_> = mock.requests().iter().map(describe).collect();
    json!({
        "requests": requests,
        "executions": mock.executions(),
        "most_at_once": mock.most_at_once(),
    })
}
