//! Rows: keys that sort by time, and values as JSON.

use serde::{Deserialize, Serialize};

use super::Table;

pub(super) fn put(
    transaction: &redb::WriteTransaction,
    table: Table,
    key: &[u8],
    value: &[u8],
) -> Result<(), redb::Error> {
    transaction.open_table(table)?.insert(key, value)?;
    Ok(())
}

/// Deletes the other rows.
pub(super) fn keep(
    transaction: &redb::WriteTransaction,
    table: Table,
    keep: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<(), redb::Error> {
    transaction
        .open_table(table)?
        .retain(|key, value| keep(key, value))?;
    Ok(())
}

/// A key that sorts by time.
pub(super) fn timed(at_ms: u64, id: &str) -> Vec<u8> {
    [&at_ms.to_be_bytes(), id.as_bytes()].concat()
}

/// The time at the beginning of a key or value.
pub(super) fn time(bytes: &[u8]) -> u64 {
    let first = bytes.first_chunk().copied();
    first.map_or(0, u64::from_be_bytes)
}

/// Numbers, texts and lists can always be written.
pub(super) fn bytes(row: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(row).unwrap_or_default()
}

/// `None` if another version wrote the row.
pub(super) fn parsed<T: for<'a> Deserialize<'a>>(row: &[u8]) -> Option<T> {
    serde_json::from_slice(row).ok()
}
