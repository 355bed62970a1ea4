//! The thread that writes the store: a slow disk delays neither windows nor alerts.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use satellite_monitoring::{Batch, Limits, Store};
use satellite_sdk::Health;

use super::Inner;

/// Rows that wait while the store cannot be written; then the oldest are dropped.
const PENDING: usize = 2000;

/// The store is pruned once in so many writes: each waits for the disk.
const PRUNE_WRITES: u64 = 30;

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
    pub fn start(
        inner: Arc<Inner>,
        health: Health,
        folder: PathBuf,
        limits: Limits,
    ) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("monitoring-store".into())
            .spawn(move || own.run(&inner, &health, &folder, &limits))?;
        Ok(Writer {
            shared,
            thread: Some(thread),
        })
    }

    /// Adds to what is written next. Never waits for the disk.
    pub fn write(&self, batch: Batch) {
        let mut state = self.shared.lock();
        let before = state.pending.take();
        state.pending = Some(merged(before, batch));
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
    fn run(&self, inner: &Inner, health: &Health, folder: &PathBuf, limits: &Limits) {
        let mut writes = 0;
        loop {
            let (batch, is_stopping) = self.next();
            let Some(batch) = batch else { return };
            let begun = Instant::now();
            writes += 1;
            let written = Store::reopen(folder, limits.clone()).and_then(|mut store| {
                store.write(&batch)?;
                if writes % PRUNE_WRITES == 1 {
                    store.prune(batch.now_ms)?;
                }
                store.size()
            });
            match written {
                Ok(bytes) => {
                    inner.store_bytes.store(bytes, Ordering::Relaxed);
                    health.clear("monitoring");
                }
                Err(_) if is_stopping => return,
                Err(error) => {
                    failed(inner, health, &error);
                    let mut state = self.lock();
                    let later = state.pending.take().unwrap_or_default();
                    state.pending = Some(merged(Some(batch), later));
                    drop(state);
                    thread::sleep(RETRY);
                }
            }
            // `luml-satellite stats` can open the store meanwhile, also on a slow disk.
            if !is_stopping {
                thread::sleep(begun.elapsed().min(Duration::from_secs(1)));
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
    // `luml-satellite stats` reads it at the moment: the next attempt writes.
    if error.kind() != io::ErrorKind::WouldBlock {
        inner.store_failures.fetch_add(1, Ordering::Relaxed);
        let text = format!("the store cannot be written: {error}");
        health.warning("monitoring", text);
    }
}

/// The later rows replace the earlier ones under the same key: they come last.
fn merged(earlier: Option<Batch>, later: Batch) -> Batch {
    let Some(mut all) = earlier else { return later };
    all.now_ms = all.now_ms.max(later.now_ms);
    all.reports.extend(later.reports);
    all.alerts.extend(later.alerts);
    all.samples.extend(later.samples);
    all.outages = if later.outages.is_empty() {
        all.outages
    } else {
        later.outages
    };
    let surplus = |rows: usize| rows.saturating_sub(PENDING);
    all.reports.drain(..surplus(all.reports.len()));
    all.alerts.drain(..surplus(all.alerts.len()));
    all.samples.drain(..surplus(all.samples.len()));
    all
}
