//! The one blocking transport: everything that leaves this process leaves here.
//!
//! One ureq agent with small buffers, a caching resolver and a kept connection;
//! one absolute deadline for each call, resends included; and one pure
//! function ([`retry::delay`]) that decides what may be sent again.

mod agent;
mod call;
#[cfg(feature = "extras")]
mod file;
mod resolver;
mod response;
pub(crate) mod retry;
mod secret;
#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "extras")]
pub(crate) use file::{FileAgent, Part};
pub use response::Response;
pub use secret::Secret;

pub(crate) use agent::{Trust, is_loopback};
pub(crate) use call::{Call, DEADLINE, Effort, Method, Transport};
pub(crate) use retry::{Backoff, Fault, Op, is_passing_status};
