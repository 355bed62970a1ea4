//! Times for people.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long ago a Unix timestamp in seconds was, in its largest unit; empty for 0.
pub fn ago(timestamp: f64) -> String {
    if timestamp <= 0.0 {
        return String::new();
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("{} ago", short(now.as_secs_f64() - timestamp))
}

/// A number of seconds in its two largest units: `2h 5m`.
pub fn short(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds)
        .unwrap_or_default()
        .as_secs();
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
    let first = units
        .iter()
        .position(|(size, _)| seconds >= *size)
        .unwrap_or(3);
    let (size, name) = units[first];
    let mut text = format!("{}{name}", seconds / size);
    if let Some((next, name)) = units.get(first + 1) {
        let rest = seconds % size / next;
        if rest > 0 {
            text += &format!(" {rest}{name}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_two_largest_units() {
        for (seconds, text) in [
            (0.0, "0s"),
            (59.9, "59s"),
            (60.0, "1m"),
            (3_725.0, "1h 2m"),
            (90_000.0, "1d 1h"),
            (86_400.0, "1d"),
            (-5.0, "0s"),
        ] {
            assert_eq!(short(seconds), text);
        }
        assert_eq!(ago(0.0), "");
        assert!(ago(1.0).ends_with("h ago") || ago(1.0).ends_with("d ago"));
    }
}
