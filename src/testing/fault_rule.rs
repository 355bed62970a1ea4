//! Builds a rule for a fault that the mock platform injects.

use super::faults::Rule;
use super::state::Shared;
use satellite_serve::testing::Fault;
use std::sync::Arc;

/// A rule for injecting a fault. Default: once, on any request.
///
/// It takes effect when it is dropped, at the end of the statement.
///
/// ```
/// use satellite_sdk::testing::{Fault, MockPlatform};
///
/// let platform = MockPlatform::start();
/// platform.fault(Fault::Status(503)).times(3);
/// platform.fault(Fault::Drop).on("GET", "/tasks").forever();
/// ```
#[derive(Debug)]
pub struct FaultRule {
    shared: Arc<Shared>,
    rule: Rule,
}

impl FaultRule {
    pub(super) fn new(shared: Arc<Shared>, fault: Fault) -> FaultRule {
        FaultRule {
            shared,
            rule: Rule::once(fault),
        }
    }

    /// Applies to the next `requests` matching requests.
    ///
    /// ```
    /// # use satellite_sdk::testing::{Fault, MockPlatform};
    /// MockPlatform::start().fault(Fault::Status(500)).times(2);
    /// ```
    pub fn times(mut self, requests: u32) -> FaultRule {
        self.rule.left = Some(requests);
        self
    }

    /// Applies to every matching request until
    /// [`clear_faults`](super::MockPlatform::clear_faults).
    ///
    /// ```
    /// # use satellite_sdk::testing::{Fault, MockPlatform};
    /// MockPlatform::start().fault(Fault::Reset).forever();
    /// ```
    pub fn forever(mut self) -> FaultRule {
        self.rule.left = None;
        self
    }

    /// Matches requests with this method, or any method if it is empty, and with `path` anywhere
    /// in their path and query.
    ///
    /// ```
    /// # use satellite_sdk::testing::{Fault, MockPlatform};
    /// MockPlatform::start().fault(Fault::Empty).on("GET", "/deployments");
    /// ```
    pub fn on(mut self, method: &str, path: &str) -> FaultRule {
        self.rule.method = method.into();
        self.rule.path = path.into();
        self
    }
}

impl Drop for FaultRule {
    fn drop(&mut self) {
        self.shared.state().faults.add(self.rule.clone());
    }
}
