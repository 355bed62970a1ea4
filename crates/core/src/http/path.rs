//! Escapes paths and queries.

/// Percent-encodes one path segment or query value. Ids come from the server and
/// may contain any character.
pub fn escaped(segment: &str) -> String {
    let mut path = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => path.push(byte.into()),
            b'.' if segment != "." && segment != ".." => path.push('.'),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

/// Decodes percent encoding. A `%` without two digits stays.
///
/// ```
/// assert_eq!(satellite_core::http::unescaped("100%25 %40 5%"), "100% @ 5%");
/// ```
pub fn unescaped(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let digits = piece.get(..2);
        // `from_str_radix` also takes a sign.
        let digits = digits.filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(&piece.as_bytes()[2..]);
            }
            None => bytes.extend([b"%", piece.as_bytes()].concat()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns `path` with these pairs as its query.
pub fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let pairs = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    match pairs.collect::<Vec<_>>().join("&") {
        none if none.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_percent_encoded() {
        let path = with_query("/api/get", &[("request_id", "a&b=c#d?e f/ä"), ("all", "1")]);
        assert_eq!(
            path,
            "/api/get?request_id=a%26b%3Dc%23d%3Fe%20f%2F%C3%A4&all=1"
        );
        assert_eq!(with_query("/api/get", &[]), "/api/get");
    }

    #[test]
    fn what_was_escaped_is_unescaped() {
        for text in ["", "a&b=c#d?e f/ä", "100 %", "%4", "%zz", "%+4", "%%41"] {
            assert_eq!(unescaped(&escaped(text)), text);
        }
        assert_eq!(unescaped("%4a%C3%A4%zz%+4%4"), "Jä%zz%+4%4");
    }
}
