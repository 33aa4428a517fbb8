//! The one way out: lines on standard output for results, on standard error for everything else.

use crate::failure::Failure;
use serde::Serialize;
use std::io::{ErrorKind, IsTerminal, Write};

/// Standard output. A reader that went away (`blockhie … | head`) is no error: the rest is left unsaid and the exit
/// code stays that of the command. A full disk is one.
pub(crate) struct Output {
    stdout: std::io::Stdout,
    failed: Option<std::io::Error>,
    colour: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        let stdout = std::io::stdout();
        let colour = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { stdout, failed: None, colour }
    }

    /// Whether colour may be used.
    pub(crate) fn colour(&self) -> bool {
        self.colour
    }

    /// One line.
    pub(crate) fn line(&mut self, text: &str) {
        if self.failed.is_none() {
            self.failed = writeln!(self.stdout, "{text}").err();
        }
    }

    /// A value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(Failure::failed)?;
        self.line(&text);
        Ok(())
    }

    /// Whether all of it was written, or nobody wanted it.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        match self.failed.take().or_else(|| self.stdout.flush().err()) {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::failed(format!("standard output: {error}")))
            }
            _ => Ok(()),
        }
    }
}

/// A line on standard error; nothing can be done where even that fails.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Milliseconds since the epoch as `2026-01-31T12:00:00.000Z`.
pub(crate) fn utc(time_ms: u64) -> String {
    let (days, rest) = (time_ms / 86_400_000, time_ms % 86_400_000);
    let (hour, minute, second, milli) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60, rest % 1_000);
    // Civil from days (Howard Hinnant, "chrono-compatible low-level date algorithms"), for dates from 1970 on.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn times_are_told_as_date_does() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(utc(1_750_000_123_456), "2025-06-15T15:08:43.456Z");
        assert_eq!(utc(4_102_444_799_999), "2099-12-31T23:59:59.999Z");
        assert_eq!(utc(u64::MAX).len(), "584556019-04-03T14:25:51.615Z".len());
    }
}
