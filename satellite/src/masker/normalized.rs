//! A text prepared for search: without whitespace, and with escapes decoded. Each byte knows its
//! position in the original text.

use std::borrow::Cow;
use std::ops::Range;

use super::encodings::{hex_pair, is_blank};

#[derive(Clone, PartialEq)]
pub(super) struct NormalizedText {
    bytes: Vec<u8>,
    /// For each byte, its start and end in the original text.
    places: Vec<(u32, u32)>,
}

impl NormalizedText {
    /// All distinct decodings of the text: as it is, and with JSON escapes or percent-encoding
    /// decoded, once or twice.
    pub(super) fn decodings(text: &str) -> Vec<NormalizedText> {
        let plain = NormalizedText::of(text);
        let json = plain.unescaped();
        let readings = [
            json.unescaped(),
            plain.percent_decoded(false),
            plain.percent_decoded(true),
            json.percent_decoded(false),
            json.percent_decoded(true),
            plain.percent_decoded(false).unescaped(),
            plain.percent_decoded(false).percent_decoded(false),
            json,
        ];
        let mut all = vec![plain];
        for reading in readings {
            if !all.contains(&reading) {
                all.push(reading);
            }
        }
        all
    }

    fn of(text: &str) -> Self {
        let mut stream = NormalizedText::empty();
        for (start, c) in text.char_indices() {
            let place = (start as u32, (start + c.len_utf8()) as u32);
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                stream.push(byte, place);
            }
        }
        stream
    }

    /// The ranges of `needle` in the text; occurrences may overlap.
    pub(super) fn occurrences(&self, needle: &[u8]) -> Vec<Range<usize>> {
        let found = self.bytes.windows(needle.len()).enumerate();
        let found = found.filter(|(_, window)| *window == needle);
        found
            .map(|(at, _)| self.range(at, at + needle.len()))
            .collect()
    }

    /// Partial occurrences where the output was cut: the end of `needle` at the start of the
    /// text, its start at the end. At least `shortest` bytes.
    pub(super) fn cut_at_either_end(
        &self,
        needle: &[u8],
        shortest: usize,
    ) -> impl Iterator<Item = Range<usize>> {
        let bytes = &self.bytes;
        let longest = needle.len().saturating_sub(1).min(bytes.len());
        let parts = || (shortest..=longest).rev();
        let ends = parts().find(|n| bytes.starts_with(&needle[needle.len() - n..]));
        let begins = parts().find(|n| bytes.ends_with(&needle[..*n]));
        let at_start = ends.map(|n| self.range(0, n));
        let at_end = begins.map(|n| self.range(bytes.len() - n, bytes.len()));
        at_start.into_iter().chain(at_end)
    }

    /// Decodes `\n`, `\"`, `\/`, `\u00e9`, `\xe9` and similar escapes.
    fn unescaped(&self) -> NormalizedText {
        let mut stream = NormalizedText::empty();
        let mut at = 0;
        while at < self.bytes.len() {
            let (length, decoded) = match self.bytes[at] {
                b'\\' => escape(&self.bytes[at..]),
                _ => (1, Cow::Borrowed(&self.bytes[at..=at])),
            };
            let place = (self.places[at].0, self.places[at + length - 1].1);
            decoded.iter().for_each(|byte| stream.push(*byte, place));
            at += length;
        }
        stream
    }

    /// Decodes `%41`, and `+` as a space if requested.
    fn percent_decoded(&self, plus_is_space: bool) -> NormalizedText {
        let mut stream = NormalizedText::empty();
        let mut at = 0;
        while at < self.bytes.len() {
            let byte = self.bytes[at];
            let pair = (byte == b'%').then(|| hex_pair(&self.bytes[at + 1..]));
            match pair.flatten() {
                Some(decoded) => {
                    stream.push(decoded, (self.places[at].0, self.places[at + 2].1));
                    at += 3;
                }
                None => {
                    if byte != b'+' || !plus_is_space {
                        stream.push(byte, self.places[at]);
                    }
                    at += 1;
                }
            }
        }
        stream
    }

    fn empty() -> Self {
        NormalizedText {
            bytes: Vec::new(),
            places: Vec::new(),
        }
    }

    fn push(&mut self, byte: u8, place: (u32, u32)) {
        if !is_blank(byte) {
            self.bytes.push(byte);
            self.places.push(place);
        }
    }

    fn range(&self, start: usize, end: usize) -> Range<usize> {
        self.places[start].0 as usize..self.places[end - 1].1 as usize
    }
}

/// Decodes the escape sequence at the start; returns its length and its value.
fn escape(bytes: &[u8]) -> (usize, Cow<'_, [u8]>) {
    let rest = bytes.get(2..).unwrap_or_default();
    match bytes.get(1) {
        Some(b'n' | b'r' | b't' | b'b' | b'f' | b'v' | b'0') => (2, Cow::Borrowed(b" ")),
        Some(b'"' | b'\'' | b'/' | b'\\') => (2, Cow::Borrowed(&bytes[1..2])),
        Some(b'x') => match hex_pair(rest) {
            Some(byte) => (4, Cow::Owned(vec![byte])),
            None => (1, Cow::Borrowed(&bytes[..1])),
        },
        Some(b'u') => {
            let first = unit(rest);
            let second = rest.get(4..).and_then(|r| unit(r.strip_prefix(b"\\u")?));
            let decode = |units: &[u16]| String::from_utf16(units).ok().map(String::into_bytes);
            let pair = first.zip(second).filter(|(first, _)| *first >> 10 == 0x36);
            match pair.and_then(|(a, b)| decode(&[a, b])) {
                Some(text) => (12, Cow::Owned(text)),
                None => match first.and_then(|unit| decode(&[unit])) {
                    Some(text) => (6, Cow::Owned(text)),
                    None => (1, Cow::Borrowed(&bytes[..1])),
                },
            }
        }
        _ => (1, Cow::Borrowed(&bytes[..1])),
    }
}

fn unit(bytes: &[u8]) -> Option<u16> {
    let (high, low) = (hex_pair(bytes)?, hex_pair(bytes.get(2..)?)?);
    Some(u16::from_be_bytes([high, low]))
}
