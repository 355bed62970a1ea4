//! The sidecar as a processor: its state is the folder of the application, its work is to run
//! the application or to watch it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use satellite_sdk::Result;
use satellite_sdk::state::{Outcome, Processor};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM, SIGUSR1};

use super::archive::Archive;
use super::checks::{CHECK_INTERVAL, Checks};
use super::child::Child;
use super::folder::{AppFolder, FolderState, Restored, now_ms};
use super::lease_guard::guard_lease;
use super::metrics;
use super::shared::{
    APP, Context, Event, FOLDER, POLL_INTERVAL, SIZE_CHECK_INTERVAL, SidecarProcessor,
};

impl Processor for SidecarProcessor {
    type State = FolderState;

    /// The stored archive can be used, before the state is asked for.
    fn startup(&mut self, cx: &Context) -> Outcome {
        if let Some(scope) = &self.settings.scope {
            AppFolder::check_writable(scope)?;
            cx.state().unpacked(scope.limit)?;
        }
        Ok(())
    }

    fn restored(&mut self, cx: &Context) -> Outcome {
        if self.client.settings().is_required {
            cx.health()
                .starting(APP, "the application is not checked yet");
        }
        // Nothing here can stop the application of another container.
        cx.hand_over_on_request(self.is_parent());
        if let Some(scope) = self.settings.scope.clone() {
            let folder = AppFolder::lock(scope)?;
            self.restore(cx, &folder)?;
            self.folder = Some(folder);
        }
        self.progress.restored.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn run(&mut self, cx: &Context) -> Outcome {
        let events = self.events.clone();
        cx.on_stop(move || {
            let _ = events.send(Event::Stop);
        });
        let is_over = Arc::new(AtomicBool::new(false));
        if self.is_parent() {
            self.report_gap(cx);
            let child = Child::start(&self.settings.command)?;
            let pauses = Arc::clone(child.pauses());
            self.child = Some(child);
            guard_lease(cx, pauses, &is_over)?;
        }
        let now = Instant::now();
        self.next_snapshot = self.settings.snapshot_every.map(|every| now + every);
        self.check_in_background(cx, &is_over);
        self.watch(cx);
        let ended = self.end(cx);
        is_over.store(true, Ordering::SeqCst);
        ended
    }

    /// Also after an error: nothing of the application outlives the state.
    fn shutdown(&mut self, _: &Context) -> Outcome {
        if let Some(mut child) = self.child.take() {
            child.kill();
        }
        self.folder = None;
        Ok(())
    }
}

/// Before the application starts.
impl SidecarProcessor {
    pub(super) fn is_parent(&self) -> bool {
        !self.settings.command.is_empty()
    }

    fn restore(&self, cx: &Context, folder: &AppFolder) -> Result<()> {
        let mut state = cx.state().clone();
        if !self.is_parent() && folder.is_stale(&state)? {
            self.wait_for_app_to_end(cx);
        }
        let root = folder.scope().root.display().to_string();
        match folder.restore(&state)? {
            Restored::First => {
                log::info!("no state is stored yet: {root} is saved as it is");
                state.set_archive(&folder.scope().pack_stopped()?);
            }
            Restored::Continued => match self.continued(cx, folder, &state) {
                Ok(archive) => {
                    log::info!("{root} belongs to the stored state: it is used as it is");
                    state.set_archive(&archive);
                }
                Err(error) => {
                    // The application may go on in this folder, but nowhere else.
                    self.cannot_save(cx, &error);
                    return Ok(());
                }
            },
            Restored::Replaced { aside } => {
                log::info!("restored {} files to {root}", state.files);
                if let Some(aside) = aside {
                    log::warn!(
                        "{root} did not belong to the stored state; what was in it is in {}",
                        aside.display()
                    );
                }
            }
        }
        state.run = unique();
        let run = state.run.clone();
        *cx.state() = state;
        cx.checkpoint()?;
        folder.begin(&run)
    }

    fn continued(&self, cx: &Context, folder: &AppFolder, state: &FolderState) -> Result<Archive> {
        let archive = folder.scope().pack_stopped()?;
        let mut candidate = state.clone();
        candidate.set_archive(&archive);
        cx.check_size(&candidate)?;
        Ok(archive)
    }

    /// An application in another container must not find its files replaced while it runs.
    fn wait_for_app_to_end(&self, cx: &Context) {
        while self.client.is_listening() == Some(true) && !cx.is_shutdown_requested() {
            cx.health().set_problem(
                FOLDER,
                "the folder does not belong to the stored state: waiting for the application to \
                 end before it is replaced",
            );
            thread::sleep(CHECK_INTERVAL);
        }
        cx.health().clear(FOLDER);
    }

    fn report_gap(&self, cx: &Context) {
        let mut state = cx.state();
        if let Some(stopped) = state.stopped_at_ms.take() {
            let gap = Duration::from_millis(now_ms().saturating_sub(stopped));
            log::info!("the application was not running for {gap:.3?}");
            let metrics = cx.health().metrics();
            metrics.set(&metrics::GAP, &[], gap.as_secs_f64());
        }
    }

    fn check_in_background(&self, cx: &Context, is_over: &Arc<AtomicBool>) {
        let checks = Checks {
            client: Arc::clone(&self.client),
            cx: cx.clone(),
            restarts_container: self.is_parent(),
            was_healthy: false,
        };
        if self.client.settings().port.is_none() {
            cx.health().clear(APP);
            return;
        }
        let is_over = Arc::clone(is_over);
        let spawned = thread::Builder::new()
            .name("app-check".into())
            .spawn(move || checks.run(&is_over));
        if let Err(e) = spawned {
            log::error!("the application is not checked: {e}");
        }
    }
}

/// While the application runs.
impl SidecarProcessor {
    /// Returns when the application has ended, or a stop was requested.
    fn watch(&mut self, cx: &Context) {
        loop {
            match self.received.recv_timeout(POLL_INTERVAL) {
                Ok(Event::Signal(signal)) => self.handle_signal(cx, signal),
                Ok(Event::Snapshot(reply)) => {
                    let taken = self.snapshot(cx);
                    if let Some(reply) = reply {
                        let _ = reply.send(taken); // the client may be gone
                    }
                }
                Ok(Event::Stop) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let has_ended = self
                .child
                .as_mut()
                .is_some_and(|child| child.reap().is_some());
            if has_ended || cx.is_shutdown_requested() {
                return;
            }
            if cx.may_act() {
                self.do_what_is_due(cx);
            }
        }
    }

    fn handle_signal(&mut self, cx: &Context, signal: i32) {
        match signal {
            SIGCHLD => {}
            SIGTERM | SIGINT => self.stop_signal.store(signal, Ordering::SeqCst),
            SIGUSR1 if self.folder.is_some() => {
                let _ = self.snapshot(cx); // it is logged
            }
            _ => {
                if let (Some(child), Some(signal)) = (&self.child, Signal::from_named_raw(signal)) {
                    child.signal(signal);
                }
            }
        }
    }

    fn do_what_is_due(&mut self, cx: &Context) {
        let now = Instant::now();
        if self.next_snapshot.is_some_and(|at| now >= at) {
            let _ = self.snapshot(cx); // it is logged
            self.next_snapshot = self
                .settings
                .snapshot_every
                .map(|every| Instant::now() + every);
        }
        if self.next_snapshot.is_none() && now >= self.next_size_check {
            self.check_size(cx);
            self.next_size_check = Instant::now() + SIZE_CHECK_INTERVAL;
        }
    }
}

/// The name of a run: no other run has it.
fn unique() -> String {
    use std::hash::{BuildHasher, RandomState};

    // The keys of the hasher come from the random source of the system.
    let random = |n: u8| RandomState::new().hash_one(n);
    format!("{:016x}{:016x}-{:x}", random(1), random(2), now_ms())
}
