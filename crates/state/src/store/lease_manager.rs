//! The lease: by it the holder tells that it lives and is asked for the state, and
//! by it alone a process knows that it may act. Used from two threads, the store's
//! and the one that renews; a save that takes long holds up no renewal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::candidates::Candidates;
use super::lease_validity::{LeaseValidity, holder_limit, others_limit};
use super::register::{Lease, Put, Register};
use super::{Claim, LeaseRenewer};
use crate::time;
use satellite_core::Result;

/// How often a lost race is run again within one renewal.
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
    /// Whom this process renews for, and since which epoch; nobody before it took
    /// the lease and after it let go.
    held: Option<(String, u64)>,
    /// What this process wrote or read last.
    cached: LeaseRead,
    /// When the renewal that counts was sent.
    sent: Duration,
    watch: Watch,
    candidates: Candidates,
    /// When this process told last that it prepares.
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
            last_announced: None,
        }
    }

    pub(super) fn read(&mut self) -> Result<LeaseRead> {
        let Some(cell) = self.register.get()? else {
            return Ok(None);
        };
        // One that cannot be read is one that nobody has told anything by.
        let lease = serde_json::from_slice(&cell.document).unwrap_or_default();
        Ok(Some((lease, cell.version)))
    }

    /// Becomes the one that renews, over exactly what was read. False when somebody
    /// else was quicker. It may not act before [`begin`](Self::begin).
    pub(super) fn take(&mut self, holder: &str, epoch: u64, current: LeaseRead) -> Result<bool> {
        let before = current.as_ref().map(|(lease, _)| lease);
        let lease = Lease {
            holder: holder.to_owned(),
            acquired: time::now(),
            transitions: before.map_or(0, |lease| lease.transitions + 1),
            epoch,
            // Others go on as candidates.
            ..self.renewed(Lease::default())
        };
        self.sent = self.lease_validity.now();
        self.held = Some((holder.to_owned(), epoch));
        self.put(lease, current.map(|(_, version)| version))
    }

    /// Whether the lease that was taken is still good.
    pub(super) fn is_fresh(&self) -> bool {
        self.lease_validity.now() < self.sent + holder_limit(self.duration())
    }

    /// The state is this process's as well: it may act.
    pub(super) fn begin(&self) {
        self.lease_validity.renewed(self.sent, self.duration());
    }

    /// Renews the lease, and hears who asks for the state. `check` fails when
    /// the state is another's.
    pub(super) fn renew(&mut self, mut check: impl FnMut() -> Result<()>) -> Result<Option<Claim>> {
        let Some((holder, epoch)) = self.held.clone() else {
            return Ok(None); // let go
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
                // The state is this process's, the lease another's, who may act:
                // on its way to the state, or cut off from it.
                if !before.holder.is_empty() && !self.is_expired("", &current) {
                    self.claim(&holder, &current)?;
                    return Ok(None);
                }
            }
            self.candidates.observe(
                &before,
                self.lease_validity.now(),
                others_limit(self.duration()),
            );
            let claim = (!before.claimed_by.is_empty()).then(|| Claim {
                by: before.claimed_by.clone(),
            });
            let sent = self.lease_validity.now();
            let lease = Lease {
                holder: holder.clone(),
                epoch,
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

    /// Lets go of it; others need not wait until it runs out.
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
            log::warn!("the lease was not released, others wait until it expires: {e}");
        }
        self.cached = None;
    }

    /// Asks the holder for the state, unless somebody does so already.
    pub(super) fn claim(&mut self, by: &str, current: &LeaseRead) -> Result<()> {
        match current {
            Some((lease, version)) if lease.claimed_by.is_empty() => {
                let claimed = Lease {
                    claimed_by: by.to_owned(),
                    ..lease.clone()
                };
                if self.put(claimed, Some(version.clone()))? {
                    log::info!("the state is held by {}; asked for it", lease.holder);
                }
                self.cached = None;
                Ok(())
            }
            _ => Ok(()), // nobody would hear it, or it is rung
        }
    }

    /// Tells the holder that this process prepares to take over, and lives; or why
    /// it does not any more. Not often: a holder of an older release renews only
    /// where nobody has written since it read the lease.
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

    /// Nobody has renewed it, or saved the state, for longer than its holder may act.
    pub(super) fn is_expired(&mut self, state_version: &str, current: &LeaseRead) -> bool {
        let length = match current {
            Some((lease, _)) if lease.seconds > 0 => Duration::from_secs(lease.seconds),
            _ => self.duration(),
        };
        let seen = Seen {
            state_version: state_version.to_owned(),
            // Not its version: those who ask write on it as well.
            renewal: current.as_ref().map(|(lease, _)| {
                let renewed = lease.renewed.clone();
                (lease.holder.clone(), lease.epoch, renewed)
            }),
        };
        self.watch.unchanged_for(seen, self.lease_validity.now()) >= others_limit(length)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds())
    }

    /// A lease is told in whole seconds.
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

    /// Writes over `version`, or where nothing is. False when there is another.
    fn put(&mut self, lease: Lease, over: Option<String>) -> Result<bool> {
        self.cached = None;
        let document = serde_json::to_vec(&lease)?;
        if let Put::Done(version) = self.register.put(&document, over.as_deref())? {
            self.cached = Some((lease, version));
        }
        Ok(self.cached.is_some())
    }
}

/// Renews from a thread of its own, with a view of the state of its own.
#[derive(Debug)]
pub(super) struct Renewer<R, L> {
    pub(super) lease: Shared<L>,
    pub(super) fence: super::fenced::Fence<R>,
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

/// Since when something looks as it does, by a clock of one's own.
#[derive(Debug, Default)]
struct Watch(Option<(Seen, Duration)>);

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    state_version: String,
    renewal: Option<(String, u64, String)>,
}

impl Watch {
    fn unchanged_for(&mut self, seen: Seen, now: Duration) -> Duration {
        match &self.0 {
            Some((before, since)) if *before == seen => now.saturating_sub(*since),
            _ => {
                self.0 = Some((seen, now));
                Duration::ZERO
            }
        }
    }
}
