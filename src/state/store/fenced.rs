//! One writer over registers that others can reach as well. The lease is the
//! doorbell: by it the holder tells that it lives, and hears who asks for the
//! state. The epoch is the fence: each save is written over the version that was
//! seen last, so that a writer which was cut off finds out at its next save.

use std::time::{Duration, Instant};

use super::register::{Cell, Lease, Put, Register};
use super::{Claim, Opened, Opening, Store, check_owner, pod_of};
use crate::error::{Error, Result};
use crate::state::document::{self, Content, Snapshot, Stamp};
use crate::state::outage::Outage;
use crate::state::time;

/// How often a lost race is run again within one save.
const TRIES: u32 = 5;

/// A store over two registers.
#[derive(Debug)]
pub(super) struct Fenced<R, L> {
    state: R,
    lease: L,
    /// Without a sign of life for so long, a holder is taken for dead.
    patience: Duration,
    stamp: Stamp,
    /// The version of the state that this process has seen last.
    version: Option<String>,
    told: Option<(Lease, String)>,
    watch: Watch,
}

impl<R: Register, L: Register> Fenced<R, L> {
    pub(super) fn new(state: R, lease: L, patience: Duration) -> Self {
        Fenced {
            state,
            lease,
            patience,
            stamp: Stamp::default(),
            version: None,
            told: None,
            watch: Watch::default(),
        }
    }

    pub(super) fn state(&mut self) -> &mut R {
        &mut self.state
    }

    /// Looks once. `Some` when the state is this process's.
    fn try_open(&mut self, opening: &Opening<'_>) -> Result<Result<Opened, String>> {
        let Some(cell) = self.state.get()? else {
            self.hold(opening, &Stamp::default(), None);
            return Ok(Ok(Opened::default()));
        };
        let snapshot = match Snapshot::from_document(&cell.document) {
            Ok(snapshot) => snapshot,
            Err(e) => {
                self.hold(opening, &Stamp::default(), Some(cell.version));
                return Ok(Ok(Opened {
                    snapshot: None,
                    failures: vec![e],
                }));
            }
        };
        check_owner(&snapshot.stamp, opening.processor())?;
        let holder = snapshot.stamp.holder.clone();
        let is_mine = pod_of(&holder) == pod_of(opening.holder());
        if !snapshot.stamp.is_released() && !is_mine && !self.is_expired(&cell)? {
            // Whoever gave the state away, or lost it, does not ask for it back.
            if pod_of(&snapshot.stamp.previous) != pod_of(opening.holder()) {
                self.ring(opening.holder())?;
            }
            return Ok(Err(format!("waiting for {holder} to hand its state over")));
        }
        self.take(opening, snapshot, &cell)
    }

    /// Writes this process in as the holder, over exactly what was read.
    fn take(
        &mut self,
        opening: &Opening<'_>,
        snapshot: Snapshot,
        cell: &Cell,
    ) -> Result<Result<Opened, String>> {
        self.hold(opening, &snapshot.stamp, Some(cell.version.clone()));
        let taken = document::document(&self.stamp, &snapshot.content);
        match self.state.put(&taken, Some(&cell.version))? {
            Put::Done(version) => {
                self.version = Some(version);
                self.tell(opening.holder());
                Ok(Ok(Opened {
                    snapshot: Some(snapshot),
                    failures: Vec::new(),
                }))
            }
            Put::Conflict | Put::Gone => Ok(Err("somebody else was quicker".to_owned())),
        }
    }

    fn hold(&mut self, opening: &Opening<'_>, before: &Stamp, version: Option<String>) {
        self.stamp = before.succeeded_by(opening.processor(), opening.holder());
        self.version = version;
    }

    /// Nothing has changed, for as long as its holder has for a sign of life.
    fn is_expired(&mut self, cell: &Cell) -> Result<bool> {
        let lease = self.read_lease()?;
        let patience = match &lease {
            Some((lease, _)) if lease.seconds > 0 => Duration::from_secs(lease.seconds),
            _ => self.patience,
        };
        let seen = (cell.version.clone(), lease.map(|(_, version)| version));
        Ok(self.watch.unchanged_for(seen) >= patience)
    }

    /// Asks the holder for the state, unless somebody does so already.
    fn ring(&mut self, by: &str) -> Result<()> {
        let Some((mut lease, version)) = self.read_lease()? else {
            return Ok(()); // nobody would hear it
        };
        if lease.claimed_by.is_empty() {
            lease.claimed_by = by.to_owned();
            let document = serde_json::to_vec(&lease)?;
            if let Put::Done(_) = self.lease.put(&document, Some(&version))? {
                log::info!("the state is held by {}; asked for it", lease.holder);
            }
        }
        Ok(())
    }

    /// Tells that this process holds the state. Whether it is heard does not
    /// matter for the fence.
    fn tell(&mut self, holder: &str) {
        let told = self.read_lease().and_then(|before| {
            let transitions = before
                .as_ref()
                .map_or(0, |(lease, _)| lease.transitions + 1);
            let lease = Lease {
                holder: holder.to_owned(),
                acquired: time::now(),
                renewed: time::now(),
                seconds: self.patience.as_secs(),
                transitions,
                claimed_by: String::new(),
            };
            self.put_lease(lease, before.map(|(_, version)| version))
        });
        if let Err(e) = told {
            log::warn!("nobody can be told who holds the state: {e}");
        }
    }

    fn read_lease(&mut self) -> Result<Option<(Lease, String)>> {
        let Some(cell) = self.lease.get()? else {
            return Ok(None);
        };
        // One that cannot be read is one that nobody has told anything by.
        let lease = serde_json::from_slice(&cell.document).unwrap_or_default();
        Ok(Some((lease, cell.version)))
    }

    fn put_lease(&mut self, lease: Lease, over: Option<String>) -> Result<()> {
        let document = serde_json::to_vec(&lease)?;
        self.told = match self.lease.put(&document, over.as_deref())? {
            Put::Done(version) => Some((lease, version)),
            Put::Conflict | Put::Gone => None,
        };
        Ok(())
    }

    /// The sign of life was not written: somebody has rung, or has the state.
    fn listen(&mut self) -> Result<Option<Claim>> {
        let Some((lease, version)) = self.read_lease()? else {
            let holder = self.stamp.holder.clone();
            self.tell(&holder);
            return Ok(None);
        };
        if lease.holder != self.stamp.holder {
            self.check_fence()?;
            let holder = self.stamp.holder.clone();
            self.tell(&holder);
            return Ok(None);
        }
        let claim = (!lease.claimed_by.is_empty()).then(|| Claim {
            by: lease.claimed_by.clone(),
        });
        self.told = Some((lease, version));
        Ok(claim)
    }

    fn check_fence(&mut self) -> Result<()> {
        let cell = self.state.get()?;
        match &cell {
            Some(cell) => self.own(cell).map(|_| ()),
            None if self.version.is_none() => Ok(()), // nothing was saved yet
            None => Err(removed()),
        }
    }

    /// Whether the state that is there is this process's own.
    fn own(&self, cell: &Cell) -> Result<Stamp> {
        let stamp = Snapshot::from_document(&cell.document)
            .map_err(|e| Error::fenced(format_args!("somebody else changed the state: {e}")))?
            .stamp;
        match stamp.epoch == self.stamp.epoch && stamp.writer() == self.stamp.holder {
            true => Ok(stamp),
            false => Err(Error::fenced(format_args!(
                "the state is that of {}, epoch {}; this process is of epoch {}",
                if stamp.is_released() {
                    "nobody"
                } else {
                    &stamp.holder
                },
                stamp.epoch,
                self.stamp.epoch
            ))),
        }
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
}

impl<R: Register, L: Register> Store for Fenced<R, L> {
    fn open(&mut self, opening: &Opening<'_>) -> Result<Opened> {
        let mut outage = Outage::of("reading the state");
        loop {
            let pause = Duration::from_secs(1).min(self.patience / 5);
            match self.try_open(opening) {
                Ok(Ok(opened)) => {
                    if let Some(line) = outage.ended(opening.waiter.now()) {
                        log::info!("{line}");
                    }
                    return Ok(opened);
                }
                Ok(Err(reason)) => opening.wait(pause, &reason)?,
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

    fn save(&mut self, content: &Content) -> Result<u64> {
        let generation = self.write(self.stamp.next(), content)?;
        if self.told.is_none() {
            let holder = self.stamp.holder.clone();
            self.tell(&holder);
        }
        Ok(generation)
    }

    fn release(&mut self, last: &Content) -> Result<u64> {
        let generation = self.write(self.stamp.next().released(), last)?;
        if let Some((mut lease, version)) = self.told.take() {
            lease.holder.clear();
            lease.renewed = time::now();
            if let Err(e) = self.put_lease(lease, Some(version)) {
                log::warn!("the lease was not given back: {e}");
            }
        }
        Ok(generation)
    }

    fn tend(&mut self) -> Result<Option<Claim>> {
        let Some((mut lease, version)) = self.told.clone() else {
            return self.listen();
        };
        lease.renewed = time::now();
        let claim = (!lease.claimed_by.is_empty()).then(|| Claim {
            by: lease.claimed_by.clone(),
        });
        self.put_lease(lease, Some(version))?;
        match self.told {
            Some(_) => Ok(claim),
            None => self.listen(),
        }
    }

    fn set_aside(&mut self) -> Result<String> {
        let name = self.state.set_aside()?;
        self.version = None;
        Ok(name)
    }

    fn is_free(&mut self) -> Result<bool> {
        let Some(cell) = self.state.get()? else {
            return Ok(true);
        };
        self.is_expired(&cell)
    }
}

fn removed() -> Error {
    Error::fenced("the state was removed by somebody else; it is not made anew")
}

/// Since when something looks as it does, by a clock of one's own.
#[derive(Debug, Default)]
struct Watch(Option<(Seen, Instant)>);

type Seen = (String, Option<String>);

impl Watch {
    fn unchanged_for(&mut self, seen: Seen) -> Duration {
        match &self.0 {
            Some((before, since)) if *before == seen => since.elapsed(),
            _ => {
                self.0 = Some((seen, Instant::now()));
                Duration::ZERO
            }
        }
    }
}
