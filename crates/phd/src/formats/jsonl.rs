//! JSON Lines: one reading a line.

use super::{Line, join, rfc3339};
use crate::samples::Samples;

/// Writes segments as lines `{"seq":N,"time":"…","code":"…","value":N,"unit":"…"}`: sequence number, RFC 3339 time in
/// UTC, LOINC code, the value with the digits it was measured with, UCUM unit (may be empty).
#[must_use]
pub fn write_jsonl(segments: &[(u64, &Samples)]) -> String {
    join(&lines(segments))
}

pub(super) fn lines(segments: &[(u64, &Samples)]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (at, (first_seq, samples)) in segments.iter().enumerate() {
        for (index, value) in samples.values.iter().enumerate() {
            let seq = u64::try_from(index).unwrap_or(u64::MAX).saturating_add(*first_seq);
            let time = rfc3339(samples.time_us(index));
            // Code and unit hold neither quotes nor backslashes: their JSON form is themselves.
            let (code, unit) = (&samples.code, &samples.unit);
            let text = format!(
                "{{\"seq\":{seq},\"time\":\"{time}\",\"code\":\"{code}\",\"value\":{value},\"unit\":\"{unit}\"}}"
            );
            lines.push(Line { text, end: "\n", segment: Some(at), index: Some(index) });
        }
    }
    lines
}
