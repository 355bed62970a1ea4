//! Connections that are reused only where the server has read the whole request.
//!
//! A server may answer without reading the request's body. Many then close the
//! connection right behind their answer, which a client sees too late: its next
//! request fails. Two things prevent that. Head and body leave in one write, so
//! that a small body is already there when the server reads the head. And a
//! connection on which a request with a body was answered with an error status is
//! not used again: such an answer may have been given before the body was read.

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// Wraps what the connector before it made.
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
        }))
    }
}

#[derive(Debug)]
pub(super) struct Whole<In> {
    inner: In,
    /// The request's head, held back until the body is there or the answer is awaited.
    head: Vec<u8>,
    progress: Progress,
    is_reusable: bool,
}

/// How far the exchange has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The head is written.
    Head,
    /// A part of a body is written as well.
    Body,
    /// The answer has begun.
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
        self.send_head(timeout)?;
        let has_read = self.inner.await_input(timeout)?;
        if self.progress != Progress::Answered {
            let had_body = self.progress == Progress::Body;
            match is_refusal(self.inner.buffers().input()) {
                Some(true) if had_body => self.is_reusable = false,
                None => return Ok(has_read), // not even the status is there
                _ => {}
            }
            self.progress = Progress::Answered;
        }
        Ok(has_read)
    }

    fn is_open(&mut self) -> bool {
        self.is_reusable && self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// Whether an answer that begins with these bytes has an error status; `None`
/// while its status is not there.
fn is_refusal(answer: &[u8]) -> Option<bool> {
    // `HTTP/1.1 404 …`
    answer.get(9).map(|digit| matches!(digit, b'4' | b'5'))
}
