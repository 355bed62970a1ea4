//! The lease: by it the holder tells that it lives and is asked for the state, and
//! by it alone a process knows that it may act. Used from two threads, the store's
//! and the one that renews; a save that takes long holds up no renewal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::candidates::Candidates;
use super::register::{Lease, Put, Register};
use super::tenure::{Tenure, holder_limit, others_limit};
use super::{Claim, Keeper};
use crate::time;
use satellite_core::Result;

/// How often a lost race is run again within one renewal.
const TRIES: u32 = 5;

/// How long one call about a lease may take: several fit between a renewal and the
/// moment when the holder has to stop.
pub(super) fn call_limit(patience: Duration) -> Duration {
    (patience / 5).max(Duration::from_millis(500))
}

/// A lease as it was read: its content and its version.
pub(super) type There = Option<(Lease, String)>;

#[derive(Debug)]
pub(super) struct LeaseKeeper<L> {
    register: L,
    patience: Duration,
    tenure: Tenure,
    /// Whom this process renews for, and since which epoch; nobody before it took
    /// the lease and after it let go.
    held: Option<(String, u64)>,
    /// What this process wrote or read last.
    told: There,
    /// When the renewal that counts was sent.
    sent: Duration,
    watch: Watch,
    candidates: Candidates,
    /// When this process told last that it prepares.
    beat: Option<Duration>,
}

impl<L: Register> LeaseKeeper<L> {
    pub(super) fn new(register: L, patience: Duration, tenure: Tenure) -> Self {
        tenure.end();
        LeaseKeeper {
            register,
            patience,
            tenure,
            held: None,
            told: None,
            sent: Duration::ZERO,
            watch: Watch::default(),
            candidates: Candidates::default(),
            beat: None,
        }
    }

    pub(super) fn read(&mut self) -> Result<There> {
        let Some(cell) = self.register.get()? else {
            return Ok(None);
        };
        // One that cannot be read is one that nobody has told anything by.
        let lease = serde_json::from_slice(&cell.document).unwrap_or_default();
        Ok(Some((lease, cell.version)))
    }

    /// Becomes the one that renews, over exactly what was read. False when somebody
    /// else was quicker. It may not act before [`begin`](Self::begin).
    pub(super) fn take(&mut self, holder: &str, epoch: u64, there: There) -> Result<bool> {
        let before = there.as_ref().map(|(lease, _)| lease);
        let lease = Lease {
            holder: holder.to_owned(),
            acquired: time::now(),
            transitions: before.map_or(0, |lease| lease.transitions + 1),
            epoch,
            // Others go on as candidates.
            ..self.renewed(Lease::default())
        };
        self.sent = self.tenure.now();
        self.held = Some((holder.to_owned(), epoch));
        self.put(lease, there.map(|(_, version)| version))
    }

    /// Whether the lease that was taken is still good.
    pub(super) fn is_fresh(&self) -> bool {
        self.tenure.now() < self.sent + holder_limit(self.duration())
    }

    /// The state is this process's as well: it may act.
    pub(super) fn begin(&self) {
        self.tenure.renewed(self.sent, self.duration());
    }

    /// Renews the lease, and hears who asks for the state. `check` fails when
    /// the state is another's.
    pub(super) fn renew(&mut self, mut check: impl FnMut() -> Result<()>) -> Result<Option<Claim>> {
        let Some((holder, epoch)) = self.held.clone() else {
            return Ok(None); // let go
        };
        for _ in 0..TRIES {
            let had_lapsed = !self.tenure.is_valid();
            let there = match self.told.take() {
                None => self.read()?,
                told => told,
            };
            let (before, version) = there.clone().unzip();
            let before = before.unwrap_or_default();
            let is_own = before.holder == holder;
            if !is_own {
                check()?;
                // The state is this process's, the lease another's, who may act:
                // on its way to the state, or cut off from it.
                if !before.holder.is_empty() && !self.is_expired("", &there) {
                    self.ring(&holder, &there)?;
                    return Ok(None);
                }
            }
            self.candidates
                .look(&before, self.tenure.now(), others_limit(self.duration()));
            let claim = (!before.claimed_by.is_empty()).then(|| Claim {
                by: before.claimed_by.clone(),
            });
            let sent = self.tenure.now();
            let lease = Lease {
                holder: holder.clone(),
                epoch,
                ..self.renewed(self.candidates.heard(before))
            };
            if self.put(lease, version)? {
                if had_lapsed || !is_own {
                    check()?;
                }
                self.tenure.renewed(sent, self.duration());
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
        self.tenure.end();
        let told = self.told.take();
        let released = told.map_or_else(|| self.read(), |told| Ok(Some(told)));
        let released = released.and_then(|there| match there {
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
        self.told = None;
    }

    /// Asks the holder for the state, unless somebody does so already.
    pub(super) fn ring(&mut self, by: &str, there: &There) -> Result<()> {
        match there {
            Some((lease, version)) if lease.claimed_by.is_empty() => {
                let asking = Lease {
                    claimed_by: by.to_owned(),
                    ..lease.clone()
                };
                if self.put(asking, Some(version.clone()))? {
                    log::info!("the state is held by {}; asked for it", lease.holder);
                }
                self.told = None;
                Ok(())
            }
            _ => Ok(()), // nobody would hear it, or it is rung
        }
    }

    /// Tells the holder that this process prepares to take over, and lives; or why
    /// it does not any more. Not often: a holder of an older release renews only
    /// where nobody has written since it read the lease.
    pub(super) fn prepare(&mut self, candidate: &str, failed: &str, there: There) -> Result<()> {
        let now = self.tenure.now();
        let is_early = |beat| now.saturating_sub(beat) < self.duration() / 3;
        let is_told = failed.is_empty() && self.beat.is_some_and(is_early);
        let Some((lease, version)) = there.filter(|_| !is_told) else {
            return Ok(());
        };
        self.beat = Some(now);
        let telling = Lease {
            candidate: candidate.to_owned(),
            candidate_beat: lease.candidate_beat + 1,
            candidate_failed: failed.to_owned(),
            ..lease
        };
        self.put(telling, Some(version))?;
        self.told = None;
        Ok(())
    }

    /// Nobody has renewed it, or saved the state, for longer than its holder may act.
    pub(super) fn is_expired(&mut self, state_version: &str, there: &There) -> bool {
        let length = match there {
            Some((lease, _)) if lease.seconds > 0 => Duration::from_secs(lease.seconds),
            _ => self.duration(),
        };
        let seen = Seen {
            state_version: state_version.to_owned(),
            // Not its version: those who ask write on it as well.
            renewal: there.as_ref().map(|(lease, _)| {
                let renewed = lease.renewed.clone();
                (lease.holder.clone(), lease.epoch, renewed)
            }),
        };
        self.watch.unchanged_for(seen, self.tenure.now()) >= others_limit(length)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds())
    }

    /// A lease is told in whole seconds.
    fn seconds(&self) -> u64 {
        self.patience.as_secs().max(1)
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
        self.told = None;
        let document = serde_json::to_vec(&lease)?;
        if let Put::Done(version) = self.register.put(&document, over.as_deref())? {
            self.told = Some((lease, version));
        }
        Ok(self.told.is_some())
    }
}

/// Renews from a thread of its own, with a view of the state of its own.
#[derive(Debug)]
pub(super) struct Renewing<R, L> {
    pub(super) lease: Shared<L>,
    pub(super) fence: super::fenced::Fence<R>,
}

impl<R: Register, L: Register> Keeper for Renewing<R, L> {
    fn tend(&mut self) -> Result<Option<Claim>> {
        let fence = &mut self.fence;
        self.lease.lock().renew(|| fence.check())
    }
}

#[derive(Debug)]
pub(super) struct Shared<L>(Arc<Mutex<LeaseKeeper<L>>>);

impl<L> Shared<L> {
    pub(super) fn new(keeper: LeaseKeeper<L>) -> Self {
        Shared(Arc::new(Mutex::new(keeper)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, LeaseKeeper<L>> {
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
