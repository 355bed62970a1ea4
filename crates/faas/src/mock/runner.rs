//! A command in a child process, within limits.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A command and its limits.
pub(super) struct Job<'a> {
    pub(super) words: &'a [String],
    pub(super) envs: &'a [(String, String)],
    pub(super) directory: &'a Path,
    pub(super) limit: Duration,
    pub(super) max_output: usize,
    pub(super) is_cancelled: &'a AtomicBool,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Exited(i32),
    TimedOut,
    TooMuchOutput,
    Cancelled,
}

/// How often a child process is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Runs the command and calls `print` for each line, with whether it is from standard
/// error, and its text.
pub(super) fn run(job: &Job<'_>, print: impl Fn(bool, String) + Sync) -> io::Result<End> {
    let (program, arguments) = job
        .words
        .split_first()
        .ok_or_else(|| io::Error::other("nothing to run"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", job.directory)
        .envs(job.envs.iter().map(|(name, value)| (name, value)))
        .current_dir(job.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let left = AtomicUsize::new(job.max_output);
    let is_too_much = AtomicBool::new(false);
    thread::scope(|scope| {
        let read = |pipe: Option<Box<dyn Read + Send>>, is_error| {
            let (print, left, is_too_much) = (&print, &left, &is_too_much);
            scope.spawn(move || {
                if let Some(pipe) = pipe {
                    lines(pipe, left, is_too_much, |line| print(is_error, line));
                }
            });
        };
        read(stdout.map(|pipe| Box::new(pipe) as _), false);
        read(stderr.map(|pipe| Box::new(pipe) as _), true);
        let begun = Instant::now();
        let end = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(End::Exited(code_of(status))),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
            if is_too_much.load(Ordering::SeqCst) {
                break Ok(End::TooMuchOutput);
            } else if job.is_cancelled.load(Ordering::SeqCst) {
                break Ok(End::Cancelled);
            } else if begun.elapsed() >= job.limit {
                break Ok(End::TimedOut);
            }
            thread::sleep(POLL_INTERVAL);
        };
        // Processes left in the background would keep the pipes open.
        kill(&mut child);
        match is_too_much.load(Ordering::SeqCst) {
            true => Ok(End::TooMuchOutput), // even if it exited because of a closed pipe
            false => end,
        }
    })
}

fn code_of(status: ExitStatus) -> i32 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return 128 + signal;
    }
    status.code().unwrap_or(-1)
}

fn kill(child: &mut Child) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process_group};
        if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn lines(
    pipe: impl Read,
    left: &AtomicUsize,
    is_too_much: &AtomicBool,
    mut print: impl FnMut(String),
) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        // Also limit a line without a newline.
        let most = left.load(Ordering::SeqCst) as u64;
        match (&mut pipe).take(most + 1).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(n) => {
                let before = left.load(Ordering::SeqCst);
                left.store(before.saturating_sub(n), Ordering::SeqCst);
                line.truncate(before);
                print(String::from_utf8_lossy(&line).into_owned());
                if n > before {
                    return is_too_much.store(true, Ordering::SeqCst);
                }
            }
        }
    }
}
