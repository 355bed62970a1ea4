//! The application as a child process, with everything that it starts.
//!
//! The sidecar is the subreaper of its descendants, or PID 1: orphans become its children, so
//! "no child is left" means that nothing of the application runs any more.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, IsTerminal};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, getppid, kill_process, kill_process_group,
    set_child_subreaper, set_parent_process_death_signal, wait,
};
use satellite_sdk::{Error, Result};

/// How often to check whether descendants have ended.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How long descendants that outlive the application may take to end.
const ORPHAN_GRACE: Duration = Duration::from_secs(2);

/// The running application: a process group of its own.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    status: Option<ExitStatus>,
    pauses: Arc<Pauses>,
}

impl Child {
    /// Starts the application, which is killed when this thread ends for any reason.
    pub fn start(command: &[OsString]) -> Result<Self> {
        let own = getpid();
        set_child_subreaper(Some(own)).map_err(io::Error::from)?;
        // This program again, which then becomes the application: `become_app`.
        let mut child = Command::new("/proc/self/exe");
        child
            .arg("sidecar")
            .arg(format!("--exec-child-of={own}"))
            .arg("--")
            .args(command)
            .process_group(0);
        if io::stdin().is_terminal() {
            child.stdin(Stdio::null()); // the terminal belongs to the group of the sidecar
        }
        let child = child
            .spawn()
            .map_err(|e| Error::new(format_args!("cannot start {}: {e}", shown(command))))?;
        let pid = Pid::from_raw(child.id() as i32).ok_or_else(|| Error::new("no process id"))?;
        log::info!("started {} as process {pid}", shown(command));
        Ok(Child {
            pid,
            status: None,
            pauses: Arc::default(),
        })
    }

    /// Collects ended children, orphans included. The status of the application once it has
    /// ended.
    pub fn reap(&mut self) -> Option<ExitStatus> {
        self.reap_all();
        self.status
    }

    /// Sends a signal to the application alone, as a container runtime does.
    pub fn signal(&self, signal: Signal) {
        if self.status.is_none() {
            let _ = kill_process(self.pid, signal); // it may have ended just now
        }
    }

    /// What stops the application with SIGSTOP, also from other threads.
    pub fn pauses(&self) -> &Arc<Pauses> {
        &self.pauses
    }

    /// Asks the application to stop, kills it at the deadline, and waits until it and all of
    /// its descendants have ended.
    pub fn stop(&mut self, signal: Signal, deadline: Instant) -> Option<ExitStatus> {
        self.signal(signal); // a stopped process receives it when it continues
        while self.reap().is_none() {
            if Instant::now() >= deadline {
                log::warn!("the application did not stop in time: killing it");
                break;
            }
            thread::sleep(POLL_INTERVAL);
        }
        match self.status {
            Some(_) => self.end_descendants(deadline.min(Instant::now() + ORPHAN_GRACE)),
            None => self.end_descendants(Instant::now()),
        }
        self.status
    }

    /// Kills the application and all of its descendants.
    pub fn kill(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            let _ = kill_process_group(self.pid, Signal::KILL); // all at once
        }
        self.end_descendants(Instant::now());
        self.status
    }

    /// Ends everything that the application has left behind.
    pub fn end_descendants(&mut self, deadline: Instant) {
        if !self.reap_all() {
            return;
        }
        if Instant::now() < deadline {
            for process in descendants() {
                process.signal(Signal::TERM);
            }
        }
        let mut is_logged = false;
        while self.reap_all() {
            if Instant::now() >= deadline {
                for process in descendants() {
                    process.signal(Signal::KILL);
                    if !is_logged && process.pid != self.pid.as_raw_pid() {
                        log::warn!(
                            "killed process {}, which the application left behind",
                            process.pid
                        );
                        is_logged = true;
                    }
                }
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// False when no child is left.
    fn reap_all(&mut self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.pid => {
                    self.status = Some(ExitStatus::from_raw(status.as_raw()));
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }
}

/// Why the application is stopped with SIGSTOP. It continues when no reason is left.
#[derive(Debug, Default)]
pub struct Pauses(Mutex<BTreeSet<Reason>>);

/// A reason to stop the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Its lease was not renewed in time.
    Lease,
    /// Its folder is being read.
    Snapshot,
}

impl Pauses {
    /// Stops the application and all of its descendants. True once all are stopped: call it
    /// until then, since they may start others meanwhile.
    pub fn pause(&self, reason: Reason) -> bool {
        let mut reasons = self.reasons();
        reasons.insert(reason);
        let mut all_stopped = true;
        for process in descendants() {
            if !process.is_stopped() {
                all_stopped = false;
                process.signal(Signal::STOP);
            }
        }
        all_stopped
    }

    /// The application continues, if there is no other reason.
    pub fn resume(&self, reason: Reason) {
        let mut reasons = self.reasons();
        if reasons.remove(&reason) && reasons.is_empty() {
            for process in descendants() {
                process.signal(Signal::CONT);
            }
        }
    }

    fn reasons(&self) -> MutexGuard<'_, BTreeSet<Reason>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Becomes the application. Runs in the child, which `parent` has started; ends with it.
pub fn become_app(parent: u32, command: &[OsString]) -> io::Error {
    if let Err(e) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return e.into();
    }
    // The parent may have ended before the signal was set.
    if getppid().map(|pid| pid.as_raw_pid() as u32) != Some(parent) {
        return io::Error::other("the sidecar has ended");
    }
    match command.split_first() {
        Some((program, arguments)) => Command::new(program).args(arguments).exec(),
        None => io::Error::other("no command"),
    }
}

/// The exit code of a shell: 128 and the number of the signal for a process that was killed.
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|n| 128 + n));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Fails when there is no such program, before anything depends on it.
pub fn check_program(program: &OsStr) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let is_program = |path: &Path| {
        let metadata = fs::metadata(path).ok();
        metadata.is_some_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    let path = Path::new(program);
    if path.components().count() > 1 || path.is_absolute() {
        return match is_program(path) {
            true => Ok(()),
            false => Err(Error::new(format_args!(
                "{} is not an executable file",
                path.display()
            ))),
        };
    }
    let folders = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let found =
        std::env::split_paths(&folders).any(|folder: PathBuf| is_program(&folder.join(path)));
    match found {
        true => Ok(()),
        false => Err(Error::new(format_args!(
            "{}: no such program in PATH",
            path.display()
        ))),
    }
}

/// The program without its arguments, which may hold secrets.
fn shown(command: &[OsString]) -> String {
    let program = command.first().map(|program| program.to_string_lossy());
    program.unwrap_or_default().into_owned()
}

/// The processes below this one.
fn descendants() -> Vec<Process> {
    let mut others: Vec<Process> = processes().collect();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![getpid().as_raw_pid()];
    while let Some(parent) = parents.pop() {
        let (children, rest): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|process| process.parent == parent);
        others = rest;
        parents.extend(children.iter().map(|child| child.pid));
        found.extend(children);
    }
    found
}

struct Process {
    pid: i32,
    state: char,
    parent: i32,
}

impl Process {
    /// Also one that has ended and waits to be reaped.
    fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't' | 'Z' | 'X')
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = kill_process(pid, signal); // it may have ended just now
        }
    }
}

fn processes() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
        Some(Process {
            pid,
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
        })
    })
}
