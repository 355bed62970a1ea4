//! The end: stopping the application, and the last snapshot.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use satellite_sdk::Result;
use satellite_sdk::state::Outcome;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::archive::Archive;
use super::child;
use super::folder::{AppFolder, now_ms};
use super::shared::{Context, Event, POLL_INTERVAL, SidecarProcessor};
use super::snapshot::{SNAPSHOT_RETRY_INTERVAL, report};

/// After the application.
impl SidecarProcessor {
    pub(super) fn end(&mut self, cx: &Context) -> Outcome {
        self.handle_pending_signals();
        let deadline = self.app_deadline(cx);
        match &mut self.child {
            Some(_) => self.end_child(cx, deadline),
            None => self.wait_for_other_container(cx, deadline),
        }
        if cx.is_fenced() {
            return Ok(()); // nothing can be saved any more
        }
        if let Some(folder) = &self.folder {
            let started = Instant::now();
            let archive = self.pack_ended(folder, deadline)?;
            let mut state = cx.state();
            state.set_archive(&archive);
            state.stopped_at_ms = Some(now_ms());
            drop(state);
            let report = report(cx, &archive);
            log::info!(
                "the last snapshot: {} files, {} bytes, {} compressed, in {:.1?}",
                report.files,
                report.size,
                report.archive_bytes,
                started.elapsed()
            );
        }
        Ok(())
    }

    /// The signal that requested the stop may have arrived just now.
    fn handle_pending_signals(&mut self) {
        while let Ok(event) = self.received.try_recv() {
            if let Event::Signal(signal @ (SIGTERM | SIGINT)) = event {
                self.stop_signal.store(signal, Ordering::SeqCst);
            }
        }
    }

    /// Leaves time for the last snapshot and the last save.
    fn app_deadline(&self, cx: &Context) -> Instant {
        let now = Instant::now();
        let Some(end) = cx.stop_deadline() else {
            return now;
        };
        let left = end.saturating_duration_since(now);
        // What the processor keeps for its last save, and as much for killing and reading.
        let reserved = (left / 5).min(Duration::from_secs(5)) * 2;
        now + left.saturating_sub(reserved)
    }

    fn end_child(&mut self, cx: &Context, deadline: Instant) {
        let signal = self
            .settings
            .stop_signal
            .unwrap_or(self.stop_signal.load(Ordering::SeqCst));
        let signal = Signal::from_named_raw(signal).unwrap_or(Signal::TERM);
        let client = Arc::clone(&self.client);
        let Some(child) = &mut self.child else {
            return;
        };
        let status = if child.reap().is_some() {
            child.end_descendants(Instant::now() + Duration::from_secs(2));
            child.reap()
        } else if cx.is_fenced() || !cx.may_act() {
            log::warn!("another process may have the state: killing the application");
            child.kill()
        } else {
            let left = deadline.saturating_duration_since(Instant::now());
            let _ = client.prestop(left / 2); // it is logged
            child.stop(signal, deadline)
        };
        if let Some(status) = status {
            log::info!("the application has ended: {status}");
            self.progress.set_exit_code(child::exit_code(status));
        }
        self.child = None;
    }

    /// The kubelet stops the application; its port closes when it has ended.
    fn wait_for_other_container(&self, cx: &Context, deadline: Instant) {
        if cx.is_fenced() || self.folder.is_none() {
            return;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let _ = self.client.prestop(left / 2); // it is logged
        while self.client.is_listening() == Some(true) && Instant::now() < deadline {
            thread::sleep(POLL_INTERVAL);
        }
    }

    fn pack_ended(&self, folder: &AppFolder, deadline: Instant) -> Result<Archive> {
        let scope = folder.scope();
        if self.is_parent() {
            return scope.pack_stopped();
        }
        while Instant::now() < deadline {
            if let Some(archive) = scope.pack()? {
                return Ok(archive);
            }
            thread::sleep(SNAPSHOT_RETRY_INTERVAL);
        }
        log::warn!("the application still writes: the snapshot may be inconsistent");
        scope.pack_stopped()
    }
}
