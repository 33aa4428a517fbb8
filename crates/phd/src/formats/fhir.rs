//! FHIR R4: a Bundle (collection) of Observations.
//!
//! At a rate, one Observation a segment with `valueSampledData`, whose `period` says what the rate says. R4 has no
//! sampled data without a fixed period (R5 added `offsets`), and components share the time of their Observation, so
//! readings with times of their own become one Observation each: long, and nothing in it is untrue.

use super::{Line, join, rfc3339};
use crate::decimal::Decimal;
use crate::samples::{Samples, Timing};
use blockhie_core::{ChainId, PublicKey};

/// System of the identifiers of devices (their key) and of segments and readings (`device/first_seq`).
pub const IDENTIFIER_SYSTEM: &str = "urn:blockhie:phd";

/// Digits after the point of a period in ms that does not come out even: below a picosecond.
const PERIOD_SCALE: u8 = 9;

/// Writes segments as one Bundle, an entry a line. Values keep their digits. The text holds no identity of a person: who
/// has one adds `subject`.
#[must_use]
pub fn write_fhir(chain: &ChainId, device: &PublicKey, segments: &[(u64, &Samples)]) -> String {
    join(&lines(chain, device, segments))
}

pub(super) fn lines(chain: &ChainId, device: &PublicKey, segments: &[(u64, &Samples)]) -> Vec<Line> {
    let frame = |text: &str| Line { text: text.to_owned(), end: "\n", segment: None, index: None };
    let mut lines = vec![frame("{\"resourceType\":\"Bundle\",\"type\":\"collection\",\"entry\":[")];
    for (at, (first_seq, samples)) in segments.iter().enumerate() {
        let line = |index, text: String| Line { text: text + ",", end: "\n", segment: Some(at), index };
        match &samples.timing {
            Timing::Rate(hz) => lines.push(line(None, sampled(chain, device, *first_seq, samples, *hz))),
            Timing::Offsets(_) => {
                let text = |index| single(chain, device, *first_seq, samples, index);
                lines.extend((0..samples.len()).map(|index| line(Some(index), text(index))));
            }
        }
    }
    if let Some(last) = lines.last_mut().filter(|last| last.segment.is_some()) {
        last.text.pop();
    }
    lines.push(frame("]}"));
    lines
}

fn entry(chain: &ChainId, device: &PublicKey, seq: u64, samples: &Samples, rest: &str) -> String {
    let system = IDENTIFIER_SYSTEM;
    let code = &samples.code;
    format!(
        "{{\"resource\":{{\"resourceType\":\"Observation\",\
         \"identifier\":[{{\"system\":\"{system}\",\"value\":\"{chain}/{device}/{seq}\"}}],\
         \"status\":\"final\",\"code\":{{\"coding\":[{{\"system\":\"http://loinc.org\",\"code\":\"{code}\"}}]}},\
         {rest},\"device\":{{\"identifier\":{{\"system\":\"{system}\",\"value\":\"{device}\"}}}}}}}}"
    )
}

/// `,"unit":…,"system":…,"code":…`, or nothing where there is no unit.
fn unit(samples: &Samples) -> String {
    let unit = &samples.unit;
    if unit.is_empty() {
        return String::new();
    }
    format!(",\"unit\":\"{unit}\",\"system\":\"http://unitsofmeasure.org\",\"code\":\"{unit}\"")
}

fn sampled(chain: &ChainId, device: &PublicKey, first_seq: u64, samples: &Samples, hz: Decimal) -> String {
    let (start, end) = (rfc3339(samples.time_us(0)), rfc3339(samples.end_us()));
    let data: Vec<String> = samples.values.iter().map(ToString::to_string).collect();
    let rest = format!(
        "\"effectivePeriod\":{{\"start\":\"{start}\",\"end\":\"{end}\"}},\
         \"valueSampledData\":{{\"origin\":{{\"value\":0{}}},\"period\":{},\"dimensions\":1,\"data\":\"{}\"}}",
        unit(samples),
        period_ms(hz),
        data.join(" ")
    );
    entry(chain, device, first_seq, samples, &rest)
}

fn single(chain: &ChainId, device: &PublicKey, first_seq: u64, samples: &Samples, index: usize) -> String {
    let seq = u64::try_from(index).unwrap_or(u64::MAX).saturating_add(first_seq);
    let time = rfc3339(samples.time_us(index));
    let value = samples.values[index];
    let rest = format!("\"effectiveInstant\":\"{time}\",\"valueQuantity\":{{\"value\":{value}{}}}", unit(samples));
    entry(chain, device, seq, samples, &rest)
}

/// 1000 / rate as decimal text, without needless zeros.
fn period_ms(hz: Decimal) -> String {
    let (mantissa, scale) = (i128::from(hz.mantissa()).max(1), hz.scale());
    let numerator = 1_000 * crate::decimal::power_of_ten(scale) * crate::decimal::power_of_ten(PERIOD_SCALE);
    let units = (numerator + mantissa / 2) / mantissa;
    let one = crate::decimal::power_of_ten(PERIOD_SCALE);
    let fraction = format!("{:09}", units % one);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}", units / one)
}
