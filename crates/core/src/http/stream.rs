//! Streams: an iterator over what a server sends, opened again where it broke.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::retry::Backoff;
use super::transport::Transport;
use crate::error::{Error, Result};
use crate::wake::Stage;

/// So many breaks one after the other, with nothing in between, end a stream.
const BREAKS: u32 = 10;

/// Of a server that ends its streams at once the next one is read no sooner.
const PAUSE: Duration = Duration::from_secs(1);

/// What a server sends, item by item; reading it waits for the next one.
///
/// A connection that breaks is opened again where the server can be asked for
/// the rest, with no item lost and none doubled. An error is the last item;
/// [`ended`](Self::ended) tells why it is over.
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

/// Why a stream is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The server said all there was to say.
    Complete,
    /// Nothing came for as long as the idle limit.
    Idle,
    /// The connection broke, or the server gave up, and the rest could not be had.
    Cut,
    /// [`Cancel`](super::Cancel), or the worker's stop.
    Cancelled,
}

/// Items as they come over one connection; an error is the last.
pub type Source<T> = Box<dyn Iterator<Item = Result<T>> + Send>;

/// Asked when a source is over, with its error if it had one and the number of
/// items that were handed out: a source that goes on behind them, or none.
pub type Resume<T> = dyn FnMut(Option<&Error>, u64) -> Result<Option<Source<T>>> + Send;

/// What comes behind the first `delivered` items. An error is never one of
/// them, as it would be to `skip`.
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
    /// A stream that begins with `source`; a source that ends without an error
    /// and is not resumed was complete.
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

    /// Why it is over; `None` while it goes on.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Goes on with another source, or ends.
    fn go_on(&mut self, broke: Option<Error>) -> Option<Error> {
        let Some(mut error) = broke else {
            match (self.resume)(None, self.delivered) {
                Ok(Some(source)) => {
                    let since = self.transport.waiter.now() - self.opened;
                    let wait = PAUSE.saturating_sub(since);
                    if !self.transport.waiter.sleep(wait, Stage::Stopping) {
                        return Some(self.end(Error::stopped()));
                    }
                    self.opened = self.transport.waiter.now();
                    self.source = Some(source);
                }
                Ok(None) => self.ended = Some(Ended::Complete),
                Err(error) => return self.go_on(Some(error)),
            }
            return None;
        };
        loop {
            self.breaks += 1;
            if !error.is_retryable() || self.breaks > BREAKS {
                return Some(self.end(error));
            }
            log::debug!("{error}; going on behind item {}", self.delivered);
            // The first time at once: a connection that broke is soon made again.
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
            // A connection that was shut down from this side may look ended.
            if self.transport.is_cut() {
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
            if let Some(error) = self.go_on(broke) {
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
