//! Monitoring of a model's predictions: what the LUML platform's own agent computes with a
//! collector and a database beside it, as streaming aggregates in bounded memory.
//!
//! A [`Monitor`] takes an [`Event`] for each call. At each interval it evaluates the window that
//! ends then: requests, errors and latency; missing, mistyped, out-of-range and unseen inputs;
//! drift of features and predictions against the model's [`Profile`] (PSI), and of the features
//! together (its PCA). Figures that break a threshold open an [`Alert`].
//!
//! The monitor does no I/O and has no clock. The feature `store` keeps reports and alerts in a
//! folder, the feature `otlp` sends metrics and traces to a collector.
//!
//! ```
//! use satellite_monitoring::{Event, Monitor, Profile, Settings, Severity};
//!
//! let profile = Profile::parse(br#"{"feature_summaries": {"numerical_features": {
//!     "age": {"bin_edges": [0, 40, 80], "probabilities": [0.5, 0.5]}
//! }}}"#)?;
//! let mut monitor = Monitor::new(Settings::default());
//! monitor.watch("d-1", profile, 0);
//! for age in [71, 75, 78, 79] {
//!     let inputs = format!(r#"{{"inputs": {{"age": [{age}]}}}}"#).into_bytes();
//!     monitor.record("d-1", &Event { status: 200, inputs: Some(inputs), ..Event::default() });
//! }
//! let report = &monitor.tick(60_000)[0];
//! assert_eq!(report.features["age"].severity, Severity::Critical);
//! # Ok::<(), satellite_monitoring::InvalidProfile>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod alert;
mod bucket;
mod calls;
mod event;
mod history;
mod matrix;
mod monitor;
mod multivariate;
mod observe;
#[cfg(feature = "otlp")]
pub mod otlp;
mod profile;
mod psi;
mod report;
mod sketch;
#[cfg(feature = "store")]
mod store;
mod threshold;

pub use alert::{Alert, AlertState};
pub use calls::Calls;
pub use event::{Event, Outcome};
pub use history::Point;
pub use monitor::{Monitor, Settings};
pub use profile::{InvalidProfile, Profile};
pub use report::{FeatureReport, MultivariateReport, OutputReport, Report, Signal};
pub use sketch::{RELATIVE_ERROR, Sketch};
#[cfg(feature = "store")]
pub use store::{Batch, Limits, Sample, Store, Stored};
pub use threshold::Severity;

/// Runs the examples of the README as doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
