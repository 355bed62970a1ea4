//! The stored document: who wrote the state, when, and the exact bytes, protected by
//! one checksum.
//!
//! ```text
//! satellite-state 1 <sha256 of everything below, in hex>
//! {"processor":"orders","generation":42,"epoch":3,"holder":"orders-1 4f…",…}
//! {"count":17}
//! ```

use serde::{Deserialize, Serialize};

use super::checksum::hex_sha256;
use super::import;
use super::snapshot::{Content, Snapshot, Stamp};
use crate::error::corrupt;
use satellite_core::Result;

const MAGIC: &str = "satellite-state 1 ";

#[derive(Serialize, Deserialize)]
struct Header {
    #[serde(flatten)]
    stamp: Stamp,
    schema: u32,
    unclean_starts: u32,
}

impl Snapshot {
    /// Serializes the document to store.
    pub fn to_document(&self) -> Vec<u8> {
        document(&self.stamp, &self.content)
    }

    /// Reads a document of this kit, or an envelope of dory-sdk, the original Python
    /// implementation.
    ///
    /// # Errors
    /// [`is_corrupt`](crate::is_corrupt) when even a single bit of it has changed.
    pub fn from_document(document: &[u8]) -> Result<Self> {
        let Some(rest) = document.strip_prefix(MAGIC.as_bytes()) else {
            return import::envelope(document);
        };
        let (sum, body) = split_line(rest).ok_or_else(|| corrupt("it is truncated"))?;
        if sum != hex_sha256(body).as_bytes() {
            return Err(corrupt("its checksum does not match its content"));
        }
        let (header, state) = split_line(body).ok_or_else(|| corrupt("it has no state"))?;
        let header: Header =
            serde_json::from_slice(header).map_err(|e| corrupt(format_args!("its header: {e}")))?;
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

/// Serializes the document to store.
pub(super) fn document(stamp: &Stamp, content: &Content) -> Vec<u8> {
    let header = Header {
        stamp: stamp.clone(),
        schema: content.schema,
        unclean_starts: content.unclean_starts,
    };
    // Strings and numbers only: serialization cannot fail.
    let mut body = serde_json::to_vec(&header).unwrap_or_default();
    body.reserve_exact(1 + content.state.len());
    body.push(b'\n');
    body.extend_from_slice(&content.state);
    sealed(body)
}

/// Whether this kit wrote the document, intact or damaged.
pub(super) fn is_own(document: &[u8]) -> bool {
    document.starts_with(MAGIC.as_bytes())
}

/// The header of a document, from which [`of_header`] builds a document without a state.
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

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::error::is_corrupt;
    use crate::time;

    fn snapshot(state: Vec<u8>) -> Snapshot {
        Snapshot {
            stamp: Stamp {
                processor: "orders".into(),
                generation: 42,
                epoch: 3,
                holder: "orders-1 4f".into(),
                previous: String::new(),
                saved_at: time::now(),
                revision: Some(7),
                ranks: BTreeMap::from([("orders-1".to_owned(), 3)]),
            },
            content: Content {
                schema: 2,
                unclean_starts: 1,
                state,
            },
        }
    }

    #[test]
    fn every_bit_flip_and_every_truncation_is_detected() {
        let document = snapshot(br#"{"count":17,"name":"Zo\u00eb"}"#.to_vec()).to_document();
        for at in 0..document.len() {
            for bit in 0..8 {
                let mut flipped = document.clone();
                flipped[at] ^= 1 << bit;
                let error = Snapshot::from_document(&flipped).unwrap_err();
                assert!(is_corrupt(&error), "byte {at}, bit {bit}: {error}");
            }
            let cut = Snapshot::from_document(&document[..at]);
            assert!(is_corrupt(&cut.unwrap_err()), "cut at {at}");
        }
    }

    proptest! {
        #[test]
        fn a_written_document_reads_back_unchanged(state in proptest::collection::vec(any::<u8>(), 0..400)) {
            let snapshot = snapshot(state);
            prop_assert_eq!(Snapshot::from_document(&snapshot.to_document()).unwrap(), snapshot);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(document in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Snapshot::from_document(&document).is_err());
        }
    }
}
