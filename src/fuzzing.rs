//! Entry points for `tests/fuzz`, compiled only with `--cfg fuzzing`: they pass
//! untrusted input directly to its parsers.

use std::net::TcpStream;

use serde_json::Value;

use crate::luml::{self, Task};
use crate::settings::{Draft, Settings};
use crate::worker::{self, Report};
use satellite_core::Result;
use satellite_core::Variables;
use satellite_core::http::Response;
use satellite_serve::{Limits, Request};

/// A response of the platform.
pub fn answer(status: u16, fields: &[(&str, &str)], body: &[u8]) -> Response {
    Response::made(&luml::LUML, status, fields, body)
}

/// Parses the response to a poll.
pub fn tasks(answer: Response) -> Result<Vec<Task>> {
    luml::tasks_in(answer)
}

/// The name, data and id of each event in the body of a response.
#[cfg(feature = "skypilot")]
pub fn events(answer: Response) -> Result<Vec<(String, String, Option<String>)>> {
    let events = satellite_core::http::events(answer.into_lines()?);
    events
        .map(|event| event.map(|e| (e.name, e.data, e.id)))
        .collect()
}

#[cfg(feature = "skypilot")]
pub use satellite_skypilot::{answer as sky_answer, read_log as sky_log};

/// The JSON that is sent to the platform for this result of a handler.
pub fn result(value: Value) -> Option<Value> {
    luml::as_result("task", value)
}

/// Reads the settings from these variables.
pub fn settings(variables: Variables) -> Result<Settings> {
    Draft::default().finish(variables)
}

/// Reads a journal: the undelivered results, and the lines that are kept.
pub fn journal(bytes: &[u8]) -> (Vec<Report>, Vec<u8>) {
    worker::read_journal(bytes)
}

/// Serves one connection until it is closed, in this thread.
pub fn serve(
    stream: TcpStream,
    limits: &Limits,
    service: fn(&mut Request<'_>) -> satellite_serve::Response,
) {
    satellite_serve::serve(stream, limits, &service);
}
