//! The metrics of the sidecar, beside those of a processor.

use satellite_sdk::state::Metric;

pub static UP: Metric = Metric::gauge(
    "dory_app_up",
    "Whether the application answered the last check.",
);
pub static CHECKS: Metric = Metric::counter(
    "dory_app_checks_total",
    "Checks of the application by outcome.",
);
pub static SNAPSHOTS: Metric = Metric::counter(
    "dory_app_snapshots_total",
    "Snapshots of the folder by outcome.",
);
pub static SNAPSHOT: Metric = Metric::gauge(
    "dory_app_snapshot_duration_seconds",
    "How long the last snapshot took, without the save.",
);
pub static FILES: Metric = Metric::gauge(
    "dory_app_folder_files",
    "Files in the last snapshot of the folder.",
);
pub static SIZE: Metric = Metric::gauge(
    "dory_app_folder_bytes",
    "Size of the files in the last snapshot of the folder.",
);
pub static GAP: Metric = Metric::gauge(
    "dory_app_gap_seconds",
    "From the end of the previous run of the application to the start of this one.",
);
