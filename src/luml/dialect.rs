//! How the platform expects the token, and what its error responses mean.

use satellite_core::http::header::AUTHORIZATION;
use serde_json::Value;

use satellite_core::http::{Dialect, Problem, detail, excerpt};

pub(crate) static LUML: Dialect = Dialect {
    token: (AUTHORIZATION, "Bearer "),
    headers: &[],
    explain,
};

/// The platform names the object that it did not find; a plain `Not Found` comes from
/// its web framework for a route that does not exist.
fn explain(status: u16, body: &[u8]) -> Problem {
    let fields: Option<Value> = serde_json::from_slice(body).ok();
    match fields.as_ref().and_then(|fields| detail(&fields["detail"])) {
        Some(message) => {
            let is_own = message != "Not Found";
            Problem::of_status(status, message, is_own)
        }
        None => Problem::of_status(status, excerpt(body), false),
    }
}
