//! Logs, followed across disconnects without lost or duplicate lines.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;

use super::connection::Connection;
use super::deployments::DeploymentManager;
use satellite_core::client::Stream;
use satellite_core::http::{Call, Fault, Lines, Method, Source, behind, events, with_query};
use satellite_core::lenient::or_default;
use satellite_core::{Error, Result};

/// A line that a deployment printed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct LogLine {
    /// When it was printed, as the service formats it; empty if unknown.
    #[serde(default, deserialize_with = "or_default")]
    pub timestamp: String,
    /// `stdout` or `stderr`; empty if unknown.
    #[serde(default, deserialize_with = "or_default")]
    pub stream: String,
    /// The printed text.
    #[serde(default, deserialize_with = "or_default")]
    pub message: String,
}

/// The message.
impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.message)
    }
}

impl DeploymentManager<'_> {
    /// What a deployment has printed, and with `follow` all that it prints until
    /// it ends.
    ///
    /// A followed log is reopened after the last received line each time that the
    /// gateway cuts it. Neither the end of a connection nor silence means that the
    /// log has ended: the client polls the deployment's status, and the log is
    /// [`Complete`](crate::Ended::Complete) once the deployment has ended and its
    /// last lines were read. If lines were lost because the deployment was deleted,
    /// the log ends with an error, as [`Cut`](crate::Ended::Cut).
    ///
    /// # Errors
    /// `is_not_found()`.
    pub fn logs(&self, id: &str, follow: bool) -> Result<Stream<LogLine>> {
        self.log(id).stream(follow, 0)
    }

    /// Like [`logs`](Self::logs), but starts with the last `lines` lines printed so
    /// far.
    ///
    /// # Errors
    /// `is_not_found()`.
    pub fn logs_tail(&self, id: &str, lines: u64, follow: bool) -> Result<Stream<LogLine>> {
        let log = self.log(id);
        // A tail cannot be resumed; an offset from the beginning can.
        let mut printed = 0;
        for line in log.clone().stream(false, 0)? {
            line?;
            printed += 1;
        }
        log.stream(follow, u64::saturating_sub(printed, lines))
    }

    fn log(&self, id: &str) -> Log {
        Log {
            connection: self.connection.clone(),
            id: id.to_owned(),
            lost: Arc::default(),
        }
    }
}

#[derive(Clone)]
struct Log {
    connection: Connection,
    id: String,
    /// The gateway aborted the last connection, so lines may be missing.
    lost: Arc<AtomicBool>,
}

impl Log {
    fn stream(self, follow: bool, first: u64) -> Result<Stream<LogLine>> {
        let source = self.open(follow, first)?;
        let transport = Arc::clone(&self.connection.transport);
        let mut is_last = !follow;
        Ok(Stream::new(transport, source, move |error, delivered| {
            let from = first + delivered;
            if error.is_some() {
                return self.open(follow && !is_last, from).map(Some);
            }
            if is_last {
                return Ok(None);
            }
            is_last = self.is_over()?;
            match self.open(!is_last, from) {
                Err(error) if error.is_not_found() => self.gone(error).map(|()| None),
                source => source.map(Some),
            }
        }))
    }

    fn deployments(&self) -> DeploymentManager<'_> {
        DeploymentManager {
            connection: &self.connection,
        }
    }

    fn is_over(&self) -> Result<bool> {
        match self.deployments().status(&self.id) {
            Ok(status) => Ok(status.is_over()),
            Err(error) if error.is_not_found() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The deployment is gone: success, unless lines may be missing.
    fn gone(&self, error: Error) -> Result<()> {
        match self.lost.load(Ordering::SeqCst) {
            true => Err(error),
            false => Ok(()),
        }
    }

    /// One connection, which skips the first `from` lines.
    fn open(&self, follow: bool, from: u64) -> Result<Source<LogLine>> {
        let path = self.deployments().path(&self.id) + "/logs";
        let follow_value = if follow { "true" } else { "false" };
        let path = with_query(&path, &[("follow", follow_value)]);
        let limits = self.connection.limits;
        let call = Call::new(Method::GET, &path).within(limits.request);
        let response = self
            .connection
            .transport
            .send(&call.streamed(limits.idle))?;
        let is_plain = response
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain"));
        let lines = response.into_lines()?;
        let lost = Arc::clone(&self.lost);
        lost.store(false, Ordering::SeqCst);
        let request = format!("GET {path} at {}", self.connection.url());
        let lines = entries(lines, is_plain).map_while(move |line| match line {
            Ok(line) if line.stream == "error" => {
                lost.store(true, Ordering::SeqCst);
                let aborted = || Error::from_fault(request.clone(), Fault::Broken, line.message);
                (!follow).then(|| Err(aborted()))
            }
            // The stream has no heartbeats: a timeout is not an error.
            Err(error) if follow && error.is_timeout() => None,
            line => Some(line),
        });
        Ok(Box::new(behind(lines, from)))
    }
}

fn entries(lines: Lines, is_plain: bool) -> Box<dyn Iterator<Item = Result<LogLine>> + Send> {
    let plain = |message: String| LogLine {
        timestamp: String::new(),
        stream: String::new(),
        message,
    };
    if is_plain {
        return Box::new(lines.map(move |line| line.map(plain)));
    }
    Box::new(events(lines).map(move |event| {
        let data = event?.data;
        Ok(serde_json::from_str(&data).unwrap_or_else(|_| plain(data)))
    }))
}
