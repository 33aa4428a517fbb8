//! How far a record has come: queued → submitted → in block h → k of q members → final.

use crate::app::App;
use crate::error::ApiError;
use crate::index::VOID;
use blockhie_core::{BlockHash, Hash32, Receipt, Trust, TxHash, TxStatus, verify_receipt};
use blockhie_emr::vault::{Entry, RecordState};
use serde::Serialize;

/// The states a user sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Sealed here; the node has not taken the transaction yet.
    Queued,
    /// The node has it; no block has.
    Submitted,
    /// In a block of the best chain.
    InBlock,
    /// A quorum of members built on that block.
    Final,
    /// Committed without effect.
    Void,
    /// The node cannot be asked, or lost the transaction (it is submitted again then).
    Unknown,
}

impl State {
    /// As the API writes it.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Submitted => "submitted",
            Self::InBlock => "in_block",
            Self::Final => "final",
            Self::Void => "void",
            Self::Unknown => "unknown",
        }
    }
}

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
    fn new(record: Hash32, txhash: TxHash, state: State) -> Self {
        let (height, block, block_time_ms) = (None, None, None);
        Self { record, txhash, state, height, block, block_time_ms, members: None, quorum: None, reason: None }
    }

    fn of(record: Hash32, txhash: TxHash, status: TxStatus) -> Self {
        let state = match &status {
            TxStatus::Unknown => State::Unknown,
            TxStatus::Pending { .. } => State::Submitted,
            TxStatus::Committed { void: Some(_), .. } => State::Void,
            TxStatus::Committed { is_final: true, .. } => State::Final,
            TxStatus::Committed { .. } => State::InBlock,
        };
        let mut shown = Self::new(record, txhash, state);
        if let TxStatus::Committed { height, block, time_ms, void, members, quorum, .. } = status {
            (shown.height, shown.block, shown.block_time_ms) = (Some(height), Some(block), Some(time_ms));
            (shown.members, shown.quorum, shown.reason) = (Some(members), Some(quorum), void);
        }
        shown
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
    let away = match app.emr.status(txhash).await {
        Ok(TxStatus::Unknown) => None,
        Ok(status) => return Ok(RecordStatus::of(record, txhash, status)),
        Err(error) => Some(error.to_string()),
    };
    // The node does not know or does not answer: what was seen last counts.
    let settled = entry.state == RecordState::Final;
    let (word, receipt) = app
        .blocking(move |parts| {
            let receipt = if settled { parts.vault.receipt(&record)? } else { None };
            Ok((parts.index.accepted(&txhash)?, receipt))
        })
        .await?;
    if away.is_some()
        && let Some(status) = receipt.and_then(|text| from_receipt(app, record, txhash, &text))
    {
        return Ok(status);
    }
    let state = match word.as_deref() {
        Some(VOID) => State::Void,
        None if !settled => State::Queued,
        _ => State::Unknown,
    };
    Ok(RecordStatus { reason: away, ..RecordStatus::new(record, txhash, state) })
}

/// What a kept receipt proves, without a node.
fn from_receipt(app: &App, record: Hash32, txhash: TxHash, text: &str) -> Option<RecordStatus> {
    let known = app.emr.known().ok()?;
    let receipt = Receipt::parse(text.as_bytes()).ok()?;
    let header = blockhie_core::Header::from_preimage(&receipt.block.header.0, &known.chain_id).ok()?;
    let trust = Trust { genesis: Some(&known.genesis), ..Trust::default() };
    let proved = verify_receipt(&receipt, &trust).ok()?;
    let state = if proved.verdict == blockhie_core::Verdict::Proved { State::Final } else { State::InBlock };
    let mut status = RecordStatus::new(record, txhash, state);
    (status.height, status.block) = (Some(header.height), Some(header.hash(&known.chain_id)));
    status.block_time_ms = Some(header.time_ms);
    status.members = u32::try_from(proved.members.len()).ok();
    status.quorum = Some(u32::from(known.genesis.quorum));
    Some(status)
}
