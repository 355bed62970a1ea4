//! A mock server with fault injection, the base of mock services.

mod fault;
mod host;
mod seen;

pub use fault::Fault;
pub use host::{Asked, Host, locked, query};
pub use seen::Seen;
