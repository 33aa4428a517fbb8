//! How far a record has come.

use crate::app::App;
use crate::error::ApiError;
use crate::txview::{Kept, TxView, look};
use blockhie_core::{BlockHash, Hash32, TxHash};
use blockhie_emr::vault::{Entry, RecordState};
use serde::Serialize;

pub(crate) use crate::txview::State;

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RecordStatus {
    /// The record's commitment.
    pub(crate) record: Hash32,
    /// Its transaction.
    pub(crate) txhash: TxHash,
    /// How far it has come.
    pub(crate) state: State,
    /// Height of the block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) height: Option<u64>,
    /// The block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) block: Option<BlockHash>,
    /// The block's time, ms since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) block_time_ms: Option<u64>,
    /// Members with a block from there on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) members: Option<u32>,
    /// Members needed; 0 on an open chain, where nothing becomes final.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quorum: Option<u32>,
    /// Why it is void, queued or unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

impl RecordStatus {
    fn of(record: Hash32, view: TxView) -> Self {
        let TxView { txhash, state, height, block, block_time_ms, members, quorum, reason } = view;
        Self { record, txhash, state, height, block, block_time_ms, members, quorum, reason }
    }
}

/// The record's entry, or "not found".
pub(crate) async fn entry(app: &App, record: Hash32) -> Result<Entry, ApiError> {
    let missing = || ApiError::not_found(format!("record {record}: not in this vault"));
    app.blocking(move |parts| Ok(parts.vault.entry(&record)?)).await?.ok_or_else(missing)
}

/// Where a record stands now.
///
/// # Errors
/// "Not found" for a record that is not here or was erased.
pub(crate) async fn status(app: &App, record: Hash32) -> Result<RecordStatus, ApiError> {
    let entry = entry(app, record).await?;
    of_entry(app, &entry).await
}

/// Where a record of the vault stands now.
pub(crate) async fn of_entry(app: &App, entry: &Entry) -> Result<RecordStatus, ApiError> {
    let (record, txhash) = (entry.record, entry.txhash);
    let settled = entry.state == RecordState::Final;
    let kept = app.blocking(move |parts| {
        let receipt = if settled { parts.vault.receipt(&record)? } else { None };
        Ok(Kept { word: parts.index.accepted(&txhash)?, settled, receipt })
    });
    Ok(RecordStatus::of(record, look(&app.emr, txhash, &kept.await?).await))
}
