//! Downloads of large files: streamed, and resumed if the server supports it.

use std::io::Read;
use std::time::Duration;

use ureq::http::{HeaderMap, header};
use ureq::{Agent, BodyReader};

use super::agent;
use super::dialect::Problem;
use super::fault::{Fault, classify, is_plain, no_tls_at};
use crate::error::{Error, Result};

/// The idle timeout of a download.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Downloads files: no token, no total time limit, only an idle timeout.
pub struct FileAgent(Agent);

/// A response with a file or the rest of it.
pub struct Part {
    /// The response body.
    pub reader: BodyReader<'static>,
    /// The offset of the first byte in the file.
    pub from: u64,
    /// The length of the whole file, if the server sends it.
    pub total: Option<u64>,
    /// The server's identifier of this version of the file.
    pub etag: Option<String>,
}

impl Default for FileAgent {
    /// An agent with its own connections.
    fn default() -> Self {
        FileAgent(agent::for_files(IDLE_TIMEOUT))
    }
}

impl FileAgent {
    /// Requests the file from byte `from` on if its version is still `etag`,
    /// otherwise from the beginning.
    pub fn get(&self, url: &str, from: u64, etag: Option<&str>) -> Result<Part> {
        let mut request = self.0.get(url);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
            if let Some(etag) = etag {
                request = request.header(header::IF_RANGE, etag);
            }
        }
        let answer = request.call().map_err(|e| fault(url, &e))?;
        let status = answer.status().as_u16();
        let (parts, body) = answer.into_parts();
        let (from, total) = match status {
            200 => (0, number(&parts.headers, header::CONTENT_LENGTH)),
            206 => content_range(&parts.headers)
                .filter(|(start, _)| *start == from)
                .ok_or_else(|| {
                    Error::answer(request_text(url), "answered 206 with another range")
                })?,
            _ => {
                let problem = Problem::of_status(status, String::new(), true);
                return Err(Error::from_status(request_text(url), status, problem, None));
            }
        };
        Ok(Part {
            reader: body.into_with_config().limit(u64::MAX).reader(),
            from,
            total,
            etag: text(&parts.headers, header::ETAG)
                .filter(|etag| !etag.starts_with("W/"))
                .map(str::to_owned),
        })
    }
}

impl FileAgent {
    /// The error for a body that ended early: the connection was lost.
    pub fn cut_short(url: &str, bytes: u64, total: u64) -> Error {
        let text = format!("received {bytes} of {total} bytes");
        Error::from_fault(request_text(url), Fault::Broken, text)
    }

    /// The error for a file over the size limit. `bytes` is the length of the file,
    /// or the bytes received so far if the server does not send the length.
    pub fn too_large(url: &str, bytes: u64, is_whole: bool, limit: u64) -> Error {
        let at_least = if is_whole { "" } else { "at least " };
        let text = format!("the file has {at_least}{bytes} bytes, the limit is {limit}");
        Error::answer(request_text(url), text)
    }
}

impl Part {
    /// Reads more of the body; a lost connection is an error, not an end.
    pub fn read(&mut self, url: &str, buffer: &mut [u8]) -> Result<usize> {
        self.reader
            .read(buffer)
            .map_err(|e| fault(url, &ureq::Error::from(e)))
    }
}

fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let range = text(headers, header::CONTENT_RANGE)?.strip_prefix("bytes ")?;
    let (span, total) = range.split_once('/')?;
    let start = span.split_once('-')?.0.parse().ok()?;
    Some((start, total.parse().ok()))
}

fn number(headers: &HeaderMap, name: header::HeaderName) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The request for error messages. The query of a presigned URL is a secret.
fn request_text(url: &str) -> String {
    format!("GET {}", url.split(['?', '#']).next().unwrap_or(url))
}

fn fault(url: &str, error: &ureq::Error) -> Error {
    let text = match error {
        ureq::Error::BadUri(_) => "not a valid URL".to_owned(),
        other if is_plain(other) => no_tls_at(url),
        other => other.to_string(),
    };
    Error::from_fault(request_text(url), classify(error), text)
}
