//! The worker: poll, claim, run a handler, report.

mod builder;
#[cfg(target_os = "linux")]
mod children;
mod context;
mod diagnostics;
#[cfg(feature = "state")]
mod embedding;
mod handler;
mod handlers;
mod journal;
mod kill_point;
mod loop_state;
mod metrics;
#[cfg(unix)]
mod notify;
#[cfg(not(unix))]
#[path = "notify_stub.rs"]
mod notify;
mod outbox;
mod periodic;
mod problems;
mod rejected_handlers;
mod report;
mod retry_timer;
mod run_loop;
mod running;
mod satellite;
mod signals;
mod stopped;
mod unclear_claims;
mod work;

pub use builder::Builder;
pub use context::{Context, Later};
pub use handler::{Handler, done};
pub use report::Report;
pub use satellite::{OnOrphan, Satellite, StopHandle};
pub use signals::OnStop;
pub use stopped::Stopped;

#[cfg(feature = "stderr-log")]
pub(crate) use handler::panic_text;

#[cfg(fuzzing)]
pub(crate) use journal::read as read_journal;
