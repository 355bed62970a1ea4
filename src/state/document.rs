//! A state as it is kept: who wrote it, when, and the exact bytes, under one
//! checksum.
//!
//! ```text
//! satellite-state 1 <sha256 of everything below, in hex>
//! {"processor":"orders","generation":42,"epoch":3,"holder":"orders-1 4f…",…}
//! {"count":17}
//! ```

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{import, time};
use crate::error::{Error, Result};

const MAGIC: &str = "satellite-state 1 ";

/// What a processor gives a [`Store`](super::Store) to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The schema version of `state`.
    pub schema: u32,
    /// Starts in a row that did not come to a clean end, the present one
    /// included.
    pub unclean_starts: u32,
    /// The state, as JSON.
    pub state: Vec<u8>,
}

/// Who wrote a state, and which of its versions this is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stamp {
    /// The processor whose state it is.
    pub processor: String,
    /// Counts the saves, from 1.
    pub generation: u64,
    /// Counts the writers: a writer that meets a higher one is fenced.
    pub epoch: u64,
    /// Who holds the state; empty when it was released.
    pub holder: String,
    /// Who held it before that: in a released one, who released it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub previous: String,
    /// When it was saved, RFC 3339.
    pub saved_at: String,
}

/// A state that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Who wrote it, and which version it is.
    pub stamp: Stamp,
    /// What was kept.
    pub content: Content,
}

#[derive(Serialize, Deserialize)]
struct Header {
    #[serde(flatten)]
    stamp: Stamp,
    schema: u32,
    unclean_starts: u32,
}

impl Snapshot {
    /// The document to keep.
    pub fn to_document(&self) -> Vec<u8> {
        document(&self.stamp, &self.content)
    }

    /// Reads a document of this kit, or an envelope of the Python reference.
    ///
    /// # Errors
    /// `is_corrupt()` when a single bit of it is not as it was written.
    pub fn from_document(document: &[u8]) -> Result<Self> {
        let Some(rest) = document.strip_prefix(MAGIC.as_bytes()) else {
            return import::envelope(document);
        };
        let (sum, body) = split_line(rest).ok_or_else(|| Error::corrupt("it is cut short"))?;
        if sum != hex_sha256(body).as_bytes() {
            return Err(Error::corrupt("its checksum is not that of its content"));
        }
        let (header, state) = split_line(body).ok_or_else(|| Error::corrupt("it has no state"))?;
        let header: Header = serde_json::from_slice(header)
            .map_err(|e| Error::corrupt(format_args!("its header: {e}")))?;
        Ok(Snapshot {
            stamp: header.stamp,
            content: Content {
                schema: header.schema,
                unclean_starts: header.unclean_starts,
                state: state.to_vec(),
            },
        })
    }
}

/// The document to keep.
pub(super) fn document(stamp: &Stamp, content: &Content) -> Vec<u8> {
    let header = Header {
        stamp: stamp.clone(),
        schema: content.schema,
        unclean_starts: content.unclean_starts,
    };
    // Strings and numbers: there is nothing that JSON could not say.
    let mut body = serde_json::to_vec(&header).unwrap_or_default();
    body.reserve_exact(1 + content.state.len());
    body.push(b'\n');
    body.extend_from_slice(&content.state);
    sealed(body)
}

/// Whether this kit wrote it, whole or damaged.
pub(super) fn is_own(document: &[u8]) -> bool {
    document.starts_with(MAGIC.as_bytes())
}

/// The header of a document, from which [`of_header`] makes one without a state.
pub(super) fn header(document: &[u8]) -> Option<&[u8]> {
    let (_, body) = split_line(document)?;
    split_line(body).map(|(header, _)| header)
}

pub(super) fn of_header(header: &[u8]) -> Vec<u8> {
    sealed([header, b"\n"].concat())
}

fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    let mut document = format!("{MAGIC}{}\n", hex_sha256(&body)).into_bytes();
    document.append(&mut body);
    document
}

impl Stamp {
    /// Nobody holds the state.
    pub fn is_released(&self) -> bool {
        self.holder.is_empty()
    }

    /// Who wrote it; empty for the first and for an imported one.
    pub fn writer(&self) -> &str {
        match self.is_released() {
            true => &self.previous,
            false => &self.holder,
        }
    }

    /// The stamp of the next writer, before its first save.
    pub(super) fn succeeded_by(&self, processor: &str, holder: &str) -> Self {
        Stamp {
            processor: processor.to_owned(),
            generation: self.generation,
            epoch: self.epoch + 1,
            holder: holder.to_owned(),
            previous: self.writer().to_owned(),
            saved_at: time::now(),
        }
    }

    /// The stamp of the next save of the same writer.
    pub(super) fn next(&self) -> Self {
        Stamp {
            generation: self.generation + 1,
            saved_at: time::now(),
            ..self.clone()
        }
    }

    /// As it is when its writer has let go.
    pub(super) fn released(mut self) -> Self {
        self.previous = std::mem::take(&mut self.holder);
        self
    }
}

pub(super) fn hex_sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn snapshot(state: Vec<u8>) -> Snapshot {
        Snapshot {
            stamp: Stamp {
                processor: "orders".into(),
                generation: 42,
                epoch: 3,
                holder: "orders-1 4f".into(),
                previous: String::new(),
                saved_at: time::now(),
            },
            content: Content {
                schema: 2,
                unclean_starts: 1,
                state,
            },
        }
    }

    #[test]
    fn every_single_bit_flip_and_every_cut_is_found() {
        let document = snapshot(br#"{"count":17,"name":"Zo\u00eb"}"#.to_vec()).to_document();
        for at in 0..document.len() {
            for bit in 0..8 {
                let mut flipped = document.clone();
                flipped[at] ^= 1 << bit;
                let error = Snapshot::from_document(&flipped).unwrap_err();
                assert!(error.is_corrupt(), "byte {at}, bit {bit}: {error}");
            }
            let cut = Snapshot::from_document(&document[..at]);
            assert!(cut.unwrap_err().is_corrupt(), "cut at {at}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(state in proptest::collection::vec(any::<u8>(), 0..400)) {
            let snapshot = snapshot(state);
            prop_assert_eq!(Snapshot::from_document(&snapshot.to_document()).unwrap(), snapshot);
        }

        #[test]
        fn nothing_makes_it_panic(document in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Snapshot::from_document(&document).is_err());
        }
    }
}
