//! A cell elsewhere that many may read, and that is written only over the
//! version that its writer has seen.

use std::fmt;

use serde::{Deserialize, Serialize};

use satellite_core::Result;

pub(super) trait Register: Send + fmt::Debug {
    fn get(&mut self) -> Result<Option<Cell>>;

    /// Writes over the version `over`, or where nothing is.
    ///
    /// # Errors
    /// After an error it may have been written, or not.
    fn put(&mut self, document: &[u8], over: Option<&str>) -> Result<Put>;

    /// Keeps what is there under another name, which is returned, and leaves
    /// nothing behind.
    fn move_aside(&mut self) -> Result<String>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) document: Vec<u8>,
    pub(super) version: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Put {
    /// Written; this is its version.
    Done(String),
    /// There is another version, or something where nothing was.
    Conflict,
    /// There is nothing where a version was.
    Gone,
}

/// What the holder of a state tells the others by, and is asked by.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Lease {
    /// Who holds the state; empty when it was released.
    pub(super) holder: String,
    /// Who asks for it; empty when nobody does.
    #[serde(default)]
    pub(super) claimed_by: String,
    /// Since when it is held, RFC 3339.
    pub(super) acquired: String,
    /// When the holder last renewed it. Others do not read it as a time: they see
    /// that it changes, by clocks of their own.
    pub(super) renewed: String,
    /// Without a change for so long, the holder is taken for dead.
    pub(super) seconds: u64,
    /// How often it changed hands.
    #[serde(default)]
    pub(super) transitions: u64,
    /// The epoch of the holder; 0 where an older release wrote it.
    #[serde(default)]
    pub(super) epoch: u64,
    /// Who prepares to take the state over, on a copy of it; empty when nobody does.
    #[serde(default)]
    pub(super) candidate: String,
    /// Counts the candidate's signs of life.
    #[serde(default)]
    pub(super) candidate_beat: u64,
    /// Why the candidate gave up; empty while it did not.
    #[serde(default)]
    pub(super) candidate_failed: String,
}
