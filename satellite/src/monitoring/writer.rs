//! The thread that writes the store: a slow disk delays neither windows nor alerts.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use satellite_monitoring::{Batch, Limits, Store};
use satellite_sdk::Health;

use super::Inner;

/// Nothing is deleted for its age before so many writes: a host without a battery for its clock
/// learns the time after its start.
const WRITES_BEFORE_AGE: u64 = 30;

/// A failed write is tried again after this time.
const RETRY: Duration = Duration::from_millis(200);

/// Writes until it is dropped; then it writes the rest.
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pending: Option<Batch>,
    is_stopping: bool,
}

impl Writer {
    /// `store`: if it could be opened already.
    pub fn start(
        inner: Arc<Inner>,
        health: Health,
        store: Option<Store>,
        (folder, limits): (PathBuf, Limits),
    ) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("monitoring-store".into())
            .spawn(move || own.run(&inner, &health, store, &(folder, limits)))?;
        Ok(Writer {
            shared,
            thread: Some(thread),
        })
    }

    /// Adds to what is written next. Never waits for the disk.
    pub fn write(&self, batch: Batch) {
        let mut state = self.shared.lock();
        state.pending.get_or_insert_default().extend(batch);
        self.shared.changed.notify_one();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.lock().is_stopping = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(
        &self,
        inner: &Inner,
        health: &Health,
        mut store: Option<Store>,
        (folder, limits): &(PathBuf, Limits),
    ) {
        let mut writes = 0;
        loop {
            let (batch, is_stopping) = self.next();
            let Some(mut batch) = batch else { return };
            let mut write = || {
                let store = match &mut store {
                    Some(store) => store,
                    None => store.insert(Store::open(folder, limits.clone())?),
                };
                store.write(&batch)?;
                writes += 1;
                // The batch is written, even if this fails.
                let now_ms = (writes > WRITES_BEFORE_AGE).then_some(batch.now_ms);
                let pruned = store.prune(now_ms);
                Ok((store.bytes(), pruned))
            };
            match write() {
                Ok((bytes, pruned)) => {
                    inner.store_bytes.store(bytes, Ordering::Relaxed);
                    match pruned {
                        Ok(()) => health.clear("monitoring"),
                        Err(error) => failed(inner, health, &error),
                    }
                }
                Err(_) if is_stopping => return,
                Err(error) => {
                    failed(inner, health, &error);
                    let mut state = self.lock();
                    batch.extend(state.pending.take().unwrap_or_default());
                    state.pending = Some(batch);
                    drop(state);
                    thread::sleep(RETRY);
                }
            }
        }
    }

    /// Waits for a batch; `None` at the end.
    fn next(&self) -> (Option<Batch>, bool) {
        let mut state = self.lock();
        while state.pending.is_none() && !state.is_stopping {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        (state.pending.take(), state.is_stopping)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn failed(inner: &Inner, health: &Health, error: &io::Error) {
    inner.store_failures.fetch_add(1, Ordering::Relaxed);
    let text = format!("the store cannot be written: {error}");
    health.warning("monitoring", text);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Instant;

    use satellite_monitoring::{Report, Sample};
    use satellite_sdk::extras::temp_directory;
    use satellite_sdk::testing::MockPlatform;
    use satellite_sdk::{Task, Variables, done};

    use super::*;
    use crate::monitoring::Monitoring;
    use crate::settings::Settings;

    #[test]
    fn a_batch_is_written_once_if_the_rewrite_after_it_fails() {
        let platform = MockPlatform::start();
        let builder = platform.worker().handler("none", |_: Task| done(()));
        let satellite = builder.build().unwrap();
        let health = satellite.health();
        let settings = Settings::read(&mut Variables::from_lookup(|_| None));
        let Monitoring(inner) = Monitoring::new(&settings);
        let limits = Limits {
            samples: 1,
            ..Limits::default()
        };
        let folder = temp_directory().unwrap();
        let path = folder.path().to_owned();
        let store = Store::open(&path, limits.clone()).unwrap();
        // The new file would be there.
        fs::create_dir_all(path.join("monitoring.new/full")).unwrap();
        let store = (Some(store), (path.clone(), limits));
        let own = Arc::clone(&inner);
        let writer = Writer::start(own, health.clone(), store.0, store.1).unwrap();
        let write = |n: u64| {
            writer.write(Batch {
                reports: vec![Report {
                    deployment: "d".into(),
                    end_ms: n,
                    ..Report::default()
                }],
                // The third is more than twice the limit: from then on each write prunes.
                samples: vec![Sample {
                    event: format!("e-{n}"),
                    deployment: "d".into(),
                    at_ms: n,
                    status: 200,
                    inputs: String::new(),
                    outputs: String::new(),
                }],
                ..Batch::default()
            });
            wait_until(|| Store::read(&path, n).unwrap().unwrap().reports.len() == 1);
        };
        let has_warning = || health.warnings().contains_key("monitoring");
        let failures = |n| wait_until(|| inner.store_failures.load(Ordering::Relaxed) == n);
        (1..=4).for_each(write);
        failures(2);
        assert!(has_warning());
        fs::remove_dir_all(path.join("monitoring.new")).unwrap();
        write(5);
        wait_until(|| !has_warning());
        drop(writer);
        let stored = Store::read(&path, 0).unwrap().unwrap();
        let ends: Vec<u64> = stored.reports.iter().map(|report| report.end_ms).collect();
        assert_eq!(ends, [1, 2, 3, 4, 5]);
        assert_eq!(stored.samples.len(), 1);
    }

    fn wait_until(reached: impl Fn() -> bool) {
        let begun = Instant::now();
        while !reached() {
            assert!(begun.elapsed() < Duration::from_secs(20));
            thread::sleep(Duration::from_millis(5));
        }
    }
}
