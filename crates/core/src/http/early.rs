//! Answers that come before the request was sent to its end.
//!
//! A server that refuses a large body (413, 401, 503) may answer and close while its client
//! still writes. The write then fails, but the answer has arrived and says why. ureq would give
//! up at the write.

use std::io::ErrorKind;

use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport,
};

/// The default connector, whose connections read an answer although the write failed.
#[derive(Debug, Default)]
pub(super) struct EarlyAnswers(DefaultConnector);

#[derive(Debug)]
pub(super) struct Connection {
    inner: Box<dyn Transport>,
    write: Write,
}

#[derive(Debug)]
enum Write {
    Works,
    /// The server closed its end; told when there is no answer either.
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
            write: Write::Works,
        }))
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    /// After the server has closed its end, what else is to be sent is dropped.
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
        matches!(self.write, Write::Works) && self.inner.is_open()
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
