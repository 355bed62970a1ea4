//! A body as it passes: its length, and the bytes themselves if they are to be summarised.

/// Longer bodies are counted, but not summarised.
const LIMIT: usize = 64 * 1024;

/// Only monitoring creates one.
#[derive(Debug)]
#[cfg_attr(not(feature = "monitoring"), allow(dead_code))]
pub struct Capture {
    length: u64,
    bytes: Option<Vec<u8>>,
}

#[cfg_attr(not(feature = "monitoring"), allow(dead_code))]
impl Capture {
    /// `keep`: whether the bytes are wanted, of a body with this length if it is known.
    pub fn new(keep: bool, length: Option<u64>) -> Self {
        let is_small = length.is_none_or(|length| length <= LIMIT as u64);
        Capture {
            length: 0,
            bytes: (keep && is_small).then(Vec::new),
        }
    }

    /// Adds a piece of the body.
    pub fn add(&mut self, piece: &[u8]) {
        self.length += piece.len() as u64;
        if let Some(bytes) = &mut self.bytes {
            if bytes.len() + piece.len() > LIMIT {
                self.bytes = None;
            } else {
                bytes.extend_from_slice(piece);
            }
        }
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// The bytes, if they were wanted and all of them were small enough.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.bytes.take()
    }
}
