//! A single writer over registers that other processes can write as well.
//!
//! The lease says who may act: a process that takes the state writes itself into the
//! lease first, over the version that it saw expired or released, then into the state.
//! The epoch in the state is the fencing token: each save is written over the version
//! that was seen last, so that a writer which lost its connection is rejected at its
//! next save.

use std::time::Duration;

use super::fence::{Fence, own, stamp_of};
use super::lease_manager::{LeaseManager, LeaseRead, Renewer, Shared};
use super::register::{Cell, Put, Register};
use super::{LeaseRenewer, OpenRequest, Opened, check_owner};
use crate::document;
use crate::error::fenced;
use crate::outage::Outage;
use crate::snapshot::{Content, Snapshot, Stamp, pod_of};
use satellite_core::{Error, Result};

/// How many attempts one save makes after write conflicts.
const MAX_ATTEMPTS: u32 = 5;
/// How often a process that has claimed the state polls for it.
const CLAIM_POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A store over two registers.
#[derive(Debug)]
pub(super) struct Fenced<R, L> {
    state: R,
    /// Another handle of the same register, for the thread that renews.
    seen: Option<R>,
    lease: Shared<L>,
    lease_duration: Duration,
    stamp: Stamp,
    /// The version of the state that this process has seen last.
    version: Option<String>,
}

/// Whether a process that wants the state can take it.
#[derive(Debug)]
enum Availability {
    /// No process holds it.
    Free,
    /// An older process holds it, and is asked for it.
    Ask(String),
    /// A process holds it that this process does not ask.
    Wait(String),
}

/// What was read: the state, and the lease that was read before it.
#[derive(Debug)]
struct Found {
    cell: Option<Cell>,
    snapshot: Option<Snapshot>,
    damage: Option<Error>,
    lease: LeaseRead,
}

impl<R: Register, L: Register> Fenced<R, L> {
    pub(super) fn new(state: R, seen: R, lease: LeaseManager<L>, lease_duration: Duration) -> Self {
        Fenced {
            state,
            seen: Some(seen),
            lease: Shared::new(lease),
            lease_duration,
            stamp: Stamp::default(),
            version: None,
        }
    }

    pub(super) fn state(&mut self) -> &mut R {
        &mut self.state
    }

    /// A copy of the state, if this process has to ask another one for it.
    pub(super) fn peek(&mut self, request: &OpenRequest<'_>) -> Result<Option<Opened>> {
        let found = self.find(request)?;
        let Availability::Ask(_) = self.availability(request, &found) else {
            return Ok(None);
        };
        let candidate = request.candidate();
        self.lease.lock().prepare(&candidate, "", found.lease)?;
        Ok(Some(Opened {
            snapshot: found.snapshot,
            failures: Vec::new(),
        }))
    }

    /// Reports to the holder why this process does not take over.
    pub(super) fn give_up(&mut self, request: &OpenRequest<'_>, why: &str) -> Result<()> {
        let mut lease = self.lease.lock();
        for _ in 0..MAX_ATTEMPTS {
            let current = lease.read()?;
            let is_reported = |current: &LeaseRead| {
                let reported = current.as_ref().map(|(lease, _)| &lease.candidate_failed);
                reported.is_none_or(|reported| reported == why)
            };
            lease.prepare(&request.candidate(), why, current)?;
            if is_reported(&lease.read()?) {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn open(&mut self, request: &OpenRequest<'_>) -> Result<Opened> {
        let opened = self.wait_to_open(request);
        if opened.is_err() {
            // The holder must not hand the state over to nobody.
            if let Err(e) = self.lease.lock().withdraw(request.holder()) {
                log::warn!("could not withdraw the request for a handover: {e}");
            }
        }
        opened
    }

    fn wait_to_open(&mut self, request: &OpenRequest<'_>) -> Result<Opened> {
        let mut outage = Outage::of("reading the state");
        loop {
            let pause = Duration::from_secs(1).min(self.lease_duration / 5);
            let tried = self.try_open(request);
            if tried.is_ok() {
                if let Some(line) = outage.ended(request.waiter.now()) {
                    log::info!("{line}");
                }
            }
            match tried {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(Availability::Ask(reason))) => {
                    request.wait(pause.min(CLAIM_POLL_INTERVAL), &reason)?
                }
                Ok(Err(Availability::Wait(reason))) => request.wait(pause, &reason)?,
                Ok(Err(Availability::Free)) => {
                    request.wait(pause, "another process took it first")?
                }
                Err(e) if e.is_retryable() => {
                    if let Some(line) = outage.failed(request.waiter.now(), &e) {
                        log::warn!("{line}");
                    }
                    request.wait(pause, &e.to_string())?;
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Tries once. The inner result is `Ok` when this process has the state.
    fn try_open(&mut self, request: &OpenRequest<'_>) -> Result<Result<Opened, Availability>> {
        let found = self.find(request)?;
        match self.availability(request, &found) {
            Availability::Free => self.take(request, found),
            Availability::Ask(reason) => {
                request.check_prepared()?;
                let mut lease = self.lease.lock();
                if !lease.claim(request.holder(), &found.lease)? {
                    lease.keep_announcing(&request.candidate(), found.lease)?;
                }
                Ok(Err(Availability::Ask(reason)))
            }
            waiting => Ok(Err(waiting)),
        }
    }

    fn find(&mut self, request: &OpenRequest<'_>) -> Result<Found> {
        // The order matters: a write over this version of the lease succeeds only while
        // the state cannot have got another holder in the meantime.
        let lease = self.lease.lock().read()?;
        let cell = self.state.get()?;
        let read = cell.as_ref().map(|c| Snapshot::from_document(&c.document));
        let (snapshot, damage) = match read {
            Some(Ok(snapshot)) => (Some(snapshot), None),
            Some(Err(e)) => (None, Some(e)),
            None => (None, None),
        };
        if let Some(snapshot) = &snapshot {
            check_owner(&snapshot.stamp, request.processor())?;
        }
        Ok(Found {
            cell,
            snapshot,
            damage,
            lease,
        })
    }

    fn availability(&mut self, request: &OpenRequest<'_>, found: &Found) -> Availability {
        let stamp = found.stamp();
        let version = found.cell.as_ref().map_or("", |cell| cell.version.as_str());
        let is_expired = self.lease.lock().is_expired(version, &found.lease);
        let is_older = stamp.is_newer_than(pod_of(request.holder()), request.revision);
        let holder = found.holder();
        if holder.is_empty() {
            // A state released by a newer process goes to even newer processes first.
            return match is_older && !is_expired {
                true => Availability::Wait(format!(
                    "{} is newer and has released the state: waiting to see whether another process takes it",
                    stamp.writer()
                )),
                false => Availability::Free,
            };
        }
        if is_expired || holder == request.holder() || request.is_gone(holder) {
            return Availability::Free;
        }
        let waiting = |why| format!("waiting for {holder} to hand its state over{why}");
        if is_older {
            return Availability::Wait(waiting(", which is newer and is not asked"));
        }
        // Two processes with the same pod name in a cluster: one of them is about to end.
        if request.in_cluster && pod_of(holder) == pod_of(request.holder()) {
            return Availability::Wait(waiting(", which has this pod's name"));
        }
        Availability::Ask(waiting(""))
    }

    /// Takes the lease, then the state, each over exactly what was read.
    fn take(
        &mut self,
        request: &OpenRequest<'_>,
        found: Found,
    ) -> Result<Result<Opened, Availability>> {
        let leased = found.lease.as_ref().map_or(0, |(lease, _)| lease.epoch);
        let before = found.stamp();
        let epoch = before.epoch.max(leased) + 1;
        let (holder, revision) = (request.holder(), request.revision);
        self.stamp = before.succeeded_by(request.processor(), holder, revision, epoch);
        self.version = None;
        let mut lease = self.lease.lock();
        if !lease.take(holder, epoch, found.lease)? {
            return Ok(Err(Availability::Free));
        }
        let mut opened = Opened {
            snapshot: found.snapshot,
            failures: found.damage.into_iter().collect(),
        };
        let mut cell = found.cell;
        for _ in 0..MAX_ATTEMPTS {
            if !lease.is_fresh() {
                break;
            }
            // A first or a damaged state is written by the first save.
            let (Some(snapshot), Some(stored)) = (&opened.snapshot, &cell) else {
                self.version = cell.map(|cell| cell.version);
                lease.begin();
                return Ok(Ok(opened));
            };
            self.stamp.generation = snapshot.stamp.generation;
            let taken = document::document(&self.stamp, &snapshot.content);
            match self.state.put(&taken, Some(&stored.version))? {
                Put::Done(version) => {
                    self.version = Some(version);
                    lease.begin();
                    return Ok(Ok(opened));
                }
                Put::Gone => break,
                Put::Conflict => {}
            }
            // The last save of the previous holder, or a label was added.
            let Some(newer) = self.state.get()? else {
                break;
            };
            let saved = Snapshot::from_document(&newer.document)?;
            if saved.stamp.epoch != before.epoch {
                break;
            }
            (opened.snapshot, cell) = (Some(saved), Some(newer));
        }
        Ok(Err(Availability::Free))
    }

    pub(super) fn lease_renewer(&mut self) -> Option<Box<dyn LeaseRenewer>>
    where
        R: 'static,
        L: 'static,
    {
        let (epoch, holder) = (self.stamp.epoch, self.stamp.holder.clone());
        let fence = Fence::new(self.seen.take()?, epoch, holder);
        let lease = self.lease.clone();
        Some(Box::new(Renewer { lease, fence }))
    }

    pub(super) fn check_size(&self, content: &Content) -> Result<()> {
        let document = document::document(&self.stamp.next(), content);
        self.state.check_size(&document)
    }

    pub(super) fn save(&mut self, content: &Content) -> Result<u64> {
        self.write(self.stamp.next(), content)
    }

    pub(super) fn release(&mut self, last: &Content) -> Result<u64> {
        let generation = self.write(self.stamp.next().released(), last)?;
        self.lease.lock().release();
        Ok(generation)
    }

    /// Releases the state as it was saved last.
    pub(super) fn release_lease(&mut self) -> Result<()> {
        if self.stamp.holder.is_empty() {
            return Ok(()); // it was never opened
        }
        let released = self.release_state_unchanged();
        self.lease.lock().release();
        released
    }

    fn release_state_unchanged(&mut self) -> Result<()> {
        for _ in 0..MAX_ATTEMPTS {
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

    pub(super) fn move_aside(&mut self) -> Result<String> {
        let name = self.state.move_aside()?;
        self.version = None;
        Ok(name)
    }

    pub(super) fn is_free(&mut self) -> Result<bool> {
        let current = self.lease.lock().read()?;
        let Some(cell) = self.state.get()? else {
            return Ok(true);
        };
        Ok(self.lease.lock().is_expired(&cell.version, &current))
    }

    fn write(&mut self, mut stamp: Stamp, content: &Content) -> Result<u64> {
        for _ in 0..MAX_ATTEMPTS {
            let document = document::document(&stamp, content);
            match self.state.put(&document, self.version.as_deref())? {
                Put::Done(version) => {
                    self.version = Some(version);
                    self.stamp.generation = stamp.generation;
                    return Ok(stamp.generation);
                }
                Put::Gone => return Err(removed_error()),
                Put::Conflict => {}
            }
            let Some(cell) = self.state.get()? else {
                return Err(removed_error());
            };
            // Still the state of this process: an earlier save whose response was lost,
            // or a label was added.
            let stored = self.own(&cell)?;
            stamp.generation = stamp.generation.max(stored.generation + 1);
            self.version = Some(cell.version);
        }
        Err(Error::new(
            "the state changed at each attempt to save it, although no other process holds it",
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

    /// The process that holds the state, or has taken the lease but not yet the state.
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

fn removed_error() -> Error {
    fenced("the state was removed by another process; it is not created again")
}
