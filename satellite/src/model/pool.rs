//! A pool of idle connections to model servers.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::fault::Fault;

/// Maximum idle connections, for all models together.
const MAX_IDLE: usize = 64;

/// Shorter than uvicorn's keep-alive timeout of 5 s, since most model servers run on uvicorn: a
/// request on a connection that is being closed is lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// The most recently used connection is reused first, so that surplus ones expire.
#[derive(Debug, Default)]
pub struct Pool(Mutex<Vec<(Connection, Instant)>>);

impl Pool {
    /// An open connection, new or reused, with this timeout for reads.
    pub fn connection(&self, port: u16, read_timeout: Duration) -> Result<Connection, Fault> {
        while let Some(mut kept) = self.take(port) {
            if kept.is_idle() && kept.set_read_timeout(read_timeout).is_ok() {
                return Ok(kept);
            }
        }
        Connection::open(port, read_timeout).map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Fault::Refused,
            _ => Fault::Model(error),
        })
    }

    pub fn put_back(&self, connection: Connection) {
        let now = Instant::now();
        let mut kept = self.kept();
        if kept.len() >= MAX_IDLE
            || kept
                .first()
                .is_some_and(|(_, since)| is_expired(*since, now))
        {
            kept.retain(|(_, since)| !is_expired(*since, now));
            let too_many = (kept.len() + 1).saturating_sub(MAX_IDLE);
            kept.drain(..too_many);
        }
        kept.push((connection, now));
    }

    fn take(&self, port: u16) -> Option<Connection> {
        let now = Instant::now();
        let mut kept = self.kept();
        let at = kept.iter().rposition(|(one, _)| one.port == port)?;
        let (connection, since) = kept.remove(at);
        if is_expired(since, now) {
            // All others to this port are older still.
            kept.retain(|(one, _)| one.port != port);
            return None;
        }
        Some(connection)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_expired(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) > IDLE_TIMEOUT
}
