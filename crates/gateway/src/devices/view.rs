//! Devices and segments in the form in which the API answers them and the pages show them.

use super::{DeviceError, DeviceRow, Devices, SegmentRow};
use crate::app::App;
use crate::chain::ChainView;
use crate::error::ApiError;
use crate::limits::{LIVE_STATES, MAX_GAPS, MAX_SEGMENTS_LISTED, SWEEP_CALLS};
use crate::txview::{Kept, State, TxView, look};
use blockhie_core::{ChainKind, PublicKey, TxHash};
use blockhie_phd::{Coverage, SeqRange};
use futures::StreamExt;
use serde::Serialize;

/// How far a device has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeviceState {
    /// Its DEVICE is not final yet.
    Pending,
    /// It is final.
    Enrolled,
    /// Its RETIRE is final.
    Retired,
}

/// A device of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DeviceLine {
    /// Its key.
    pub(crate) device: PublicKey,
    /// Who enrolled it.
    pub(crate) owner: PublicKey,
    /// How far it has come.
    pub(crate) state: DeviceState,
    /// Segments here.
    pub(crate) segments: u64,
    /// Readings in them.
    pub(crate) readings: u64,
    /// When it came here, ms since the epoch.
    pub(crate) created_ms: u64,
}

/// A segment of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SegmentView {
    /// Sequence number of the first reading.
    pub(crate) first_seq: u64,
    /// Readings.
    pub(crate) count: u32,
    /// Its READINGS.
    pub(crate) txhash: TxHash,
    /// How far that has come.
    pub(crate) state: State,
    /// Whether the sealed bytes are on the chain.
    pub(crate) inline: bool,
    /// Whether its key is here.
    pub(crate) held: bool,
    /// Time of the first reading, ms since the epoch, where the key is here.
    pub(crate) start_ms: Option<u64>,
    /// Time of the last one.
    pub(crate) end_ms: Option<u64>,
    /// When it was erased here, ms since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) erased_ms: Option<u64>,
}

/// A device with its segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DeviceView {
    /// Its key.
    pub(crate) device: PublicKey,
    /// Who enrolled it.
    pub(crate) owner: PublicKey,
    /// How far it has come.
    pub(crate) state: DeviceState,
    /// Its DEVICE.
    pub(crate) txhash: TxHash,
    /// How far that has come.
    pub(crate) state_of_tx: State,
    /// Its RETIRE, if there is one.
    pub(crate) retire: Option<TxView>,
    /// Segments, ascending.
    pub(crate) segments: Vec<SegmentView>,
    /// Where the list goes on, if it was cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_seq: Option<u64>,
    /// Sequence numbers between the first and the last reading here that no segment covers.
    pub(crate) gaps: Vec<SeqRange>,
}

impl DeviceState {
    pub(crate) fn of(row: &DeviceRow) -> Self {
        match (row.enrolled, row.retired) {
            (_, true) => Self::Retired,
            (true, false) => Self::Enrolled,
            (false, false) => Self::Pending,
        }
    }
}

impl DeviceLine {
    fn new(device: PublicKey, row: &DeviceRow) -> Self {
        let state = DeviceState::of(row);
        let DeviceRow { owner, segments, readings, created_ms, .. } = *row;
        Self { device, owner, state, segments, readings, created_ms }
    }
}

/// Every device.
pub(crate) async fn list(app: &App) -> Result<Vec<DeviceLine>, ApiError> {
    let rows = app.blocking(|parts| Ok(parts.devices.list()?)).await?;
    Ok(rows.iter().map(|(device, row)| DeviceLine::new(*device, row)).collect())
}

/// A device with at most `limit` of its segments from `from_seq` on.
pub(crate) async fn device(app: &App, device: PublicKey, from_seq: u64, limit: usize) -> Result<DeviceView, ApiError> {
    let chain = app.chain(ChainKind::Phd)?;
    let (row, mut segments, gaps) = app
        .blocking(move |parts| {
            let row = parts.devices.device(&device)?;
            let segments = parts.devices.segments(&device, from_seq, limit.saturating_add(1))?;
            Ok((row, segments, gaps(&parts.devices, &device)?))
        })
        .await?;
    let next_seq = (segments.len() > limit).then(|| segments.pop()).flatten().map(|row| row.first_seq);
    let enrolment = tx(app, chain, row.device_tx).await?;
    let retire = match row.retire_tx {
        Some(txhash) => Some(tx(app, chain, txhash).await?),
        None => None,
    };
    let states = states(app, chain, &segments).await?;
    let segments = segments.iter().zip(states).map(|(row, state)| show(row, state)).collect();
    let (owner, state, txhash, state_of_tx) = (row.owner, DeviceState::of(&row), row.device_tx, enrolment.state);
    Ok(DeviceView { device, owner, state, txhash, state_of_tx, retire, segments, next_seq, gaps })
}

fn show(row: &SegmentRow, state: State) -> SegmentView {
    let SegmentRow { first_seq, count, txhash, erased_ms, .. } = *row;
    let (start_ms, end_ms) = row.times.unzip();
    let (inline, held) = (row.inline(), row.held());
    SegmentView { first_seq, count, txhash, state, inline, held, start_ms, end_ms, erased_ms }
}

/// Over all its segments, erased ones too: what the chain has of it is no gap.
fn gaps(devices: &Devices, device: &PublicKey) -> Result<Vec<SeqRange>, DeviceError> {
    let all = devices.segments(device, 0, MAX_SEGMENTS_LISTED)?;
    let ranges: Vec<_> = all.iter().map(|row| (row.first_seq, row.count)).collect();
    let mut gaps = Coverage::of(&ranges).gaps;
    gaps.truncate(MAX_GAPS);
    Ok(gaps)
}

/// Where each segment's transaction stands. The node is asked about the first [`LIVE_STATES`] that are not final here;
/// of the others what was seen last is told.
async fn states(app: &App, chain: &ChainView, segments: &[SegmentRow]) -> Result<Vec<State>, ApiError> {
    let hashes: Vec<TxHash> = segments.iter().map(|row| row.txhash).collect();
    let kept = app.blocking(move |parts| hashes.iter().map(|txhash| Ok((*txhash, parts.kept(txhash)?))).collect());
    let kept: Vec<(TxHash, Kept)> = kept.await?;
    let mut asked = 0;
    let looks = kept.into_iter().map(|(txhash, kept)| {
        let live = !kept.settled && kept.word.is_some() && asked < LIVE_STATES;
        asked += usize::from(live);
        async move {
            match (kept.settled, live) {
                (true, _) => State::Final,
                (false, true) => look(chain, txhash, &kept).await.state,
                (false, false) => match TxView::of_kept(txhash, &kept).state {
                    State::Unknown => State::Submitted,
                    state => state,
                },
            }
        }
    });
    let looks: Vec<_> = looks.collect();
    Ok(futures::stream::iter(looks).buffered(SWEEP_CALLS).collect().await)
}

/// Where a transaction of a device stands.
pub(crate) async fn tx(app: &App, chain: &ChainView, txhash: TxHash) -> Result<TxView, ApiError> {
    let kept = app.blocking(move |parts| parts.kept(&txhash)).await?;
    Ok(look(chain, txhash, &kept).await)
}

/// The receipt of a transaction of a device: kept, or from the node as soon as there is a block.
pub(crate) async fn receipt(app: &App, chain: &ChainView, txhash: TxHash) -> Result<String, ApiError> {
    let kept = app.blocking(move |parts| parts.kept(&txhash)).await?;
    if let Some(text) = kept.receipt {
        return Ok(text);
    }
    let view = look(chain, txhash, &kept).await;
    if !matches!(view.state, State::InBlock | State::Final) {
        let name = view.state.name();
        return Err(ApiError::not_yet(format!("receipt: expected a committed transaction, got one {name}"), &view));
    }
    Ok(chain.receipt(txhash).await?)
}
