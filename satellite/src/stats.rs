//! `luml-satellite stats`: what monitoring has stored, also while the satellite runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{ExitCode, Termination};

use satellite_monitoring::{AlertState, Report, Store, Stored};
use satellite_sdk::{Error, Exit, Result, Variables};
use serde::Serialize;

use crate::monitoring::now_ms;
use crate::status::Status;
use crate::top::{clean, is_control};

const USAGE: &str = "usage: luml-satellite stats [--hours N] [--json | --samples] | \
                     stats --acknowledge 'DEPLOYMENT METRIC'";

/// What is printed.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Tables,
    /// The reports, one to a line.
    Json,
    /// The samples, one to a line.
    Samples,
}

pub fn stats(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let end = match words[..] {
        ["--acknowledge", alert] => Status::from_env().and_then(|status| status.acknowledge(alert)),
        _ => match parsed(&words) {
            Some((hours, form)) => show(hours, form),
            None => {
                eprintln!("{USAGE}");
                return ExitCode::from(64);
            }
        },
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Exit::from(error).report(),
    }
}

fn parsed(words: &[&str]) -> Option<(u64, Form)> {
    let (hours, rest) = match words {
        ["--hours", n, rest @ ..] => (n.parse().ok().filter(|hours| *hours > 0)?, rest),
        rest => (24, rest),
    };
    let form = match rest {
        [] => Form::Tables,
        ["--json"] => Form::Json,
        ["--samples"] => Form::Samples,
        _ => return None,
    };
    Some((hours, form))
}

fn show(hours: u64, form: Form) -> Result<()> {
    let variables = Variables::from_env();
    let folder = variables.text("LUML_STATE_DIR");
    let folder = folder.or_else(|| variables.systemd_state_dir());
    let folder = folder.ok_or("monitoring is stored in the state folder: set LUML_STATE_DIR")?;
    let since = now_ms().saturating_sub(hours.saturating_mul(3_600_000));
    let stored = Store::read(Path::new(&folder), since)
        .map_err(|error| Error::new(format_args!("{folder}: {error}")))?;
    let stored =
        stored.ok_or_else(|| Error::new(format_args!("{folder}: nothing is stored yet")))?;
    let text = match form {
        Form::Tables => tables(&stored, hours, since),
        Form::Json => json_lines(&stored.reports)?,
        Form::Samples => json_lines(&stored.samples)?,
    };
    // A reader such as `head` may have had enough.
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn json_lines(rows: &[impl Serialize]) -> Result<String> {
    let mut lines = String::new();
    for row in rows {
        // JSON escapes only some of what a terminal obeys.
        for c in serde_json::to_string(row)?.chars() {
            match is_control(c) {
                true => lines.push_str(&format!("\\u{:04x}", u32::from(c))),
                false => lines.push(c),
            }
        }
        lines.push('\n');
    }
    Ok(lines)
}

fn tables(stored: &Stored, hours: u64, since_ms: u64) -> String {
    let mut out = String::new();
    write_reports(&mut out, &stored.reports);
    let _ = writeln!(
        out,
        "(figures of the last window; windows and maximum of the last {hours} h)\n\n\
         {:<9} {:<13} ALERT",
        "SEVERITY", "STATE"
    );
    for alert in &stored.alerts {
        let is_over = alert.state == AlertState::Resolved;
        if is_over && alert.last_seen_ms < since_ms {
            continue;
        }
        let (value, threshold) = crate::monitoring::in_words(alert);
        let _ = writeln!(
            out,
            "{:<9} {:<13} {} {}: {value}, threshold {threshold}",
            alert.severity.name(),
            alert.state.name(),
            clean(&alert.deployment),
            clean(&alert.metric),
        );
    }
    let length = |(begin, end): &(u64, u64)| end.saturating_sub(*begin);
    let total: u64 = stored.outages.iter().map(length).sum();
    let count = stored.outages.len();
    let _ = writeln!(out, "\n{count} outages, {} s in all", total / 1000);
    out
}

/// One line for each deployment, of its windows together and of the last one.
fn write_reports(out: &mut String, reports: &[Report]) {
    let mut last = BTreeMap::<&str, (&Report, usize, f64)>::new();
    for report in reports {
        let entry = last.entry(&report.deployment).or_insert((report, 0, 0.0));
        *entry = (report, entry.1 + 1, entry.2.max(report.latency_max_ms));
    }
    let _ = writeln!(
        out,
        "{:<37} {:>8} {:>9} {:>8} {:>9} {:>9} {:>9}  WORST DRIFT",
        "DEPLOYMENT", "WINDOWS", "REQUESTS", "ERRORS", "P50 ms", "P95 ms", "MAX ms"
    );
    for (deployment, (report, windows, max)) in last {
        let drift = report.worst_drift();
        let drift = drift.map_or("-".to_owned(), |(name, psi)| format!("{psi:.2} {name}"));
        let _ = writeln!(
            out,
            "{:<37} {windows:>8} {:>9} {:>7.1}% {:>9.1} {:>9.1} {max:>9.1}  {}",
            clean(deployment),
            report.requests,
            report.error_rate * 100.0,
            report.latency_p50_ms,
            report.latency_p95_ms,
            clean(&drift),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_lines_escape_what_a_terminal_obeys_and_stay_json() {
        let hostile = "\u{1b}]0;\u{9b}2J\u{202e}\u{2066}ä\n";
        let lines = json_lines(&[hostile, "plain"]).unwrap();
        let is_plain = |c: char| c == '\n' || !is_control(c);
        assert!(lines.chars().all(is_plain), "{lines:?}");
        let rows: Vec<String> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(rows, [hostile, "plain"]);
    }
}
