//! The wall clock, times as a person writes them, and how long to wait for others.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Longest wait asked for, seconds: a day.
pub(crate) const MAX_TIMEOUT_S: u32 = 86_400;
/// First and longest pause between two questions.
pub(crate) const PAUSES: (Duration, Duration) = (Duration::from_millis(150), Duration::from_millis(1_000));

/// Now, ms since the epoch; 0 on a machine whose clock stands before it.
pub(crate) fn now_ms() -> u64 {
    since_epoch(SystemTime::now())
}

/// A time as ms since the epoch; 0 before it.
pub(crate) fn since_epoch(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// Reads a time: ms since the epoch, or RFC 3339 such as `2026-01-31T12:00:00Z`.
pub(crate) fn parse_time(text: &str) -> Result<u64, String> {
    if let Ok(ms) = text.parse::<u64>() {
        return Ok(ms);
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).ok();
    let ms = time.and_then(|time| u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok());
    ms.ok_or_else(|| "expected ms since 1970, or a time with its zone such as 2026-01-31T12:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds_or_rfc_3339() {
        assert_eq!(parse_time("1750000000000"), Ok(1_750_000_000_000));
        assert_eq!(parse_time("2025-06-15T15:06:40Z"), Ok(1_750_000_000_000));
        assert_eq!(parse_time("2025-06-15T17:06:40.5+02:00"), Ok(1_750_000_000_500));
        for wrong in ["", "now", "2025-06-15", "2025-06-15T15:06:40", "1960-01-01T00:00:00Z", "-1"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
        assert!(now_ms() > 1_700_000_000_000);
    }
}
