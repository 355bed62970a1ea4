//! The platform for tests: a real HTTP server in the process, with faults to switch on. Beside
//! it the services that the compute clients speak to, each with its client's feature.

#[cfg(feature = "basilica")]
mod basilica;
mod clock;
#[cfg(feature = "faas")]
mod faas;
mod faults;
mod given;
#[cfg(any(feature = "basilica", feature = "faas"))]
mod host;
mod page;
mod platform;
mod routes;
mod service;
mod state;
mod validation;
mod worker;

#[cfg(feature = "basilica")]
pub use basilica::MockBasilica;
pub use clock::ManualClock;
#[cfg(feature = "faas")]
pub use faas::{FaasKind, MockFaas};
pub use faults::{Fault, FaultRule};
pub use platform::{MockPlatform, Seen};
pub use worker::mock_task;
