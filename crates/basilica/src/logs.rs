//! Logs: followed over whatever cuts them, with no line lost and none doubled.

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
    /// When, as the service has it; empty where it does not tell.
    #[serde(default, deserialize_with = "or_default")]
    pub timestamp: String,
    /// `stdout` or `stderr`; empty where the service does not tell.
    #[serde(default, deserialize_with = "or_default")]
    pub stream: String,
    /// What.
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
    /// it is over.
    ///
    /// A follow is opened again where it is cut, as often as the gateway cuts it,
    /// and behind the lines that were had. The end of a connection says nothing,
    /// and neither does silence: the deployment is asked after, and the log is
    /// [`Complete`](crate::Ended::Complete) when that is over and its
    /// last lines were read. Lines that went with a deployment end it with an
    /// error, as [`Cut`](crate::Ended::Cut).
    ///
    /// # Errors
    /// `is_not_found()`.
    pub fn logs(&self, id: &str, follow: bool) -> Result<Stream<LogLine>> {
        self.log(id).stream(follow, 0)
    }

    /// As [`logs`](Self::logs), beginning with the last `lines` of what has been
    /// printed by now.
    ///
    /// # Errors
    /// `is_not_found()`.
    pub fn logs_tail(&self, id: &str, lines: u64, follow: bool) -> Result<Stream<LogLine>> {
        let log = self.log(id);
        // A tail cannot be resumed: only a number of lines from the beginning can.
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
    /// The gateway gave the last connection up: lines may have been on their way.
    lost: Arc<AtomicBool>,
}

impl Log {
    fn stream(self, follow: bool, first: u64) -> Result<Stream<LogLine>> {
        let source = self.open(follow, first)?;
        let transport = Arc::clone(&self.connection.transport);
        let mut is_last = !follow;
        Ok(Stream::new(transport, source, move |broke, delivered| {
            let from = first + delivered;
            if broke.is_some() {
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

    /// Nothing more is to be had: a good end, unless something was missing.
    fn gone(&self, error: Error) -> Result<()> {
        match self.lost.load(Ordering::SeqCst) {
            true => Err(error),
            false => Ok(()),
        }
    }

    /// One connection, behind the first `from` lines.
    fn open(&self, follow: bool, from: u64) -> Result<Source<LogLine>> {
        let path = self.deployments().path(&self.id) + "/logs";
        let follow_word = if follow { "true" } else { "false" };
        let path = with_query(&path, &[("follow", follow_word)]);
        let limits = self.connection.limits;
        let call = Call::new(Method::GET, &path).within(limits.request);
        let answer = self
            .connection
            .transport
            .send(&call.streamed(limits.idle))?;
        let is_plain = answer
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain"));
        let lines = answer.into_lines()?;
        let lost = Arc::clone(&self.lost);
        lost.store(false, Ordering::SeqCst);
        let asked = format!("GET {path} at {}", self.connection.url());
        let lines = entries(lines, is_plain).map_while(move |line| match line {
            Ok(line) if line.stream == "error" => {
                lost.store(true, Ordering::SeqCst);
                let gave_up = || Error::from_fault(asked.clone(), Fault::Broken, line.message);
                (!follow).then(|| Err(gave_up()))
            }
            // There is no sign of life beside lines.
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
