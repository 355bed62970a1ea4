//! Responses that arrive before the whole request was sent.
//!
//! A server that rejects a large body (413, 401, 503) may respond and close the connection while
//! the client is still writing. The write then fails, but the response has arrived and gives the
//! reason. ureq alone would return the write error.

use std::io::ErrorKind;

use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport,
};

/// The default connector; its connections read a response even after a failed write.
#[derive(Debug, Default)]
pub(super) struct EarlyAnswers(DefaultConnector);

#[derive(Debug)]
pub(super) struct Connection {
    inner: Box<dyn Transport>,
    write: Write,
}

#[derive(Debug)]
enum Write {
    Open,
    /// The server closed its end; the error is returned if there is no response either.
    Failed(Option<Error>),
}

impl Connector<()> for EarlyAnswers {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Connection>, Error> {
        let inner = self.0.connect(details, chained)?;
        Ok(inner.map(|inner| Connection {
            inner,
            write: Write::Open,
        }))
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    /// Drops all further output after the server has closed its end.
    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if let Write::Failed(_) = self.write {
            return Ok(());
        }
        match self.inner.transmit_output(amount, timeout) {
            Err(error) if is_closed(&error) => {
                self.write = Write::Failed(Some(error));
                Ok(())
            }
            sent => sent,
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let got = self.inner.await_input(timeout);
        let Write::Failed(why) = &mut self.write else {
            return got;
        };
        match (got, why.take()) {
            (Ok(true), _) => Ok(true),
            (_, Some(why)) => Err(why),
            (got, None) => got,
        }
    }

    fn is_open(&mut self) -> bool {
        matches!(self.write, Write::Open) && self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

fn is_closed(error: &Error) -> bool {
    let Error::Io(error) = error else {
        return false;
    };
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted
    )
}
