//! Filters the output of servers: removes messages to the official client, colours and
//! overwritten progress.

use satellite_core::http::Fault;
use satellite_core::{Error, Result};

/// Lines for people: payload lines, such as heartbeats, are removed.
pub(super) fn readable(
    lines: impl Iterator<Item = Result<String>>,
    is_raw: bool,
) -> impl Iterator<Item = Result<String>> {
    lines.filter_map(move |line| match line {
        Ok(line) if line.contains(STREAM_ABORTED) => Some(Err(Error::from_fault(
            "the log".into(),
            Fault::Broken,
            "the server stopped streaming it".into(),
        ))),
        Ok(line) => {
            let kept = without_payloads(&line)?;
            Some(Ok(if is_raw { kept } else { cleaned(&kept) }))
        }
        Err(error) => Some(Err(error)),
    })
}

const STREAM_ABORTED: &str = "[SkyPilot] Log streaming stopped by an internal error";

/// The padding of the server's line which says that a request waits. The line is not a
/// part of the log.
const PADDING: usize = 4096;

/// The line without payloads; `None` if nothing else is in it.
fn without_payloads(line: &str) -> Option<String> {
    if line.len() >= PADDING && line.ends_with(&" ".repeat(PADDING)) {
        return None;
    }
    let (mut kept, mut rest) = (String::new(), line);
    while let Some((before, payload)) = rest.split_once("<sky-payload") {
        kept.push_str(before);
        rest = payload
            .split_once("</sky-payload>")
            .map_or("", |(_, rest)| rest);
    }
    kept.push_str(rest);
    (kept.len() == line.len() || !cleaned(&kept).trim().is_empty()).then_some(kept)
}

/// `text` as a terminal would finally show it: without colours, and with only the last
/// version of overwritten text.
pub(super) fn cleaned(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut line = 0; // where the last line begins in `out`
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                Some(']') => while chars.next().is_some_and(|c| c != '\u{7}' && c != '\u{1b}') {},
                _ => {}
            },
            '\r' if chars.peek().is_some_and(|next| *next != '\n') => out.truncate(line),
            '\n' => {
                out.push(c);
                line = out.len();
            }
            '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &[&str]) -> Vec<String> {
        let lines = lines.iter().map(|line| Ok(line.to_string()));
        readable(lines, false).map(Result::unwrap).collect()
    }

    #[test]
    fn payloads_colours_and_overwritten_progress_are_removed() {
        let lines = [
            "<sky-payload type=\"x\">\"heartbeat\"</sky-payload>",
            "\u{1b}[36m(task, pid=7)\u{1b}[0m hello",
            "10%\r50%\r100%",
            "",
            "warning<sky-payload>1</sky-payload>",
            "\u{1b}[?25h<sky-payload>1</sky-payload>",
        ];
        let waits = format!("Waiting for 'sky.launch'{}", " ".repeat(PADDING));
        assert_eq!(
            read(&[&lines[..], &[&waits]].concat()),
            ["(task, pid=7) hello", "100%", "", "warning"]
        );
    }

    #[test]
    fn a_stream_aborted_by_the_server_is_a_retryable_error() {
        let line = format!("{STREAM_ABORTED}; the log is incomplete.");
        let mut lines = readable([Ok(line)].into_iter(), false);
        assert!(lines.next().unwrap().unwrap_err().is_retryable());
    }

    proptest! {
        #[test]
        fn all_control_characters_are_removed(text in ".*") {
            let left = cleaned(&text);
            prop_assert!(!left.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
            prop_assert_eq!(cleaned(&left), left);
        }
    }
}
