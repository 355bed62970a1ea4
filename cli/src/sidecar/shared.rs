//! What the parts of the sidecar share: the processor's fields, its events and its progress.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use satellite_sdk::Result;
use satellite_sdk::state::ExecutionContext;
use signal_hook::consts::SIGTERM;

use super::app_check::AppClient;
use super::child::Child;
use super::folder::{AppFolder, FolderState};
use super::settings::Settings;

/// How often to look at the lease and at the application.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How often to check whether the folder still fits into the store.
pub(super) const SIZE_CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// The names of the health problems.
pub(super) const APP: &str = "app";
pub(super) const FOLDER: &str = "folder";

/// Fits into every store, even if it cannot be compressed.
pub(super) const ALWAYS_FITS: u64 = 512 * 1024;

pub(super) type Context = ExecutionContext<FolderState>;

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
    pub(super) restored: AtomicBool,
    pub(super) exit_code: Mutex<Option<u8>>,
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
    pub(super) settings: Settings,
    pub(super) client: Arc<AppClient>,
    pub(super) events: Sender<Event>,
    pub(super) received: Receiver<Event>,
    pub(super) progress: Arc<Progress>,
    pub(super) folder: Option<AppFolder>,
    pub(super) child: Option<Child>,
    /// The last signal that asks this process to stop.
    pub(super) stop_signal: AtomicI32,
    pub(super) next_snapshot: Option<Instant>,
    pub(super) next_size_check: Instant,
    /// The largest folder that was found to fit into the store, and when.
    pub(super) fitting: Option<(u64, Instant)>,
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
