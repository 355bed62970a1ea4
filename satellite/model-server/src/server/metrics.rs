//! The figures at `/metrics`, in the text format of Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper ends of the buckets for durations, in microseconds.
const BUCKETS: [u64; 12] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 1_000_000, 10_000_000,
];

/// The statuses of `POST /compute` that are counted; all others count as 500.
const STATUSES: [u16; 5] = [200, 400, 413, 500, 503];

/// Counters of a server.
#[derive(Debug, Default)]
pub struct Metrics {
    responses: [AtomicU64; STATUSES.len()],
    buckets: [AtomicU64; BUCKETS.len()],
    computed: AtomicU64,
    micros: AtomicU64,
}

/// A value that is asked for at the time of the request.
pub struct Gauge {
    pub name: &'static str,
    pub help: &'static str,
    pub value: u64,
}

impl Metrics {
    /// Counts a response of `POST /compute`.
    pub fn responded(&self, status: u16) {
        let at = STATUSES.iter().position(|own| *own == status);
        let at = at.unwrap_or(3);
        self.responses[at].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a computation.
    pub fn computed(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(at) = BUCKETS.iter().position(|end| micros <= *end) {
            self.buckets[at].fetch_add(1, Ordering::Relaxed);
        }
        self.computed.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// All figures as text.
    pub fn text(&self, gauges: &[Gauge]) -> String {
        let mut text = String::new();
        let all = self.write(&mut text, gauges);
        debug_assert!(all.is_ok(), "writing to a string does not fail");
        text
    }

    fn write(&self, text: &mut String, gauges: &[Gauge]) -> std::fmt::Result {
        let name = "luml_model_requests_total";
        writeln!(text, "# HELP {name} Responses of POST /compute by their status.")?;
        writeln!(text, "# TYPE {name} counter")?;
        for (status, count) in STATUSES.iter().zip(&self.responses) {
            let count = count.load(Ordering::Relaxed);
            writeln!(text, "{name}{{status=\"{status}\"}} {count}")?;
        }
        let name = "luml_model_compute_seconds";
        writeln!(text, "# HELP {name} Time to compute a request, without waiting.")?;
        writeln!(text, "# TYPE {name} histogram")?;
        let mut sum = 0;
        for (end, count) in BUCKETS.iter().zip(&self.buckets) {
            sum += count.load(Ordering::Relaxed);
            writeln!(text, "{name}_bucket{{le=\"{}\"}} {sum}", seconds(*end))?;
        }
        let computed = self.computed.load(Ordering::Relaxed);
        writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {computed}")?;
        let micros = self.micros.load(Ordering::Relaxed);
        writeln!(text, "{name}_sum {}", seconds(micros))?;
        writeln!(text, "{name}_count {computed}")?;
        for Gauge { name, help, value } in gauges {
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}")?;
        }
        Ok(())
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// The resident memory of this process in bytes, if the system tells.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}
