//! What `/metrics` tells of a worker.

use satellite_health::metrics::Metric;

pub(super) static POLLS: Metric =
    Metric::counter("satellite_polls_total", "Polls, by how they went.");
pub(super) static TASKS: Metric = Metric::counter(
    "satellite_tasks_total",
    "Tasks whose report the platform has taken, by outcome.",
);
pub(super) static DURATION: Metric = Metric::summary(
    "satellite_task_duration_seconds",
    "From a task's beginning to its answer.",
);
pub(super) static BACKOFF: Metric = Metric::gauge(
    "satellite_poll_backoff_seconds",
    "How long the next poll waits after failures; 0 when the last one went well.",
);
pub(super) static WAITING: Metric = Metric::gauge(
    "satellite_reports_waiting",
    "Results that the platform has not taken yet.",
);
pub(super) static JOURNAL_LACKS: Metric = Metric::counter(
    "satellite_journal_failures_total",
    "Notes that did not get into the journal.",
);

pub(super) static ALL: [&Metric; 3] = [&BACKOFF, &WAITING, &JOURNAL_LACKS];
