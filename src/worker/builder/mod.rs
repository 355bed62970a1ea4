//! The builder of a satellite.

// In this order, rustdoc lists the methods of `build` first.
mod build;
mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::settings::{Draft, Settings};
#[cfg(feature = "state")]
use crate::worker::embedding::Embedding;
use crate::worker::handlers::Handlers;
use crate::worker::periodic::Periodic;
use crate::worker::report::OnReport;
use crate::worker::satellite::OnOrphan;
use crate::worker::signals::OnStop;
use satellite_core::Variables;
use satellite_core::wake::Waiter;

/// Builds a [`Satellite`](crate::Satellite) from handlers and settings. Settings that are not set
/// here come from the environment.
///
/// ```no_run
/// use satellite_sdk::{Builder, Context, Exit, Task};
///
/// fn main() -> Exit {
///     Builder::new()
///         .handler("echo", |task: Task, _: &Context| satellite_sdk::done(task.payload))
///         .run()
/// }
/// ```
#[must_use = "a builder does nothing until it is run"]
pub struct Builder {
    draft: Draft,
    variables: Option<Variables>,
    settings: Option<Settings>,
    handlers: Handlers,
    periodic: Vec<Periodic>,
    on_report: Option<OnReport>,
    on_stop: OnStop,
    on_orphan: OnOrphan,
    signals: bool,
    capabilities: BTreeMap<String, Value>,
    slug: Option<String>,
    handler_limit: Duration,
    waiter: Waiter,
    #[cfg(feature = "state")]
    processor: Option<Embedding>,
}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("settings", &self.draft)
            .field("handlers", &self.handlers.list())
            .finish_non_exhaustive()
    }
}
