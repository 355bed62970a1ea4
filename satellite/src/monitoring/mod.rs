//! Monitoring of predictions: events from the gateway, aggregated by a thread of its own; kept in
//! the state folder; shown on the page, in `/metrics`, and sent to a collector.

mod call;
mod counted;
mod figures;
mod panel;
mod queue;
mod telemetry;
mod trace;
mod words;
mod worker;
mod writer;

pub use call::{Call, Permit, Watched};
pub use words::values as in_words;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use satellite_monitoring::{Monitor, Profile};
use satellite_sdk::{Deployment, Satellite};

use self::counted::Counted;
use self::queue::Queue;
use crate::model::Models;
use crate::parameters;
use crate::settings::{MonitoringSettings, Settings};
use crate::shared::Shared;

/// Clones share one state.
#[derive(Clone)]
pub struct Monitoring(Arc<Inner>);

struct Inner {
    settings: MonitoringSettings,
    queue: Arc<Queue>,
    monitor: Mutex<Monitor>,
    /// The deployments of this satellite.
    overview: Mutex<BTreeMap<String, Seen>>,
    /// The calls of the monitored deployments.
    counted: Mutex<BTreeMap<String, Arc<Counted>>>,
    /// Responses of the gateway by the first digit of their status.
    responses: [AtomicU64; 10],
    store_bytes: AtomicU64,
    store_failures: AtomicU64,
    is_stopping: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the platform says about a deployment.
struct Seen {
    name: String,
    status: String,
}

impl Monitoring {
    pub fn new(settings: &Settings) -> Self {
        let settings = settings.monitoring.clone();
        let windows = satellite_monitoring::Settings {
            interval: settings.interval,
            window: settings.window,
            latency_p95_threshold_ms: settings.latency_p95_threshold_ms,
        };
        Monitoring(Arc::new(Inner {
            settings,
            queue: Arc::default(),
            monitor: Mutex::new(Monitor::new(windows)),
            overview: Mutex::default(),
            counted: Mutex::default(),
            responses: Default::default(),
            store_bytes: AtomicU64::new(0),
            store_failures: AtomicU64::new(0),
            is_stopping: AtomicBool::new(false),
            thread: Mutex::default(),
        }))
    }

    /// Starts the thread, the page's panel and the metrics. `gateway`: its address.
    pub fn start(&self, satellite: &Satellite, shared: &Shared, gateway: &str) -> io::Result<()> {
        let context = satellite.context();
        let health = satellite.health();
        figures::collect(health.metrics(), &self.0);
        panel::provide(health, &self.0, shared, gateway);
        let folder = context.state_dir().map(ToOwned::to_owned);
        if folder.is_none() {
            log::info!(
                "monitoring: no state folder (LUML_STATE_DIR): its results are lost with this process"
            );
        }
        let worker = worker::Worker::new(Arc::clone(&self.0), health, folder, shared);
        let thread = thread::Builder::new()
            .name("monitoring".into())
            .spawn(move || worker.run())?;
        self.0.queue.read_by(thread.thread().clone());
        *lock(&self.0.thread) = Some(thread);
        Ok(())
    }

    /// Aggregates and writes what is left, and ends the thread.
    pub fn stop(&self) {
        self.0.is_stopping.store(true, Ordering::Release);
        if let Some(thread) = lock(&self.0.thread).take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }

    /// Whether the deployment asks to be monitored, and this satellite does that.
    pub fn is_wanted(&self, deployment: &Deployment) -> bool {
        self.0.settings.enabled && parameters::is_monitored(deployment)
    }

    /// Monitors a deployment whose model listens at `port`, if it is wanted.
    pub fn watch(&self, deployment: &Deployment, models: &Models, port: u16) -> Option<Watched> {
        if !self.is_wanted(deployment) {
            lock(&self.0.counted).remove(&deployment.id);
            lock(&self.0.monitor).unwatch(&deployment.id, now_ms());
            return None;
        }
        let found = models.find_document(port, "/reference_profile");
        let is_complete = found.is_ok();
        let needs_profile = {
            let mut monitor = lock(&self.0.monitor);
            let profile = match &found {
                Ok(Some(document)) => Profile::of(document),
                Ok(None) => {
                    log::info!(
                        "deployment {}: its model has no reference profile: requests, errors and \
                         latency are monitored, data quality and drift are not",
                        deployment.id
                    );
                    Profile::default()
                }
                Err(why) => {
                    log::warn!(
                        "deployment {}: its model's reference profile cannot be read and is tried \
                         again at the next reconciliation: {why}",
                        deployment.id
                    );
                    monitor.profile(&deployment.id).cloned().unwrap_or_default()
                }
            };
            let needs_bodies = profile.needs_bodies();
            monitor.watch(&deployment.id, profile, now_ms());
            needs_bodies
        };
        let needs_bodies = needs_profile || self.0.settings.samples > 0;
        let summaries = self.0.settings.summaries_per_second;
        let counted = {
            let mut all = lock(&self.0.counted);
            Arc::clone(all.entry(deployment.id.clone()).or_default())
        };
        let watched = Watched::new(
            &deployment.id,
            (counted, Arc::clone(&self.0.queue)),
            if needs_bodies { summaries } else { 0 },
            self.0.settings.otlp_endpoint.is_some(),
        );
        Some(match is_complete {
            true => watched,
            false => watched.incomplete(),
        })
    }

    /// Shows the deployment on the page, with its status.
    pub fn note(&self, deployment: &Deployment) {
        let seen = Seen {
            name: deployment.name.clone(),
            status: deployment.status.to_string(),
        };
        lock(&self.0.overview).insert(deployment.id.clone(), seen);
    }

    /// The same, if it is known.
    pub fn note_status(&self, deployment: &str, status: &str) {
        if let Some(seen) = lock(&self.0.overview).get_mut(deployment) {
            status.clone_into(&mut seen.status);
        }
    }

    /// Forgets all other deployments.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        lock(&self.0.overview).retain(|id, _| keep(id));
        lock(&self.0.counted).retain(|id, _| keep(id));
        lock(&self.0.monitor).retain(keep, now_ms());
    }

    /// Counts a response of the gateway.
    pub fn count_response(&self, status: u16) {
        let class = usize::from(status / 100).min(9);
        self.0.responses[class].fetch_add(1, Ordering::Relaxed);
    }
}

impl Inner {
    /// The monitor with all calls until now.
    fn up_to_date(&self) -> MutexGuard<'_, Monitor> {
        let mut monitor = lock(&self.monitor);
        for (id, counted) in lock(&self.counted).iter() {
            monitor.count(id, &counted.take());
        }
        monitor
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as u64
}
