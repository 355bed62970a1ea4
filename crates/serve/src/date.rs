//! The `Date` of a response (RFC 9110, section 6.6.1).

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// 2020: a device with an earlier system time has no valid clock and must not send a date.
const CLOCK_IS_SET: u64 = 1_577_836_800;

/// `Sun, 06 Nov 1994 08:49:37 GMT`
type ImfFixdate = [u8; 29];

/// The date as a header value, refreshed once a second.
#[derive(Default)]
pub(super) struct DateCache(Cell<(u64, ImfFixdate)>);

impl DateCache {
    /// `None` if the system clock is not set.
    pub(super) fn now(&self) -> Option<ImfFixdate> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        self.at(now)
    }

    fn at(&self, now: u64) -> Option<ImfFixdate> {
        let (second, date) = self.0.get();
        if second == now && second != 0 {
            return Some(date);
        }
        let date = imf_fixdate(now).filter(|_| now >= CLOCK_IS_SET)?;
        self.0.set((now, date));
        Some(date)
    }
}

/// `None` beyond the year 9999.
fn imf_fixdate(seconds: u64) -> Option<ImfFixdate> {
    const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
    const MONTHS: [&[u8; 3]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    if year > 9999 {
        return None;
    }
    let mut date = *b"Xxx, 00 Xxx 0000 00:00:00 GMT";
    date[..3].copy_from_slice(DAYS[(days % 7) as usize]);
    date[8..11].copy_from_slice(MONTHS[month as usize - 1]);
    let two_digits = [
        (5, day),
        (12, year / 100),
        (14, year % 100),
        (17, second / 3600),
        (20, second / 60 % 60),
        (23, second % 60),
    ];
    for (at, number) in two_digits {
        date[at] = b'0' + (number / 10) as u8;
        date[at + 1] = b'0' + (number % 10) as u8;
    }
    Some(date)
}

/// Year, month and day of a day since 1970-01-01, by the algorithm of Howard Hinnant
/// (`civil_from_days`): years that begin in March end with the leap day.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_standard_format() {
        for (seconds, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            let made = imf_fixdate(seconds).unwrap();
            assert_eq!(std::str::from_utf8(&made).unwrap(), date);
        }
        assert_eq!(imf_fixdate(253_402_300_800), None);
    }

    #[test]
    fn each_day_follows_the_previous_one() {
        let is_leap = |year| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..150_000 {
            assert_eq!(civil(days), (year, month, day));
            let last = match month {
                2 => 28 + u64::from(is_leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn a_clock_that_is_not_set_gives_no_date() {
        let cache = DateCache::default();
        assert_eq!(cache.at(0), None);
        assert_eq!(cache.at(86_400 * 365), None);
        let first = cache.at(1_800_000_000).unwrap();
        assert_eq!(cache.at(1_800_000_000).unwrap(), first);
        assert_ne!(cache.at(1_800_000_001).unwrap(), first);
    }
}
