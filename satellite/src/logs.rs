//! Logs: readable on a terminal, with journald's priorities under systemd.

use std::io::Write;

use log::{Level, LevelFilter};
use satellite_sdk::TaskLog;

/// Starts logging at `RUST_LOG`, or at `level`.
pub fn start(level: LevelFilter) {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level);
    builder.parse_default_env();
    if is_journal() {
        builder
            .format(|out, record| writeln!(out, "<{}>{}", priority(record.level()), record.args()));
    } else {
        builder.format_target(false);
    }
    let logger = builder.build();
    let level = logger.filter();
    TaskLog::new(logger).install(level);
}

/// systemd says so where stderr goes to the journal; a line there begins with
/// its priority, and journald adds the time.
fn is_journal() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some_and(|stream| !stream.is_empty())
        && !std::io::IsTerminal::is_terminal(&std::io::stderr())
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
