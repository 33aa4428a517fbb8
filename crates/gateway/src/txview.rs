//! How far a transaction has come: queued → submitted → in block h → k of q members → final.

use crate::chain::{ChainView, Known};
use crate::index::VOID;
use blockhie_core::{BlockHash, Receipt, Trust, TxHash, TxStatus, Verdict, verify_receipt};
use serde::Serialize;

/// The states a user sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Stored here; the node has not taken the transaction yet.
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

/// Where a transaction stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct TxView {
    /// The transaction.
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

/// What the gateway's own store says of a transaction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    /// What the node said last ([`crate::index::ACCEPTED`], [`VOID`] or nothing).
    pub(crate) word: Option<Vec<u8>>,
    /// Whether it was seen final.
    pub(crate) settled: bool,
    /// Its receipt, if it is here.
    pub(crate) receipt: Option<String>,
}

impl TxView {
    pub(crate) fn new(txhash: TxHash, state: State) -> Self {
        let (height, block, block_time_ms) = (None, None, None);
        Self { txhash, state, height, block, block_time_ms, members: None, quorum: None, reason: None }
    }

    /// What the node says.
    pub(crate) fn of(txhash: TxHash, status: TxStatus) -> Self {
        let state = match &status {
            TxStatus::Unknown => State::Unknown,
            TxStatus::Pending { .. } => State::Submitted,
            TxStatus::Committed { void: Some(_), .. } => State::Void,
            TxStatus::Committed { is_final: true, .. } => State::Final,
            TxStatus::Committed { .. } => State::InBlock,
        };
        let mut shown = Self::new(txhash, state);
        if let TxStatus::Committed { height, block, time_ms, void, members, quorum, .. } = status {
            (shown.height, shown.block, shown.block_time_ms) = (Some(height), Some(block), Some(time_ms));
            (shown.members, shown.quorum, shown.reason) = (Some(members), Some(quorum), void);
        }
        shown
    }

    /// What a kept receipt proves, without a node.
    pub(crate) fn of_receipt(known: &Known, txhash: TxHash, text: &str) -> Option<Self> {
        let receipt = Receipt::parse(text.as_bytes()).ok()?;
        let header = blockhie_core::Header::from_preimage(&receipt.block.header.0, &known.chain_id).ok()?;
        let trust = Trust { genesis: Some(&known.genesis), ..Trust::default() };
        let proved = verify_receipt(&receipt, &trust).ok()?;
        let state = if proved.verdict == Verdict::Proved { State::Final } else { State::InBlock };
        let mut view = Self::new(txhash, state);
        (view.height, view.block) = (Some(header.height), Some(header.hash(&known.chain_id)));
        view.block_time_ms = Some(header.time_ms);
        view.members = u32::try_from(proved.members.len()).ok();
        view.quorum = Some(u32::from(known.genesis.quorum));
        Some(view)
    }

    /// What is known here, when the node knows nothing or does not answer.
    pub(crate) fn of_kept(txhash: TxHash, kept: &Kept) -> Self {
        let state = match kept.word.as_deref() {
            Some(VOID) => State::Void,
            None if !kept.settled => State::Queued,
            _ => State::Unknown,
        };
        Self::new(txhash, state)
    }
}

/// Where a transaction stands now: the node's word, or else what was seen last.
pub(crate) async fn look(chain: &ChainView, txhash: TxHash, kept: &Kept) -> TxView {
    let away = match chain.status(txhash).await {
        Ok(TxStatus::Unknown) => None,
        Ok(status) => return TxView::of(txhash, status),
        Err(error) => Some(error.to_string()),
    };
    let from_receipt = || {
        let known = chain.known().ok()?;
        TxView::of_receipt(&known, txhash, kept.receipt.as_deref()?)
    };
    if away.is_some()
        && let Some(view) = from_receipt()
    {
        return view;
    }
    TxView { reason: away, ..TxView::of_kept(txhash, kept) }
}
