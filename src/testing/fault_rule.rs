//! Rules for the faults that the mock platform injects.

use super::state::{PlatformState, Shared};
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

#[derive(Clone, Debug)]
pub(super) struct Rule {
    fault: Fault,
    method: String,
    path: String,
    left: Option<u32>,
}

impl FaultRule {
    pub(super) fn new(shared: Arc<Shared>, fault: Fault) -> FaultRule {
        let (method, path) = (String::new(), String::new());
        FaultRule {
            shared,
            rule: Rule {
                fault,
                method,
                path,
                left: Some(1),
            },
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
        self.shared.state().faults.push(self.rule.clone());
    }
}

impl PlatformState {
    /// The fault for this request; the oldest matching rule applies.
    pub(super) fn take_fault(&mut self, method: &str, target: &str) -> Option<Fault> {
        let rule = self.faults.iter_mut().find(|rule| {
            (rule.method.is_empty() || rule.method == method)
                && target.contains(&rule.path)
                && rule.left != Some(0)
        })?;
        rule.left = rule.left.map(|left| left - 1);
        Some(rule.fault.clone())
    }
}
