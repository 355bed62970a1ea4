//! What a mock server can be told to do wrong.

use std::time::Duration;

use crate::Response;

/// A way for a mock server to fail a request, before the request has had any effect unless it
/// says otherwise.
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
        _ => Response::json(status, r#"{"detail":"a fault that a test asked for"}"#),
    }
}
