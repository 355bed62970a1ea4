//! Imports states of dory-sdk, the original Python implementation: envelopes of
//! `payload`, `metadata` and `checksum`.
//!
//! The checksum is the SHA-256 of the payload as Python's `json.dumps` writes
//! it with sorted keys. Numbers keep their original digits, so that nothing here has to
//! format a float as Python does. Integer keys were sorted as integers before they were
//! written, so that order is tried as well: dory-sdk itself rejects such a state when it
//! reads it back.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::checksum::hex_sha256;
use super::snapshot::{Content, Snapshot, Stamp};
use crate::error::corrupt;
use satellite_core::Result;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(default)]
    metadata: Metadata,
    checksum: String,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    timestamp_iso: String,
    #[serde(default)]
    processor_id: String,
    #[serde(default)]
    pod_name: String,
}

/// Parses an envelope of dory-sdk.
pub(super) fn envelope(document: &[u8]) -> Result<Snapshot> {
    with_pod(document).map(|(snapshot, _)| snapshot)
}

/// Parses an envelope, and the name of the pod that wrote it.
pub(super) fn with_pod(document: &[u8]) -> Result<(Snapshot, String)> {
    let envelope: Envelope<'_> = serde_json::from_slice(document)
        .map_err(|e| corrupt(format_args!("it is not a state: {e}")))?;
    let is_intact = [Order::Text, Order::Numbers].into_iter().any(|order| {
        let mut dumped = String::new();
        dump(envelope.payload, order, &mut dumped).is_some()
            && hex_sha256(dumped.as_bytes()) == envelope.checksum
    });
    if !is_intact {
        return Err(corrupt(
            "its checksum does not match its payload (an envelope of dory-sdk)",
        ));
    }
    let snapshot = Snapshot {
        stamp: Stamp {
            processor: envelope.metadata.processor_id,
            saved_at: envelope.metadata.timestamp_iso,
            ..Stamp::default()
        },
        content: Content {
            schema: 0,
            unclean_starts: 0,
            state: envelope.payload.get().as_bytes().to_vec(),
        },
    };
    Ok((snapshot, envelope.metadata.pod_name))
}

#[derive(Clone, Copy)]
enum Order {
    Text,
    Numbers,
}

/// Formats like `json.dumps(.., sort_keys=True)`. `None`: it is not JSON, or nested more
/// than 100 levels deep.
fn dump(value: &RawValue, order: Order, out: &mut String) -> Option<()> {
    dump_at(value, order, 0, out)
}

fn dump_at(value: &RawValue, order: Order, depth: u32, out: &mut String) -> Option<()> {
    if depth > 100 {
        return None;
    }
    let text = value.get();
    match text.as_bytes().first()? {
        b'{' => {
            let map: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            let mut entries: Vec<_> = map.into_iter().collect();
            if let Order::Numbers = order {
                entries.sort_by_key(|(key, _)| key.parse::<i128>().ok());
            }
            out.push('{');
            for (n, (key, value)) in entries.into_iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                dump_text(&key, out);
                out.push_str(": ");
                dump_at(value, order, depth + 1, out)?;
            }
            out.push('}');
        }
        b'[' => {
            let list: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            out.push('[');
            for (n, value) in list.into_iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                dump_at(value, order, depth + 1, out)?;
            }
            out.push(']');
        }
        b'"' => dump_text(&serde_json::from_str::<String>(text).ok()?, out),
        _ => out.push_str(text),
    }
    Some(())
}

fn dump_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}
