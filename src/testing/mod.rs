//! A mock platform for tests: a real HTTP server in the process, with fault injection. With the
//! feature of a compute client also the mock of its service.

mod fault_rule;
mod faults;
mod fixtures;
mod page;
mod platform;
mod routes;
mod service;
mod state;
mod validation;
mod worker;

pub use fault_rule::FaultRule;
pub use platform::MockPlatform;
#[cfg(feature = "basilica")]
pub use satellite_basilica::MockBasilica;
pub use satellite_core::ManualClock;
#[cfg(feature = "faas")]
pub use satellite_faas::{FaasKind, MockFaas};
pub use satellite_serve::testing::{Fault, RecordedRequest};
pub use worker::mock_task;
