//! A mock server with fault injection, the base of mock services.

mod fault;
mod host;
mod recorded_request;

pub use fault::Fault;
pub use host::{Host, ReceivedRequest, locked, query};
pub use recorded_request::RecordedRequest;
