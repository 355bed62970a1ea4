//! The platform for tests: a real HTTP server in the process, with faults to switch on.

mod clock;
mod faults;
mod given;
mod platform;
mod routes;
mod service;
mod state;
mod validation;
mod worker;

pub use clock::ManualClock;
pub use faults::{Fault, FaultRule};
pub use platform::{MockPlatform, Seen};
pub use worker::mock_task;
