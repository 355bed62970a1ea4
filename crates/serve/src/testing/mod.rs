//! A server with switchable faults, on which mock services are built.

mod fault;
mod host;
mod seen;

pub use fault::Fault;
pub use host::{Asked, Host, locked, query};
pub use seen::Seen;
