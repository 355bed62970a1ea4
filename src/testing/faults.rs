//! What the platform can be told to do wrong.

use std::sync::Arc;
use std::time::Duration;

use super::state::{Shared, World};
use crate::serve::Response;

/// A way for [`MockPlatform`](super::MockPlatform) to fail a request, before the request has had
/// any effect unless it says otherwise.
///
/// ```
/// use satellite_sdk::testing::{Fault, MockPlatform};
///
/// let platform = MockPlatform::start();
/// platform.fault(Fault::RetryAfter { status: 429, seconds: 2 }).times(3);
/// platform.fault(Fault::DoneButNoAnswer).on("POST", "/status");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Answers with this status and a body of the platform's usual form.
    Status(u16),
    /// Answers with this status and `Retry-After`.
    RetryAfter {
        /// The status, 429 or 503 as a rule.
        status: u16,
        /// The value of `Retry-After`, in seconds.
        seconds: u64,
    },
    /// Cuts the connection without an answer, as a reset where the system offers one: see
    /// [`Response::reset`].
    Reset,
    /// Takes this long; then the request is served as usual.
    Stall(Duration),
    /// Answers 200 and breaks off in the middle of the body.
    HalfBody,
    /// Answers 200 with a page of HTML.
    NotJson,
    /// Answers 200 with an empty body.
    Empty,
    /// Closes the connection without an answer.
    Drop,
    /// Does what was asked; then closes the connection without an answer.
    DoneButNoAnswer,
    /// Does what was asked; then takes this long to say so.
    SlowAnswer(Duration),
    /// Answers 307 with this `Location`.
    Redirect(String),
}

impl Fault {
    /// The answer in place of the platform's own; `None` when the platform is asked as well.
    pub(super) fn answer(&self) -> Option<Response> {
        Some(match self {
            Fault::Stall(_) | Fault::SlowAnswer(_) | Fault::DoneButNoAnswer => return None,
            Fault::Status(status) => failure(*status),
            Fault::RetryAfter { status, seconds } => {
                failure(*status).header("retry-after", seconds.to_string())
            }
            Fault::Reset => Response::reset(),
            Fault::HalfBody => Response::raw(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 4096\r\n\r\n\
                 [{\"id\": \"0198f0",
            ),
            Fault::NotJson => Response::new(200)
                .header("content-type", "text/html")
                .body("<html><body>Sign in to the network</body></html>"),
            Fault::Empty => Response::new(200),
            Fault::Drop => Response::raw(""),
            Fault::Redirect(location) => Response::new(307).header("location", location),
        })
    }
}

fn failure(status: u16) -> Response {
    match status {
        500 => Response::text(500, "Internal Server Error"),
        _ => Response::json(status, r#"{"detail":"a fault that a test asked for"}"#),
    }
}

/// A fault that is being set up: once, on any request, unless told otherwise.
///
/// It takes effect at the end of the statement, when this is dropped.
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

    /// On the next `requests` of those it is meant for.
    ///
    /// ```
    /// # use satellite_sdk::testing::{Fault, MockPlatform};
    /// MockPlatform::start().fault(Fault::Status(500)).times(2);
    /// ```
    pub fn times(mut self, requests: u32) -> FaultRule {
        self.rule.left = Some(requests);
        self
    }

    /// On every request that it is meant for, until
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

    /// Only on requests with this method, or any if it is empty, and with `path` somewhere in
    /// their path and query.
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
        self.shared.world().faults.push(self.rule.clone());
    }
}

impl World {
    /// The fault for this request, the one that was asked for first.
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
