//! The stored document: who wrote the state, when, and the exact bytes, protected by
//! one checksum.
//!
//! ```text
//! satellite-state 1 <sha256 of everything below, in hex>
//! {"processor":"orders","generation":42,"epoch":3,"holder":"orders-1 4f…",…}
//! {"count":17}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{import, time};
use crate::error::corrupt;
use satellite_core::Result;

const MAGIC: &str = "satellite-state 1 ";

/// What a processor passes to a [`Store`](super::Store).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The schema version of `state`.
    pub schema: u32,
    /// Consecutive starts that ended uncleanly, including the current one.
    pub unclean_starts: u32,
    /// The state, as JSON.
    pub state: Vec<u8>,
}

/// Who wrote a state, and which version it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stamp {
    /// The id of the processor that the state belongs to.
    pub processor: String,
    /// The number of the save, from 1.
    pub generation: u64,
    /// The number of the writer: a writer that finds a higher epoch is fenced.
    pub epoch: u64,
    /// The process that holds the state; empty when it was released.
    pub holder: String,
    /// The previous holder; in a released state, the process that released it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub previous: String,
    /// When it was saved, RFC 3339.
    pub saved_at: String,
    /// The revision of its writer (`DORY_REVISION`), if it is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The pods that have held the state, by name, with the epoch in which each held it
    /// first: a pod never asks for the state while a pod of a higher rank holds it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ranks: BTreeMap<String, u64>,
}

/// The maximum number of remembered pods; those of the highest ranks are kept.
const MAX_RANKS: usize = 256;

/// A stored state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Who wrote it, and which version it is.
    pub stamp: Stamp,
    /// The stored content.
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

impl Stamp {
    /// Whether no process holds the state.
    pub fn is_released(&self) -> bool {
        self.holder.is_empty()
    }

    /// The writer of the state; empty for the first and for an imported state.
    pub fn writer(&self) -> &str {
        match self.is_released() {
            true => &self.previous,
            false => &self.holder,
        }
    }

    /// Whether its writer is newer than this pod, which then waits until no process
    /// holds the state, and never asks for it. The revisions decide if both are known,
    /// otherwise which of the two pods held the state first. A pod that never held the
    /// state is newer than all that did.
    pub(super) fn is_newer_than(&self, pod: &str, revision: Option<u64>) -> bool {
        let writer = match pod_of(self.writer()) {
            editor if is_editor(editor) => self.newest_pod(),
            writer => writer,
        };
        if writer.is_empty() || writer == pod || is_editor(pod) {
            return false;
        }
        match (self.revision, revision) {
            (Some(writers), Some(own)) if writers != own => writers > own,
            _ => self
                .rank(pod)
                .is_some_and(|own| self.rank(writer) > Some(own)),
        }
    }

    /// The pod of the highest rank: the one that held the state before it was edited.
    fn newest_pod(&self) -> &str {
        let newest = self.ranks.iter().max_by_key(|(_, rank)| **rank);
        newest.map_or("", |(name, _)| name)
    }

    /// Older releases without ranks record only the last two writers.
    fn rank(&self, pod: &str) -> Option<u64> {
        let known = self.ranks.get(pod).copied();
        known
            .or_else(|| (pod == pod_of(self.writer())).then_some(self.epoch))
            .or_else(|| (pod == pod_of(&self.previous)).then_some(self.epoch.saturating_sub(1)))
    }

    /// The stamp of the next writer, of this epoch, before its first save.
    pub(super) fn succeeded_by(
        &self,
        processor: &str,
        holder: &str,
        revision: Option<u64>,
        epoch: u64,
    ) -> Self {
        let (pod, writer) = (pod_of(holder), pod_of(self.writer()));
        let mut ranks = self.ranks.clone();
        if let Some(rank) = self.rank(writer).filter(|_| !writer.is_empty()) {
            if !is_editor(writer) {
                ranks.insert(writer.to_owned(), rank);
            }
        }
        if is_editor(pod) {
            return Stamp {
                processor: processor.to_owned(),
                epoch,
                holder: holder.to_owned(),
                previous: self.writer().to_owned(),
                saved_at: time::now(),
                ranks,
                ..self.clone()
            };
        }
        // A pod that takes the state of a newer pod that has ended remains older than it.
        let rank = match self.is_newer_than(pod, revision) {
            true => self.rank(pod).unwrap_or_else(|| {
                let writers = ranks.get(writer).copied().unwrap_or(epoch);
                writers.saturating_sub(1)
            }),
            false => match self.rank(pod) {
                Some(own) if Some(own) >= ranks.get(writer).copied() => own,
                _ => epoch,
            },
        };
        ranks.insert(pod.to_owned(), rank);
        while ranks.len() > MAX_RANKS {
            let lowest = ranks.iter().filter(|(name, _)| *name != pod);
            let lowest = lowest.min_by_key(|(_, rank)| **rank);
            let Some(lowest) = lowest.map(|(name, _)| name.clone()) else {
                break;
            };
            ranks.remove(&lowest);
        }
        Stamp {
            processor: processor.to_owned(),
            generation: self.generation,
            epoch,
            holder: holder.to_owned(),
            previous: self.writer().to_owned(),
            saved_at: time::now(),
            revision,
            ranks,
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

    /// The stamp after its writer has released the state.
    pub(super) fn released(mut self) -> Self {
        self.previous = std::mem::take(&mut self.holder);
        self
    }
}

/// What the holder names of a [`StateEditor`](crate::StateEditor) begin with; no pod has
/// such a name.
pub(super) const EDITOR: &str = "editor/";

/// Whether this is not a pod but a tool that edits the state: it is neither newer nor older
/// than any pod.
fn is_editor(pod: &str) -> bool {
    pod.starts_with(EDITOR)
}

/// The name of the pod or host in a holder's name.
pub(super) fn pod_of(holder: &str) -> &str {
    holder.split(' ').next().unwrap_or(holder)
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
    use crate::error::is_corrupt;

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

    fn taken(stamp: &Stamp, pod: &str, revision: Option<u64>) -> Stamp {
        let holder = format!("{pod} 1-1");
        stamp.succeeded_by("orders", &holder, revision, stamp.epoch + 1)
    }

    #[test]
    fn a_pod_remains_older_than_the_pods_that_followed_it() {
        let mut stamp = taken(&Stamp::default(), "a", None);
        for next in ["b", "c", "d", "e"] {
            assert!(!stamp.is_newer_than(next, None), "{next} is new");
            stamp = taken(&stamp, next, None);
            assert!(stamp.is_newer_than("a", None));
        }
        // All newer pods have ended: it takes the state, and remains older.
        stamp = taken(&stamp.released(), "a", None);
        assert!(!stamp.is_newer_than("e", None));
        assert!(!stamp.is_newer_than("b", None));
        stamp = taken(&stamp, "b", None);
        assert!(stamp.is_newer_than("a", None));
        assert!(!stamp.is_newer_than("e", None));
    }

    #[test]
    fn a_known_revision_takes_precedence_over_the_order_of_arrival() {
        let stamp = taken(&Stamp::default(), "a", Some(2));
        assert!(
            stamp.is_newer_than("b", Some(1)),
            "a new pod, an old release"
        );
        assert!(!stamp.is_newer_than("b", Some(2)));
        let later = taken(&stamp, "b", Some(3));
        assert!(later.is_newer_than("a", Some(2)));
        assert!(!later.is_newer_than("a", Some(4)), "updated in place");
        assert!(!taken(&later, "a", Some(4)).is_newer_than("c", None));
    }

    #[test]
    fn an_edit_changes_neither_the_order_of_the_pods_nor_the_revision() {
        let stamp = taken(&taken(&Stamp::default(), "a", Some(1)), "b", Some(2));
        let edited = taken(&stamp.released(), "editor/laptop", None).released();
        assert_eq!(edited.epoch, 3);
        assert_eq!(edited.revision, Some(2));
        assert!(edited.is_newer_than("a", Some(1)));
        assert!(
            !edited.is_newer_than("b", Some(2)),
            "it takes its state again"
        );
        assert!(!edited.is_newer_than("c", Some(3)));
        assert!(
            !edited.is_newer_than("editor/laptop", None),
            "a second edit"
        );
        let again = taken(&edited, "b", Some(2));
        assert!(again.is_newer_than("a", Some(1)));
        assert!(again.ranks.keys().all(|name| !name.starts_with(EDITOR)));
    }

    #[test]
    fn the_number_of_remembered_pods_is_limited() {
        let mut stamp = Stamp::default();
        for n in 0..600 {
            stamp = taken(&stamp, &format!("pod-{n}"), None);
        }
        assert_eq!(stamp.ranks.len(), MAX_RANKS);
        assert!(stamp.is_newer_than("pod-400", None));
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
