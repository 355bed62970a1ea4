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
}
