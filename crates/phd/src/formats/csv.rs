//! CSV: one column of values, or times and values, with or without a header line.

use super::{Line, join};
use crate::clock::ClockForm;
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
    /// Start of the recording, ms since the epoch, where the file says it: its times are dates then.
    pub start_ms: Option<u64>,
    /// First of two columns: milliseconds after the start.
    pub offsets: Option<Vec<Decimal>>,
    /// The values.
    pub values: Vec<Decimal>,
}

/// Reads a file: one value a line, or two columns, time (never descending) and value. Times are milliseconds after the
/// start, or date and time as `2016-11-24 13:58:58.081000`, taken as UTC. A first line whose cells do not begin as
/// numbers do is a header. Numbers are decimal texts of [`Decimal`]; no quotes, no empty lines, one kind of line end.
///
/// # Errors
/// [`CsvError`] with the first line that breaks a rule.
pub fn read_csv(text: &str) -> Result<Table, CsvError> {
    let crlf = text.find('\n').is_some_and(|at| text[..at].ends_with('\r'));
    let end = if crlf { "\r\n" } else { "\n" };
    let body = text.strip_suffix(end);
    let mut lines = body.unwrap_or(text).split(end).peekable();
    let header = lines.next_if(|first| is_header(first)).map(str::to_owned);
    if let Some(header) = &header
        && (header.len() > MAX_HEADER_BYTES || header.chars().any(char::is_control))
    {
        let expected = format!("a header of at most {MAX_HEADER_BYTES} bytes without control characters");
        return Err(CsvError { line: 1, expected, got: shown(header) });
    }
    let first_line = 1 + usize::from(header.is_some());
    let mut columns = header.as_ref().map(|header| header.split(',').count());
    let (mut times, mut values): (Vec<&str>, Vec<Decimal>) = (vec![], vec![]);
    for (line, row) in (first_line..).zip(lines) {
        let cells: Vec<&str> = row.split(',').collect();
        if cells.len() > 2 || columns.is_some_and(|columns| columns != cells.len()) {
            let expected = columns.map_or("1 or 2 columns".into(), |columns| format!("{columns} of 1 or 2 columns"));
            return Err(CsvError { line, expected, got: format!("{} in {}", cells.len(), shown(row)) });
        }
        columns = Some(cells.len());
        let value = match cells[..] {
            [time, value] => {
                times.push(time);
                value
            }
            _ => row,
        };
        values.push(number(line, value)?);
    }
    if values.is_empty() {
        return Err(CsvError { line: first_line, expected: "a row with a value".into(), got: "the end".into() });
    }
    let mut layout = CsvLayout { header, crlf, final_newline: body.is_some(), clock: None };
    if columns != Some(2) {
        return Ok(Table { layout, start_ms: None, offsets: None, values });
    }
    let (clock, offsets) = read_times(first_line, &times)?;
    layout.clock = clock.map(|(form, _)| form);
    Ok(Table { layout, start_ms: clock.map(|(_, start_ms)| start_ms), offsets: Some(offsets), values })
}

fn number(line: usize, cell: &str) -> Result<Decimal, CsvError> {
    let refuse = |DecimalError { expected, .. }| CsvError { line, expected: expected.into(), got: shown(cell) };
    cell.parse::<Decimal>().map_err(refuse)
}

/// Form and start of dates and times, and milliseconds after the start.
type Times = (Option<(ClockForm, u64)>, Vec<Decimal>);

fn read_times(first_line: usize, cells: &[&str]) -> Result<Times, CsvError> {
    let dated = cells.first().is_some_and(|cell| cell.contains(':'));
    let (clock, offsets) = if dated {
        let (form, start_ms, offsets) = ClockForm::read(cells).map_err(|row| CsvError {
            line: first_line + row,
            expected: "a date and time from 1970 on, as on the lines before, such as 2016-11-24 13:58:58.081000".into(),
            got: cells.get(row).map_or_else(String::new, |cell| shown(cell)),
        })?;
        (Some((form, start_ms)), offsets)
    } else {
        let numbers = (first_line..).zip(cells).map(|(line, cell)| number(line, cell));
        (None, numbers.collect::<Result<Vec<_>, _>>()?)
    };
    let mut least = Decimal::new(0, 0);
    for (row, offset) in offsets.iter().enumerate() {
        if let Some(least) = least.filter(|least| least.compare(*offset) == Ordering::Greater) {
            let expected = format!("a time of {least} ms or more after the start");
            let got = cells.get(row).map_or_else(String::new, |cell| shown(cell));
            return Err(CsvError { line: first_line + row, expected, got });
        }
        least = Some(*offset);
    }
    Ok((clock, offsets))
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
    /// has no times, and not looked at when it has; `start_ms` is not looked at where the file says its own.
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
        let start_ms = self.start_ms.unwrap_or(start_ms);
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
                Some(offset) => match layout.clock {
                    Some(form) => format!("{},{value}", form.write(samples.start_ms, *offset)),
                    None => format!("{offset},{value}"),
                },
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
