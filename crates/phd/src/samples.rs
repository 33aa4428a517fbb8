//! A segment's contents: values of one quantity and when they were measured.

use crate::clock::ClockForm;
use crate::decimal::{Decimal, power_of_ten};
use std::cmp::Ordering;
use std::ops::Range;

/// Most samples of a segment: at 100 Hz close to three hours. Bounds what a decoder allocates.
pub const MAX_SAMPLES: usize = 1 << 20;
/// Longest code and unit in bytes: LOINC codes have up to 7 digits and a dash, UCUM units are short terms.
pub const MAX_TERM_BYTES: usize = 64;
/// Longest header line of a CSV file in bytes: its length is one byte.
pub const MAX_HEADER_BYTES: usize = 255;
/// First moment after the year 9999, ms since the epoch: later times have no RFC 3339 text.
pub const END_OF_TIME_MS: u64 = 253_402_300_800_000;
/// Most digits after the point of a rate: more of them and a time in microseconds would not fit 128 bits.
pub const MAX_RATE_SCALE: u8 = 9;

/// Samples that cannot be a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SamplesError {
    /// A rule of a field.
    #[error("samples: {field}: expected {expected}, got {got}")]
    Field {
        /// The field.
        field: &'static str,
        /// The rule.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// Bytes that are no encoding of samples.
    #[error("segment data: {field}: expected {expected}, got {got}")]
    Form {
        /// The place in the encoding.
        field: &'static str,
        /// The rule.
        expected: String,
        /// What stands there.
        got: String,
    },
}

pub(crate) fn field(field: &'static str, expected: impl Into<String>, got: impl ToString) -> SamplesError {
    SamplesError::Field { field, expected: expected.into(), got: got.to_string() }
}

/// When the samples were measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timing {
    /// So many a second, evenly; above 0, at most [`MAX_RATE_SCALE`] digits after the point.
    Rate(Decimal),
    /// Milliseconds after `start_ms`, one for each value, never negative and never descending.
    Offsets(Vec<Decimal>),
}

/// How the file looked that the samples came from, so that it can be written again byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvLayout {
    /// The header line without its end; at most [`MAX_HEADER_BYTES`], no control characters.
    pub header: Option<String>,
    /// Lines end with CR LF, not LF.
    pub crlf: bool,
    /// The last line has an end, too.
    pub final_newline: bool,
    /// Times were written as date and time, not as milliseconds; with offsets only, and at most 9 digits.
    pub clock: Option<ClockForm>,
}

impl Default for CsvLayout {
    fn default() -> Self {
        Self { header: None, crlf: false, final_newline: true, clock: None }
    }
}

/// The samples of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples {
    /// What was measured: a LOINC code, 1 to [`MAX_TERM_BYTES`] printable ASCII characters without space, `"` and `\`.
    pub code: String,
    /// Its UCUM unit; the same alphabet, may be empty.
    pub unit: String,
    /// The moment that time counts from, ms since the epoch: start of the *recording*.
    pub start_ms: u64,
    /// Samples of the recording before the first of these. With a rate they are time; with offsets it is 0.
    pub skipped: u64,
    /// When they were measured.
    pub timing: Timing,
    /// 1 to [`MAX_SAMPLES`] values, in the order of their sequence numbers.
    pub values: Vec<Decimal>,
    /// How the file looked.
    pub layout: CsvLayout,
}

impl Samples {
    /// Samples that begin a recording, with the default layout. They are checked when they are encoded.
    #[must_use]
    pub fn new(code: &str, unit: &str, start_ms: u64, timing: Timing, values: Vec<Decimal>) -> Self {
        let (code, unit) = (code.to_owned(), unit.to_owned());
        Self { code, unit, start_ms, skipped: 0, timing, values, layout: CsvLayout::default() }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none; such samples cannot be encoded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Time of sample `index` (0-based), microseconds since the epoch, rounded down. Beyond the last one the time of the
    /// last.
    #[must_use]
    pub fn time_us(&self, index: usize) -> u64 {
        let index = index.min(self.len().saturating_sub(1));
        let after = match &self.timing {
            Timing::Rate(hz) => {
                let at = i128::from(self.skipped) + i128::try_from(index).unwrap_or(i128::MAX / 2);
                let micros = at.checked_mul(1_000_000 * power_of_ten(hz.scale()));
                micros.and_then(|micros| micros.checked_div(i128::from(hz.mantissa())))
            }
            Timing::Offsets(offsets) => {
                offsets.get(index).map(|ms| i128::from(ms.mantissa()) * 1_000 / power_of_ten(ms.scale()))
            }
        };
        let after = u64::try_from(after.unwrap_or(0)).unwrap_or(u64::MAX);
        self.start_ms.saturating_mul(1_000).saturating_add(after)
    }

    /// Time of the last sample, microseconds since the epoch.
    #[must_use]
    pub fn end_us(&self) -> u64 {
        self.time_us(self.len().saturating_sub(1))
    }

    /// Indices of the samples with `from_ms` ≤ time < `to_ms` (ms since the epoch; `None`: no bound).
    #[must_use]
    pub fn between(&self, from_ms: Option<u64>, to_ms: Option<u64>) -> Range<usize> {
        let first_at = |ms: u64| {
            let us = ms.saturating_mul(1_000);
            let (mut low, mut high) = (0, self.len());
            while low < high {
                let middle = low.midpoint(high);
                if self.time_us(middle) < us { low = middle + 1 } else { high = middle }
            }
            low
        };
        let start = from_ms.map_or(0, first_at);
        start..to_ms.map_or(self.len(), first_at).max(start)
    }

    /// The samples of a range of indices, with the same times. The range is cut to what is there.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let end = range.end.min(self.len());
        let range = range.start.min(end)..end;
        let (timing, skipped) = match &self.timing {
            Timing::Rate(hz) => {
                let before = u64::try_from(range.start).unwrap_or(u64::MAX);
                (Timing::Rate(*hz), self.skipped.saturating_add(before))
            }
            Timing::Offsets(offsets) => {
                (Timing::Offsets(offsets.get(range.clone()).unwrap_or_default().to_vec()), self.skipped)
            }
        };
        Self { timing, skipped, values: self.values[range].to_vec(), ..self.clone_head() }
    }

    fn clone_head(&self) -> Self {
        Self {
            code: self.code.clone(),
            unit: self.unit.clone(),
            start_ms: self.start_ms,
            skipped: self.skipped,
            timing: Timing::Offsets(vec![]),
            values: vec![],
            layout: self.layout.clone(),
        }
    }

    /// Every rule above.
    ///
    /// # Errors
    /// [`SamplesError::Field`] with the first that fails.
    pub fn check(&self) -> Result<(), SamplesError> {
        check_term("code", &self.code, 1)?;
        check_term("unit", &self.unit, 0)?;
        if let Some(header) = &self.layout.header {
            if header.len() > MAX_HEADER_BYTES {
                return Err(field("header", format!("at most {MAX_HEADER_BYTES} bytes"), header.len()));
            }
            if header.chars().any(char::is_control) {
                return Err(field("header", "no control characters", format!("{header:?}")));
            }
        }
        if let Some(form) = self.layout.clock
            && (form.digits > 9 || !matches!(self.timing, Timing::Offsets(_)))
        {
            return Err(field("clock", "a form with at most 9 digits, with offsets", form.digits));
        }
        if self.values.is_empty() || self.len() > MAX_SAMPLES {
            return Err(field("values", format!("1 to {MAX_SAMPLES}"), self.len()));
        }
        self.check_timing()?;
        let end = self.end_us() / 1_000;
        if end >= END_OF_TIME_MS {
            return Err(field("time", "times before the year 10000", format!("{end} ms since 1970")));
        }
        Ok(())
    }

    fn check_timing(&self) -> Result<(), SamplesError> {
        match &self.timing {
            Timing::Rate(hz) => {
                if hz.mantissa() <= 0 || hz.scale() > MAX_RATE_SCALE {
                    let expected = format!("a rate above 0 with at most {MAX_RATE_SCALE} digits after the point");
                    return Err(field("rate", expected, hz));
                }
            }
            Timing::Offsets(offsets) => {
                if self.skipped != 0 {
                    return Err(field("skipped", "0 with offsets", self.skipped));
                }
                if offsets.len() != self.len() {
                    return Err(field("offsets", format!("one for each of {} values", self.len()), offsets.len()));
                }
                if let Some(first) = offsets.first().filter(|first| first.mantissa() < 0) {
                    return Err(field("offsets", "0 or more", first));
                }
                let falls = |pair: &[Decimal]| pair[0].compare(pair[1]) == Ordering::Greater;
                if let Some(pair) = offsets.windows(2).find(|pair| falls(pair)) {
                    return Err(field("offsets", format!("{} or more after it", pair[0]), pair[1]));
                }
            }
        }
        Ok(())
    }
}

fn check_term(name: &'static str, text: &str, least: usize) -> Result<(), SamplesError> {
    let plain = text.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && byte != b'"' && byte != b'\\');
    if plain && (least..=MAX_TERM_BYTES).contains(&text.len()) {
        return Ok(());
    }
    let expected = format!("{least} to {MAX_TERM_BYTES} printable ASCII characters without space, \" and \\");
    Err(field(name, expected, format!("{:?}", text.chars().take(80).collect::<String>())))
}
