//! One writer over registers that others can reach as well.
//!
//! The lease says who may act: whoever takes the state writes itself into the lease
//! first, over the version that it saw expire or released, then into the state. The
//! epoch in the state is the fence: each save is written over the version that was
//! seen last, so that a writer which was cut off is refused at its next save.

use std::time::Duration;

use super::keeper::{LeaseKeeper, Renewing, Shared, There};
use super::register::{Cell, Put, Register};
use super::{Keeper, Opened, Opening, check_owner};
use crate::document::{self, Content, Snapshot, Stamp, pod_of};
use crate::error::fenced;
use crate::outage::Outage;
use satellite_core::{Error, Result};

/// How often a lost race is run again within one save.
const TRIES: u32 = 5;
/// How often a process that has asked looks whether it has the state.
const ASKED: Duration = Duration::from_millis(200);

/// A store over two registers.
#[derive(Debug)]
pub(super) struct Fenced<R, L> {
    state: R,
    /// The same register once more, for the thread that renews.
    seen: Option<R>,
    lease: Shared<L>,
    patience: Duration,
    stamp: Stamp,
    /// The version of the state that this process has seen last.
    version: Option<String>,
}

/// What a process finds that would like to have the state.
#[derive(Debug)]
enum Standing {
    /// Nobody holds it.
    Free,
    /// Somebody older holds it.
    Ask(String),
    /// Somebody holds it whom this process does not ask.
    Wait(String),
}

/// What is there: the state, and the lease that was read before it.
#[derive(Debug)]
struct Found {
    cell: Option<Cell>,
    snapshot: Option<Snapshot>,
    damage: Option<Error>,
    lease: There,
}

impl<R: Register, L: Register> Fenced<R, L> {
    pub(super) fn new(state: R, seen: R, lease: LeaseKeeper<L>, patience: Duration) -> Self {
        Fenced {
            state,
            seen: Some(seen),
            lease: Shared::new(lease),
            patience,
            stamp: Stamp::default(),
            version: None,
        }
    }

    pub(super) fn state(&mut self) -> &mut R {
        &mut self.state
    }

    /// A copy of the state, where this process has to ask another one for it.
    pub(super) fn look(&mut self, opening: &Opening<'_>) -> Result<Option<Opened>> {
        let found = self.find(opening)?;
        let Standing::Ask(_) = self.standing(opening, &found) else {
            return Ok(None);
        };
        let candidate = opening.candidate();
        self.lease.lock().prepare(&candidate, "", found.lease)?;
        Ok(Some(Opened {
            snapshot: found.snapshot,
            failures: Vec::new(),
        }))
    }

    /// Tells the holder why this process does not take over.
    pub(super) fn give_up(&mut self, opening: &Opening<'_>, why: &str) -> Result<()> {
        let mut lease = self.lease.lock();
        for _ in 0..TRIES {
            let there = lease.read()?;
            let is_told = |there: &There| {
                let told = there.as_ref().map(|(lease, _)| &lease.candidate_failed);
                told.is_none_or(|told| told == why)
            };
            lease.prepare(&opening.candidate(), why, there)?;
            if is_told(&lease.read()?) {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn open(&mut self, opening: &Opening<'_>) -> Result<Opened> {
        let mut outage = Outage::of("reading the state");
        loop {
            let pause = Duration::from_secs(1).min(self.patience / 5);
            let tried = self.try_open(opening);
            if tried.is_ok() {
                if let Some(line) = outage.ended(opening.waiter.now()) {
                    log::info!("{line}");
                }
            }
            match tried {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(Standing::Ask(reason))) => opening.wait(pause.min(ASKED), &reason)?,
                Ok(Err(Standing::Wait(reason))) => opening.wait(pause, &reason)?,
                Ok(Err(Standing::Free)) => opening.wait(pause, "somebody else was quicker")?,
                Err(e) if e.is_retryable() => {
                    if let Some(line) = outage.failed(opening.waiter.now(), &e) {
                        log::warn!("{line}");
                    }
                    opening.wait(pause, &e.to_string())?;
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Looks once. `Ok` inside when the state is this process's.
    fn try_open(&mut self, opening: &Opening<'_>) -> Result<Result<Opened, Standing>> {
        let found = self.find(opening)?;
        match self.standing(opening, &found) {
            Standing::Free => self.take(opening, found),
            Standing::Ask(reason) => {
                opening.check_prepared()?;
                let asked = self.lease.lock().ring(opening.holder(), &found.lease);
                asked.map(|()| Err(Standing::Ask(reason)))
            }
            waiting => Ok(Err(waiting)),
        }
    }

    fn find(&mut self, opening: &Opening<'_>) -> Result<Found> {
        // In this order: what is written over this lease is written only while
        // the state cannot have got another holder since.
        let lease = self.lease.lock().read()?;
        let cell = self.state.get()?;
        let read = cell.as_ref().map(|c| Snapshot::from_document(&c.document));
        let (snapshot, damage) = match read {
            Some(Ok(snapshot)) => (Some(snapshot), None),
            Some(Err(e)) => (None, Some(e)),
            None => (None, None),
        };
        if let Some(snapshot) = &snapshot {
            check_owner(&snapshot.stamp, opening.processor())?;
        }
        Ok(Found {
            cell,
            snapshot,
            damage,
            lease,
        })
    }

    fn standing(&mut self, opening: &Opening<'_>, found: &Found) -> Standing {
        let stamp = found.stamp();
        let version = found.cell.as_ref().map_or("", |cell| cell.version.as_str());
        let is_expired = self.lease.lock().is_expired(version, &found.lease);
        let is_older = stamp.is_newer_than(pod_of(opening.holder()), opening.revision);
        let holder = found.holder();
        if holder.is_empty() {
            // What a newer one let go of is for those who are newer still, first.
            return match is_older && !is_expired {
                true => Standing::Wait(format!(
                    "{} is newer and has let go of the state: waiting whether another takes it",
                    stamp.writer()
                )),
                false => Standing::Free,
            };
        }
        if is_expired || holder == opening.holder() || opening.is_gone(holder) {
            return Standing::Free;
        }
        let waiting = |why| format!("waiting for {holder} to hand its state over{why}");
        if is_older {
            return Standing::Wait(waiting(", which is newer and is not asked"));
        }
        // The same name twice in a cluster: one of the two is about to end.
        if opening.in_cluster && pod_of(holder) == pod_of(opening.holder()) {
            return Standing::Wait(waiting(", which has this pod's name"));
        }
        Standing::Ask(waiting(""))
    }

    /// Takes the lease, then the state, each over exactly what was read.
    fn take(&mut self, opening: &Opening<'_>, found: Found) -> Result<Result<Opened, Standing>> {
        let leased = found.lease.as_ref().map_or(0, |(lease, _)| lease.epoch);
        let before = found.stamp();
        let epoch = before.epoch.max(leased) + 1;
        let (holder, revision) = (opening.holder(), opening.revision);
        self.stamp = before.succeeded_by(opening.processor(), holder, revision, epoch);
        self.version = None;
        let mut lease = self.lease.lock();
        if !lease.take(holder, epoch, found.lease)? {
            return Ok(Err(Standing::Free));
        }
        let mut opened = Opened {
            snapshot: found.snapshot,
            failures: found.damage.into_iter().collect(),
        };
        let mut cell = found.cell;
        for _ in 0..TRIES {
            if !lease.is_fresh() {
                break;
            }
            // A first or a damaged state is written by the first save.
            let (Some(snapshot), Some(there)) = (&opened.snapshot, &cell) else {
                self.version = cell.map(|cell| cell.version);
                lease.begin();
                return Ok(Ok(opened));
            };
            self.stamp.generation = snapshot.stamp.generation;
            let taken = document::document(&self.stamp, &snapshot.content);
            match self.state.put(&taken, Some(&there.version))? {
                Put::Done(version) => {
                    self.version = Some(version);
                    lease.begin();
                    return Ok(Ok(opened));
                }
                Put::Gone => break,
                Put::Conflict => {}
            }
            // The last save of the one before, or somebody put a label on it.
            let Some(newer) = self.state.get()? else {
                break;
            };
            let saved = Snapshot::from_document(&newer.document)?;
            if saved.stamp.epoch != before.epoch {
                break;
            }
            (opened.snapshot, cell) = (Some(saved), Some(newer));
        }
        Ok(Err(Standing::Free))
    }

    pub(super) fn keeper(&mut self) -> Option<Box<dyn Keeper>>
    where
        R: 'static,
        L: 'static,
    {
        let fence = Fence {
            state: self.seen.take()?,
            epoch: self.stamp.epoch,
            holder: self.stamp.holder.clone(),
        };
        let lease = self.lease.clone();
        Some(Box::new(Renewing { lease, fence }))
    }

    pub(super) fn save(&mut self, content: &Content) -> Result<u64> {
        self.write(self.stamp.next(), content)
    }

    pub(super) fn release(&mut self, last: &Content) -> Result<u64> {
        let generation = self.write(self.stamp.next().released(), last)?;
        self.lease.lock().release();
        Ok(generation)
    }

    /// Lets go of the state as it was saved last.
    pub(super) fn let_go(&mut self) -> Result<()> {
        if self.stamp.holder.is_empty() {
            return Ok(()); // it was never opened
        }
        let released = self.release_as_it_is();
        self.lease.lock().release();
        released
    }

    fn release_as_it_is(&mut self) -> Result<()> {
        for _ in 0..TRIES {
            let Some(cell) = self.state.get()? else {
                return Ok(());
            };
            let Ok(snapshot) = Snapshot::from_document(&cell.document) else {
                return Ok(());
            };
            if own(&snapshot.stamp, self.stamp.epoch, &self.stamp.holder).is_err()
                || snapshot.stamp.is_released()
            {
                return Ok(());
            }
            let stamp = snapshot.stamp.released();
            let document = document::document(&stamp, &snapshot.content);
            match self.state.put(&document, Some(&cell.version))? {
                Put::Conflict => {}
                Put::Done(_) | Put::Gone => return Ok(()),
            }
        }
        Ok(())
    }

    pub(super) fn set_aside(&mut self) -> Result<String> {
        let name = self.state.set_aside()?;
        self.version = None;
        Ok(name)
    }

    pub(super) fn is_free(&mut self) -> Result<bool> {
        let there = self.lease.lock().read()?;
        let Some(cell) = self.state.get()? else {
            return Ok(true);
        };
        Ok(self.lease.lock().is_expired(&cell.version, &there))
    }

    fn write(&mut self, mut stamp: Stamp, content: &Content) -> Result<u64> {
        for _ in 0..TRIES {
            let document = document::document(&stamp, content);
            match self.state.put(&document, self.version.as_deref())? {
                Put::Done(version) => {
                    self.version = Some(version);
                    self.stamp.generation = stamp.generation;
                    return Ok(stamp.generation);
                }
                Put::Gone => return Err(removed()),
                Put::Conflict => {}
            }
            let Some(cell) = self.state.get()? else {
                return Err(removed());
            };
            // Of this process after all: an earlier save whose answer was lost,
            // or somebody put a label on it.
            let there = self.own(&cell)?;
            stamp.generation = stamp.generation.max(there.generation + 1);
            self.version = Some(cell.version);
        }
        Err(Error::new(
            "the state changes too often to be saved; nobody else holds it",
        ))
    }

    fn own(&self, cell: &Cell) -> Result<Stamp> {
        stamp_of(cell)
            .and_then(|stamp| own(&stamp, self.stamp.epoch, &self.stamp.holder).map(|()| stamp))
    }
}

impl Found {
    fn stamp(&self) -> Stamp {
        let snapshot = self.snapshot.as_ref();
        snapshot.map(|s| s.stamp.clone()).unwrap_or_default()
    }

    /// Who holds the state, or is between taking the lease and taking the state.
    fn holder(&self) -> &str {
        let stamp = self.snapshot.as_ref().map(|snapshot| &snapshot.stamp);
        match (&self.lease, stamp) {
            (Some((lease, _)), Some(stamp)) if lease.epoch > stamp.epoch => &lease.holder,
            (_, Some(stamp)) => &stamp.holder,
            (Some((lease, _)), None) => &lease.holder,
            (None, None) => "",
        }
    }
}

/// Whether the state is still that of one writer.
#[derive(Debug)]
pub(super) struct Fence<R> {
    state: R,
    epoch: u64,
    holder: String,
}

impl<R: Register> Fence<R> {
    /// # Errors
    /// [`is_fenced`](crate::is_fenced) when it is another's.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.state.get()? {
            Some(cell) => own(&stamp_of(&cell)?, self.epoch, &self.holder),
            None => Ok(()), // not saved yet, or removed, which the next save finds out
        }
    }
}

fn stamp_of(cell: &Cell) -> Result<Stamp> {
    let read = Snapshot::from_document(&cell.document);
    read.map(|snapshot| snapshot.stamp)
        .map_err(|e| fenced(format_args!("somebody else changed the state: {e}")))
}

fn own(stamp: &Stamp, epoch: u64, holder: &str) -> Result<()> {
    if stamp.epoch == epoch && stamp.writer() == holder {
        return Ok(());
    }
    let there = match stamp.is_released() {
        true => "nobody",
        false => &stamp.holder,
    };
    Err(fenced(format_args!(
        "the state is held by {there}, epoch {}; this process is of epoch {epoch}",
        stamp.epoch
    )))
}

fn removed() -> Error {
    fenced("the state was removed by somebody else; it is not made anew")
}
