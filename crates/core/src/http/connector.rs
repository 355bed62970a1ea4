//! Reuses a connection only if the server has read the whole request, and spends few system
//! calls on it.
//!
//! A server may respond without reading the request body. Many then close the
//! connection right after the response, which a client notices too late: its next
//! request fails. Two measures prevent that. Head and body are sent in one write,
//! so that a small body has already arrived when the server reads the head. And a
//! connection is not reused after an error response to a request with a body: the
//! server may have sent that response before it read the body.
//!
//! ureq asks whether a connection is open when it takes it back and again when it uses it,
//! with three system calls each; the second answer is enough. And it sets the time limits of
//! the socket before each write and read, because a few microseconds less are left each time;
//! long limits are rounded, so that they are set once.

use std::time::Duration;

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// Limits from this one on are rounded up to whole seconds.
const ROUNDED_FROM: Duration = Duration::from_secs(10);

/// Wraps the transport of the previous connector.
#[derive(Debug, Default)]
pub(super) struct WholeRequests;

impl<In: Transport> Connector<In> for WholeRequests {
    type Out = Whole<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| Whole {
            inner,
            head: Vec::new(),
            progress: Progress::Answered,
            is_reusable: true,
            is_just_used: false,
        }))
    }
}

#[derive(Debug)]
pub(super) struct Whole<In> {
    inner: In,
    /// The request head, held back until the body is written or the response is read.
    head: Vec<u8>,
    progress: Progress,
    is_reusable: bool,
    /// No one has asked whether the connection is open since the last response.
    is_just_used: bool,
}

/// The phase of the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The head was written.
    Head,
    /// Some of the body was written too.
    Body,
    /// The response has started.
    Answered,
}

impl<In: Transport> Whole<In> {
    fn send_head(&mut self, timeout: NextTimeout) -> Result<(), Error> {
        let head = std::mem::take(&mut self.head);
        self.send(&head, timeout)
    }

    fn send(&mut self, bytes: &[u8], timeout: NextTimeout) -> Result<(), Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let output = self.inner.buffers().output();
            let (now, later) = rest.split_at(rest.len().min(output.len()));
            output[..now.len()].copy_from_slice(now);
            self.inner.transmit_output(now.len(), timeout)?;
            rest = later;
        }
        Ok(())
    }
}

impl<In: Transport> Transport for Whole<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if amount == 0 {
            return Ok(());
        }
        let timeout = rounded(timeout);
        if self.progress == Progress::Answered {
            self.progress = Progress::Head;
            self.head = self.inner.buffers().output()[..amount].to_vec();
            return Ok(());
        }
        self.progress = Progress::Body;
        if self.head.is_empty() {
            return self.inner.transmit_output(amount, timeout);
        }
        let mut both = std::mem::take(&mut self.head);
        both.extend_from_slice(&self.inner.buffers().output()[..amount]);
        self.send(&both, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = rounded(timeout);
        self.send_head(timeout)?;
        self.is_just_used = true;
        let has_read = self.inner.await_input(timeout)?;
        if self.progress != Progress::Answered {
            let had_body = self.progress == Progress::Body;
            match is_error_status(self.inner.buffers().input()) {
                Some(true) if had_body => self.is_reusable = false,
                None => return Ok(has_read), // the status line is incomplete
                _ => {}
            }
            self.progress = Progress::Answered;
        }
        Ok(has_read)
    }

    fn is_open(&mut self) -> bool {
        let was_just_used = std::mem::take(&mut self.is_just_used);
        self.is_reusable && (was_just_used || self.inner.is_open())
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

fn rounded(mut limit: NextTimeout) -> NextTimeout {
    if let Some(left) = limit.not_zero().filter(|left| **left >= ROUNDED_FROM) {
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        limit.after = Duration::from_secs(seconds).into();
    }
    limit
}

/// Whether a response that starts with these bytes has an error status; `None`
/// if the status has not arrived yet.
fn is_error_status(answer: &[u8]) -> Option<bool> {
    // `HTTP/1.1 404 …`
    answer.get(9).map(|digit| matches!(digit, b'4' | b'5'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_limits_are_rounded_and_only_up() {
        for (millis, expected) in [
            (9_999, 9_999),
            (10_000, 10_000),
            (10_001, 11_000),
            (29_999, 30_000),
        ] {
            let limit = NextTimeout {
                after: Duration::from_millis(millis).into(),
                ..NextTimeout::default()
            };
            assert_eq!(
                *rounded(limit).after,
                Duration::from_millis(expected),
                "{millis} ms"
            );
        }
        assert!(rounded(NextTimeout::default()).after.is_not_happening());
    }
}
