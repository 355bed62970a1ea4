//! The identity of a process: a pid alone is reused.

use std::fs;
use std::io;

use miniserde::{Deserialize, Serialize};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process of this host, also after its pid was reused and after a reboot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub pid: u32,
    /// When it started, in clock ticks since the boot.
    start: u64,
    /// Empty if this satellite is not permitted to read it.
    boot_id: String,
}

impl Identity {
    /// The identity of a running process.
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(Identity {
            pid,
            start: start_of(pid)?.ok_or(io::ErrorKind::NotFound)?,
            boot_id: boot_id(),
        })
    }

    /// Whether the process runs.
    pub fn is_alive(&self) -> bool {
        let is_this = |start: Option<u64>| start == Some(self.start);
        start_of(self.pid).is_ok_and(is_this) && self.boot_id == boot_id()
    }

    /// Sends a signal to this process, and never to one that has reused its pid: the
    /// descriptor names one process, and the identity is verified after it was opened.
    ///
    /// # Errors
    /// It has ended, or belongs to another user.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let process = pidfd_open(pid.ok_or(io::ErrorKind::NotFound)?, PidfdFlags::empty())?;
        match self.is_alive() {
            true => Ok(pidfd_send_signal(process, signal)?),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// The start time of a process; `None` for one that has ended and is not yet reaped.
fn start_of(pid: u32) -> io::Result<Option<u64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in parentheses, which may contain both.
    let (_, fields) = text.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?;
    let mut fields = fields.split_ascii_whitespace();
    let has_ended = matches!(fields.next(), Some("Z" | "X"));
    let start = fields.nth(18).and_then(|ticks| ticks.parse().ok());
    match has_ended {
        true => Ok(None),
        false => start.map(Some).ok_or(io::ErrorKind::InvalidData.into()),
    }
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_reused_the_pid_is_neither_alive_nor_signalled() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let identity = Identity::of(child.id()).unwrap();
        assert!(identity.is_alive());
        let earlier = Identity {
            start: identity.start - 1,
            ..identity.clone()
        };
        let before_a_reboot = Identity {
            boot_id: "another".into(),
            ..identity.clone()
        };
        for other in [earlier, before_a_reboot] {
            assert!(!other.is_alive());
            assert!(other.signal(Signal::KILL).is_err());
        }
        assert!(child.try_wait().unwrap().is_none(), "it was not killed");

        identity.signal(Signal::KILL).unwrap();
        while identity.is_alive() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(identity.signal(Signal::KILL).is_err(), "not yet reaped");
        child.wait().unwrap();
        assert!(identity.signal(Signal::KILL).is_err());
    }
}
