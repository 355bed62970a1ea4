//! What the page shows, as data: also the document `/status.json`.

use miniserde::Serialize;

/// Everything on the page.
#[derive(Debug, Clone, Default, Serialize)]
pub struct View {
    /// The program.
    pub program: String,
    /// Its version.
    pub version: String,
    /// The platform's address.
    pub platform: String,
    /// Now. All times are in milliseconds since 1970.
    pub now_ms: u64,
    /// The start of the worker.
    pub started_ms: u64,
    /// Since when the platform responds; `None` while it does not.
    pub connected_since_ms: Option<u64>,
    /// Why the platform does not respond; `None` before the first attempt.
    pub disconnected_because: Option<String>,
    /// Reasons why the worker is not ready, by name.
    pub problems: Vec<Fact>,
    /// Warnings by name.
    pub warnings: Vec<Fact>,
    /// Running tasks.
    pub running: Vec<Task>,
    /// The last tasks, newest first.
    pub ended: Vec<Task>,
    /// The outages of the last day, oldest first.
    pub outages: Vec<Outage>,
    /// What the satellite adds.
    pub panel: Panel,
}

/// What a satellite adds to the page of its worker.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Panel {
    /// The engine that runs models.
    pub engine: Vec<Fact>,
    /// The deployments.
    pub deployments: Vec<Deployment>,
    /// The alerts, those that are not resolved first.
    pub alerts: Vec<Alert>,
}

/// A name and what there is to say about it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Fact {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// A task.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Task {
    /// Its id.
    pub id: String,
    /// Its type.
    pub task_type: String,
    /// `running`, `done` or `failed`.
    pub status: String,
    /// When it started.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Why it failed.
    pub reason: Option<String>,
}

/// A time without the platform.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outage {
    /// The beginning.
    pub begin_ms: u64,
    /// The end; `None` while it goes on.
    pub end_ms: Option<u64>,
    /// Why.
    pub reason: String,
}

/// A deployment.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Deployment {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its status on the platform, such as `active`.
    pub status: String,
    /// Whether its predictions are monitored: the rest is empty otherwise.
    pub is_monitored: bool,
    /// The length of an interval and of a window in seconds.
    pub interval_s: u64,
    /// The length of a window.
    pub window_s: u64,
    /// Calls in the last intervals, oldest first; the last interval is not over yet.
    pub requests: Vec<u64>,
    /// Calls that did not succeed.
    pub errors: Vec<u64>,
    /// The 95th percentile of the latency in milliseconds.
    pub latency_p95_ms: Vec<f64>,
    /// Calls in the last window.
    pub window_requests: u64,
    /// The share of them that did not succeed.
    pub error_rate: f64,
    /// The median latency in the last window.
    pub p50_ms: f64,
    /// The 95th percentile of it.
    pub p95_ms: f64,
    /// The figures of its features, most drifted first.
    pub features: Vec<Feature>,
    /// The drift of its predictions (PSI).
    pub output_psi: Option<f64>,
    /// The distance of its inputs' centre from the training's, in standard deviations.
    pub centroid_shift: Option<f64>,
    /// The share of its inputs that are far from the training's.
    pub outlier_rate: Option<f64>,
}

/// The figures of a feature in the last window.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// `normal`, `warning` or `critical`.
    pub severity: String,
    /// Its drift (PSI).
    pub psi: Option<f64>,
    /// The share of missing values.
    pub missing: f64,
    /// The share of values of another type.
    pub mistyped: f64,
    /// The share of values out of range, or of unseen categories.
    pub unexpected: f64,
}

/// An alert.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Alert {
    /// Identifies it for [`Page::on_acknowledge`](super::Page::on_acknowledge).
    pub id: String,
    /// The name of its deployment.
    pub deployment: String,
    /// What it is about, in words.
    pub what: String,
    /// `warning` or `critical`.
    pub severity: String,
    /// `open`, `acknowledged` or `resolved`.
    pub state: String,
    /// The figure, with its unit.
    pub value: String,
    /// The threshold, with its unit.
    pub threshold: String,
    /// When it was first seen.
    pub first_seen_ms: u64,
    /// When it was last seen.
    pub last_seen_ms: u64,
}

/// How something is coloured. The word is always beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// In progress, or known.
    Busy,
    /// Worth a look.
    Warning,
    /// Broken.
    Bad,
    /// Over, or without meaning.
    Quiet,
}

impl Tone {
    /// The tone of a status of the platform, of a task, or of an alert.
    ///
    /// ```
    /// use satellite_health::page::Tone;
    ///
    /// assert_eq!(Tone::of("active"), Tone::Good);
    /// assert_eq!(Tone::of("something new"), Tone::Quiet);
    /// ```
    pub fn of(status: &str) -> Self {
        match status {
            "active" | "done" | "connected" | "normal" => Tone::Good,
            "pending" | "running" | "acknowledged" | "deletion_pending" => Tone::Busy,
            "warning" | "not_responding" | "starting" => Tone::Warning,
            "failed" | "deletion_failed" | "critical" | "disconnected" => Tone::Bad,
            _ => Tone::Quiet,
        }
    }

    /// The name of its style.
    pub(super) fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Busy => "busy",
            Tone::Warning => "warn",
            Tone::Bad => "bad",
            Tone::Quiet => "quiet",
        }
    }
}
