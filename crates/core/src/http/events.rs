//! Parses server-sent events from lines.

use crate::error::{Error, Result};

/// The size limit for the data of one event.
const MAX_DATA: usize = 8 * 1024 * 1024;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// `event:`, empty if absent.
    pub name: String,
    /// The `data:` lines, joined.
    pub data: String,
    /// `id:`, if present.
    pub id: Option<String>,
}

/// Parses the events in `lines`. Comments and an incomplete last event are
/// dropped, as the standard requires.
pub fn events(
    mut lines: impl Iterator<Item = Result<String>>,
) -> impl Iterator<Item = Result<Event>> {
    std::iter::from_fn(move || {
        let mut event = Event::default();
        let mut has_data = false;
        loop {
            let line = match lines.next()? {
                Ok(line) => line,
                Err(error) => return Some(Err(error)),
            };
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" if line.is_empty() && has_data => return Some(Ok(event)),
                "" if line.is_empty() => event = Event::default(),
                "data" if event.data.len() + value.len() > MAX_DATA => {
                    let max = MAX_DATA >> 20;
                    let text = format!("an event of the stream is larger than {max} MiB");
                    return Some(Err(Error::new(text)));
                }
                "data" => {
                    if has_data {
                        event.data.push('\n');
                    }
                    event.data.push_str(value);
                    has_data = true;
                }
                "event" => event.name = value.to_owned(),
                "id" => event.id = Some(value.to_owned()),
                _ => {} // a comment or an unknown field
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::lines::tests::lines;
    use super::*;

    #[test]
    fn an_event_over_the_size_limit_is_an_error() {
        let endless = std::iter::repeat_with(|| Ok(format!("data: {}", "x".repeat(1 << 20))));
        let error = events(endless).next().unwrap().unwrap_err();
        assert!(error.to_string().contains("larger than 8 MiB"), "{error}");
    }

    #[test]
    fn events_are_parsed_as_the_standard_requires() {
        let text =
            ": hello\n\ndata: one\ndata:two\nid: 7\n\nevent: end\ndata\n\nid: 8\n\ndata: cut";
        let pieces = text.as_bytes().chunks(3).map(<[u8]>::to_vec).collect();
        let got: Vec<_> = events(lines(pieces, false)).map(Result::unwrap).collect();
        let event = |name: &str, data: &str, id: Option<&str>| Event {
            name: name.into(),
            data: data.into(),
            id: id.map(str::to_owned),
        };
        assert_eq!(
            got,
            [event("", "one\ntwo", Some("7")), event("end", "", None)]
        );
    }
}
