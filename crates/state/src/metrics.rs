//! What `/metrics` tells of a processor: the reference's names, true values.

use satellite_health::metrics::Metric;

pub(super) static STARTUP: Metric = Metric::gauge(
    "dory_startup_duration_seconds",
    "From the start of the process to ready.",
);
pub(super) static SHUTDOWN: Metric = Metric::gauge(
    "dory_shutdown_duration_seconds",
    "From the word to stop to the last save.",
);
pub(super) static SAVE: Metric = Metric::gauge(
    "dory_state_save_duration_seconds",
    "How long the last save took.",
);
pub(super) static LOAD: Metric = Metric::gauge(
    "dory_state_load_duration_seconds",
    "How long loading the state took, without waiting for it.",
);
pub(super) static RESTARTS: Metric = Metric::gauge(
    "dory_restart_count",
    "Starts in a row that came to no clean end before this one.",
);
pub(super) static RESETS: Metric = Metric::counter(
    "dory_golden_image_resets_total",
    "States that were set aside to begin anew.",
);
pub(super) static STALLS: Metric = Metric::counter(
    "dory_health_check_failures_total",
    "Turns that lasted longer than the stall limit.",
);
pub(super) static SIZE: Metric = Metric::gauge("dory_state_size_bytes", "Bytes of the last save.");
pub(super) static INFO: Metric = Metric::gauge(
    "dory_processor_info",
    "Always 1; the labels tell which processor this is.",
);
pub(super) static SAVES: Metric =
    Metric::counter("dory_state_saves_total", "Saves, by how they went.");
pub(super) static GENERATION: Metric =
    Metric::gauge("dory_state_generation", "The generation of the last save.");
pub(super) static CORRUPT: Metric = Metric::counter(
    "dory_state_corrupt_total",
    "Stored states that could not be read.",
);

pub(super) static ALL: [&Metric; 10] = [
    &STARTUP,
    &SHUTDOWN,
    &SAVE,
    &LOAD,
    &RESTARTS,
    &RESETS,
    &STALLS,
    &SIZE,
    &GENERATION,
    &CORRUPT,
];
