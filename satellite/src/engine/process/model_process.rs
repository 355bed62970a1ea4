//! One model server: its process, its restarts, its record.

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::cgroup::{self, Cgroup};
use super::identity::Identity;
use super::record::{self, Record};
use super::{kill_point, launch, log_file};
use crate::engine::{self, Container, Environment, State};
use crate::settings::ProcessSettings;

/// A process that ran this long is not in a restart loop: its restarts count from zero.
const STABLE: Duration = Duration::from_secs(60);

/// The first pause before a restart; it doubles with each one, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The exit code of a process that an earlier satellite started: only its parent learns it.
const UNKNOWN: i64 = -1;

/// The variables that tell a model server where to listen.
const HOST: &str = "LUML_MODEL_HOST";
const PORT: &str = "LUML_MODEL_PORT";

pub(super) struct ModelProcess {
    folder: PathBuf,
    record: Record,
    /// `None` if it does not run, or an earlier satellite started it.
    child: Option<Child>,
    /// `None` after a restart of the satellite: it cannot be restarted without them.
    environment: Option<Environment>,
    /// Keeps its port from other programs while it restarts.
    reservation: Option<OwnedFd>,
    started: Instant,
    restart_at: Option<Instant>,
    /// It is being stopped, so it is not restarted.
    is_ending: bool,
}

impl ModelProcess {
    /// One that was never started.
    pub fn created(folder: PathBuf, record: Record, environment: Environment) -> Self {
        ModelProcess {
            environment: Some(environment),
            ..ModelProcess::found(folder, record)
        }
    }

    /// One that an earlier satellite recorded.
    pub fn found(folder: PathBuf, record: Record) -> Self {
        ModelProcess {
            folder,
            record,
            child: None,
            environment: None,
            reservation: None,
            started: Instant::now(),
            restart_at: None,
            is_ending: false,
        }
    }

    pub fn id(&self) -> &str {
        &self.record.id
    }

    pub fn name(&self) -> &str {
        &self.record.name
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn is_running(&self) -> bool {
        self.record.process.is_some()
    }

    pub fn container(&self, container_port: u16) -> Container {
        let record = &self.record;
        let state = match (&record.process, self.restart_at, record.exit_code) {
            (Some(_), _, _) => State::Running,
            (None, Some(_), _) => State::Restarting,
            (None, None, None) => State::Created,
            (None, None, Some(_)) => State::Exited,
        };
        let label = |name: &str| record.labels.get(name).cloned();
        Container {
            id: record.id.clone(),
            name: record.name.clone(),
            deployment_id: label(engine::DEPLOYMENT).unwrap_or_default(),
            instance_id: label(engine::INSTANCE),
            task_id: label(engine::TASK),
            model_id: label(engine::MODEL),
            state,
            restarts: record.restarts,
            exit_code: record.exit_code.unwrap_or(0),
            created: record.created.clone(),
            started: record.started.clone(),
            ports: vec![(container_port, record.port)],
        }
    }

    /// Notices the end of the process, and decides whether it is restarted.
    pub fn observe(&mut self) {
        let Some(process) = &self.record.process else {
            return;
        };
        let exit_code = match &mut self.child {
            Some(child) => exit_code(child),
            None if process.is_alive() => None,
            None => Some(UNKNOWN),
        };
        let Some(exit_code) = exit_code else { return };
        self.child = None;
        self.record.process = None;
        self.record.exit_code = Some(exit_code);
        if self.started.elapsed() > STABLE {
            self.record.restarts = 0;
        }
        let restarts = self.record.restarts;
        let is_restarted = may_restart(&self.record.restart_policy, exit_code, restarts);
        if is_restarted && !self.is_ending && self.environment.is_some() {
            let pause = FIRST_PAUSE.saturating_mul(1 << restarts.min(16));
            self.restart_at = Some(Instant::now() + pause.min(MAX_PAUSE));
            log::warn!(
                "{} ended with exit code {exit_code}; restarting it",
                self.name()
            );
        }
    }

    pub fn restart_if_due(&mut self, settings: &ProcessSettings, cgroup: Option<&Cgroup>) {
        if self.restart_at.is_some_and(|at| at <= Instant::now()) {
            self.restart_at = None;
            self.record.restarts += 1;
            if let Err(error) = self.spawn(settings, cgroup) {
                log::warn!("{} cannot be restarted: {error}", self.name());
            }
        }
    }

    /// Prepares a start after the process has ended for good.
    pub fn begin_again(&mut self, environment: Environment) {
        self.environment = Some(environment);
        self.restart_at = None;
        self.is_ending = false;
        self.record.restarts = 0;
    }

    /// Allows restarts of a process that an earlier satellite started.
    pub fn supervise_with(&mut self, environment: Environment) {
        self.environment.get_or_insert(environment);
    }

    /// Starts the process, unless it runs. It serves only once it is recorded.
    pub fn spawn(&mut self, settings: &ProcessSettings, cgroup: Option<&Cgroup>) -> io::Result<()> {
        if self.is_running() {
            return Ok(());
        }
        let record = &mut self.record;
        let last = free_port(record.port);
        if last == 0 || self.reservation.is_none() {
            let (socket, port) = reserve(last)?;
            (self.reservation, record.port) = (Some(socket), port);
        }
        let mut environment = self.environment.clone().unwrap_or_default();
        if settings.user.is_none() {
            let temporary = self.folder.join("tmp");
            let _ = fs::remove_dir_all(&temporary);
            fs::create_dir(&temporary)?;
            environment.set("TMPDIR", temporary.display().to_string().into());
        }
        environment.set(HOST, "127.0.0.1".into());
        environment.set(PORT, record.port.to_string().into());
        let limits = (
            record.memory_limit.as_deref().and_then(cgroup::bytes),
            record
                .cpu_limit
                .as_deref()
                .and_then(|cpus| cpus.parse().ok()),
        );
        let group = cgroup.map(|cgroup| cgroup.create(&record.id, limits.0, limits.1));
        let group = group.transpose()?;
        record.cgroup = group.as_ref().map(|group| group.display().to_string());

        let log = log_file::open(&self.folder)?;
        let arguments = &settings.arguments;
        let command = launch::command(&record.program, arguments, settings.user, &environment);
        let mut child = { command }.stdout(log.try_clone()?).stderr(log).spawn()?;
        kill_point("model spawned");
        let recorded = (|| {
            if let Some(group) = &group {
                cgroup::add(group, child.id())?;
            }
            record.process = Some(Identity::of(child.id())?);
            record.started = record::utc(record::now());
            record.save(&self.folder)?;
            kill_point("model recorded");
            child
                .stdin
                .take()
                .map_or(Ok(()), |mut go| go.write_all(b"\n"))
        })();
        if let Err(error) = recorded {
            record.process = None;
            drop(child.stdin.take()); // it ends, as it was not told to go on
            let _ = child.wait();
            return Err(error);
        }
        kill_point("model started");
        self.child = Some(child);
        self.started = Instant::now();
        Ok(())
    }

    /// Prevents restarts, and notices the end of the process.
    pub fn end(&mut self) {
        self.is_ending = true;
        self.restart_at = None;
        self.observe();
    }

    /// Sends a signal to the process; the child's group too, whose id cannot be reused
    /// before the child is reaped.
    pub fn signal(&self, signal: Signal) {
        let sent = match (&self.child, &self.record.process) {
            (Some(child), _) => signal_group(child, signal),
            (None, Some(process)) => process.signal(signal),
            (None, None) => Ok(()),
        };
        if let Err(error) = sent {
            log::debug!("{}: {error}", self.name());
        }
    }

    /// Removes everything of a process that has ended; the record last.
    pub fn remove(&mut self) -> io::Result<()> {
        if let Some(group) = &self.record.cgroup {
            cgroup::remove(Path::new(group))?;
        }
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => fs::remove_dir_all(path)?,
                false if path.ends_with(record::FILE) => {}
                false => fs::remove_file(path)?,
            }
        }
        fs::remove_dir_all(&self.folder)
    }
}

/// The exit code of a child that has ended, 128 and the signal if a signal ended it. What is
/// left of its process group is killed.
fn exit_code(child: &mut Child) -> Option<i64> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if let Ok(None) = waitid(WaitId::Pid(pid_of(child)?), options) {
        return None;
    }
    let _ = signal_group(child, Signal::KILL);
    let status = child.wait().ok()?;
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    Some(code.map_or(UNKNOWN, i64::from))
}

fn signal_group(child: &Child, signal: Signal) -> io::Result<()> {
    let group = pid_of(child).ok_or(io::ErrorKind::NotFound)?;
    Ok(kill_process_group(group, signal)?)
}

fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn may_restart(policy: &str, exit_code: i64, restarts: u64) -> bool {
    match policy.split_once(':').unwrap_or((policy, "0")) {
        ("always" | "unless-stopped", _) => true,
        ("on-failure", times) => {
            let times = times.parse().unwrap_or(0);
            exit_code != 0 && (times == 0 || restarts < times)
        }
        _ => false,
    }
}

/// The last port if nobody listens there, because the gateway knows it; otherwise 0.
fn free_port(last: u16) -> u16 {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, last)) {
        Ok(_) => last,
        Err(_) => 0,
    }
}

/// Binds a port on loopback without listening there; the kernel chooses one for `port` 0. As
/// long as the socket is open, the kernel gives the port to no other program that does not
/// ask for it by number, and its model listens there with SO_REUSEADDR, as servers do.
fn reserve(port: u16) -> io::Result<(OwnedFd, u16)> {
    let flags = SocketFlags::CLOEXEC;
    let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    let address = SocketAddrV4::try_from(net::getsockname(&socket)?)?;
    Ok((socket, address.port()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_reserved_port_is_for_its_model_only() {
        let (socket, port) = reserve(0).unwrap();
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        assert_eq!(free_port(port), port);
        assert!(TcpStream::connect(address).is_err(), "nobody answers");
        // As the kernel does it for a program that asks for any port.
        let other = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        assert_eq!(net::bind(&other, &address), Err(Errno::ADDRINUSE));

        let model = TcpListener::bind(address).unwrap();
        assert!(TcpStream::connect(address).is_ok());
        assert_eq!(free_port(port), 0);
        drop((model, socket));
        // One that an earlier satellite started gets the same port again.
        assert_eq!(reserve(port).unwrap().1, port);
    }

    #[test]
    fn a_process_is_restarted_as_its_policy_says() {
        for (policy, exit_code, restarts, expected) in [
            ("on-failure:3", 1, 2, true),
            ("on-failure:3", 1, 3, false),
            ("on-failure:3", 137, 0, true),
            ("on-failure:3", UNKNOWN, 0, true),
            ("on-failure:3", 0, 0, false),
            ("on-failure", 1, 1000, true),
            ("always", 0, 1000, true),
            ("unless-stopped", 1, 0, true),
            ("no", 1, 0, false),
        ] {
            let restarted = may_restart(policy, exit_code, restarts);
            assert_eq!(restarted, expected, "{policy}, {exit_code}, {restarts}");
        }
    }
}
