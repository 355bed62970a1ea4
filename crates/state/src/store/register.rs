//! A remote cell that many processes may read, and that is written only with
//! compare-and-swap on its version.

use std::fmt;

use serde::{Deserialize, Serialize};

use satellite_core::Result;

pub(super) trait Register: Send + fmt::Debug {
    fn get(&mut self) -> Result<Option<Cell>>;

    /// Writes over the version `over`, or creates the cell if it does not exist.
    ///
    /// # Errors
    /// After an error the write may or may not have taken effect.
    fn put(&mut self, document: &[u8], over: Option<&str>) -> Result<Put>;

    /// Fails with `is_too_large()` if the document cannot be written.
    fn check_size(&self, document: &[u8]) -> Result<()> {
        let _ = document;
        Ok(())
    }

    /// Moves the content to another name, which is returned.
    fn move_aside(&mut self) -> Result<String>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) document: Vec<u8>,
    pub(super) version: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Put {
    /// Written; this is the new version.
    Done(String),
    /// The cell has another version, or exists although it should not.
    Conflict,
    /// The cell does not exist any more.
    Gone,
}

/// The lease: its holder renews it, and other processes claim the state with it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Lease {
    /// The process that holds the state; empty when it was released.
    pub(super) holder: String,
    /// The process that claims the state; empty if there is none.
    #[serde(default)]
    pub(super) claimed_by: String,
    /// Since when it is held, RFC 3339.
    pub(super) acquired: String,
    /// When the holder last renewed it. Other processes do not parse the time: they
    /// only observe that it changes, and measure with their own clocks.
    pub(super) renewed: String,
    /// The lease duration: without a change for this long, the holder is considered dead.
    pub(super) seconds: u64,
    /// How often the holder has changed.
    #[serde(default)]
    pub(super) transitions: u64,
    /// The epoch of the holder; 0 where an older release wrote it.
    #[serde(default)]
    pub(super) epoch: u64,
    /// The process that prepares to take over, on a copy of the state; empty if none.
    #[serde(default)]
    pub(super) candidate: String,
    /// Counts the heartbeats of the candidate.
    #[serde(default)]
    pub(super) candidate_beat: u64,
    /// Why the candidate gave up; empty if it did not.
    #[serde(default)]
    pub(super) candidate_failed: String,
}
