//! What a holder knows about processes that prepare to take over its state. This only
//! affects the log: the state is handed over when a process claims it.

use std::time::Duration;

use super::register::Lease;

/// The candidate that was seen last.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    known: Option<Known>,
    /// The candidate whose failure was logged: its fields in the lease are cleared.
    finished: String,
}

#[derive(Debug)]
struct Known {
    name: String,
    beat: u64,
    since: Duration,
}

impl Candidates {
    /// Logs when a candidate starts, fails, or sends no heartbeat for `limit`.
    pub(super) fn observe(&mut self, lease: &Lease, now: Duration, limit: Duration) {
        let name = &lease.candidate;
        let before = self.known.take();
        if let Some(before) = &before {
            if before.name != *name && *name != self.finished {
                self.failed(&before.name, "it ended before it was ready");
            }
        }
        if name.is_empty() || *name == self.finished {
            return;
        }
        if !lease.candidate_failed.is_empty() {
            return self.failed(name, &lease.candidate_failed);
        }
        let is_the_same = |known: &Known| known.name == *name && known.beat == lease.candidate_beat;
        let since = match before.as_ref() {
            Some(known) if is_the_same(known) => known.since,
            Some(known) if known.name == *name => now,
            _ => {
                log::info!("{name} is preparing to take over the state");
                now
            }
        };
        if now.saturating_sub(since) >= limit {
            return self.failed(name, "it stopped sending heartbeats");
        }
        self.known = Some(Known {
            name: name.clone(),
            beat: lease.candidate_beat,
            since,
        });
    }

    /// The lease without a candidate that has finished.
    pub(super) fn without_finished(&self, lease: Lease) -> Lease {
        match !lease.candidate.is_empty() && lease.candidate == self.finished {
            true => Lease {
                candidate: String::new(),
                candidate_failed: String::new(),
                ..lease
            },
            false => lease,
        }
    }

    fn failed(&mut self, name: &str, why: &str) {
        log::warn!("{name} failed to take over: {why}; this process continues");
        self.finished = name.to_owned();
    }
}
