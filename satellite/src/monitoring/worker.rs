//! The thread that aggregates events and ends windows.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use satellite_monitoring::{Batch, Limits, Sample, Store};
use satellite_sdk::Health;
use satellite_sdk::page::Page;

use super::queue::Record;
use super::telemetry::Telemetry;
use super::trace::uuid_text;
use super::writer::{self, Writer};
use super::{Inner, lock, now_ms};
use crate::shared::Shared;

/// Events are aggregated in batches of this time: one wake-up for all of them.
const BATCH: Duration = Duration::from_millis(100);

/// How long outages are shown.
const DAY_MS: u64 = 24 * 3600 * 1000;

pub struct Worker {
    inner: Arc<Inner>,
    page: Page,
    health: Health,
    folder: Option<PathBuf>,
    limits: Limits,
    pending: Batch,
    writer: Option<Writer>,
    telemetry: Option<Telemetry>,
}

impl Worker {
    pub fn new(
        inner: Arc<Inner>,
        health: &Health,
        folder: Option<PathBuf>,
        shared: &Shared,
    ) -> Self {
        let limits = Limits {
            bytes: inner.settings.store_bytes,
            age: inner.settings.retention,
            samples: inner.settings.samples,
        };
        Worker {
            page: health.page().clone(),
            health: health.clone(),
            telemetry: Telemetry::start(&inner.settings, shared, health.metrics()),
            inner,
            folder,
            limits,
            pending: Batch::default(),
            writer: None,
        }
    }

    pub fn run(mut self) {
        if let Some(folder) = self.folder.take() {
            let store = match Store::open(&folder, self.limits.clone()) {
                Ok(mut store) => {
                    self.restore(&mut store);
                    Some(store)
                }
                Err(error) => {
                    writer::failed(&self.inner, &self.health, &error);
                    None
                }
            };
            let (inner, health) = (Arc::clone(&self.inner), self.health.clone());
            match Writer::start(inner, health, store, (folder, self.limits.clone())) {
                Ok(writer) => self.writer = Some(writer),
                Err(error) => writer::failed(&self.inner, &self.health, &error),
            }
        }
        let interval = self.inner.settings.interval;
        let mut due = Instant::now() + interval;
        loop {
            let is_stopping = self.inner.is_stopping.load(Ordering::Acquire);
            if !self.inner.queue.is_told() && !is_stopping {
                thread::park_timeout(due.saturating_duration_since(Instant::now()));
            }
            if self.inner.queue.is_told() {
                if !is_stopping {
                    thread::sleep(BATCH.min(interval / 4));
                }
                self.aggregate();
            }
            if Instant::now() >= due || is_stopping {
                // A late tick does not delay those after it.
                due = (due + interval).max(Instant::now());
                self.tick();
            }
            if is_stopping {
                return;
            }
        }
    }

    fn aggregate(&mut self) {
        let records = self.inner.queue.take();
        let mut samples = Vec::new();
        for record in records {
            if let Some(telemetry) = &self.telemetry {
                telemetry.span(&record);
            }
            // Released after each: the page and deployments wait for it.
            lock(&self.inner.monitor).summarise(&record.deployment, &record.event);
            if self.limits.samples > 0 {
                samples.extend(sample(record));
            }
        }
        if !samples.is_empty() {
            self.pending.extend(Batch {
                samples,
                ..Batch::default()
            });
        }
    }

    /// Ends an interval, and writes what is new.
    fn tick(&mut self) {
        let now_ms = now_ms();
        {
            let mut monitor = self.inner.up_to_date();
            self.pending.reports.extend(monitor.tick(now_ms));
            self.pending.alerts.extend(monitor.take_changed_alerts());
        }
        // A deployment without calls has nothing to remember.
        self.pending.reports.retain(|report| report.requests > 0);
        self.pending.now_ms = now_ms;
        let outages = self.page.view(&self.health).outages;
        self.pending.outages = outages
            .iter()
            .map(|outage| (outage.begin_ms, outage.end_ms.unwrap_or(now_ms)))
            .collect();
        let batch = std::mem::take(&mut self.pending);
        if let Some(writer) = &self.writer {
            writer.write(batch);
        }
    }

    /// Continues where the last process ended.
    fn restore(&self, store: &mut Store) {
        let now_ms = now_ms();
        self.inner
            .store_bytes
            .store(store.bytes(), Ordering::Relaxed);
        {
            let mut monitor = lock(&self.inner.monitor);
            store
                .alerts()
                .for_each(|alert| monitor.restore(alert.clone()));
            for (deployment, reports) in store.newest_reports() {
                monitor.restore_reports(deployment, reports, now_ms);
            }
        }
        for (begin, end) in store.outages(now_ms.saturating_sub(DAY_MS)) {
            self.page
                .earlier_outage(begin, end, "see the log of that time");
        }
        let gap = 2 * self.inner.settings.interval.as_millis() as u64;
        if let Some(alive) = store.alive_ms().filter(|alive| alive + gap < now_ms) {
            self.page
                .earlier_outage(alive, now_ms, "the satellite was not running");
        }
    }
}

/// Bodies that are text.
fn sample(record: Record) -> Option<Sample> {
    let event = record.event;
    Some(Sample {
        event: uuid_text(record.id),
        deployment: record.deployment.to_string(),
        at_ms: event.at_ms,
        status: event.status,
        inputs: String::from_utf8(event.inputs?).ok()?,
        outputs: String::from_utf8(event.outputs.unwrap_or_default()).ok()?,
    })
}
