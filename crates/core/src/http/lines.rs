//! Reads a body line by line as it arrives.

use std::io::{self, Read};
use std::mem;

use super::fault::{Fault, classify};
use super::response::Response;
use crate::error::{Error, Result};

/// A longer line is split into pieces of this size.
const MAX_LINE: usize = 256 * 1024;

/// The lines of a body, without line ends; invalid UTF-8 is replaced. A line that
/// is incomplete because the connection was lost is dropped.
pub struct Lines {
    request: String,
    reader: Box<dyn Read + Send>,
    /// Bytes that were read; those from `begin` on were not returned yet.
    buffer: Vec<u8>,
    begin: usize,
    /// There is no line end before this position.
    searched: usize,
    is_over: bool,
}

impl Response {
    /// The body of a 2xx response, line by line, if the call was
    /// [`streamed`](super::Call::streamed).
    pub fn into_lines(self) -> Result<Lines> {
        let mut answer = self.ok()?;
        let reader: Box<dyn Read + Send> = match answer.stream.take() {
            Some(stream) => Box::new(stream),
            None => Box::new(io::Cursor::new(answer.body)),
        };
        Ok(Lines::new(answer.request.to_string(), reader))
    }
}

impl Lines {
    fn new(request: String, reader: Box<dyn Read + Send>) -> Self {
        Lines {
            request,
            reader,
            buffer: Vec::new(),
            begin: 0,
            searched: 0,
            is_over: false,
        }
    }

    /// A complete line from the buffer, or a piece of a line that is too long.
    fn buffered(&mut self) -> Option<String> {
        let rest = &self.buffer[self.searched..];
        let (end, next) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(at) => (self.searched + at, self.searched + at + 1),
            None => {
                self.searched = self.buffer.len();
                let piece = &self.buffer[self.begin..];
                if piece.len() < MAX_LINE {
                    return None;
                }
                let end = self.begin + whole_characters(piece);
                (end, end)
            }
        };
        let line = &self.buffer[self.begin..end];
        let line = text(line.strip_suffix(b"\r").unwrap_or(line));
        self.begin = next;
        self.searched = next;
        Some(line)
    }

    /// Reads more bytes; false at the end of the body.
    fn fill(&mut self) -> Result<bool> {
        self.buffer.drain(..mem::take(&mut self.begin));
        self.searched = self.buffer.len();
        let mut piece = [0; 8 * 1024];
        let n = self.reader.read(&mut piece).map_err(|e| {
            let error = ureq::Error::from(e);
            let (fault, text) = match classify(&error) {
                Fault::TimedOut => (
                    Fault::TimedOut,
                    "no data within the idle timeout".to_owned(),
                ),
                fault => (fault, format!("the stream was interrupted: {error}")),
            };
            Error::from_fault(self.request.clone(), fault, text)
        })?;
        self.buffer.extend_from_slice(&piece[..n]);
        Ok(n > 0)
    }
}

impl Iterator for Lines {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            if let Some(line) = self.buffered() {
                return Some(Ok(line));
            }
            match self.fill() {
                Ok(true) => {}
                Ok(false) => {
                    self.is_over = true;
                    let rest = mem::take(&mut self.buffer);
                    return (!rest.is_empty()).then(|| Ok(text(&rest)));
                }
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The length of the longest prefix of `bytes` that does not end within a character.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    match std::str::from_utf8(&bytes[tail..]) {
        Err(error) if error.error_len().is_none() => tail + error.valid_up_to(),
        _ => match (tail..bytes.len()).find(|at| bytes[*at] >= 0xC0) {
            Some(at) if std::str::from_utf8(&bytes[at..]).is_err() => at,
            _ => bytes.len(),
        },
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns these pieces, then an error if `breaks` is set.
    pub(in crate::http) struct Pieces {
        pub(in crate::http) pieces: std::vec::IntoIter<Vec<u8>>,
        pub(in crate::http) breaks: bool,
    }

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.pieces.next() {
                Some(piece) => {
                    buffer[..piece.len()].copy_from_slice(&piece);
                    Ok(piece.len())
                }
                None if self.breaks => Err(io::ErrorKind::ConnectionReset.into()),
                None => Ok(0),
            }
        }
    }

    pub(in crate::http) fn lines(pieces: Vec<Vec<u8>>, breaks: bool) -> Lines {
        let pieces = pieces.into_iter();
        Lines::new("GET /".into(), Box::new(Pieces { pieces, breaks }))
    }

    #[test]
    fn an_incomplete_last_line_is_dropped() {
        let mut lines = lines(vec![b"one\r\ntw".to_vec()], true);
        assert_eq!(lines.next().unwrap().unwrap(), "one");
        assert!(lines.next().unwrap().unwrap_err().is_retryable());
        assert!(lines.next().is_none());
    }

    #[test]
    fn a_line_that_is_too_long_is_split_between_characters() {
        let text = "é€😀".repeat(100_000);
        let pieces = text.as_bytes().chunks(1000).map(<[u8]>::to_vec).collect();
        let pieces: Vec<_> = lines(pieces, false).map(Result::unwrap).collect();
        assert!(pieces.len() > 2);
        assert!(pieces.iter().all(|piece| piece.len() < MAX_LINE + 8 * 1024));
        assert_eq!(pieces.concat(), text);
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_body_is_split(
            text in "[a-zé€😀\n ]{0,200}",
            sizes in proptest::collection::vec(1usize..9, 1..40),
        ) {
            let mut rest = text.as_bytes();
            let mut pieces = Vec::new();
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, left) = rest.split_at((*size).min(rest.len()));
                pieces.push(piece.to_vec());
                rest = left;
            }
            let got: Vec<_> = lines(pieces, false).map(Result::unwrap).collect();
            let expected: Vec<_> = text.lines().collect();
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(pieces in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 1..50), 0..50,
        )) {
            lines(pieces, false).for_each(drop);
        }
    }
}
