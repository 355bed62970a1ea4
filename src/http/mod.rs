//! The one blocking transport: everything that leaves this process leaves here.
//!
//! One ureq agent with small buffers, a caching resolver and a kept connection;
//! one absolute deadline for each call, resends included; and one pure
//! function ([`retry::delay`]) that decides what may be sent again. Servers
//! differ in two things only: their [`Dialect`] and the [`Credentials`].

// Each compute client uses a part of what they share.
#![cfg_attr(feature = "compute", allow(dead_code, unused_imports))]

mod agent;
mod call;
#[cfg(feature = "compute")]
mod cancel;
mod credentials;
mod dialect;
#[cfg(feature = "compute")]
mod events;
mod fault;
#[cfg(feature = "extras")]
mod file;
#[cfg(feature = "compute")]
mod lines;
mod path;
#[cfg(feature = "compute")]
mod poll;
#[cfg(feature = "compute")]
mod renewal;
mod resolver;
mod response;
pub(crate) mod retry;
mod secret;
#[cfg(feature = "compute")]
mod stream;
#[cfg(all(feature = "compute", feature = "testing"))]
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
mod transport;

#[cfg(feature = "compute")]
pub use cancel::Cancel;
#[cfg(feature = "extras")]
pub(crate) use file::{FileAgent, Part};
pub use response::Response;
pub use secret::Secret;
#[cfg(feature = "compute")]
pub use stream::{Ended, Stream};
#[cfg(feature = "compute")]
pub(crate) use stream::{Source, behind};

pub(crate) use agent::{Trust, is_loopback};
pub(crate) use call::{Call, DEADLINE, Effort, Method};
pub(crate) use credentials::Credentials;
pub(crate) use dialect::{Class, Dialect, Problem, detail, excerpt};
#[cfg(feature = "compute")]
pub(crate) use dialect::{message, shortened};
#[cfg(feature = "compute")]
pub(crate) use events::{Event, events};
pub(crate) use fault::Fault;
#[cfg(feature = "compute")]
pub(crate) use lines::Lines;
pub(crate) use path::escaped;
#[cfg(feature = "compute")]
pub(crate) use path::with_query;
#[cfg(feature = "compute")]
pub(crate) use poll::Pace;
#[cfg(feature = "compute")]
pub(crate) use renewal::{Grant, Renewal};
pub(crate) use retry::{Backoff, Op, Outcome, Retries, Verdict};
pub(crate) use transport::{Server, Transport};
