//! The worker: poll, claim, run a handler, report.

mod builder;
#[cfg(target_os = "linux")]
mod children;
mod context;
#[cfg(feature = "state")]
mod embedding;
mod exit;
mod figures;
mod handler;
mod inbox;
mod journal;
mod mistakes;
#[cfg(unix)]
mod notify;
#[cfg(not(unix))]
#[path = "notify_nobody.rs"]
mod notify;
mod outbox;
mod periodic;
mod satellite;
mod signals;
mod step;
mod task_log;
mod work;

pub use builder::Builder;
pub use context::{Context, Later};
pub use exit::{Exit, Stopped};
pub use handler::{Failure, Handler, done};
pub use outbox::Report;
#[cfg(feature = "state")]
pub use periodic::Ended;
pub use satellite::{OnOrphan, Satellite, StopHandle};
pub use signals::OnStop;
pub use task_log::{TaskLog, current_task_id};

#[cfg(fuzzing)]
pub(crate) use journal::read as read_journal;
