//! `luml-satellite stats`: what monitoring has stored, also while the satellite runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitCode, Termination};
use std::time::{SystemTime, UNIX_EPOCH};

use satellite_monitoring::{AlertState, Report, Store};
use satellite_sdk::{Error, Exit, Result, Variables};

use crate::status::Status;

const USAGE: &str = "usage: luml-satellite stats [--hours N] [--json] | stats --acknowledge ALERT";

pub fn stats(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let hours = |text: &str| text.parse::<u64>().ok().filter(|hours| *hours > 0);
    let end = match words[..] {
        [] => show(24, false),
        ["--json"] => show(24, true),
        ["--hours", n] if hours(n).is_some() => show(hours(n).unwrap_or(24), false),
        ["--hours", n, "--json"] if hours(n).is_some() => show(hours(n).unwrap_or(24), true),
        ["--acknowledge", alert] => Status::from_env().and_then(|status| status.acknowledge(alert)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Exit::from(error).report(),
    }
}

fn show(hours: u64, json: bool) -> Result<()> {
    let variables = Variables::from_env();
    let folder = variables.text("LUML_STATE_DIR");
    let folder = folder.or_else(|| variables.systemd_state_dir());
    let folder = folder.ok_or("monitoring is stored in the state folder: set LUML_STATE_DIR")?;
    let since = now_ms().saturating_sub(hours * 3_600_000);
    let stored = Store::read(Path::new(&folder), since)
        .map_err(|error| Error::new(format_args!("{folder}: {error}")))?;
    let stored =
        stored.ok_or_else(|| Error::new(format_args!("{folder}: nothing is stored yet")))?;
    let reports = stored.reports;
    if json {
        for report in &reports {
            println!("{}", serde_json::to_string(report)?);
        }
        return Ok(());
    }
    print_reports(&reports, hours);
    println!("\n{:<9} {:<13} ALERT", "SEVERITY", "STATE");
    for alert in stored.alerts {
        let is_over = alert.state == AlertState::Resolved;
        if is_over && alert.last_seen_ms < since {
            continue;
        }
        let (value, threshold) = crate::monitoring::in_words(&alert);
        println!(
            "{:<9} {:<13} {} {}: {value}, threshold {threshold}",
            alert.severity.name(),
            alert.state.name(),
            alert.deployment,
            alert.metric,
        );
    }
    let total: u64 = stored
        .outages
        .iter()
        .map(|(begin, end)| end.saturating_sub(*begin))
        .sum();
    println!(
        "\n{} outages, {} s in all",
        stored.outages.len(),
        total / 1000
    );
    Ok(())
}

/// One line for each deployment, of its windows together and of the last one.
fn print_reports(reports: &[Report], hours: u64) {
    let mut last = BTreeMap::<&str, (&Report, usize, f64)>::new();
    for report in reports {
        let entry = last.entry(&report.deployment).or_insert((report, 0, 0.0));
        *entry = (report, entry.1 + 1, entry.2.max(report.latency_max_ms));
    }
    println!(
        "{:<37} {:>8} {:>9} {:>8} {:>9} {:>9} {:>9}  WORST DRIFT",
        "DEPLOYMENT", "WINDOWS", "REQUESTS", "ERRORS", "P50 ms", "P95 ms", "MAX ms"
    );
    for (deployment, (report, windows, max)) in last {
        let drift = report.worst_drift();
        let drift = drift.map_or("-".to_owned(), |(name, psi)| format!("{psi:.2} {name}"));
        println!(
            "{deployment:<37} {windows:>8} {:>9} {:>7.1}% {:>9.1} {:>9.1} {max:>9.1}  {drift}",
            report.requests,
            report.error_rate * 100.0,
            report.latency_p50_ms,
            report.latency_p95_ms,
        );
    }
    println!("(figures of the last window; windows and maximum of the last {hours} h)");
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as u64
}
