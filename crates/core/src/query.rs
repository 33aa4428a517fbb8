//! What may be asked of a ledger, answered from any consistent view: readers never wait behind writes.

use crate::bytes::{BlockHash, Hash32, TxHash};
use crate::crypto::PublicKey;
use crate::error::ReceiptError;
use crate::genesis::Genesis;
use crate::limits::{MAX_RUN_HEADERS, MAX_RUN_SEARCH};
use crate::merkle;
use crate::receipt::{Receipt, SiblingProof, SignedHeader};
use crate::store::{StoreError, StoreRead};
use crate::tx::{Transaction, Verified};
use primitive_types::U256;
use std::collections::{BTreeMap, VecDeque};

pub mod headers;
pub mod waits;

/// Which block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockQuery {
    /// The tip of the best chain.
    Tip,
    /// The best chain's block at this height.
    Height(u64),
    /// Any block kept.
    Hash(BlockHash),
}

/// The best chain's end, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: BlockHash,
    /// Its time, ms.
    pub time_ms: u64,
    /// Work of the chain.
    pub work: U256,
    /// For each member that mined on this chain its newest height, ascending by key.
    pub last_seen: Vec<(PublicKey, u64)>,
    /// The highest block that a quorum of members has built on (itself included).
    pub final_height: Option<u64>,
    /// Transactions waiting.
    pub pending: usize,
    /// Height of a final block that was abandoned, or that a heavier chain leaves below what is pruned, until an operator
    /// acts.
    pub alarm: Option<u64>,
    /// Bodies of what was committed below this height may be gone from this node; 0: all are here.
    pub pruned_below: u64,
}

impl Tip {
    /// Members with a block at `height` or above.
    #[must_use]
    pub fn members_since(&self, height: u64) -> u32 {
        let count = self.last_seen.iter().filter(|(_, newest)| *newest >= height).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

/// Where a transaction stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxStatus {
    /// Not known here.
    Unknown,
    /// Waiting.
    Pending {
        /// First seen here, ms.
        first_seen_ms: u64,
    },
    /// In a block of the best chain.
    Committed {
        /// Height of the block.
        height: u64,
        /// The block.
        block: BlockHash,
        /// Its time, ms.
        time_ms: u64,
        /// Place in the order of commitment.
        index: u32,
        /// Why it is void, if it is.
        void: Option<String>,
        /// Members with a block from there on.
        members: u32,
        /// Members needed.
        quorum: u32,
        /// Whether that many are reached; never on an open chain.
        is_final: bool,
        /// The sibling of that block through which it came, if any.
        via_sibling: Option<BlockHash>,
    },
}

/// The block asked for.
///
/// # Errors
/// The store's.
pub fn block(view: &dyn StoreRead, query: BlockQuery) -> Result<Option<crate::Block>, StoreError> {
    let hash = match query {
        BlockQuery::Tip => view.meta()?.tip,
        BlockQuery::Height(height) => view.hash_at(height)?,
        BlockQuery::Hash(hash) => Some(hash),
    };
    hash.map_or(Ok(None), |hash| view.block(&hash))
}

/// A transaction, pending or committed.
///
/// # Errors
/// The store's.
pub fn transaction(view: &dyn StoreRead, hash: &TxHash) -> Result<Option<Transaction<Verified>>, StoreError> {
    Ok(view.tx(hash)?.map(Transaction::from_stored))
}

/// Where a transaction stands; `tip` belongs to the view.
///
/// # Errors
/// The store's.
pub fn tx_status(view: &dyn StoreRead, genesis: &Genesis, tip: &Tip, hash: &TxHash) -> Result<TxStatus, StoreError> {
    if let Some(position) = view.tx_position(hash)? {
        let time_ms = view.index(&position.block)?.map_or(0, |row| row.time_ms);
        let (members, quorum) = (tip.members_since(position.height), u32::from(genesis.quorum));
        return Ok(TxStatus::Committed {
            height: position.height,
            block: position.block,
            time_ms,
            index: position.index,
            void: position.void,
            members,
            quorum,
            is_final: quorum > 0 && members >= quorum,
            via_sibling: position.via_sibling,
        });
    }
    Ok(match view.pending_since(hash)? {
        Some(first_seen_ms) => TxStatus::Pending { first_seen_ms },
        None => TxStatus::Unknown,
    })
}

fn missing(what: &str) -> StoreError {
    StoreError::Corrupt { what: what.to_owned(), expected: "an entry of the best chain".into(), got: "none".into() }
}

fn signed(genesis: &Genesis, block: &crate::Block) -> SignedHeader {
    let header = block.header.preimage(&genesis.chain_id());
    SignedHeader { header: crate::receipt::HeaderBytes(header), signature: block.signature }
}

/// The receipt of a committed transaction as far as the chain has come: if fewer than a quorum of members stand behind
/// it yet, verifying answers "not final".
///
/// # Errors
/// [`ReceiptError`].
pub fn build_receipt(view: &dyn StoreRead, genesis: &Genesis, hash: &TxHash) -> Result<Receipt, ReceiptError> {
    let position = view.tx_position(hash)?.ok_or(ReceiptError::NotCommitted { txhash: *hash })?;
    if let Some(reason) = position.void {
        return Err(ReceiptError::Void { txhash: *hash, reason });
    }
    let Some(tx) = transaction(view, hash)? else {
        let (height, below) = (position.height, view.pruned()?.first_whole());
        return Err(if height < below {
            ReceiptError::Pruned { txhash: *hash, height, below }
        } else {
            missing("txs").into()
        });
    };
    build_receipt_of(view, genesis, &tx)
}

/// The receipt of a committed transaction that the caller holds: all that it takes beside its body stays on a node for
/// ever, pruned or not. As [`build_receipt`].
///
/// # Errors
/// [`ReceiptError`].
pub fn build_receipt_of(
    view: &dyn StoreRead,
    genesis: &Genesis,
    tx: &Transaction<Verified>,
) -> Result<Receipt, ReceiptError> {
    let hash = &tx.hash();
    let position = view.tx_position(hash)?.ok_or(ReceiptError::NotCommitted { txhash: *hash })?;
    if let Some(reason) = position.void {
        return Err(ReceiptError::Void { txhash: *hash, reason });
    }
    let block = view.block(&position.block)?.ok_or_else(|| missing("blocks"))?;
    let (list, sibling) = match position.via_sibling {
        None => (block.txhashes.clone(), None),
        Some(via) => sibling_proof(view, genesis, &block, &via).map(|(list, proof)| (list, Some(proof)))?,
    };
    let index = list.iter().position(|own| own == hash).ok_or_else(|| missing("block's transactions"))?;
    let path = merkle::path(&list, index).expect("index was found in this list");
    let run = find_run(view, genesis, position.height)?;
    let history = match run.first {
        first if first == position.height => Vec::new(),
        first => history_path(view, position.height, first)?,
    };
    Ok(Receipt {
        format: crate::receipt::RECEIPT_FORMAT.to_owned(),
        transaction: crate::receipt::HexBytes(tx.to_bytes()),
        index: index as u64,
        path,
        sibling,
        block: signed(genesis, &block),
        history,
        run: run.headers,
    })
}

/// The transactions of a sibling, and the proof that `block` lists it.
fn sibling_proof(
    view: &dyn StoreRead,
    genesis: &Genesis,
    block: &crate::Block,
    via: &BlockHash,
) -> Result<(Vec<TxHash>, SiblingProof), StoreError> {
    let sibling = view.block(via)?.ok_or_else(|| missing("blocks"))?;
    let at = block.siblings.iter().position(|hash| hash == via).ok_or_else(|| missing("block's siblings"))?;
    let path = merkle::path(&block.siblings, at).expect("index was found in this list");
    let header = crate::receipt::HeaderBytes(sibling.header.preimage(&genesis.chain_id()));
    let proof = SiblingProof { header, index: at as u64, size: block.siblings.len() as u64, path };
    Ok((sibling.txhashes, proof))
}

struct Run {
    /// Height at which counting starts: the block's own, or the anchor's.
    first: u64,
    /// The headers of the receipt's `run`.
    headers: Vec<SignedHeader>,
}

/// The shortest run from the block itself that shows a quorum; where that is too long (a quorum came late), the
/// shortest one that ends where the quorum was reached, from an anchor. No quorum yet: what there is, not final.
fn find_run(view: &dyn StoreRead, genesis: &Genesis, height: u64) -> Result<Run, StoreError> {
    let (first, last) = run_bounds(view, genesis, height)?;
    let skip = u64::from(first == height);
    let mut headers = Vec::new();
    for at in first + skip..=last {
        let block = block(view, BlockQuery::Height(at))?.ok_or_else(|| missing("heights"))?;
        headers.push(signed(genesis, &block));
    }
    Ok(Run { first, headers })
}

/// First and last height of the run. Each block is looked at once, and only its index row.
fn run_bounds(view: &dyn StoreRead, genesis: &Genesis, height: u64) -> Result<(u64, u64), StoreError> {
    let quorum = usize::from(genesis.quorum);
    let newest = view.meta()?.last_seen;
    let is_reached = quorum > 0 && newest.values().filter(|seen| **seen >= height).count() >= quorum;
    if genesis.is_open() {
        return Ok((height, height));
    }
    // Without a quorum there is nothing to look for: as many headers as fit show how far it has come.
    let search = if is_reached { MAX_RUN_SEARCH } else { MAX_RUN_HEADERS as u64 };
    let (mut miners, mut counts) = (VecDeque::new(), BTreeMap::<Hash32, u32>::new());
    for at in height..height.saturating_add(search) {
        let Some(hash) = view.hash_at(at)? else { break };
        let row = view.index(&hash)?.ok_or_else(|| missing("index"))?;
        miners.push_back(row.miner);
        *counts.entry(row.miner).or_default() += 1;
        if miners.len() > MAX_RUN_HEADERS
            && let Some(left) = miners.pop_front()
            && let Some(count) = counts.get_mut(&left)
        {
            *count -= 1;
            if *count == 0 {
                counts.remove(&left);
            }
        }
        if counts.len() >= quorum {
            return Ok((at + 1 - miners.len() as u64, at));
        }
    }
    let tip = view.meta()?.tip.map_or(Ok(None), |hash| view.index(&hash))?.ok_or_else(|| missing("index"))?;
    Ok((height, tip.height.min(height + MAX_RUN_HEADERS as u64 - 1)))
}

/// Inclusion path of the blockhash at `height` in the history root of the header at `anchor`.
fn history_path(view: &dyn StoreRead, height: u64, anchor: u64) -> Result<Vec<Hash32>, StoreError> {
    let mut at = |level: u8, index: u64| {
        if level == 0 {
            Ok(view.hash_at(index)?.map(|hash| merkle::leaf(&hash)))
        } else {
            view.history_node(level, index)
        }
    };
    merkle::log_path(height, anchor, &mut at)?.ok_or_else(|| missing("history_nodes"))
}
