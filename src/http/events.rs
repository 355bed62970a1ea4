//! Server-sent events out of lines.

use crate::error::Result;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// `event:`, empty where there was none.
    pub(crate) name: String,
    /// The `data:` lines, joined.
    pub(crate) data: String,
    /// `id:`, where there was one.
    pub(crate) id: Option<String>,
}

/// The events that stand in `lines`: without comments, and without one that the
/// end cut off, as the standard has it.
pub(crate) fn events(
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
                "data" => {
                    if has_data {
                        event.data.push('\n');
                    }
                    event.data.push_str(value);
                    has_data = true;
                }
                "event" => event.name = value.to_owned(),
                "id" => event.id = Some(value.to_owned()),
                _ => {} // a comment, or a field of another time
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::lines::tests::lines;
    use super::*;

    #[test]
    fn events_are_read_as_the_standard_has_it() {
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
