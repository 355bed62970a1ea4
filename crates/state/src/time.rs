//! Formats times as text. Nothing parses times, so no calendar crate is needed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use satellite_core::date::date;

/// Now, as RFC 3339 with microseconds, as required in a Lease.
pub(super) fn now() -> String {
    rfc3339(since_1970())
}

/// Now, in a format for file names: `20261121T050000Z`.
pub(super) fn for_file_name() -> String {
    let text = rfc3339(since_1970());
    let seconds = text.split('.').next().unwrap_or(&text);
    let digits: String = seconds.chars().filter(|c| !"-:".contains(*c)).collect();
    format!("{digits}Z")
}

fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn rfc3339(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let micros = since_1970.subsec_micros();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_are_formatted_correctly() {
        let formatted = |seconds, micros: u32| rfc3339(Duration::new(seconds, micros * 1000));
        assert_eq!(formatted(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(formatted(951_782_400, 1), "2000-02-29T00:00:00.000001Z");
        assert_eq!(
            formatted(1_709_251_199, 999_999),
            "2024-02-29T23:59:59.999999Z"
        );
        assert_eq!(formatted(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z");
        assert_eq!(for_file_name().len(), "20261121T050000Z".len());
    }
}
