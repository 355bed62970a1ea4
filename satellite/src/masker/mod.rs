//! Masks secrets in the output of containers. All output passes through [`Masker::mask`] before
//! it is logged or reported: an [`Output`] cannot be read in any other way.

mod encodings;
mod normalized;

#[cfg(test)]
mod tests;

use std::ops::Range;

use satellite_sdk::Secret;

use self::encodings::encodings;
use self::normalized::NormalizedText;

/// Raw output of a container. It may contain secrets, so it has no `Debug` and no `Display`: only
/// [`Masker::mask`] can read its text.
pub struct Output(String);

impl Output {
    pub fn new(text: String) -> Self {
        Output(text)
    }
}

/// Masks the secrets of one deployment in its containers' output.
pub struct Masker {
    needles: Vec<Needle>,
    /// The replacement for a secret. No secret contains any of its characters, so inserting it
    /// cannot create a secret.
    replacement: Option<&'static str>,
}

/// One encoding of one secret, without whitespace.
struct Needle {
    bytes: Vec<u8>,
    is_short: bool,
}

/// Only the end of the output is searched: a container may write megabytes in a line.
const SEARCHED_BYTES: usize = 64 * 1024;

/// The platform keeps the first 4 KiB of an error; the last lines have to fit.
const MAX_OUTPUT_BYTES: usize = 3 * 1024;

/// Minimum length of a partial secret at the start or the end of the output to be masked.
const MIN_PARTIAL_MATCH: usize = 4;

/// A secret shorter than this is masked with the whole word around it: masking a single letter
/// would reveal which one it is.
const SHORT_SECRET_BYTES: usize = 4;

/// Minimum length of a line of a multi-line secret, and of a value in a signed URL, to be masked
/// separately.
const MIN_PART_BYTES: usize = 8;

const REPLACEMENTS: [&str; 4] = ["***", "███", "▒▒▒", "---"];

/// Removing a part can change how the escapes next to it are decoded, so the masked text is
/// searched again. If it still contains a secret after this many passes, it is dropped.
const MAX_PASSES: usize = 6;

impl Masker {
    /// Masks these secrets and the query of the artifact's presigned URL.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>, artifact_url: &str) -> Self {
        let mut plain: Vec<String> = Vec::new();
        for secret in secrets {
            let value = secret.expose();
            plain.push(value.to_owned());
            let lines = value.lines().map(str::trim);
            let own = lines.filter(|line| line.len() >= MIN_PART_BYTES);
            plain.extend(own.map(str::to_owned));
        }
        for part in presigned_query_parts(artifact_url) {
            plain.push(encodings::percent_decoded(&part));
            plain.push(part);
        }
        let mut needles: Vec<Vec<u8>> = plain.iter().flat_map(|p| encodings(p)).collect();
        needles.retain(|needle| !needle.is_empty());
        needles.sort_unstable();
        needles.dedup();
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

    /// The end of the output, without secrets: neither verbatim, nor broken over lines, nor
    /// JSON-escaped, nor percent-encoded.
    pub fn mask(&self, output: Output) -> String {
        // NULs are not sent to the platform: without them a split secret would be whole again.
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

    /// The ranges of secrets, in order, merged where they touch.
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

/// The query of a presigned URL, and its sensitive values.
fn presigned_query_parts(url: &str) -> Vec<String> {
    let Some((_, query)) = url.split_once('?') else {
        return Vec::new();
    };
    let query = query.split('#').next().unwrap_or_default();
    let mut parts = vec![query.to_owned()];
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or(("", parameter));
        let name = name.to_ascii_lowercase();
        let sensitive = ["sig", "token", "credential", "secret", "key"];
        let is_sensitive = sensitive.iter().any(|word| name.contains(word));
        if value.len() >= MIN_PART_BYTES || is_sensitive {
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
