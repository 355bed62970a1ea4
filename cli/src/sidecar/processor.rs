//! The sidecar as a processor: its state is the folder of the application, its work is to run
//! the application or to watch it.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use satellite_sdk::state::{ExecutionContext, Outcome, Processor};
use satellite_sdk::{Error, Result};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM, SIGUSR1};

use super::app_check::AppClient;
use super::archive::Archive;
use super::child::{self, Child};
use super::folder::{AppFolder, FolderState, Restored, now_ms};
use super::metrics;
use super::settings::Settings;

/// How often to look at the lease and at the application.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How often the application is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often to check whether the folder still fits into the store.
const SIZE_CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// How long the result holds, unless the folder grows: it is compressed to find out.
const SIZE_CHECK_LIFETIME: Duration = Duration::from_secs(600);
/// Fits into every store, even if it cannot be compressed.
const ALWAYS_FITS: u64 = 512 * 1024;
/// How often and at which interval a snapshot is tried while the application writes.
const SNAPSHOT_ATTEMPTS: u32 = 20;
const SNAPSHOT_RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// How long a paused application may take to stop.
const PAUSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The names of the health problems.
const APP: &str = "app";
const FOLDER: &str = "folder";

type Context = ExecutionContext<FolderState>;

/// What the thread that runs the application reacts to.
#[derive(Debug)]
pub enum Event {
    Signal(i32),
    Stop,
    Snapshot(Option<SyncSender<Result<Report, String>>>),
}

/// A snapshot that was saved.
#[derive(Debug)]
pub struct Report {
    pub files: u64,
    pub size: u64,
    pub archive_bytes: usize,
}

/// What other threads may know.
#[derive(Debug, Default)]
pub struct Progress {
    restored: AtomicBool,
    exit_code: Mutex<Option<u8>>,
}

impl Progress {
    pub fn is_restored(&self) -> bool {
        self.restored.load(Ordering::SeqCst)
    }

    pub fn exit_code(&self) -> Option<u8> {
        *self
            .exit_code
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_exit_code(&self, code: u8) {
        *self
            .exit_code
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(code);
    }
}

pub struct SidecarProcessor {
    settings: Settings,
    client: Arc<AppClient>,
    events: Sender<Event>,
    received: Receiver<Event>,
    progress: Arc<Progress>,
    folder: Option<AppFolder>,
    child: Option<Child>,
    /// The last signal that asks this process to stop.
    stop_signal: AtomicI32,
    next_snapshot: Option<Instant>,
    next_size_check: Instant,
    /// The largest folder that was found to fit into the store, and when.
    fitting: Option<(u64, Instant)>,
}

impl SidecarProcessor {
    pub fn new(
        settings: Settings,
        client: Arc<AppClient>,
        events: Sender<Event>,
        received: Receiver<Event>,
        progress: Arc<Progress>,
    ) -> Self {
        SidecarProcessor {
            settings,
            client,
            events,
            received,
            progress,
            folder: None,
            child: None,
            stop_signal: AtomicI32::new(SIGTERM),
            next_snapshot: None,
            next_size_check: Instant::now() + SIZE_CHECK_INTERVAL,
            fitting: Some((ALWAYS_FITS, Instant::now())),
        }
    }
}

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
        if self.is_parent() {
            self.report_gap(cx);
            self.child = Some(Child::start(&self.settings.command)?);
        }
        let now = Instant::now();
        self.next_snapshot = self.settings.snapshot_every.map(|every| now + every);
        let is_over = Arc::new(AtomicBool::new(false));
        self.check_in_background(cx, &is_over);
        self.watch(cx);
        is_over.store(true, Ordering::SeqCst);
        self.end(cx)
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
    fn is_parent(&self) -> bool {
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
        let mut is_lapsed = false;
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
            self.follow_lease(cx, &mut is_lapsed);
            if !is_lapsed {
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

    /// While another process may take the state, the application must not act.
    fn follow_lease(&mut self, cx: &Context, is_lapsed: &mut bool) {
        let has_lapsed = !cx.may_act();
        let has_changed = has_lapsed != *is_lapsed;
        *is_lapsed = has_lapsed;
        let Some(child) = &mut self.child else {
            return;
        };
        if has_lapsed {
            child.pause(); // again at each turn: they may have started others
        }
        if !has_changed {
            return;
        }
        if has_lapsed {
            log::warn!("the lease was not renewed in time: the application is paused");
        } else {
            child.resume();
            log::info!("the lease was renewed: the application continues");
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

    /// Saves the folder while the application runs.
    fn snapshot(&mut self, cx: &Context) -> Result<Report, String> {
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
        let mut paused = self.child.as_mut().filter(|_| pauses);
        if let Some(child) = &mut paused {
            let since = Instant::now();
            while !child.pause() && since.elapsed() < PAUSE_TIMEOUT {
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
            child.resume();
        }
        packed
    }

    /// Whether the folder could be saved if the application stopped now.
    fn check_size(&mut self, cx: &Context) {
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
    fn cannot_save(&self, cx: &Context, error: &Error) {
        cx.health()
            .problem(FOLDER, format_args!("it cannot be saved: {error}"));
        cx.hand_over_on_request(false);
    }

    fn can_save(&self, cx: &Context) {
        cx.health().clear(FOLDER);
        cx.hand_over_on_request(self.is_parent());
    }
}

/// After the application.
impl SidecarProcessor {
    fn end(&mut self, cx: &Context) -> Outcome {
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
        let reserved = (left / 5).min(Duration::from_secs(5)) + left / 12;
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

/// Checks the application on a thread of its own: it may take as long as its timeout.
struct Checks {
    client: Arc<AppClient>,
    cx: Context,
    restarts_container: bool,
    was_healthy: bool,
}

impl Checks {
    fn run(mut self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::SeqCst) {
            self.check();
            thread::sleep(CHECK_INTERVAL);
        }
    }

    fn check(&mut self) {
        let Some(ready) = self.client.is_ready() else {
            return;
        };
        let settings = self.client.settings();
        let metrics = self.cx.health().metrics();
        metrics.set(&metrics::UP, &[], if ready.is_ok() { 1.0 } else { 0.0 });
        let outcome = if ready.is_ok() { "ok" } else { "failed" };
        metrics.add(&metrics::CHECKS, &[("outcome", outcome)], 1);
        match (&ready, settings.is_required) {
            (Err(why), true) => self.cx.health().problem(APP, why),
            (Err(why), false) => log::debug!("the application does not answer: {why}"),
            (Ok(()), _) => self.cx.health().clear(APP),
        }
        if !self.restarts_container || settings.health_path.is_none() {
            return;
        }
        match self.client.is_healthy() {
            Some(Ok(())) => {
                self.was_healthy = true;
                self.cx.set_liveness_problem(None);
            }
            Some(Err(why)) if self.was_healthy => {
                let problem = format!("the application: {why}");
                self.cx.set_liveness_problem(Some(problem));
            }
            _ => {} // it may still be starting: the startup probe has a limit
        }
    }
}

fn report(cx: &Context, archive: &Archive) -> Report {
    let metrics = cx.health().metrics();
    metrics.set(&metrics::FILES, &[], archive.files as f64);
    metrics.set(&metrics::SIZE, &[], archive.size as f64);
    Report {
        files: archive.files,
        size: archive.size,
        archive_bytes: archive.bytes.len(),
    }
}

/// The name of a run: no other run has it.
fn unique() -> String {
    use std::hash::{BuildHasher, RandomState};

    // The keys of the hasher come from the random source of the system.
    let random = |n: u8| RandomState::new().hash_one(n);
    format!("{:016x}{:016x}-{:x}", random(1), random(2), now_ms())
}
