//! The processes that handlers started, ended with the worker.

use std::fs;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// What a child has left after SIGTERM before SIGKILL.
const GRACE: Duration = Duration::from_millis(30);

/// Asks all descendants of this process to end, then ends them.
pub(super) fn end_all() {
    for signal in [Signal::TERM, Signal::KILL] {
        let family = descendants(std::process::id());
        if family.is_empty() {
            return;
        }
        for pid in family {
            if let Some(pid) = Pid::from_raw(pid as i32) {
                let _ = kill_process(pid, signal); // gone meanwhile: fine
            }
        }
        if signal == Signal::TERM {
            thread::sleep(GRACE);
        }
    }
}

fn descendants(root: u32) -> Vec<u32> {
    let parents = parents();
    let mut family = vec![root];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(c, _)| c));
        next += 1;
    }
    family.split_off(1)
}

/// Each living process with its parent, from `/proc`.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| Some((pid, parent(pid)?)))
        .collect()
}

/// The name in the second field may hold spaces and parentheses: the fields
/// are counted from its end. A zombie counts as gone.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z").then_some(parent)
}
