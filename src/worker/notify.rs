//! Word to systemd, where it started this process: ready, status, alive.
//!
//! The protocol is that of `sd_notify(3)`: one datagram of `NAME=value` lines to
//! the socket that `NOTIFY_SOCKET` names.

use std::env;
use std::fmt;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// Tells the service manager; does nothing where there is none.
pub(super) struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Watchdog>,
    ready: bool,
    status: String,
}

/// The manager kills a process that it has not heard of for this long.
struct Watchdog {
    limit: Duration,
    fed: Instant,
}

impl Notifier {
    pub(super) fn from_env() -> Self {
        let socket = env::var("NOTIFY_SOCKET").ok().and_then(|path| {
            connect(&path)
                .inspect_err(|e| log::warn!("systemd cannot be told: NOTIFY_SOCKET {path}: {e}"))
                .ok()
        });
        let watchdog = socket.as_ref().and_then(|_| watchdog_limit()).map(|limit| {
            let fed = Instant::now();
            Watchdog { limit, fed }
        });
        Notifier {
            socket,
            watchdog,
            ready: false,
            status: String::new(),
        }
    }

    /// A good poll: ready from the first one on.
    pub(super) fn polled_well(&mut self, status: impl fmt::Display) {
        if !self.ready {
            self.send("READY=1");
            self.ready = true;
        }
        self.status(status);
    }

    /// What `systemctl status` shows, if it is anything new.
    pub(super) fn status(&mut self, status: impl fmt::Display) {
        if self.socket.is_none() {
            return;
        }
        // One line, or the rest would be read as further variables.
        let status = status.to_string().replace(['\n', '\r'], " ");
        if status != self.status {
            self.send(&format!("STATUS={status}"));
            self.status = status;
        }
    }

    /// The loop has made a turn. The longest that it may then wait, so that the
    /// next turn is in time.
    pub(super) fn alive(&mut self) -> Option<Duration> {
        let watchdog = self.watchdog.as_mut()?;
        let between = watchdog.limit / 3;
        if watchdog.fed.elapsed() >= between {
            watchdog.fed = Instant::now();
            self.send("WATCHDOG=1");
        }
        Some(between)
    }

    /// A handler begins, which may keep the loop for as long as `bound`.
    pub(super) fn handler_begins(&mut self, bound: Duration) {
        if let Some(watchdog) = &self.watchdog {
            let limit = watchdog.limit + bound;
            self.send(&format!("WATCHDOG_USEC={}\nWATCHDOG=1", limit.as_micros()));
        }
    }

    /// The handler has ended: back to the limit of the unit.
    pub(super) fn handler_ended(&mut self) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.fed = Instant::now();
            let limit = watchdog.limit.as_micros();
            self.send(&format!("WATCHDOG_USEC={limit}\nWATCHDOG=1"));
        }
    }

    pub(super) fn stopping(&mut self) {
        self.send("STOPPING=1");
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // The manager may be restarting; it hears the next one.
            let _ = socket.send(message.as_bytes());
        }
    }
}

fn connect(path: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match path.strip_prefix('@') {
        Some(name) => connect_abstract(&socket, name)?,
        None => socket.connect(path)?,
    }
    // A manager that does not read must not stop the worker.
    socket.set_write_timeout(Some(Duration::from_secs(1)))?;
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn connect_abstract(socket: &UnixDatagram, name: &str) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    socket.connect_addr(&SocketAddr::from_abstract_name(name)?)
}

#[cfg(not(target_os = "linux"))]
fn connect_abstract(_: &UnixDatagram, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// `WATCHDOG_USEC`, unless it is meant for another process.
fn watchdog_limit() -> Option<Duration> {
    let meant_for = env::var("WATCHDOG_PID").ok();
    if meant_for.is_some_and(|pid| pid != std::process::id().to_string()) {
        return None;
    }
    let micros: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros))
}
