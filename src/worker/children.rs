//! Terminates the processes that handlers started when the worker stops.

use std::fs;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_millis(30);

/// Sends SIGTERM to all descendants of this process, then SIGKILL.
pub(super) fn terminate_descendants() {
    for signal in [Signal::TERM, Signal::KILL] {
        let descendants = descendants(std::process::id());
        if descendants.is_empty() {
            return;
        }
        for pid in descendants {
            if let Some(pid) = Pid::from_raw(pid as i32) {
                let _ = kill_process(pid, signal); // it may have exited already
            }
        }
        if signal == Signal::TERM {
            thread::sleep(GRACE);
        }
    }
}

fn descendants(root: u32) -> Vec<u32> {
    let parents = parents();
    let mut pids = vec![root];
    let mut next = 0;
    while let Some(&parent) = pids.get(next) {
        pids.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(c, _)| c));
        next += 1;
    }
    pids.split_off(1)
}

/// All live processes with their parents, from `/proc`.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| Some((pid, parent(pid)?)))
        .collect()
}

/// The parent of a process; `None` for a zombie. The name in the second field may
/// contain spaces and parentheses, so the fields are counted from its end.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z").then_some(parent)
}
