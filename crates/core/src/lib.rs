//! The common base of satellite-sdk and its compute clients: a blocking HTTP
//! transport, the error type, secrets, a clock, cancellation, and settings from
//! the environment.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod client;
pub mod date;
mod duration;
mod ended;
mod error;
mod error_kind;
pub mod escaped_text;
mod exit;
mod failure;
pub mod http;
pub mod lenient;
#[cfg(feature = "testing")]
mod manual_clock;
pub mod one_shot;
pub mod private;
mod spelling;
mod task_log;
mod url;
mod variables;
pub mod wake;

pub use ended::Ended;
pub use error::{Error, Result};
pub use exit::Exit;
pub use failure::Failure;
pub use http::{Response, Secret};
#[cfg(feature = "testing")]
pub use manual_clock::ManualClock;
#[doc(hidden)] // for the other crates of this workspace
pub use spelling::nearest;
pub use task_log::{TaskLog, TaskScope, current_task_id};
pub use variables::{Variables, names_in_env};
pub use wake::{Clock, SystemClock, Wait};

/// Runs the examples of the README as doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
