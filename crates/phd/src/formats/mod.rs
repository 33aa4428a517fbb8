//! Readings as files: CSV in and out, JSON Lines and FHIR R4 out.

mod csv;
mod fhir;
mod jsonl;

pub use csv::{CsvError, Table, read_csv, write_csv};
pub use fhir::{IDENTIFIER_SYSTEM, write_fhir};
pub use jsonl::write_jsonl;

use crate::samples::Samples;
use blockhie_core::{ChainId, PublicKey};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// In which form readings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As the file was that they came from.
    Csv,
    /// One object a line.
    Jsonl,
    /// A Bundle of Observations.
    Fhir,
}

/// One line of a file of readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The line without its end.
    pub text: String,
    /// Its end; empty after a last line that has none.
    pub end: &'static str,
    /// 0-based index of the segment it is of; `None` for what frames the readings.
    pub segment: Option<usize>,
    /// 0-based index of the reading in that segment; `None` for a header, or where a line holds all of them.
    pub index: Option<usize>,
}

/// The lines of a file of these segments, (first sequence number, samples) each, in the order given: what
/// [`write_csv`], [`write_jsonl`] and [`write_fhir`] write.
#[must_use]
pub fn lines(format: Format, chain: &ChainId, device: &PublicKey, segments: &[(u64, &Samples)]) -> Vec<Line> {
    match format {
        Format::Csv => csv::lines(segments),
        Format::Jsonl => jsonl::lines(segments),
        Format::Fhir => fhir::lines(chain, device, segments),
    }
}

fn join(lines: &[Line]) -> String {
    lines.iter().flat_map(|line| [line.text.as_str(), line.end]).collect()
}

/// Microseconds since the epoch as RFC 3339 in UTC, as many digits of the second as needed.
#[must_use]
pub fn rfc3339(time_us: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time_us) * 1_000).ok();
    // Samples end before the year 10000; a time after it has no such text.
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{time_us} us"))
}
