//! Notifications to systemd, if it started this process: readiness, status, watchdog.
//!
//! The protocol is that of `sd_notify(3)`: one datagram of `NAME=value` lines to
//! the socket at `NOTIFY_SOCKET`.

use std::env;
use std::fmt;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// Notifies the service manager; does nothing without one.
pub(super) struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Watchdog>,
    ready: bool,
    status: String,
}

/// systemd's watchdog, which kills a process that sends no keep-alive for `limit`.
struct Watchdog {
    limit: Duration,
    last_fed: Instant,
}

impl Notifier {
    pub(super) fn from_env() -> Self {
        let socket = env::var("NOTIFY_SOCKET").ok().and_then(|path| {
            connect(&path)
                .inspect_err(|e| log::warn!("cannot notify systemd: NOTIFY_SOCKET {path}: {e}"))
                .ok()
        });
        let watchdog = socket.as_ref().and_then(|_| watchdog_limit()).map(|limit| {
            let last_fed = Instant::now();
            Watchdog { limit, last_fed }
        });
        Notifier {
            socket,
            watchdog,
            ready: false,
            status: String::new(),
        }
    }

    /// A poll succeeded. The first one sends `READY=1`.
    pub(super) fn poll_succeeded(&mut self, status: impl fmt::Display) {
        if !self.ready {
            self.send("READY=1");
            self.ready = true;
        }
        self.status(status);
    }

    /// Sets the status that `systemctl status` shows, if it has changed.
    pub(super) fn status(&mut self, status: impl fmt::Display) {
        if self.socket.is_none() {
            return;
        }
        // One line: systemd would parse further lines as variables.
        let status = status.to_string().replace(['\n', '\r'], " ");
        if status != self.status {
            self.send(&format!("STATUS={status}"));
            self.status = status;
        }
    }

    /// Sends a keep-alive if one is due. Returns the longest that the loop may wait
    /// before it calls this again.
    pub(super) fn feed_watchdog(&mut self) -> Option<Duration> {
        let watchdog = self.watchdog.as_mut()?;
        let between = watchdog.limit / 3;
        if watchdog.last_fed.elapsed() >= between {
            watchdog.last_fed = Instant::now();
            self.send("WATCHDOG=1");
        }
        Some(between)
    }

    /// A handler starts, which may block the loop for up to `bound`.
    pub(super) fn handler_started(&mut self, bound: Duration) {
        if let Some(watchdog) = &self.watchdog {
            let limit = watchdog.limit + bound;
            self.send(&format!("WATCHDOG_USEC={}\nWATCHDOG=1", limit.as_micros()));
        }
    }

    /// The handler has ended: restores the watchdog limit of the unit.
    pub(super) fn handler_ended(&mut self) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.last_fed = Instant::now();
            let limit = watchdog.limit.as_micros();
            self.send(&format!("WATCHDOG_USEC={limit}\nWATCHDOG=1"));
        }
    }

    pub(super) fn stopping(&mut self) {
        self.send("STOPPING=1");
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // systemd may be restarting; it receives the next message.
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
    // A service manager that does not read must not block the worker.
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

/// `WATCHDOG_USEC`, unless `WATCHDOG_PID` is another process.
fn watchdog_limit() -> Option<Duration> {
    let meant_for = env::var("WATCHDOG_PID").ok();
    if meant_for.is_some_and(|pid| pid != std::process::id().to_string()) {
        return None;
    }
    let micros: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros))
}
