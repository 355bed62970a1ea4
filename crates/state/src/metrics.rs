//! The metrics of a processor, with the names that dory-sdk uses.

use satellite_health::metrics::Metric;

pub(super) static STARTUP: Metric = Metric::gauge(
    "dory_startup_duration_seconds",
    "From the start of the process to ready.",
);
pub(super) static SHUTDOWN: Metric = Metric::gauge(
    "dory_shutdown_duration_seconds",
    "From the stop request to the last save.",
);
pub(super) static SAVE: Metric = Metric::gauge(
    "dory_state_save_duration_seconds",
    "How long the last save took.",
);
pub(super) static LOAD: Metric = Metric::gauge(
    "dory_state_load_duration_seconds",
    "How long loading the state took, without the wait for it.",
);
pub(super) static RESTARTS: Metric = Metric::gauge(
    "dory_restart_count",
    "Consecutive starts before this one that ended uncleanly.",
);
pub(super) static RESETS: Metric = Metric::counter(
    "dory_golden_image_resets_total",
    "States that were moved aside to start with the default state.",
);
pub(super) static STALLS: Metric = Metric::counter(
    "dory_health_check_failures_total",
    "Turns that exceeded the stall limit.",
);
pub(super) static SIZE: Metric =
    Metric::gauge("dory_state_size_bytes", "Size of the last save in bytes.");
pub(super) static INFO: Metric = Metric::gauge(
    "dory_processor_info",
    "Always 1; the labels identify the processor.",
);
pub(super) static SAVES: Metric = Metric::counter("dory_state_saves_total", "Saves by outcome.");
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
