//! The metrics of a worker, served at `/metrics`.

use satellite_health::metrics::Metric;

pub(super) static POLLS: Metric = Metric::counter("satellite_polls_total", "Polls, by outcome.");
pub(super) static TASKS: Metric = Metric::counter(
    "satellite_tasks_total",
    "Tasks whose report the platform has accepted, by outcome.",
);
pub(super) static DURATION: Metric = Metric::summary(
    "satellite_task_duration_seconds",
    "From a task's start to its result.",
);
pub(super) static BACKOFF: Metric = Metric::gauge(
    "satellite_poll_backoff_seconds",
    "Delay of the next poll after failures; 0 after a successful poll.",
);
pub(super) static WAITING: Metric = Metric::gauge(
    "satellite_reports_waiting",
    "Results that the platform has not accepted yet.",
);
pub(super) static JOURNAL_FAILURES: Metric = Metric::counter(
    "satellite_journal_failures_total",
    "Records that could not be written to the journal.",
);

pub(super) static ALL: [&Metric; 3] = [&BACKOFF, &WAITING, &JOURNAL_FAILURES];
