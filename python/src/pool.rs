//! Threads for calls that must not block the calling thread: those of the async clients, and those
//! of the main thread, which has to react to signals.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

type Work = Box<dyn FnOnce() + Send>;

/// More calls than this wait for a thread.
const MAX_THREADS: usize = 256;
const MAX_IDLE: Duration = Duration::from_secs(10);
const STACK_BYTES: usize = 512 * 1024;

#[derive(Default)]
struct Pool {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    threads: usize,
    idle: usize,
}

/// Locked only while the GIL is held, which also holds during a fork: a child never finds it
/// locked.
static POOL: Mutex<Option<Arc<Pool>>> = Mutex::new(None);

/// Runs `work` on a thread of the pool, or at once if no thread can be started. The caller holds
/// the GIL.
pub fn run(work: impl FnOnce() + Send + 'static) {
    let pool = Arc::clone(current().get_or_insert_default());
    let mut state = pool.state();
    state.queue.push_back(Box::new(work));
    if state.idle >= state.queue.len() || state.threads >= MAX_THREADS {
        pool.wake.notify_one();
        return;
    }
    state.threads += 1;
    drop(state);
    let serving = Arc::clone(&pool);
    let started = thread::Builder::new()
        .name("satellite-sdk".into())
        .stack_size(STACK_BYTES)
        .spawn(move || serving.serve());
    if started.is_err() {
        let mut state = pool.state();
        state.threads -= 1;
        let left = match state.threads {
            0 => state.queue.pop_back(),
            _ => None, // a running thread takes it later
        };
        drop(state);
        if let Some(work) = left {
            work();
        }
    }
}

/// In the child of a fork none of the threads exists. The old pool may be locked: it is leaked.
pub fn after_fork() {
    if let Some(pool) = current().take() {
        std::mem::forget(pool);
    }
}

fn current() -> MutexGuard<'static, Option<Arc<Pool>>> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    fn serve(&self) {
        let mut state = self.state();
        loop {
            if let Some(work) = state.queue.pop_front() {
                drop(state);
                work();
                state = self.state();
                continue;
            }
            state.idle += 1;
            let (woken, timeout) = self
                .wake
                .wait_timeout(state, MAX_IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
