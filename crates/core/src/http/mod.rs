//! The blocking HTTP transport for all outgoing requests of this process.
//!
//! It uses one ureq agent with small buffers, a caching resolver and connection
//! reuse; one absolute deadline for each call including its retries; and one pure
//! function ([`retry::delay`]) that decides what may be retried. Servers differ
//! only in their [`Dialect`] and the [`Credentials`].

// Each compute client uses only some of these items.

mod agent;
mod call;
mod cancel;
mod connector;
mod credentials;
mod dialect;
mod early;
mod events;
mod fault;
mod file;
mod lines;
mod path;
mod poll;
mod renewal;
mod resolver;
mod response;
pub mod retry;
mod secret;
mod server;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
mod transport;
mod trust;

pub use cancel::Cancel;
pub use file::{FileAgent, Part};
pub use response::Response;
pub use secret::Secret;
pub use stream::{Ended, Stream};
pub use stream::{Source, behind};
pub use ureq::http::header;

pub use agent::is_loopback;
pub use call::{Call, DEADLINE, Effort, Method};
pub use credentials::Credentials;
pub use dialect::{Class, Dialect, Problem, detail, excerpt};
pub use dialect::{message, shortened};
pub use events::{Event, events};
pub use fault::Fault;
pub use lines::Lines;
pub use path::escaped;
pub use path::unescaped;
pub use path::with_query;
pub use poll::Pace;
pub use renewal::{Grant, Renewal};
pub use retry::{Backoff, Op, Outcome, Retries, Verdict};
pub use server::Server;
pub use transport::{BODY_LIMIT, Transport};
pub use trust::Trust;
