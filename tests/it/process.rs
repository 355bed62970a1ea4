//! A child process whose log a test reads.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(60);

pub struct Satellite {
    child: Child,
    lines: Receiver<String>,
    pub log: Vec<String>,
}

pub fn start(mut command: Command) -> Satellite {
    let mut child = command.spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (send, lines) = channel();
    thread::spawn(move || {
        stderr
            .lines()
            .map_while(Result::ok)
            .try_for_each(|l| send.send(l))
    });
    Satellite {
        child,
        lines,
        log: Vec::new(),
    }
}

impl Satellite {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a log line that contains `text`.
    pub fn line(&mut self, text: &str) -> String {
        let end = Instant::now() + TIMEOUT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("no {text:?} in {:#?}", self.log));
            self.log.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    pub fn signal(&self, name: &str) {
        kill(self.pid(), name);
    }

    /// Waits until it exits. Returns its status and how long that took.
    pub fn end(&mut self) -> (ExitStatus, Duration) {
        let started = Instant::now();
        while started.elapsed() < TIMEOUT {
            if let Some(status) = self.child.try_wait().unwrap() {
                let took = started.elapsed();
                self.log.extend(self.lines.iter());
                return (status, took);
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("still running after {TIMEOUT:?}: {:#?}", self.log);
    }
}

impl Drop for Satellite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let status = self.child.wait();
        if thread::panicking() {
            self.log.extend(self.lines.iter());
            eprintln!("{status:?}: {:#?}", self.log);
        }
    }
}

pub fn kill(pid: u32, signal: &str) {
    let pid = pid.to_string();
    let status = Command::new("kill").args(["-s", signal, &pid]).status();
    assert!(status.unwrap().success());
}
