//! The wall clock, and a time as a person reads it.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY_MS: u64 = 86_400_000;

/// Now, ms since the epoch; 0 on a machine whose clock stands before it.
#[must_use]
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// `2026-11-22 11:23:45` in UTC. Any value has a text: it may come from a chain.
#[must_use]
pub(crate) fn utc(ms: u64) -> String {
    let (year, month, day) = date(ms / DAY_MS);
    let second = ms % DAY_MS / 1_000;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}

/// The same as ISO 8601 with milliseconds, for `<time datetime>`.
#[must_use]
pub(crate) fn iso(ms: u64) -> String {
    format!("{}.{:03}Z", utc(ms).replace(' ', "T"), ms % 1_000)
}

/// Year, month and day of a day since 1970 (Hinnant's `civil_from_days`, for days from 1970 on).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00");
        assert_eq!(utc(951_827_696_000), "2000-02-29 12:34:56");
        assert_eq!(utc(1_709_210_096_789), "2024-02-29 12:34:56");
        assert_eq!(iso(1_798_761_599_999), "2026-12-31T23:59:59.999Z");
        let _ = iso(u64::MAX);
    }
}
