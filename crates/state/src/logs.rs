//! Log lines on stderr, for a program that installs no logger.

use std::io::Write;

use log::{LevelFilter, Log, Metadata, Record};
use serde_json::json;

use super::settings::Settings;
use super::time;
use satellite_core::TaskLog;

struct Lines {
    level: LevelFilter,
    json: bool,
    pod: String,
    processor: String,
}

/// Installs a logger as configured by `DORY_LOG_LEVEL` and `DORY_LOG_FORMAT`, unless the
/// program has installed one already.
pub(super) fn start(settings: &Settings) {
    let lines = Lines {
        level: settings.log_level,
        json: settings.log_json,
        pod: settings.pod_name.clone(),
        processor: settings.processor_id.clone(),
    };
    TaskLog::new(lines).install(settings.log_level);
}

impl Lines {
    fn line(&self, record: &Record<'_>) -> String {
        let (time, level) = (time::now(), record.level());
        match self.json {
            true => json!({
                "timestamp": time,
                "level": level.as_str(),
                "logger": record.target(),
                "message": record.args().to_string(),
                "pod_name": self.pod,
                "processor_id": self.processor,
            })
            .to_string(),
            false => format!("{time} {level:<5} {}", record.args()),
        }
    }
}

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = self.line(record) + "\n";
            // If stderr is closed, the line is lost.
            let _ = std::io::stderr().lock().write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}
