//! The encodings in which a program may write a secret.

use std::fmt::Write;

/// The text itself, as a JSON string, and percent-encoded, each as common libraries write it,
/// without whitespace.
pub(super) fn encodings(text: &str) -> Vec<Vec<u8>> {
    let json = serde_json::Value::from(text).to_string();
    let json = &json[1..json.len() - 1]; // without the quotes
    let ascii = json_ascii(json);
    let forms = [
        text.to_owned(),
        json.to_owned(),
        json.replace('/', "\\/"),
        ascii.replace('/', "\\/"),
        upper_hex(&ascii),
        ascii,
        percent(text, "-._~", false),
        percent(text, "-._~/", false),
        percent(text, "-._~", true),
        percent(text, "-._~/", true),
        // As JavaScript's encodeURIComponent, and as form encoding.
        percent(text, "-._~!*'()", false),
        percent(text, "-._*", false).replace("%20", "+"),
        percent(text, "-._~", false).replace("%20", "+"),
    ];
    let dense = |form: String| form.bytes().filter(|b| !is_blank(*b)).collect();
    forms.into_iter().map(dense).collect()
}

/// `%41` → `A`; invalid UTF-8 is replaced.
pub(super) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at..].strip_prefix(b"%").and_then(hex_pair) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Characters that may separate the parts of a broken value, including line endings.
pub(super) fn is_blank(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
}

/// The byte of the two hexadecimal digits at the start.
pub(super) fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

fn percent(text: &str, kept: &str, lower: bool) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let c = char::from(byte);
        if byte.is_ascii_alphanumeric() || kept.contains(c) {
            encoded.push(c);
        } else {
            let _ = match lower {
                true => write!(encoded, "%{byte:02x}"),
                false => write!(encoded, "%{byte:02X}"),
            };
        }
    }
    encoded
}

/// As Python's `json.dumps`: ASCII only.
fn json_ascii(json: &str) -> String {
    let mut encoded = String::new();
    for c in json.chars() {
        if c.is_ascii() {
            encoded.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(encoded, "\\u{unit:04x}");
            }
        }
    }
    encoded
}

/// `\u00e9` → `\u00E9`
fn upper_hex(json: &str) -> String {
    let mut parts = json.split("\\u");
    let mut upper = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        upper.push_str("\\u");
        match part.get(..4) {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
                upper.push_str(&digits.to_ascii_uppercase());
                upper.push_str(&part[4..]);
            }
            _ => upper.push_str(part),
        }
    }
    upper
}
