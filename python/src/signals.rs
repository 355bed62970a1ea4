//! Wakes a worker when a signal arrives while it waits without the GIL.
//!
//! Python's own signal handler writes the number of each signal to a file descriptor
//! (`signal.set_wakeup_fd`), and runs the handlers written in Python only when the main thread
//! returns to Python. A thread reads the descriptor and stops the worker, so that it returns.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;
use satellite_sdk::StopHandle;

const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

/// How long a handler that ignores the exception of a signal may run on.
const GRACE: Duration = Duration::from_secs(5);

/// The thread ends when this is dropped.
pub struct WakeUp {
    _writer: UnixStream,
}

impl WakeUp {
    pub fn start(stop: StopHandle, drain: Option<f64>) -> PyResult<(Self, i32)> {
        let (reader, writer) = UnixStream::pair()?;
        writer.set_nonblocking(true)?; // required by set_wakeup_fd
        let fd = writer.as_raw_fd();
        let grace = drain.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || watch(reader, &stop, grace.unwrap_or(GRACE)))?;
        Ok((WakeUp { _writer: writer }, fd))
    }
}

fn watch(mut reader: UnixStream, stop: &StopHandle, grace: Duration) {
    let mut is_stopping = false;
    let mut number = [0];
    loop {
        match reader.read(&mut number) {
            Ok(0) => return, // `run` has returned
            Ok(_) if ![SIGINT, SIGTERM].contains(&number[0]) => {}
            Ok(_) if is_stopping => return end_process("a second signal"),
            Ok(_) => {
                is_stopping = true;
                stop.stop();
                if reader.set_read_timeout(Some(grace)).is_err() {
                    return;
                }
            }
            Err(_) if is_stopping => return end_process("the stop"),
            Err(_) => return,
        }
    }
}

fn end_process(why: &str) {
    // Not through Python: its main thread may never release the GIL.
    eprintln!("satellite-sdk: {why} ends the process while a handler runs");
    std::process::exit(0)
}
