//! In what one kind of server differs from another: all of it.

use ureq::http::HeaderName;

/// How a kind of server is shown a token, and what its refusals mean.
pub struct Dialect {
    /// The header that bears the token, and what stands before it there.
    pub token: (HeaderName, &'static str),
    /// Headers of every call.
    pub headers: &'static [(&'static str, &'static str)],
    /// What an answer outside of 2xx means, from its status and its body.
    pub explain: fn(u16, &[u8]) -> Problem,
}

/// What an answer outside of 2xx means.
pub struct Problem {
    /// The error class.
    pub class: Class,
    /// The server's own name for it, where it has one.
    pub kind: Option<String>,
    /// One line, fit to be shown.
    pub message: String,
    /// In the server's own form, not that of a proxy or gateway before it: a 503
    /// is then the server's word that nothing was done.
    pub is_own: bool,
}

/// What can be asked of an error that a server answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The token was rejected (401).
    Unauthorized,
    /// The token lacks the right (403).
    Forbidden,
    /// The object does not exist (404 in the server's own words).
    NotFound,
    /// There is no such route.
    Unsupported,
    /// The state of the object does not allow it (409).
    Conflict,
    /// The request is invalid (400, 422).
    Invalid,
    /// Too many requests (429).
    RateLimited,
    /// Client and server versions are incompatible.
    VersionMismatch,
    /// What was asked for cannot be had at the moment: no capacity.
    NoCapacity,
    /// The server may do better later.
    Transient,
    /// Any other failure; a retry would not help.
    Failed,
}

impl Class {
    /// What a status means by itself. A 404 that is not in the server's own
    /// words is that of a route which does not exist.
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

    /// The same request may go well later.
    pub fn is_transient(self) -> bool {
        matches!(self, Class::RateLimited | Class::Transient)
    }
}

impl Problem {
    /// A problem that its status tells all about.
    pub fn of_status(status: u16, message: String, is_own: bool) -> Self {
        Problem {
            class: Class::of_status(status, is_own),
            kind: None,
            message,
            is_own,
        }
    }
}

/// One line of at most 200 characters, without control characters.
pub fn shortened(text: &str) -> String {
    let (text, is_cut) = cut(text.trim(), 200);
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.chain(is_cut.then_some('…')).collect()
}

/// A server's message with its lists: its lines are kept, up to 4000 characters;
/// no other control characters.
pub fn message(text: &str) -> String {
    let (text, is_cut) = cut(text.trim(), 4_000);
    let clean = text.chars().map(|c| match c {
        '\n' => c,
        c if c.is_control() => ' ',
        c => c,
    });
    clean.chain(is_cut.then_some('…')).collect()
}

/// The first `most` characters, and whether there were more.
fn cut(text: &str, most: usize) -> (&str, bool) {
    match text.char_indices().nth(most) {
        Some((at, _)) => (&text[..at], true),
        None => (text, false),
    }
}

/// The beginning of a body, in one line.
pub fn excerpt(body: &[u8]) -> String {
    let head = &body[..body.len().min(400)];
    shortened(&String::from_utf8_lossy(head))
}

/// What a FastAPI server says in `detail`: its words, or where an input is
/// unfit. Such a validation error echoes the whole input, secrets included:
/// only where and what is told.
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
    let message = item["msg"].as_str().unwrap_or("refused");
    format!("{}: {message}", location.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_do_better_after_these_statuses_and_no_others() {
        let passing: Vec<_> = (100..600)
            .filter(|status| Class::of_status(*status, true).is_transient())
            .collect();
        let mut expected = vec![408, 425, 429];
        expected.extend((500..600).filter(|status| ![501, 505].contains(status)));
        assert_eq!(passing, expected);
    }
}
