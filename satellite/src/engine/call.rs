//! One call of the engine's program: a child process in its own process group, with a
//! timeout.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{Environment, Fault};

/// Output of a call beyond this size is discarded.
const OUTPUT_LIMIT: u64 = 8 * 1024 * 1024;

pub(super) struct Call {
    command: Command,
    input: Vec<u8>,
}

impl Call {
    /// `host` is fixed: no variable in the environment selects another engine.
    pub(super) fn new(program: &str, host: Option<&str>) -> Self {
        let mut command = Command::new(program);
        match host {
            Some(host) => command
                .env("DOCKER_HOST", host)
                .env_remove("DOCKER_CONTEXT"),
            None => command.env_remove("DOCKER_HOST"),
        };
        // The token must not reach child processes.
        command.env_remove("LUML_SATELLITE_TOKEN");
        command.env_remove("NOTIFY_SOCKET");
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Call {
            command,
            input: Vec::new(),
        }
    }

    pub(super) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    #[cfg(feature = "demo")]
    pub(super) fn input(mut self, bytes: &[u8]) -> Self {
        self.input = bytes.to_vec();
        self
    }

    /// Sets the container's environment: `--env NAME`, with the value in the environment of
    /// the program, so that it is in no argument and in no file. Variables that would
    /// affect the program itself are passed as an env file on its standard input.
    pub(super) fn environment(mut self, variables: &Environment) -> Result<Self, Fault> {
        for (name, value) in variables.iter() {
            let value = value.expose();
            if !is_variable(name) || value.contains('\0') {
                let text = format!("the environment variable {name:?} cannot be passed on");
                return Err(Fault::Other(text));
            }
            if !affects_program(name) {
                self.command.arg("--env").arg(name).env(name, value);
            } else if value.contains(['\n', '\r']) {
                let text = format!("{name} cannot be passed on: it holds more than one line");
                return Err(Fault::Other(text));
            } else {
                self.input.extend(format!("{name}={value}\n").into_bytes());
            }
        }
        if !self.input.is_empty() {
            self.command.args(["--env-file", "/dev/stdin"]);
        }
        Ok(self)
    }

    /// Runs the program; returns its stdout.
    pub(super) fn run(self, limit: Duration) -> Result<String, Fault> {
        let (stdout, _) = self.finish(limit, |_| {})?;
        Ok(stdout)
    }

    /// Runs the program; returns its stdout followed by its stderr.
    pub(super) fn run_with_stderr(self, limit: Duration) -> Result<String, Fault> {
        let (stdout, stderr) = self.finish(limit, |_| {})?;
        Ok(stdout + &stderr)
    }

    /// Runs the program; passes each line of stdout to `on_line` as it arrives.
    pub(super) fn run_streaming(
        self,
        limit: Duration,
        on_line: impl FnMut(&str),
    ) -> Result<(), Fault> {
        self.finish(limit, on_line).map(drop)
    }

    fn finish(
        mut self,
        limit: Duration,
        mut on_line: impl FnMut(&str),
    ) -> Result<(String, String), Fault> {
        let program = self.command.get_program().to_string_lossy().into_owned();
        if !self.input.is_empty() {
            self.command.stdin(Stdio::piped());
        }
        let child = self.command.spawn();
        let mut child = child.map_err(|e| {
            let text = format!("{program} cannot be run: {e}");
            match e.kind() {
                ErrorKind::NotFound | ErrorKind::PermissionDenied => Fault::NoEngine(text),
                _ => Fault::Other(text),
            }
        })?;
        if let Some(mut stdin) = child.stdin.take() {
            let input = std::mem::take(&mut self.input);
            thread::spawn(move || stdin.write_all(&input));
        }
        let lines = child.stdout.take().map(lines_of);
        let stderr = child.stderr.take().map(all_of);

        let end = Instant::now() + limit;
        let mut stdout = String::new();
        if let Some(lines) = lines {
            // The channel closes when the child and all that share its stdout have exited.
            while let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                on_line(line.trim_end());
                stdout.push_str(&line);
            }
        }
        let Some(status) = wait(&mut child, end) else {
            kill_group(&mut child);
            let what = self.command.get_args().next();
            let what = what.unwrap_or_default().to_string_lossy();
            let text = format!("{program} {what} took longer than {limit:?} and was killed");
            return Err(Fault::TimedOut(text));
        };
        let stderr = stderr
            .and_then(|text| text.recv_timeout(Duration::from_secs(1)).ok())
            .unwrap_or_default();
        match status.success() {
            true => Ok((stdout, stderr)),
            false if stderr.trim().is_empty() => {
                Err(Fault::Other(format!("{program} failed with {status}")))
            }
            false => Err(Fault::of(&stderr)),
        }
    }
}

/// Waits for the child until `end`; most calls take only milliseconds.
fn wait(child: &mut Child, end: Instant) -> Option<ExitStatus> {
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < end => thread::sleep(pause),
            _ => return None,
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Kills the process group: the program may have started helper processes.
fn kill_group(child: &mut Child) {
    #[cfg(target_os = "linux")]
    if let Some(group) = rustix::process::Pid::from_raw(child.id() as i32) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn lines_of(stdout: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(stdout.take(OUTPUT_LIMIT));
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            if send
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
            line.clear();
        }
    });
    receive
}

fn all_of(stderr: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stderr.take(OUTPUT_LIMIT).read_to_end(&mut bytes);
        send.send(String::from_utf8_lossy(&bytes).into_owned())
    });
    receive
}

fn affects_program(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    const PREFIXES: [&str; 8] = [
        "DOCKER_",
        "CONTAINER",
        "PODMAN_",
        "NERDCTL_",
        "BUILDKIT_",
        "BUILDX_",
        "LD_",
        "XDG_",
    ];
    const NAMES: [&str; 19] = [
        "PATH",
        "HOME",
        "USER",
        "TMPDIR",
        "TMP",
        "TEMP",
        "LANG",
        "TERM",
        "HOSTNAME",
        "GODEBUG",
        "GOGC",
        "GOMAXPROCS",
        "GOMEMLIMIT",
        "GOTRACEBACK",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "SSH_AUTH_SOCK",
        "REGISTRY_AUTH_FILE",
        "STORAGE_DRIVER",
    ];
    upper.ends_with("_PROXY")
        || PREFIXES.iter().any(|prefix| upper.starts_with(prefix))
        || NAMES.contains(&upper.as_str())
}

/// Rejects names that a program could expand or parse as more than a name.
fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}
