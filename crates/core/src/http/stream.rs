//! Streams: an iterator over the items that a server sends, which reconnects after
//! an interruption.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::retry::Backoff;
use super::transport::Transport;
use crate::error::{Error, Result};
use crate::wake::Stage;

/// This many consecutive interruptions without an item end a stream.
const MAX_BREAKS: u32 = 10;

/// The minimum interval between two sources, for a server that ends its streams at once.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The items that a server sends; `next` blocks until an item arrives.
///
/// A lost connection is reopened if the server can send the rest, without losing
/// or repeating an item. An error is the last item; [`ended`](Self::ended) returns
/// why the stream ended.
///
/// ```no_run
/// # use satellite_core::client::{Ended, Stream};
/// # fn show(mut stream: Stream<String>) -> satellite_core::Result<()> {
/// for line in &mut stream {
///     println!("{}", line?);
/// }
/// assert_eq!(stream.ended(), Some(Ended::Complete));
/// # Ok(()) }
/// ```
pub struct Stream<T> {
    transport: Arc<Transport>,
    source: Option<Source<T>>,
    resume: Box<Resume<T>>,
    delivered: u64,
    breaks: u32,
    backoff: Backoff,
    /// When the source was opened.
    opened: Instant,
    ended: Option<Ended>,
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The server sent all items.
    Complete,
    /// No data arrived within the idle timeout.
    Idle,
    /// The connection was lost or the server failed, and the stream could not be resumed.
    Cut,
    /// Cancelled by [`Cancel`](super::Cancel) or by a stop of the worker.
    Cancelled,
}

/// The items from one connection; an error is the last.
pub type Source<T> = Box<dyn Iterator<Item = Result<T>> + Send>;

/// Called when a source ends, with its error, if any, and the number of items
/// delivered so far. Returns a source that continues after them, or none.
pub type Resume<T> = dyn FnMut(Option<&Error>, u64) -> Result<Option<Source<T>>> + Send;

/// Skips the first `delivered` items. Unlike `skip`, it does not count errors.
pub fn behind<T>(
    items: impl Iterator<Item = Result<T>>,
    mut delivered: u64,
) -> impl Iterator<Item = Result<T>> {
    items.filter(move |item| {
        let is_known = item.is_ok() && delivered > 0;
        delivered -= u64::from(is_known);
        !is_known
    })
}

impl<T> Stream<T> {
    /// A stream that starts with `source`. If a source ends without an error and
    /// is not resumed, the stream is complete.
    pub fn new(
        transport: Arc<Transport>,
        source: Source<T>,
        resume: impl FnMut(Option<&Error>, u64) -> Result<Option<Source<T>>> + Send + 'static,
    ) -> Self {
        let backoff = Backoff::new(transport.server.retries.max);
        let opened = transport.waiter.now();
        Stream {
            transport,
            source: Some(source),
            resume: Box::new(resume),
            delivered: 0,
            breaks: 0,
            backoff,
            opened,
            ended: None,
        }
    }

    /// Why the stream ended; `None` while it is open.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Continues with another source, or ends.
    fn resume_after(&mut self, broke: Option<Error>) -> Option<Error> {
        let Some(mut error) = broke else {
            match (self.resume)(None, self.delivered) {
                Ok(Some(source)) => {
                    let since = self.transport.waiter.now() - self.opened;
                    let wait = MIN_INTERVAL.saturating_sub(since);
                    if !self.transport.waiter.sleep(wait, Stage::Stopping) {
                        return Some(self.end(Error::stopped()));
                    }
                    self.opened = self.transport.waiter.now();
                    self.source = Some(source);
                }
                Ok(None) => self.ended = Some(Ended::Complete),
                Err(error) => return self.resume_after(Some(error)),
            }
            return None;
        };
        loop {
            self.breaks += 1;
            if !error.is_retryable() || self.breaks > MAX_BREAKS {
                return Some(self.end(error));
            }
            log::debug!("{error}; resuming after item {}", self.delivered);
            // The first retry is immediate: reconnecting usually works at once.
            let wait = match self.breaks {
                1 => Duration::ZERO,
                _ => self.backoff.failed(error.retry_after()),
            };
            if !self.transport.waiter.sleep(wait, Stage::Stopping) {
                return Some(self.end(Error::stopped()));
            }
            match (self.resume)(Some(&error), self.delivered) {
                Ok(Some(source)) => {
                    self.source = Some(source);
                    return None;
                }
                Ok(None) => return Some(self.end(error)),
                Err(other) => error = other,
            }
        }
    }

    fn end(&mut self, error: Error) -> Error {
        self.ended = Some(match error.fault() {
            _ if error.is_stopped() => Ended::Cancelled,
            Some(Fault::TimedOut) => Ended::Idle,
            _ => Ended::Cut,
        });
        error
    }
}

impl<T> Iterator for Stream<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ended.is_none() {
            let item = self.source.as_mut().and_then(Iterator::next);
            // A connection that the client shut down may look like a normal end.
            if self.transport.is_cancelled() {
                self.source = None;
                return Some(Err(self.end(Error::stopped())));
            }
            let broke = match item {
                Some(Ok(item)) => {
                    self.delivered += 1;
                    self.breaks = 0;
                    self.backoff.succeeded();
                    return Some(Ok(item));
                }
                Some(Err(error)) => Some(error),
                None => None,
            };
            self.source = None;
            if let Some(error) = self.resume_after(broke) {
                return Some(Err(error));
            }
        }
        None
    }
}

impl<T> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("delivered", &self.delivered)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
