//! Readings out, for who may have them.

use super::{Devices, Result as Found};
use crate::app::App;
use crate::error::ApiError;
use crate::limits::{MAX_EXPORT_BYTES, MAX_SEGMENTS_LISTED};
use blockhie_core::{ChainId, ChainKind, PublicKey};
use blockhie_phd::formats::{write_csv, write_fhir, write_jsonl};
use blockhie_phd::{Samples, Timing};
use serde::Deserialize;

/// A format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// As it was pushed.
    #[default]
    Csv,
    /// A line of JSON for each reading.
    Jsonl,
    /// A FHIR R4 Bundle.
    Fhir,
}

impl Format {
    /// Media type and ending of its files.
    pub(crate) fn media(self) -> (&'static str, &'static str) {
        match self {
            Self::Csv => ("text/csv; charset=utf-8", "csv"),
            Self::Jsonl => ("application/x-ndjson", "jsonl"),
            Self::Fhir => ("application/fhir+json", "json"),
        }
    }

    /// About how many bytes a reading takes, in memory and in the text.
    fn weight(self, timing: &Timing) -> usize {
        match (self, timing) {
            (Self::Csv, _) | (Self::Fhir, Timing::Rate(_)) => 32,
            (Self::Jsonl, _) => 128,
            (Self::Fhir, Timing::Offsets(_)) => 640,
        }
    }
}

/// Readings of a device with `from_ms` ≤ time < `to_ms`, of the segments whose keys are here, by sequence number.
///
/// # Errors
/// "Too large" when it would be more than [`MAX_EXPORT_BYTES`]: ask for less time.
pub(crate) async fn readings(
    app: &App,
    device: PublicKey,
    (from_ms, to_ms): (Option<u64>, Option<u64>),
    format: Format,
) -> Result<String, ApiError> {
    let chain = app.chain(ChainKind::Phd)?.known()?.chain_id;
    app.blocking(move |parts| {
        let found = collect(&parts.devices, &chain, &device, (from_ms, to_ms), format)?;
        let found = found.ok_or_else(|| {
            ApiError::too_large("readings: of one answer (ask for less time with from and to)", MAX_EXPORT_BYTES)
        })?;
        let lines: Vec<_> = found.iter().map(|(first_seq, samples)| (*first_seq, samples)).collect();
        Ok(match format {
            Format::Csv => write_csv(&lines),
            Format::Jsonl => write_jsonl(&lines),
            Format::Fhir => write_fhir(&chain, &device, &lines),
        })
    })
    .await
}

/// The samples; `None` when they are too many.
fn collect(
    devices: &Devices,
    chain: &ChainId,
    device: &PublicKey,
    (from_ms, to_ms): (Option<u64>, Option<u64>),
    format: Format,
) -> Found<Option<Vec<(u64, Samples)>>> {
    let places = devices.at_times(device, from_ms.unwrap_or(0), to_ms.unwrap_or(u64::MAX), MAX_SEGMENTS_LISTED)?;
    let (mut found, mut bytes) = (Vec::with_capacity(places.len()), 0usize);
    for last_seq in places {
        let Some(row) = devices.segments(device, last_seq, 1)?.into_iter().find(|row| row.held()) else { continue };
        let (_, _, data) = devices.unsealed(chain, device, &row)?;
        let samples = Samples::decode(&data)
            .map_err(|error| super::rows::corrupt("segment", "samples, as when it came", error))?;
        let range = samples.between(from_ms, to_ms);
        let weight = format.weight(&samples.timing);
        bytes = bytes.saturating_add(range.len().saturating_mul(weight));
        if bytes > MAX_EXPORT_BYTES {
            return Ok(None);
        }
        if !range.is_empty() {
            let before = u64::try_from(range.start).unwrap_or(u64::MAX);
            found.push((row.first_seq.saturating_add(before), samples.slice(range)));
        }
    }
    Ok(Some(found))
}

/// Samples for a picture.
pub(crate) struct Drawn {
    /// With the sequence number of the first, by sequence number.
    pub(crate) samples: Vec<(u64, Samples)>,
    /// Time of the last reading whose key is here, within the span or not, ms since the epoch.
    pub(crate) last_ms: Option<u64>,
    /// There were more than asked for: the oldest are left out.
    pub(crate) cut: bool,
}

/// At most about `most` of the newest readings with `from_ms` ≤ time < `to_ms` whose keys are here.
pub(crate) fn drawn(
    devices: &Devices,
    chain: &ChainId,
    device: &PublicKey,
    (from_ms, to_ms): (Option<u64>, Option<u64>),
    most: usize,
) -> Found<Drawn> {
    let at = |from, to| devices.at_times(device, from, to, MAX_SEGMENTS_LISTED);
    let row = |last_seq| {
        Ok::<_, super::DeviceError>(devices.segments(device, last_seq, 1)?.into_iter().find(|row| row.held()))
    };
    let last_ms = match at(0, u64::MAX)?.last() {
        Some(last_seq) => row(*last_seq)?.and_then(|row| row.times).map(|(_, end_ms)| end_ms),
        None => None,
    };
    let mut drawn = Drawn { samples: vec![], last_ms, cut: false };
    let mut count = 0usize;
    for last_seq in at(from_ms.unwrap_or(0), to_ms.unwrap_or(u64::MAX))?.into_iter().rev() {
        let Some(row) = row(last_seq)? else { continue };
        let (_, _, data) = devices.unsealed(chain, device, &row)?;
        let samples = Samples::decode(&data)
            .map_err(|error| super::rows::corrupt("segment", "samples, as when it came", error))?;
        let range = samples.between(from_ms, to_ms);
        if count > 0 && count.saturating_add(range.len()) > most {
            drawn.cut = true;
            break;
        }
        let start = range.end.saturating_sub(most).max(range.start);
        drawn.cut |= start > range.start;
        count += range.end - start;
        let before = u64::try_from(start).unwrap_or(u64::MAX);
        if start < range.end {
            drawn.samples.push((row.first_seq.saturating_add(before), samples.slice(start..range.end)));
        }
    }
    drawn.samples.reverse();
    Ok(drawn)
}
