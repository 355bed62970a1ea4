//! Writers that open, save, ring, are lost from sight and come back, in any
//! order, with answers that are lost: what is kept never goes back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::fenced::Fenced;
use super::register::{Cell, Put, Register};
use super::{Opened, Opening, Status, Store};
use crate::document::{Content, Snapshot};
use satellite_core::wake::{Stage, Waiter};
use satellite_core::{Error, Result};

/// A register in memory, as all writers see it.
#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    cell: Option<Cell>,
    versions: u64,
    /// The next write is done, and its answer lost.
    loses: bool,
    history: Vec<Snapshot>,
}

impl Register for Shared {
    fn get(&mut self) -> Result<Option<Cell>> {
        Ok(self.0.lock().unwrap().cell.clone())
    }

    fn put(&mut self, document: &[u8], over: Option<&str>) -> Result<Put> {
        let mut inner = self.0.lock().unwrap();
        match (&inner.cell, over) {
            (None, Some(_)) => return Ok(Put::Gone),
            (Some(_), None) => return Ok(Put::Conflict),
            (Some(cell), Some(version)) if cell.version != version => return Ok(Put::Conflict),
            _ => {}
        }
        inner.versions += 1;
        let version = inner.versions.to_string();
        inner.cell = Some(Cell {
            document: document.to_vec(),
            version: version.clone(),
        });
        inner.history.extend(Snapshot::from_document(document).ok());
        match std::mem::take(&mut inner.loses) {
            true => Err(Error::new("the answer was lost")),
            false => Ok(Put::Done(version)),
        }
    }

    fn set_aside(&mut self) -> Result<String> {
        self.0.lock().unwrap().cell = None;
        Ok("aside".into())
    }
}

#[derive(Debug)]
struct Nobody;

impl Status for Nobody {
    fn waiting(&self, _: &str) {}
}

/// A writer, and what it believes.
struct Writer {
    name: String,
    store: Fenced<Shared, Shared>,
    /// The state that it has: what it restored, and one more for each save.
    count: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Open,
    Save,
    SaveAndLoseTheAnswer,
    Tend,
    Release,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Open),
        4 => Just(Step::Save),
        1 => Just(Step::SaveAndLoseTheAnswer),
        2 => Just(Step::Tend),
        1 => Just(Step::Release),
    ]
}

impl Writer {
    fn new(name: usize, state: &Shared, lease: &Shared) -> Self {
        Writer {
            name: format!("pod-{name} {name}"),
            // No patience at all: whoever looks twice takes the other for dead,
            // however alive it is. The fence has to hold by itself.
            store: Fenced::new(state.clone(), lease.clone(), Duration::ZERO),
            count: None,
        }
    }

    fn take(&mut self, step: Step, state: &Shared) {
        match (step, self.count) {
            (Step::Open, None) => self.open(),
            (Step::Save, Some(count)) => self.save(count + 1),
            (Step::SaveAndLoseTheAnswer, Some(count)) => {
                state.0.lock().unwrap().loses = true;
                self.save(count + 1);
                state.0.lock().unwrap().loses = false;
            }
            (Step::Tend, Some(count)) => {
                let is_fenced = self.store.tend().is_err_and(|e| e.is_fenced());
                self.count = (!is_fenced).then_some(count);
            }
            (Step::Release, Some(count)) => {
                let _ = self.store.release(&content(count));
                self.count = None;
            }
            _ => {}
        }
    }

    fn open(&mut self) {
        let waiter = Waiter::default();
        waiter.wake.stop(Stage::Draining); // it looks once, and waits for nobody
        let opening = Opening {
            processor: "model",
            namespace: "n",
            holder: &self.name,
            waiter: &waiter,
            status: &Nobody,
        };
        if let Ok(Opened { snapshot, .. }) = self.store.open(&opening) {
            self.count = Some(snapshot.map_or(0, |s| read(&s.content)));
        }
    }

    fn save(&mut self, count: u64) {
        let saved = self.store.save(&content(count));
        self.count = match saved {
            Err(e) if e.is_fenced() => None,
            _ => Some(count), // it is in memory, whether it was kept or not
        };
    }
}

fn content(count: u64) -> Content {
    Content {
        schema: 1,
        unclean_starts: 0,
        state: count.to_string().into_bytes(),
    }
}

fn read(content: &Content) -> u64 {
    std::str::from_utf8(&content.state)
        .unwrap()
        .parse()
        .unwrap()
}

proptest! {
    #[test]
    fn what_is_kept_never_goes_back_whoever_writes(
        steps in proptest::collection::vec((0usize..3, step()), 1..60)
    ) {
        let (state, lease) = (Shared::default(), Shared::default());
        let mut writers: Vec<_> = (0..3).map(|n| Writer::new(n, &state, &lease)).collect();
        for (who, step) in steps {
            writers[who].take(step, &state);
        }
        let inner = state.0.lock().unwrap();
        for pair in inner.history.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            prop_assert!(read(&after.content) >= read(&before.content), "{before:?} {after:?}");
            prop_assert!(after.stamp.epoch >= before.stamp.epoch);
            prop_assert!(after.stamp.generation >= before.stamp.generation);
            let is_taken_over = after.stamp.epoch > before.stamp.epoch;
            prop_assert!(is_taken_over || after.stamp.generation > before.stamp.generation);
            // Within an epoch there is one writer.
            if after.stamp.epoch == before.stamp.epoch {
                prop_assert_eq!(after.stamp.writer(), before.stamp.writer());
            }
        }
    }
}
