//! Readings as files: CSV in and out, JSON Lines and FHIR R4 out.

mod csv;
mod fhir;
mod jsonl;

pub use csv::{CsvError, Table, read_csv, write_csv};
pub use fhir::{IDENTIFIER_SYSTEM, write_fhir};
pub use jsonl::write_jsonl;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Microseconds since the epoch as RFC 3339 in UTC, as many digits of the second as needed.
#[must_use]
pub fn rfc3339(time_us: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time_us) * 1_000).ok();
    // Samples end before the year 10000; a time after it has no such text.
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{time_us} us"))
}
