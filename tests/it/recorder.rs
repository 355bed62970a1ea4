//! Records everything that is logged in this process.

use std::sync::{Mutex, OnceLock};

use log::{Log, Metadata, Record};

pub struct Recorder(Mutex<Vec<String>>);

/// Starts recording at trace level; tests share one recorder.
#[allow(dead_code)] // each test binary uses one way
pub fn record() {
    if log::set_logger(recorder()).is_ok() {
        log::set_max_level(log::LevelFilter::Trace);
    }
}

pub fn lines() -> Vec<String> {
    recorder().0.lock().unwrap().clone()
}

pub fn recorder() -> &'static Recorder {
    static RECORDER: OnceLock<Recorder> = OnceLock::new();
    RECORDER.get_or_init(|| Recorder(Mutex::default()))
}

impl Log for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {} {}", record.level(), record.target(), record.args());
        self.0.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}
