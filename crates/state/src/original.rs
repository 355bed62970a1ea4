//! Imports the state that dory-sdk, the original Python implementation, stored for this
//! processor. It is read from where dory-sdk stores it, and never removed.
//!
//! dory-sdk saves only when it stops. In a rolling update it stops when the new
//! pod is ready, so its last save arrives after this process has started: for a
//! while after an import the same locations are read again, and a state that was
//! saved since then replaces the one in memory, as `POST /state` would.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::checksum::hex_sha256;
use super::core::Core;
use super::original_locations::{file_name, folders, read_file};
use super::snapshot::{Snapshot, Stamp};
use super::store::Opened;
use satellite_core::Result;
use satellite_core::wake::Stage;

/// How long after a takeover a save of dory-sdk is still expected: as long as
/// Kubernetes gives a rollout to make progress.
const WINDOW: Duration = Duration::from_secs(600);
/// How often the locations are read again in that time.
const POLL: Duration = Duration::from_secs(2);
/// How long to wait before a failed attempt is retried.
const RETRY: Duration = Duration::from_secs(1);

/// A state of dory-sdk, or other content found under its name.
struct Candidate {
    place: String,
    /// A checksum of the content.
    sum: String,
    state: Result<Snapshot, String>,
}

impl Candidate {
    fn log_rejection(&self, why: &str) {
        let place = &self.place;
        log::warn!("{place}: this state of dory-sdk was not taken over: {why}");
    }
}

/// Reads the locations again for a while.
pub(super) struct Watch {
    seen: HashSet<String>,
    namespaces: Vec<String>,
    until: Instant,
}

impl Core {
    /// Searches for a state of dory-sdk. If no state of this kit was stored, the newest
    /// one is put into `opened`. A state that is found but not imported is logged as a
    /// warning.
    ///
    /// Returns what to watch when dory-sdk may save once more.
    pub(super) fn take_over_original(&self, opened: &mut Opened) -> Result<Option<Watch>> {
        if !opened.failures.is_empty() {
            return Ok(None);
        }
        let mut namespaces = self.settings.original.namespaces.clone();
        let found = self.originals_with_retries(&mut namespaces)?;
        let own = opened.snapshot.as_ref().map(|own| own.stamp.clone());
        if let Some(own) = own.filter(|own| own.epoch > 0) {
            warn_of_newer(&found, &own);
            return Ok(None);
        }
        let watch = Watch {
            seen: found.iter().map(|found| found.sum.clone()).collect(),
            namespaces,
            until: self.waiter.now() + WINDOW,
        };
        if let Some(own) = &opened.snapshot {
            log::info!(
                "taken over from dory-sdk, saved at {}; the original is kept",
                own.stamp.saved_at
            );
            warn_of_newer(&found, &own.stamp);
            return Ok(Some(watch));
        }
        let newest = found.iter().filter_map(saved_at).max();
        for candidate in &found {
            match &candidate.state {
                Err(why) => candidate.log_rejection(why),
                Ok(_) if opened.snapshot.is_some() || saved_at(candidate) != newest => {
                    candidate.log_rejection("another one is newer");
                }
                Ok(snapshot) => {
                    let (place, at) = (&candidate.place, &snapshot.stamp.saved_at);
                    log::info!("taken over from {place}, saved at {at}");
                    opened.snapshot = Some(snapshot.clone());
                }
            }
        }
        Ok(Some(watch))
    }

    /// Retries while a server is unavailable: a state may exist there.
    fn originals_with_retries(&self, namespaces: &mut Vec<String>) -> Result<Vec<Candidate>> {
        loop {
            match self.originals(namespaces) {
                Err(e) if e.is_retryable() => {
                    self.record_open_failure(&e);
                    self.wait_to_open(RETRY, &e.to_string())?;
                }
                found => return found,
            }
        }
    }

    /// Removes from `namespaces` those that this pod may not read.
    fn originals(&self, namespaces: &mut Vec<String>) -> Result<Vec<Candidate>> {
        let places = &self.settings.original;
        let mut found = Vec::new();
        for id in places.ids() {
            for namespace in namespaces.clone() {
                let is_own = namespace == self.settings.pod_namespace;
                match self.read_original(&namespace, id) {
                    Ok(original) => found.extend(original.map(|o| (id, o.place, Ok(o.document)))),
                    Err(e) if e.is_retryable() => return Err(e),
                    // Without access there dory-sdk could not save there either.
                    Err(e) if !is_own => {
                        log::debug!("no state of dory-sdk: {e}");
                        namespaces.retain(|other| *other != namespace);
                    }
                    Err(e) => found.push((id, format!("id {id}"), Err(e.to_string()))),
                }
            }
            for folder in folders() {
                let path = folder.join(file_name(id));
                match read_file(&path) {
                    Ok(document) => {
                        found.extend(document.map(|d| (id, path.display().to_string(), Ok(d))));
                    }
                    Err(e) => found.push((id, path.display().to_string(), Err(e.to_string()))),
                }
            }
        }
        let found = found.into_iter().map(|(id, place, document)| Candidate {
            place,
            sum: match &document {
                Ok(document) => hex_sha256(document),
                Err(why) => why.clone(),
            },
            state: document.and_then(|document| places.check(id, &document)),
        });
        let mut sums = HashSet::new();
        // Two paths may refer to the same folder.
        Ok(found
            .filter(|candidate| sums.insert(candidate.sum.clone()))
            .collect())
    }

    /// Imports what dory-sdk saves from now on, for as long as its last save may still be
    /// pending.
    pub(super) fn watch_original(self: &Arc<Self>, mut watch: Watch) -> Result<()> {
        let core = Arc::clone(self);
        thread::Builder::new()
            .name("original".into())
            .spawn(move || {
                let mut suspect = HashSet::new();
                while core.waiter.now() < watch.until && core.waiter.sleep(POLL, Stage::Draining) {
                    // An unavailable server is read again in the next round.
                    let found = core.originals(&mut watch.namespaces).unwrap_or_default();
                    for candidate in found {
                        if watch.seen.contains(&candidate.sum) {
                            continue;
                        }
                        // A file may have been read while it was being written.
                        if candidate.state.is_err() && suspect.insert(candidate.sum.clone()) {
                            continue;
                        }
                        watch.seen.insert(candidate.sum.clone());
                        core.take_late_save(&candidate);
                    }
                }
            })?;
        Ok(())
    }

    /// The last save of a pod that ran beside this process.
    fn take_late_save(&self, candidate: &Candidate) {
        let taken = match &candidate.state {
            Err(why) => Err(why.clone()),
            Ok(snapshot) => self.restore(snapshot).map_err(|e| e.to_string()),
        };
        match taken {
            Err(why) => candidate.log_rejection(&why),
            Ok(()) => {
                log::warn!(
                    "{}: dory-sdk saved its state again after the takeover: it replaces the \
                     state of this process",
                    candidate.place
                );
                // A failure is logged and retried at the next checkpoint.
                let _ = self.checkpoint();
            }
        }
    }
}

/// Logs the states that are newer than the stored state of this kit.
fn warn_of_newer(found: &[Candidate], own: &Stamp) {
    for candidate in found {
        if saved_at(candidate).is_some_and(|at| at > to_the_second(&own.saved_at)) {
            candidate.log_rejection(&format!(
                "it is newer, but this processor has a state of its own, saved at {}; POST \
                 /state takes the payload if that is the one to go on with",
                own.saved_at
            ));
        }
    }
}

fn saved_at(candidate: &Candidate) -> Option<&str> {
    let snapshot = candidate.state.as_ref().ok()?;
    Some(to_the_second(&snapshot.stamp.saved_at))
}

/// dory-sdk records no fractions of a second. Both use UTC, so that texts sort as times.
fn to_the_second(time: &str) -> &str {
    time.get(..19).unwrap_or(time)
}
