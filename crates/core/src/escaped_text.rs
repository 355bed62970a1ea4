//! Escapes untrusted text for log lines.

use std::fmt;

/// Displays text as one line that neither a terminal nor journald interprets.
///
/// It escapes control characters (line breaks, ESC, the C1 range), Unicode's line
/// and paragraph separators, the characters that reorder text, and a leading `<`
/// that journald would read as a priority: `\n`, `\u{1b}`, `\u{2028}`.
/// Everything else stays, including backslashes, so ordinary text is unchanged.
pub struct Escaped<T>(pub T);

impl<T: fmt::Display> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let mut rest = text.as_str();
        if begins_with_priority(rest) {
            f.write_str("\\u{3c}")?;
            rest = &rest[1..];
        }
        while let Some(at) = rest.find(is_escaped) {
            f.write_str(&rest[..at])?;
            let mut chars = rest[at..].chars();
            if let Some(c) = chars.next() {
                c.escape_default().fmt(f)?;
            }
            rest = chars.as_str();
        }
        f.write_str(rest)
    }
}

fn is_escaped(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        )
}

/// A log priority `<N>`, as in `sd-daemon(3)`.
fn begins_with_priority(text: &str) -> bool {
    text.strip_prefix('<')
        .and_then(|rest| rest.split_once('>'))
        .is_some_and(|(number, _)| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        Escaped(text).to_string()
    }

    #[test]
    fn line_breaks_and_terminal_sequences_are_escaped() {
        assert_eq!(shown("a\r\nb\tc\0"), r"a\r\nb\tc\u{0}");
        assert_eq!(shown("\u{1b}[2J\u{7f}\u{9b}1m"), r"\u{1b}[2J\u{7f}\u{9b}1m");
        assert_eq!(
            shown("a\u{2028}b\u{2029}c\u{85}"),
            r"a\u{2028}b\u{2029}c\u{85}"
        );
        assert_eq!(shown("\u{202e}gpj.exe"), r"\u{202e}gpj.exe");
        assert_eq!(shown("<3>on fire"), r"\u{3c}3>on fire");
        assert_eq!(shown("<191>on fire"), r"\u{3c}191>on fire");
    }

    #[test]
    fn ordinary_text_is_unchanged() {
        for text in [
            "",
            "Grüße, 世界 👩‍🚀",
            r"C:\new\table",
            "<html>",
            "a <3> b",
            "<>",
            "<3",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_becomes_one_line(text in any::<String>()) {
            let line = shown(&text);
            prop_assert!(!line.contains(is_escaped) && !begins_with_priority(&line));
            prop_assert_eq!(line.lines().count(), usize::from(!line.is_empty()));
        }
    }
}
