//! Masks secrets in what containers write. Every line that a container has written
//! passes through [`Masker::mask`] before it goes anywhere: an [`Output`] cannot be
//! read in any other way.

mod encodings;
mod normalized;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::Range;

use satellite_sdk::Secret;

use self::encodings::encodings;
use self::normalized::NormalizedText;

/// What a container has written, as it came. It may hold secrets, so that it has no
/// `Debug` and no `Display`: [`Masker::mask`] is the only way to its text.
pub struct Output(String);

impl Output {
    pub fn new(text: String) -> Self {
        Output(text)
    }
}

/// Knows the secrets of one deployment and masks them in its containers' output.
pub struct Masker {
    needles: Vec<Needle>,
    /// What is shown in place of a secret: no secret has any of its characters, so
    /// that no secret can come about by putting it in.
    replacement: Option<&'static str>,
}

/// One form of one secret, without whitespace.
struct Needle {
    bytes: Vec<u8>,
    is_short: bool,
}

/// A container may write megabytes in a line. Only the last of it is looked at.
const SEARCHED_BYTES: usize = 64 * 1024;

/// The platform keeps 4 KiB of an error's beginning; the last lines have to fit.
const MAX_OUTPUT_BYTES: usize = 3 * 1024;

/// Where the output begins or ends within a secret, this many bytes of it are masked.
const MIN_PARTIAL_MATCH: usize = 4;

/// A secret below this many bytes is masked with the whole word around it: to
/// take one letter out of a text would tell which one it is.
const SHORT_SECRET_BYTES: usize = 4;

/// A line of a secret of many lines, and a value in a signed URL, is a secret of its
/// own from this many bytes on.
const MIN_PART_BYTES: usize = 8;

const REPLACEMENTS: [&str; 4] = ["***", "███", "▒▒▒", "---"];

/// Removing a part can change how the escapes beside it are read, so that the masked
/// text is searched again. Output that still shows a secret then is dropped.
const MAX_PASSES: usize = 6;

impl Masker {
    /// Masks these secrets and the signed part of the artifact's URL.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>, artifact_url: &str) -> Self {
        let mut plain: BTreeSet<String> = BTreeSet::new();
        for secret in secrets {
            let value = secret.expose();
            plain.insert(value.to_owned());
            let lines = value.lines().map(str::trim);
            let own = lines.filter(|line| line.len() >= MIN_PART_BYTES);
            plain.extend(own.map(str::to_owned));
        }
        for part in signed_parts(artifact_url) {
            plain.insert(encodings::percent_decoded(&part));
            plain.insert(part);
        }
        let mut needles: BTreeSet<Vec<u8>> = plain.iter().flat_map(|p| encodings(p)).collect();
        needles.remove(&Vec::new());
        let shown = |replacement: &&&str| {
            let used = |c: char| {
                let mut buffer = [0; 4];
                let bytes = c.encode_utf8(&mut buffer).as_bytes();
                needles
                    .iter()
                    .any(|needle| needle.windows(bytes.len()).any(|w| w == bytes))
            };
            !replacement.chars().any(used)
        };
        Masker {
            replacement: REPLACEMENTS.iter().find(shown).copied(),
            needles: needles
                .into_iter()
                .map(|bytes| Needle {
                    is_short: bytes.len() < SHORT_SECRET_BYTES,
                    bytes,
                })
                .collect(),
        }
    }

    /// The end of what a container has written, without secrets: neither as they
    /// are, nor broken over lines, nor escaped as in JSON, nor percent-encoded.
    pub fn mask(&self, output: Output) -> String {
        // The platform is sent no NUL: without it, what it split is whole again.
        let text = output.0.replace('\0', "");
        let masked = self.masked(tail(&text, SEARCHED_BYTES).to_owned());
        tail(masked.trim(), MAX_OUTPUT_BYTES).to_owned()
    }

    fn masked(&self, mut text: String) -> String {
        for _ in 0..MAX_PASSES {
            let found = self.find(&text);
            if found.is_empty() {
                return text;
            }
            let Some(replacement) = self.replacement else {
                break;
            };
            let mut masked = String::with_capacity(text.len());
            let mut end = 0;
            for range in found {
                masked.push_str(&text[end..range.start]);
                masked.push_str(replacement);
                end = range.end;
            }
            masked.push_str(&text[end..]);
            text = masked;
        }
        String::new()
    }

    /// Where secrets are, in order, none of the ranges touching another.
    fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for stream in NormalizedText::decodings(text) {
            for needle in &self.needles {
                for range in stream.occurrences(&needle.bytes) {
                    found.push(match needle.is_short {
                        true => word_around(text, range),
                        false => range,
                    });
                }
                found.extend(stream.cut_at_either_end(&needle.bytes, MIN_PARTIAL_MATCH));
            }
        }
        found.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<usize>> = Vec::new();
        for range in found {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged
    }
}

/// A presigned URL's query, and the values in it that are worth something.
fn signed_parts(url: &str) -> Vec<String> {
    let Some((_, query)) = url.split_once('?') else {
        return Vec::new();
    };
    let query = query.split('#').next().unwrap_or_default();
    let mut parts = vec![query.to_owned()];
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or(("", parameter));
        let name = name.to_ascii_lowercase();
        let telling = ["sig", "token", "credential", "secret", "key"];
        let is_telling = telling.iter().any(|word| name.contains(word));
        if value.len() >= MIN_PART_BYTES || is_telling {
            parts.push(value.to_owned());
        }
    }
    parts
}

fn word_around(text: &str, range: Range<usize>) -> Range<usize> {
    let in_word = |c: char| c.is_alphanumeric();
    let before = text[..range.start].trim_end_matches(in_word).len();
    let after = text[range.end..].trim_start_matches(in_word).len();
    before..text.len() - after
}

/// At most the last `most` bytes.
fn tail(text: &str, most: usize) -> &str {
    let mut start = text.len().saturating_sub(most);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}
