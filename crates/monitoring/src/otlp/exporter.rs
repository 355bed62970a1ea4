//! The exporter: batches, bounded, on a thread of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use satellite_core::Secret;
use satellite_core::http::header::AUTHORIZATION;
use satellite_core::http::{
    Call, Credentials, Dialect, Method, Op, Problem, Retries, Server, Transport, Trust, excerpt,
};
use satellite_core::wake::Waiter;
use serde_json::Value;

use super::encode;
use super::{Metric, Span};

/// Spans that wait for their export; further ones are dropped and counted.
const SPANS: usize = 2048;
/// Spans in one request.
const BATCH: usize = 512;
/// The limit of one export with its retries.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where and how to export.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: a checked URL; `/v1/metrics` and `/v1/traces` are appended.
    pub endpoint: String,
    /// `OTEL_EXPORTER_OTLP_HEADERS`, such as an `authorization`.
    pub headers: Vec<(String, Secret)>,
    /// The attributes of the resource: `service.name` and others.
    pub resource: Vec<(String, String)>,
    /// The name of the program that measures.
    pub scope: &'static str,
    /// Its version.
    pub version: &'static str,
    /// How often metrics are exported.
    pub metrics_interval: Duration,
    /// How long a span waits at most.
    pub traces_interval: Duration,
}

/// What was exported so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Exports that the collector has accepted.
    pub exports: u64,
    /// Exports that failed.
    pub failures: u64,
    /// Spans that were dropped: too many were waiting, or nobody listened.
    pub dropped_spans: u64,
}

/// Sends spans and metrics to a collector until it is dropped; then it sends the rest once.
#[derive(Debug)]
pub struct Exporter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    exports: AtomicU64,
    failures: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    spans: Vec<Span>,
    is_stopping: bool,
}

static COLLECTOR: Dialect = Dialect {
    token: (AUTHORIZATION, ""),
    headers: &[],
    explain: |status, body| Problem::of_status(status, excerpt(body), true),
};

impl Exporter {
    /// Starts the thread. `metrics` is called for each export.
    ///
    /// # Errors
    /// If the endpoint is no URL, or no thread can be started.
    pub fn start(
        settings: Settings,
        metrics: impl Fn() -> Vec<Metric> + Send + 'static,
    ) -> satellite_core::Result<Self> {
        let server = Server {
            base: settings.endpoint.trim_end_matches('/').to_owned(),
            dialect: &COLLECTOR,
            credentials: Credentials::Token("".into()),
            trust: Trust::default(),
            retries: Retries {
                most: 3,
                first: Duration::from_secs(1),
                max: Duration::from_secs(4),
            },
            connect: Duration::from_secs(5),
        };
        let transport = Transport::new(server, Waiter::default())?;
        let shared = Arc::new(Shared::default());
        let worker = Worker {
            shared: Arc::clone(&shared),
            transport,
            begun_ns: now_ns(),
            settings,
            metrics: Box::new(metrics),
            is_down: false,
        };
        let thread = thread::Builder::new()
            .name("otlp".into())
            .spawn(move || worker.run())?;
        Ok(Exporter {
            shared,
            thread: Some(thread),
        })
    }

    /// Adds a span to the next export. Never waits.
    pub fn span(&self, span: Span) {
        let mut state = self.shared.lock();
        if state.spans.len() >= SPANS {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.spans.push(span);
        if state.spans.len() == BATCH {
            self.shared.changed.notify_one();
        }
    }

    /// Returns what was exported so far, whenever it is called.
    pub fn counter(&self) -> impl Fn() -> Counts + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || {
            let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
            Counts {
                exports: load(&shared.exports),
                failures: load(&shared.failures),
                dropped_spans: load(&shared.dropped),
            }
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.shared.lock().is_stopping = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Worker {
    shared: Arc<Shared>,
    transport: Transport,
    begun_ns: u64,
    settings: Settings,
    metrics: Box<dyn Fn() -> Vec<Metric> + Send>,
    /// The last export failed: logged once.
    is_down: bool,
}

impl Worker {
    fn run(mut self) {
        let mut metrics_due = Instant::now() + self.settings.metrics_interval;
        loop {
            let (spans, is_stopping) = self.wait(metrics_due);
            for batch in spans.chunks(BATCH) {
                let body = encode::traces(&self.settings, batch);
                if !self.send("/v1/traces", &body, is_stopping) {
                    let lost = batch.len() as u64;
                    self.shared.dropped.fetch_add(lost, Ordering::Relaxed);
                }
            }
            if is_stopping || Instant::now() >= metrics_due {
                metrics_due = Instant::now() + self.settings.metrics_interval;
                let metrics = (self.metrics)();
                let times = (self.begun_ns, now_ns());
                let body = encode::metrics(&self.settings, &metrics, times);
                self.send("/v1/metrics", &body, is_stopping);
            }
            if is_stopping {
                return;
            }
        }
    }

    /// Waits for a full batch, for the next interval, or for the end.
    fn wait(&self, metrics_due: Instant) -> (Vec<Span>, bool) {
        let due = metrics_due.min(Instant::now() + self.settings.traces_interval);
        let mut state = self.shared.lock();
        while state.spans.len() < BATCH && !state.is_stopping {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        (std::mem::take(&mut state.spans), state.is_stopping)
    }

    fn send(&mut self, path: &str, body: &Value, is_last: bool) -> bool {
        let call = Call::new(Method::POST, path).op(Op::Idempotent);
        // A stop must not wait for a collector that does not respond.
        let limit = if is_last { TIMEOUT / 5 } else { TIMEOUT };
        let headers = self.settings.headers.iter();
        let call = headers.fold(call.within(limit), |call, (name, value)| {
            call.header(name, value.expose())
        });
        let sent = call
            .json(body)
            .and_then(|call| self.transport.send(&call)?.ok());
        match sent {
            Ok(_) => {
                self.shared.exports.fetch_add(1, Ordering::Relaxed);
                if std::mem::take(&mut self.is_down) {
                    log::info!("telemetry: the collector accepts exports again");
                }
                true
            }
            Err(error) => {
                self.shared.failures.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut self.is_down, true) {
                    log::warn!("telemetry: {error}; exports are dropped until it responds");
                }
                false
            }
        }
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_nanos() as u64
}
