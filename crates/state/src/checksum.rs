//! The checksum of stored documents.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// The SHA-256, in hexadecimal digits.
pub(super) fn hex_sha256(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
