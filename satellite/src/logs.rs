//! Logs: readable on a terminal, with journald's priorities under systemd.

use std::io::{IsTerminal, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use log::{Level, LevelFilter};
use satellite_sdk::TaskLog;

/// Starts logging at `RUST_LOG`, or at `level`.
pub fn start(level: LevelFilter) {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level);
    builder.parse_default_env();
    let terminal = std::io::stderr().is_terminal();
    if !terminal && is_journal() {
        // journald adds the time and takes the priority off.
        builder
            .format(|out, record| writeln!(out, "<{}>{}", priority(record.level()), record.args()));
    } else {
        let colours = terminal && std::env::var_os("NO_COLOR").is_none();
        builder.format(move |out, record| {
            let (on, off) = match colours {
                true => (colour(record.level()), "\x1b[0m"),
                false => ("", ""),
            };
            let (time, level) = (time(), record.level());
            writeln!(out, "{time} {on}{level:<5}{off} {}", record.args())
        });
    }
    let logger = builder.build();
    let level = logger.filter();
    TaskLog::new(logger).install(level);
}

/// systemd says so where stderr goes to the journal.
fn is_journal() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some_and(|stream| !stream.is_empty())
}

/// As in `sd-daemon(3)`.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::Error => "\x1b[31m",
        Level::Warn => "\x1b[33m",
        Level::Info => "\x1b[32m",
        Level::Debug | Level::Trace => "\x1b[2m",
    }
}

/// The time of day, UTC: enough on a terminal, and no crate for it.
fn time() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let seconds = since.as_secs() % 86_400;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!(
        "{hours:02}:{minutes:02}:{seconds:02}.{:03}Z",
        since.subsec_millis()
    )
}
