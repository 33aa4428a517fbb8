//! CSV: one column of values, or milliseconds and values, with or without a header line.

use super::{Line, join};
use crate::decimal::{Decimal, DecimalError};
use crate::samples::{CsvLayout, MAX_HEADER_BYTES, Samples, SamplesError, Timing, field};
use std::cmp::Ordering;

/// A file that cannot be read, or could not be written again as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}, got {got}")]
pub struct CsvError {
    /// 1-based line.
    pub line: usize,
    /// The rule.
    pub expected: String,
    /// What stands there.
    pub got: String,
}

/// The columns of a file. Written again by [`write_csv`] it is the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Header and line ends.
    pub layout: CsvLayout,
    /// First of two columns: milliseconds after the start.
    pub offsets: Option<Vec<Decimal>>,
    /// The values.
    pub values: Vec<Decimal>,
}

/// Reads a file: one value a line, or two columns, milliseconds after the start (never descending) and value. A first
/// line whose cells do not begin as numbers do is a header. Numbers are decimal texts of [`Decimal`]; no quotes, no
/// empty lines, one kind of line end.
///
/// # Errors
/// [`CsvError`] with the first line that breaks a rule.
pub fn read_csv(text: &str) -> Result<Table, CsvError> {
    let crlf = text.find('\n').is_some_and(|at| text[..at].ends_with('\r'));
    let end = if crlf { "\r\n" } else { "\n" };
    let body = text.strip_suffix(end);
    let mut lines = (1..).zip(body.unwrap_or(text).split(end)).peekable();
    let header = match lines.peek() {
        Some((_, first)) if is_header(first) => Some((*first).to_owned()),
        _ => None,
    };
    let mut columns = None;
    if let Some(header) = &header {
        lines.next();
        if header.len() > MAX_HEADER_BYTES || header.chars().any(char::is_control) {
            let expected = format!("a header of at most {MAX_HEADER_BYTES} bytes without control characters");
            return Err(CsvError { line: 1, expected, got: shown(header) });
        }
        columns = Some(header.split(',').count());
    }
    let (mut offsets, mut values): (Vec<Decimal>, Vec<Decimal>) = (vec![], vec![]);
    let mut last_line = usize::from(header.is_some());
    for (line, row) in lines {
        last_line = line;
        let cells: Vec<&str> = row.split(',').collect();
        if cells.len() > 2 || columns.is_some_and(|columns| columns != cells.len()) {
            let expected = columns.map_or("1 or 2 columns".into(), |columns| format!("{columns} of 1 or 2 columns"));
            return Err(CsvError { line, expected, got: format!("{} in {}", cells.len(), shown(row)) });
        }
        columns = Some(cells.len());
        let number = |cell: &str| {
            cell.parse::<Decimal>().map_err(|DecimalError { expected, .. }| CsvError {
                line,
                expected: expected.into(),
                got: shown(cell),
            })
        };
        if let [time, value] = cells[..] {
            let (time, before) = (number(time)?, offsets.last());
            if time.mantissa() < 0 || before.is_some_and(|before| before.compare(time) == Ordering::Greater) {
                let least = before.map_or_else(|| "0".into(), ToString::to_string);
                return Err(CsvError {
                    line,
                    expected: format!("a time of {least} ms or more"),
                    got: time.to_string(),
                });
            }
            offsets.push(time);
            values.push(number(value)?);
        } else {
            values.push(number(row)?);
        }
    }
    if values.is_empty() {
        return Err(CsvError { line: last_line + 1, expected: "a row with a value".into(), got: "the end".into() });
    }
    let layout = CsvLayout { header, crlf, final_newline: body.is_some() };
    let timed = columns == Some(2);
    Ok(Table { layout, offsets: timed.then_some(offsets), values })
}

/// A damaged first value must not pass for a header.
fn is_header(line: &str) -> bool {
    let begins_as_text = |cell: &str| {
        let plain = cell.trim_start_matches(['\u{feff}', ' ', '"']);
        plain.starts_with(|first: char| !first.is_ascii_digit() && !matches!(first, '-' | '+' | '.' | ','))
    };
    line.split(',').all(begins_as_text)
}

fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(60).collect::<String>())
}

impl Table {
    /// Cuts the table into segments of at most `per_segment` samples (at least 1). `rate` is asked for when the file
    /// has no times, and not looked at when it has.
    ///
    /// # Errors
    /// [`SamplesError::Field`] for a rate that is missing. Other rules are checked when the segments are encoded.
    pub fn segments(
        &self,
        code: &str,
        unit: &str,
        start_ms: u64,
        rate: Option<Decimal>,
        per_segment: usize,
    ) -> Result<Vec<Samples>, SamplesError> {
        let timing = match (&self.offsets, rate) {
            (Some(offsets), _) => Timing::Offsets(offsets.clone()),
            (None, Some(rate)) => Timing::Rate(rate),
            (None, None) => return Err(field("rate", "a rate for a file without times", "none")),
        };
        let mut whole = Samples::new(code, unit, start_ms, timing, self.values.clone());
        whole.layout = self.layout.clone();
        let step = per_segment.max(1);
        Ok((0..whole.len()).step_by(step).map(|at| whole.slice(at..at.saturating_add(step))).collect())
    }
}

/// Writes segments, in the order given, as one file. The layout is that of the samples: segments of one file give that
/// file again, byte for byte. A header is written first and wherever it or the number of columns changes.
#[must_use]
pub fn write_csv(segments: &[(u64, &Samples)]) -> String {
    join(&lines(segments))
}

pub(super) fn lines(segments: &[(u64, &Samples)]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut before: Option<(&Option<String>, bool)> = None;
    for (at, (_, samples)) in segments.iter().enumerate() {
        let layout = &samples.layout;
        let end = if layout.crlf { "\r\n" } else { "\n" };
        let offsets = match &samples.timing {
            Timing::Offsets(offsets) => Some(offsets),
            Timing::Rate(_) => None,
        };
        let now = (&layout.header, offsets.is_some());
        if let Some(header) = layout.header.as_ref().filter(|_| before != Some(now)) {
            lines.push(Line { text: header.clone(), end, segment: Some(at), index: None });
        }
        for (index, value) in samples.values.iter().enumerate() {
            let text = match offsets.and_then(|offsets| offsets.get(index)) {
                Some(offset) => format!("{offset},{value}"),
                None => value.to_string(),
            };
            lines.push(Line { text, end, segment: Some(at), index: Some(index) });
        }
        before = Some(now);
    }
    let unfinished = segments.last().is_some_and(|(_, samples)| !samples.layout.final_newline);
    if let Some(last) = lines.last_mut().filter(|_| unfinished) {
        last.end = "";
    }
    lines
}
