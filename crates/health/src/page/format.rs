//! Figures and times as a reader expects them.

use satellite_core::date::date;

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    match share {
        0.0 => "0 %".into(),
        share if share < 0.001 => "<0.1 %".into(),
        share if share < 0.1 => format!("{:.1} %", share * 100.0),
        share => format!("{:.0} %", share * 100.0),
    }
}

pub(super) fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

/// Three digits and a unit: `12.3k`.
pub(super) fn count(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{:.1}k", count as f64 / 1e3),
        count => format!("{:.1}M", count as f64 / 1e6),
    }
}

pub(super) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A time in UTC as in RFC 3339, to the second.
pub(super) fn rfc3339(ms: u64) -> String {
    let seconds = ms / 1000;
    let (year, month, day) = date(seconds / 86_400);
    let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_figures_are_readable() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_399_000), "2000-02-28T23:59:59Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_795_305_600_123), "2026-11-22T00:00:00Z");
        assert_eq!(
            [percent(0.0), percent(0.0005), percent(0.0123), percent(0.5)],
            ["0 %", "<0.1 %", "1.2 %", "50 %"]
        );
        assert_eq!(
            [
                milliseconds(1.25),
                milliseconds(250.0),
                milliseconds(2500.0)
            ],
            ["1.2 ms", "250 ms", "2.5 s"]
        );
        assert_eq!(
            [count(9999), count(12_345), count(3_400_000)],
            ["9999", "12.3k", "3.4M"]
        );
        assert_eq!(
            [duration(5), duration(61_000), duration(7_200_000)],
            ["5 ms", "61 s", "2 h"]
        );
    }
}
