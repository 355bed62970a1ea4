//! Whether a process still holds the state: the epoch in the state is the fencing token.

use satellite_core::Result;

use super::register::{Cell, Register};
use crate::error::fenced;
use crate::snapshot::{Snapshot, Stamp};

/// Checks whether one writer still holds the state.
#[derive(Debug)]
pub(super) struct Fence<R> {
    state: R,
    epoch: u64,
    holder: String,
}

impl<R: Register> Fence<R> {
    pub(super) fn new(state: R, epoch: u64, holder: String) -> Self {
        Fence {
            state,
            epoch,
            holder,
        }
    }

    /// # Errors
    /// [`is_fenced`](crate::is_fenced) when another process holds it.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.state.get()? {
            Some(cell) => own(&stamp_of(&cell)?, self.epoch, &self.holder),
            None => Ok(()), // not saved yet, or removed, which the next save detects
        }
    }
}

pub(super) fn stamp_of(cell: &Cell) -> Result<Stamp> {
    let read = Snapshot::from_document(&cell.document);
    read.map(|snapshot| snapshot.stamp)
        .map_err(|e| fenced(format_args!("another process changed the state: {e}")))
}

pub(super) fn own(stamp: &Stamp, epoch: u64, holder: &str) -> Result<()> {
    if stamp.epoch == epoch && stamp.writer() == holder {
        return Ok(());
    }
    let holder_now = match stamp.is_released() {
        true => "no process",
        false => &stamp.holder,
    };
    Err(fenced(format_args!(
        "the state is held by {holder_now}, epoch {}; this process is of epoch {epoch}",
        stamp.epoch
    )))
}
