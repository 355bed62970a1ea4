//! The differences between kinds of servers.

use ureq::http::HeaderName;

/// How a kind of server expects the token, and what its error responses mean.
pub struct Dialect {
    /// The header for the token, and the prefix of its value.
    pub token: (HeaderName, &'static str),
    /// Headers sent with every call.
    pub headers: &'static [(&'static str, &'static str)],
    /// Interprets the status and body of a response outside 2xx.
    pub explain: fn(u16, &[u8]) -> Problem,
}

/// The meaning of a response outside 2xx.
pub struct Problem {
    /// The error class.
    pub class: Class,
    /// The server's own name for the problem, if it has one.
    pub kind: Option<String>,
    /// The message, safe to display.
    pub message: String,
    /// Whether the response has the server's own format, not that of a proxy or
    /// gateway in front of it. A 503 then means that the request had no effect.
    pub is_own: bool,
}

/// The class of an error response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The token was rejected (401).
    Unauthorized,
    /// The token lacks the permission (403).
    Forbidden,
    /// The object does not exist (404 in the server's own format).
    NotFound,
    /// The route does not exist.
    Unsupported,
    /// The state of the object does not allow it (409).
    Conflict,
    /// The request is invalid (400, 422).
    Invalid,
    /// Too many requests (429).
    RateLimited,
    /// Client and server versions are incompatible.
    VersionMismatch,
    /// The requested resources are not available at the moment.
    NoCapacity,
    /// A temporary failure; a retry may succeed.
    Transient,
    /// Any other failure; a retry would not help.
    Failed,
}

impl Class {
    /// The class of a status without further information. A 404 that is not in
    /// the server's own format means that the route does not exist.
    pub fn of_status(status: u16, is_own: bool) -> Self {
        match status {
            401 => Class::Unauthorized,
            403 => Class::Forbidden,
            404 if is_own => Class::NotFound,
            404 | 405 | 501 => Class::Unsupported,
            409 => Class::Conflict,
            400 | 422 => Class::Invalid,
            429 => Class::RateLimited,
            505 => Class::Failed,
            408 | 425 | 500..=599 => Class::Transient,
            _ => Class::Failed,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(self) -> bool {
        matches!(self, Class::RateLimited | Class::Transient)
    }
}

impl Problem {
    /// A problem classified by its status alone.
    pub fn of_status(status: u16, message: String, is_own: bool) -> Self {
        Problem {
            class: Class::of_status(status, is_own),
            kind: None,
            message,
            is_own,
        }
    }
}

/// Shortens `text` to one line of at most 200 characters, without control characters.
pub fn shortened(text: &str) -> String {
    let (text, is_cut) = cut(text.trim(), 200);
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.chain(is_cut.then_some('…')).collect()
}

/// Cleans a server's message: line breaks stay, other control characters do not;
/// at most 4000 characters.
pub fn message(text: &str) -> String {
    let (text, is_cut) = cut(text.trim(), 4_000);
    let clean = text.chars().map(|c| match c {
        '\n' => c,
        c if c.is_control() => ' ',
        c => c,
    });
    clean.chain(is_cut.then_some('…')).collect()
}

/// Returns the first `most` characters, and whether there were more.
fn cut(text: &str, most: usize) -> (&str, bool) {
    match text.char_indices().nth(most) {
        Some((at, _)) => (&text[..at], true),
        None => (text, false),
    }
}

/// Returns the beginning of a body as one line.
pub fn excerpt(body: &[u8]) -> String {
    let head = &body[..body.len().min(400)];
    shortened(&String::from_utf8_lossy(head))
}

/// Returns the message in the `detail` of a FastAPI server: its text, or the
/// location and message of each validation error. Such an error also echoes the
/// whole input, which may contain secrets; the input is left out.
pub fn detail(detail: &serde_json::Value) -> Option<String> {
    match detail {
        serde_json::Value::String(text) => Some(message(text)),
        serde_json::Value::Array(items) => {
            let items: Vec<_> = items.iter().map(validation_item).collect();
            Some(message(&items.join("; ")))
        }
        _ => None,
    }
}

fn validation_item(item: &serde_json::Value) -> String {
    let location: Vec<_> = item["loc"].as_array().map_or_else(Vec::new, |parts| {
        let part = |p: &serde_json::Value| p.as_str().map_or_else(|| p.to_string(), str::to_owned);
        parts.iter().map(part).collect()
    });
    let message = item["msg"].as_str().unwrap_or("rejected");
    format!("{}: {message}", location.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_these_statuses_are_transient() {
        let passing: Vec<_> = (100..600)
            .filter(|status| Class::of_status(*status, true).is_transient())
            .collect();
        let mut expected = vec![408, 425, 429];
        expected.extend((500..600).filter(|status| ![501, 505].contains(status)));
        assert_eq!(passing, expected);
    }
}
