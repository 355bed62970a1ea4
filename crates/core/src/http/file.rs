//! Large files, read as they come and resumed where the server allows.

use std::io::Read;
use std::time::Duration;

use ureq::http::{HeaderMap, header};
use ureq::{Agent, BodyReader};

use super::agent;
use super::dialect::Problem;
use super::fault::{Fault, classify, is_plain, no_tls_at};
use crate::error::{Error, Result};

/// A server that sends nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(30);

/// Downloads files: no token, no total time limit, only an idle timeout.
pub struct FileAgent(Agent);

/// What a server sends of a file.
pub struct Part {
    /// The response body.
    pub reader: BodyReader<'static>,
    /// Where in the file this begins.
    pub from: u64,
    /// The length of the whole file, where the server says it.
    pub total: Option<u64>,
    /// What the server calls this version of the file.
    pub etag: Option<String>,
}

impl Default for FileAgent {
    /// An agent with its own connections.
    fn default() -> Self {
        FileAgent(agent::for_files(SILENCE))
    }
}

impl FileAgent {
    /// The file from byte `from` on, if it is still the version called `etag`;
    /// from its beginning otherwise.
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
                .ok_or_else(|| Error::answer(asked(url), "answered 206 with another range"))?,
            _ => {
                let problem = Problem::of_status(status, String::new(), true);
                return Err(Error::from_status(asked(url), status, problem, None));
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
    /// An end that came before the whole length: the connection broke.
    pub fn cut_short(url: &str, bytes: u64, total: u64) -> Error {
        let text = format!("{bytes} of {total} bytes came");
        Error::from_fault(asked(url), Fault::Broken, text)
    }

    /// `bytes` is the length of the file, or what has come of one whose length the
    /// server does not tell.
    pub fn too_large(url: &str, bytes: u64, is_whole: bool, limit: u64) -> Error {
        let at_least = if is_whole { "" } else { "at least " };
        let text = format_args!("the file has {at_least}{bytes} bytes, the limit is {limit}");
        Error::answer(asked(url), text)
    }
}

impl Part {
    /// Reads on; a connection that broke is told apart from an end.
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

/// A presigned URL is a secret from its question mark on.
fn asked(url: &str) -> String {
    format!("GET {}", url.split(['?', '#']).next().unwrap_or(url))
}

fn fault(url: &str, error: &ureq::Error) -> Error {
    let text = match error {
        ureq::Error::BadUri(_) => "this is not a URL".to_owned(),
        other if is_plain(other) => no_tls_at(url),
        other => other.to_string(),
    };
    Error::from_fault(asked(url), classify(error), text)
}
