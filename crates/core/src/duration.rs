//! Durations as text: `2`, `0.5`, `90s`, `1h30m`, `250ms`.

use std::time::Duration;

/// Parses a number of seconds with an optional fraction, such as `2` or `0.5`.
pub(crate) fn parse_seconds(text: &str) -> Option<Duration> {
    // Exact, and without the tables that the parser of floating-point numbers needs.
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let seconds = match whole {
        "" => 0,
        whole => whole.parse().ok()?,
    };
    let mut nanos = 0;
    let mut unit = 100_000_000;
    for digit in fraction.bytes().take(9) {
        nanos += u32::from(digit - b'0') * unit;
        unit /= 10;
    }
    Some(Duration::new(seconds, nanos))
}

/// Parses a number of seconds, or numbers with units such as `1h30m`; more than zero.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let duration = match parse_seconds(text) {
        Some(duration) => duration,
        None => parse_units(text)?,
    };
    (!duration.is_zero()).then_some(duration)
}

fn parse_units(mut rest: &str) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number = parse_seconds(&rest[..end])?;
        let tail = &rest[end..];
        let end = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let part = match &tail[..end] {
            "h" => number.checked_mul(3600)?,
            "m" => number.checked_mul(60)?,
            "s" => number,
            "ms" => number / 1000,
            _ => return None,
        };
        sum = sum.checked_add(part)?;
        rest = &tail[end..];
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_duration_has_units_or_is_in_seconds() {
        let good = [
            ("90", 90_000),
            ("0.5", 500),
            (".25", 250),
            ("90s", 90_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1.5s", 1_500),
            ("250ms", 250),
        ];
        for (text, ms) in good {
            assert_eq!(parse(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for wrong in [
            "", ".", "0", "0s", "-1", "+1", "soon", "5 m", "m", "1d", "1e400", "NaN", "inf", "9é",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_duration_is_parsed_exactly(seconds: u32, nanos in 0..1_000_000_000_u32) {
            let parsed = parse_seconds(&format!("{seconds}.{nanos:09}"));
            prop_assert_eq!(parsed, Some(Duration::new(seconds.into(), nanos)));
        }

        #[test]
        fn any_text_is_parsed_or_refused_without_a_panic(text in ".*", number: u64) {
            let _ = (parse(&text), parse(&format!("{number}h{text}")));
        }
    }
}
