//! The lease: the holder renews it to show that it is alive, other processes claim the
//! state with it, and it alone decides whether a process may act. Used from two threads,
//! that of the store and the one that renews, so that a slow save delays no renewal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::candidates::Candidates;
use super::claims::Claims;
use super::lease_validity::{LeaseValidity, holder_limit, others_limit};
use super::register::{Lease, Put, Register};
use super::{Claim, LeaseRenewer};
use crate::time;
use satellite_core::Result;

/// How many attempts one renewal makes after write conflicts.
const MAX_ATTEMPTS: u32 = 5;

/// How long one call about a lease may take: several fit between a renewal and the
/// moment when the holder has to stop.
pub(super) fn call_limit(lease_duration: Duration) -> Duration {
    (lease_duration / 5).max(Duration::from_millis(500))
}

/// A lease as it was read: its content and its version.
pub(super) type LeaseRead = Option<(Lease, String)>;

#[derive(Debug)]
pub(super) struct LeaseManager<L> {
    register: L,
    lease_duration: Duration,
    lease_validity: LeaseValidity,
    /// The holder and epoch for which this process renews; `None` before it took the
    /// lease and after it released it.
    held: Option<(String, u64)>,
    /// What this process wrote or read last.
    cached: LeaseRead,
    /// When the write that took the lease was sent.
    sent: Duration,
    watch: Watch,
    candidates: Candidates,
    claims: Claims,
    /// The holder that this process has asked for the state; empty if it asked none.
    asked: String,
    /// When this process last announced that it is preparing.
    last_announced: Option<Duration>,
}

impl<L: Register> LeaseManager<L> {
    pub(super) fn new(
        register: L,
        lease_duration: Duration,
        lease_validity: LeaseValidity,
    ) -> Self {
        lease_validity.end();
        LeaseManager {
            register,
            lease_duration,
            lease_validity,
            held: None,
            cached: None,
            sent: Duration::ZERO,
            watch: Watch::default(),
            candidates: Candidates::default(),
            claims: Claims::default(),
            asked: String::new(),
            last_announced: None,
        }
    }

    pub(super) fn read(&mut self) -> Result<LeaseRead> {
        let Some(cell) = self.register.get()? else {
            return Ok(None);
        };
        // A lease that cannot be parsed is treated as an empty one.
        let lease = serde_json::from_slice(&cell.document).unwrap_or_default();
        Ok(Some((lease, cell.version)))
    }

    /// Takes the lease, over exactly the version that was read. False when another
    /// process was faster. This process may not act before [`begin`](Self::begin).
    pub(super) fn take(&mut self, holder: &str, epoch: u64, current: LeaseRead) -> Result<bool> {
        let before = current.as_ref().map(|(lease, _)| lease);
        let lease = Lease {
            holder: holder.to_owned(),
            acquired: time::now(),
            transitions: before.map_or(0, |lease| lease.transitions + 1),
            epoch,
            // Other candidates announce themselves again.
            ..self.renewed(Lease::default())
        };
        self.sent = self.lease_validity.now();
        self.held = Some((holder.to_owned(), epoch));
        self.put(lease, current.map(|(_, version)| version))
    }

    /// Whether the lease that was taken is still valid.
    pub(super) fn is_fresh(&self) -> bool {
        self.lease_validity.now() < self.sent + holder_limit(self.duration())
    }

    /// This process has taken the state as well: it may act.
    pub(super) fn begin(&self) {
        self.lease_validity.renewed(self.sent, self.duration());
    }

    /// Renews the lease, and returns the claim of another process if there is one. `check`
    /// fails when another process holds the state.
    pub(super) fn renew(&mut self, mut check: impl FnMut() -> Result<()>) -> Result<Option<Claim>> {
        let Some((holder, epoch)) = self.held.clone() else {
            return Ok(None); // released
        };
        for _ in 0..MAX_ATTEMPTS {
            let had_lapsed = !self.lease_validity.is_valid();
            let current = match self.cached.take() {
                None => self.read()?,
                cached => cached,
            };
            let (before, version) = current.clone().unzip();
            let before = before.unwrap_or_default();
            let is_own = before.holder == holder;
            if !is_own {
                check()?;
                // This process holds the state, but another process holds the lease and may
                // act: it is about to take the state, or cannot reach it.
                if !before.holder.is_empty() && !self.is_expired("", &current) {
                    self.claim(&holder, &current)?;
                    return Ok(None);
                }
            }
            let (now, limit) = (self.lease_validity.now(), others_limit(self.duration()));
            self.candidates.observe(&before, now, limit);
            let claim = self.claims.current(&before.claimed_by, now, limit);
            let sent = self.lease_validity.now();
            let lease = Lease {
                holder: holder.clone(),
                epoch,
                claimed_by: claim
                    .as_ref()
                    .map_or_else(String::new, |claim| claim.by.clone()),
                ..self.renewed(self.candidates.without_finished(before))
            };
            if self.put(lease, version)? {
                if had_lapsed || !is_own {
                    check()?;
                }
                self.lease_validity.renewed(sent, self.duration());
                return Ok(claim);
            }
        }
        Ok(None)
    }

    /// Releases the lease, so that other processes need not wait until it expires.
    pub(super) fn release(&mut self) {
        let Some((holder, _)) = self.held.take() else {
            return;
        };
        self.lease_validity.end();
        let cached = self.cached.take();
        let released = cached.map_or_else(|| self.read(), |cached| Ok(Some(cached)));
        let released = released.and_then(|current| match current {
            Some((lease, version)) if lease.holder == holder => {
                let lease = Lease {
                    holder: String::new(),
                    renewed: time::now(),
                    ..lease
                };
                self.put(lease, Some(version)).map(|_| ())
            }
            _ => Ok(()),
        });
        if let Err(e) = released {
            log::warn!("could not release the lease, other processes wait until it expires: {e}");
        }
        self.cached = None;
    }

    /// Claims the state from its holder, unless there is a claim already. Returns whether the
    /// lease may have changed.
    pub(super) fn claim(&mut self, by: &str, current: &LeaseRead) -> Result<bool> {
        match current {
            Some((lease, version)) if lease.claimed_by.is_empty() => {
                let claimed = Lease {
                    claimed_by: by.to_owned(),
                    ..lease.clone()
                };
                let is_new = self.asked != lease.holder;
                if self.put(claimed, Some(version.clone()))? && is_new {
                    log::info!(
                        "the state is held by {}; requested a handover",
                        lease.holder
                    );
                }
                self.asked.clone_from(&lease.holder);
                self.cached = None;
                Ok(true)
            }
            _ => Ok(false), // there is no holder, or a claim exists already
        }
    }

    /// Removes the claim of this process, which does not wait any more.
    pub(super) fn withdraw(&mut self, by: &str) -> Result<()> {
        if self.asked.is_empty() {
            return Ok(());
        }
        self.asked.clear();
        for _ in 0..MAX_ATTEMPTS {
            let Some((lease, version)) = self.read()?.filter(|(l, _)| l.claimed_by == by) else {
                break;
            };
            let withdrawn = Lease {
                claimed_by: String::new(),
                ..lease
            };
            let is_done = self.put(withdrawn, Some(version))?;
            self.cached = None;
            if is_done {
                break;
            }
        }
        Ok(())
    }

    /// Continues to announce this process while it waits for the state that it has claimed.
    pub(super) fn keep_announcing(&mut self, candidate: &str, current: LeaseRead) -> Result<()> {
        match self.last_announced {
            Some(_) => self.prepare(candidate, "", current),
            None => Ok(()),
        }
    }

    /// Announces to the holder that this process is preparing to take over and is alive,
    /// or why it gave up. Limited in frequency: a holder of an older release can renew
    /// only if no other process has written since it read the lease.
    pub(super) fn prepare(
        &mut self,
        candidate: &str,
        failed: &str,
        current: LeaseRead,
    ) -> Result<()> {
        let now = self.lease_validity.now();
        let is_early = |at| now.saturating_sub(at) < self.duration() / 3;
        let is_recent = failed.is_empty() && self.last_announced.is_some_and(is_early);
        let Some((lease, version)) = current.filter(|_| !is_recent) else {
            return Ok(());
        };
        self.last_announced = Some(now);
        let announcement = Lease {
            candidate: candidate.to_owned(),
            candidate_beat: lease.candidate_beat + 1,
            candidate_failed: failed.to_owned(),
            ..lease
        };
        self.put(announcement, Some(version))?;
        self.cached = None;
        Ok(())
    }

    /// Whether nothing was renewed or saved for longer than the holder may act.
    pub(super) fn is_expired(&mut self, state_version: &str, current: &LeaseRead) -> bool {
        let length = match current {
            Some((lease, _)) if lease.seconds > 0 => Duration::from_secs(lease.seconds),
            _ => self.duration(),
        };
        let activity = Activity {
            state_version: state_version.to_owned(),
            // Not its version: processes that claim the state change that as well.
            renewal: current.as_ref().map(|(lease, _)| {
                let renewed = lease.renewed.clone();
                (lease.holder.clone(), lease.epoch, renewed)
            }),
        };
        self.watch
            .unchanged_for(activity, self.lease_validity.now())
            >= others_limit(length)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds())
    }

    /// The duration is stored in whole seconds.
    fn seconds(&self) -> u64 {
        self.lease_duration.as_secs().max(1)
    }

    fn renewed(&self, lease: Lease) -> Lease {
        Lease {
            renewed: time::now(),
            seconds: self.seconds(),
            ..lease
        }
    }

    /// Writes over the version `over`, or creates the lease. False on a conflict.
    fn put(&mut self, lease: Lease, over: Option<String>) -> Result<bool> {
        self.cached = None;
        let document = serde_json::to_vec(&lease)?;
        if let Put::Done(version) = self.register.put(&document, over.as_deref())? {
            self.cached = Some((lease, version));
        }
        Ok(self.cached.is_some())
    }
}

/// Renews from a separate thread, with its own handle of the state.
#[derive(Debug)]
pub(super) struct Renewer<R, L> {
    pub(super) lease: Shared<L>,
    pub(super) fence: super::fence::Fence<R>,
}

impl<R: Register, L: Register> LeaseRenewer for Renewer<R, L> {
    fn renew(&mut self) -> Result<Option<Claim>> {
        let fence = &mut self.fence;
        self.lease.lock().renew(|| fence.check())
    }
}

#[derive(Debug)]
pub(super) struct Shared<L>(Arc<Mutex<LeaseManager<L>>>);

impl<L> Shared<L> {
    pub(super) fn new(manager: LeaseManager<L>) -> Self {
        Shared(Arc::new(Mutex::new(manager)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, LeaseManager<L>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L> Clone for Shared<L> {
    fn clone(&self) -> Self {
        Shared(Arc::clone(&self.0))
    }
}

/// Since when something has not changed, measured with the own clock.
#[derive(Debug, Default)]
struct Watch(Option<(Activity, Duration)>);

/// What the holder changes while it is alive.
#[derive(Debug, PartialEq, Eq)]
struct Activity {
    state_version: String,
    renewal: Option<(String, u64, String)>,
}

impl Watch {
    fn unchanged_for(&mut self, activity: Activity, now: Duration) -> Duration {
        match &self.0 {
            Some((before, since)) if *before == activity => now.saturating_sub(*since),
            _ => {
                self.0 = Some((activity, now));
                Duration::ZERO
            }
        }
    }
}
