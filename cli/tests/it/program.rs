//! Runs the real binary.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything may take on a machine under heavy load.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A call of the binary, with only the environment that the test sets.
pub struct Program {
    command: Command,
    arguments: Vec<String>,
    input: Vec<u8>,
}

/// How a call has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Program {
    pub fn new(arguments: &[&str]) -> Self {
        let mut command = satellite();
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", env!("CARGO_TARGET_TMPDIR"))
            .current_dir(env!("CARGO_TARGET_TMPDIR"));
        Program {
            command,
            arguments: arguments.iter().map(ToString::to_string).collect(),
            input: Vec::new(),
        }
    }

    pub fn env(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.command.env(name, value.as_ref());
        self
    }

    /// What it reads from standard input.
    pub fn input(mut self, text: &str) -> Self {
        self.input = text.into();
        self
    }

    /// Runs it to its end. Its standard input is a pipe.
    pub fn run(self) -> Ended {
        self.start().wait()
    }

    /// Runs it, and panics unless it succeeds.
    pub fn ok(self) -> String {
        let ended = self.run();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout
    }

    /// Runs it with `--json`, and panics unless it prints one document and succeeds.
    pub fn json(mut self) -> Value {
        let words = self.arguments.iter().position(|argument| argument == "--");
        let at = words.unwrap_or(self.arguments.len());
        self.arguments.insert(at, "--json".to_owned());
        serde_json::from_str(&self.ok()).unwrap()
    }

    pub fn start(mut self) -> Running {
        self.command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // It may end without reading.
        let _ = stdin.write_all(&self.input);
        drop(stdin);
        Running {
            stdout: BufReader::new(child.stdout.take().unwrap()),
            stderr: BufReader::new(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Runs it on a terminal and returns what that would show, and its exit code. Its input
    /// is typed when it asks.
    pub fn on_terminal(mut self) -> (String, Option<i32>) {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let end = || {
            let options = File::options()
                .read(true)
                .write(true)
                .open(name.to_str().unwrap());
            Stdio::from(options.unwrap())
        };
        self.command.args(&self.arguments);
        self.command.stdin(end()).stdout(end()).stderr(end());
        let mut child = self.command.spawn().unwrap();
        // Otherwise the terminal would stay open.
        drop(self.command);
        let mut terminal = File::from(terminal);
        let mut shown = Vec::new();
        while !self.input.is_empty() && !shown.ends_with(b"[y/N] ") {
            let mut byte = [0];
            terminal.read_exact(&mut byte).unwrap();
            shown.extend(byte);
        }
        terminal.write_all(&self.input).unwrap();
        // The other end is closed: EIO on Linux.
        let _ = terminal.read_to_end(&mut shown);
        let code = child.wait().unwrap().code();
        (
            String::from_utf8(shown).unwrap().replace("\r\n", "\n"),
            code,
        )
    }
}

/// A call that has not ended yet.
pub struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    /// The next line of its standard output.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next line of its standard error.
    pub fn error_line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Presses Ctrl-C.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// Closes the reading end of its standard output.
    pub fn without_reader(mut self) -> Option<i32> {
        drop(self.stdout);
        let _ = self.stderr.read_to_string(&mut String::new());
        self.child.wait().unwrap().code()
    }

    pub fn wait(mut self) -> Ended {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        thread::scope(|scope| {
            scope.spawn(|| self.stderr.read_to_string(&mut stderr).unwrap());
            self.stdout.read_to_string(&mut stdout).unwrap();
        });
        Ended {
            code: self.child.wait().unwrap().code(),
            stdout,
            stderr,
        }
    }
}

/// Waits for a condition.
pub fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < DEADLINE, "timed out: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The cells of a table, which are separated by two or more spaces.
pub fn cells(table: &str) -> Vec<Vec<&str>> {
    let rows = table.lines().map(|line| line.split("  ").map(str::trim));
    rows.map(|cells| cells.filter(|cell| !cell.is_empty()).collect())
        .collect()
}

/// The command that is tested: `SATELLITE_COMMAND`, perhaps with an emulator before it, or the one
/// that cargo has built.
pub fn satellite() -> Command {
    let words = satellite_words();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

pub fn satellite_words() -> Vec<String> {
    let built = env!("CARGO_BIN_EXE_satellite").to_owned();
    let command = std::env::var("SATELLITE_COMMAND").unwrap_or(built);
    command.split(' ').map(str::to_owned).collect()
}
