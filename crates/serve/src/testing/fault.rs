//! The faults that a mock server can inject.

use std::time::Duration;

use crate::Response;

/// A fault that a mock server injects into a request. Unless stated otherwise, the request then
/// has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Responds with this status and a body in the platform's usual format.
    Status(u16),
    /// Responds with this status and `Retry-After`.
    RetryAfter {
        /// The status, usually 429 or 503.
        status: u16,
        /// The value of `Retry-After`, in seconds.
        seconds: u64,
    },
    /// Closes the connection without a response, with a reset if the system supports it: see
    /// [`Response::reset`].
    Reset,
    /// Waits this long, then serves the request as usual.
    Stall(Duration),
    /// Responds with 200 and closes the connection in the middle of the body.
    HalfBody,
    /// Responds with 200 and an HTML page.
    NotJson,
    /// Responds with 200 and an empty body.
    Empty,
    /// Closes the connection without a response.
    Drop,
    /// Carries out the request, then closes the connection without a response.
    DoneButNoAnswer,
    /// Carries out the request, then delays the response by this long.
    SlowAnswer(Duration),
    /// Responds with 307 and this `Location`.
    Redirect(String),
}

impl Fault {
    /// The response to send instead of the platform's; `None` if the platform handles the request.
    pub fn answer(&self) -> Option<Response> {
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
        _ => Response::json(status, r#"{"detail":"a fault injected by a test"}"#),
    }
}
