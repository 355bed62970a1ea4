//! A door for `tests/fuzz`, there with `--cfg fuzzing` alone: what others send goes
//! straight to what parses it.

use std::net::TcpStream;

use serde_json::Value;

use crate::luml::{self, Task};
use crate::settings::{Draft, Settings};
use crate::worker::{self, Report};
use satellite_core::Result;
use satellite_core::Variables;
use satellite_core::http::Response;
use satellite_serve::{Limits, Request};

/// An answer of a platform.
pub fn answer(status: u16, fields: &[(&str, &str)], body: &[u8]) -> Response {
    Response::made(&luml::LUML, status, fields, body)
}

/// What a poll makes of an answer.
pub fn tasks(answer: Response) -> Result<Vec<Task>> {
    luml::tasks_in(answer)
}

/// Name, data and id of each event in the body of an answer.
#[cfg(feature = "skypilot")]
pub fn events(answer: Response) -> Result<Vec<(String, String, Option<String>)>> {
    let events = satellite_core::http::events(answer.into_lines()?);
    events
        .map(|event| event.map(|e| (e.name, e.data, e.id)))
        .collect()
}

#[cfg(feature = "skypilot")]
pub use satellite_skypilot::{answer as sky_answer, read_log as sky_log};

/// What the platform would be sent for this result of a handler.
pub fn result(value: Value) -> Option<Value> {
    luml::as_result("task", value)
}

/// The settings that these variables make.
pub fn settings(variables: Variables) -> Result<Settings> {
    Draft::default().finish(variables)
}

/// What a journal of these bytes brings: the results that wait, and all that is kept.
pub fn journal(bytes: &[u8]) -> (Vec<Report>, Vec<u8>) {
    worker::read_journal(bytes)
}

/// Serves one connection to its end, in this thread.
pub fn serve(
    stream: TcpStream,
    limits: &Limits,
    service: fn(&mut Request<'_>) -> satellite_serve::Response,
) {
    satellite_serve::serve(stream, limits, &service);
}
