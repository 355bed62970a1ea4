//! Saving the folder while the application runs, and checking that it can be saved.

use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::{Error, Result};

use super::archive::Archive;
use super::child::Reason;
use super::metrics;
use super::shared::{ALWAYS_FITS, Context, FOLDER, Report, SidecarProcessor};

/// How long the result holds, unless the folder grows: it is compressed to find out.
const SIZE_CHECK_LIFETIME: Duration = Duration::from_secs(600);
/// How often and at which interval a snapshot is tried while the application writes.
const SNAPSHOT_ATTEMPTS: u32 = 20;
pub(super) const SNAPSHOT_RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// How long a paused application may take to stop.
const PAUSE_TIMEOUT: Duration = Duration::from_secs(2);

impl SidecarProcessor {
    /// Saves the folder while the application runs.
    pub(super) fn snapshot(&mut self, cx: &Context) -> Result<Report, String> {
        let metrics = cx.health().metrics().clone();
        let taken = self.try_snapshot(cx);
        let outcome = if taken.is_ok() { "ok" } else { "failed" };
        metrics.add(&metrics::SNAPSHOTS, &[("outcome", outcome)], 1);
        match &taken {
            Ok(report) => log::info!(
                "saved a snapshot: {} files, {} bytes, {} compressed",
                report.files,
                report.size,
                report.archive_bytes
            ),
            Err(why) => log::warn!("no snapshot was saved: {why}"),
        }
        taken
    }

    fn try_snapshot(&mut self, cx: &Context) -> Result<Report, String> {
        if !cx.may_act() {
            return Err("this process may not act: its lease was not renewed".to_owned());
        }
        let started = Instant::now();
        let packed = self.pack_running();
        let archive = match packed {
            Ok(Some(archive)) => archive,
            Ok(None) => {
                return Err(format!(
                    "the folder changed in each of {SNAPSHOT_ATTEMPTS} attempts: \
                     --snapshot-pause stops the application meanwhile"
                ));
            }
            Err(error) => {
                self.cannot_save(cx, &error);
                return Err(error.to_string());
            }
        };
        let took = started.elapsed().as_secs_f64();
        cx.health().metrics().set(&metrics::SNAPSHOT, &[], took);
        let mut candidate = cx.state().clone();
        candidate.set_archive(&archive);
        if let Err(error) = cx.check_size(&candidate) {
            self.cannot_save(cx, &error);
            return Err(error.to_string());
        }
        *cx.state() = candidate;
        cx.checkpoint().map_err(|e| e.to_string())?;
        self.can_save(cx);
        Ok(report(cx, &archive))
    }

    /// `None` when the application kept writing.
    fn pack_running(&mut self) -> Result<Option<Archive>> {
        let Some(folder) = &self.folder else {
            return Err(Error::new("there is no folder"));
        };
        let scope = folder.scope();
        let pauses = self.settings.snapshot_pause;
        let paused = self.child.as_ref().filter(|_| pauses);
        if let Some(child) = paused {
            let since = Instant::now();
            while !child.pauses().pause(Reason::Snapshot) && since.elapsed() < PAUSE_TIMEOUT {
                thread::sleep(Duration::from_millis(1));
            }
        }
        let mut packed = Ok(None);
        for _ in 0..SNAPSHOT_ATTEMPTS {
            packed = scope.pack();
            if !matches!(packed, Ok(None)) {
                break;
            }
            thread::sleep(SNAPSHOT_RETRY_INTERVAL);
        }
        if let Some(child) = paused {
            child.pauses().resume(Reason::Snapshot);
        }
        packed
    }

    /// Whether the folder could be saved if the application stopped now.
    pub(super) fn check_size(&mut self, cx: &Context) {
        let Some(folder) = &self.folder else {
            return;
        };
        let scope = folder.scope();
        let size = match scope.list() {
            Ok(listed) => listed.size(),
            Err(error) => return self.cannot_save(cx, &error),
        };
        let is_known = self.fitting.is_some_and(|(fitting, at)| {
            size <= fitting + fitting / 20 && at.elapsed() < SIZE_CHECK_LIFETIME
        });
        if is_known && !cx.health().problems().contains_key(FOLDER) {
            return;
        }
        let Ok(Some(archive)) = scope.pack() else {
            return; // it is changing
        };
        let mut candidate = cx.state().clone();
        candidate.set_archive(&archive);
        match cx.check_size(&candidate) {
            Ok(()) => {
                self.fitting = Some((size.max(ALWAYS_FITS), Instant::now()));
                self.can_save(cx);
            }
            Err(error) => self.cannot_save(cx, &error),
        }
    }

    /// The folder cannot be handed over: another process would continue from an older one.
    pub(super) fn cannot_save(&self, cx: &Context, error: &Error) {
        cx.health()
            .problem(FOLDER, format_args!("it cannot be saved: {error}"));
        cx.hand_over_on_request(false);
    }

    pub(super) fn can_save(&self, cx: &Context) {
        cx.health().clear(FOLDER);
        cx.hand_over_on_request(self.is_parent());
    }
}

pub(super) fn report(cx: &Context, archive: &Archive) -> Report {
    let metrics = cx.health().metrics();
    metrics.set(&metrics::FILES, &[], archive.files as f64);
    metrics.set(&metrics::SIZE, &[], archive.size as f64);
    Report {
        files: archive.files,
        size: archive.size,
        archive_bytes: archive.bytes.len(),
    }
}
