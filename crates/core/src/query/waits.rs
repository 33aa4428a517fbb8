//! How long transactions waited: from their start to the time of the block that committed them.
//!
//! The start is [`waiting_start`] of the claimed time and of the time at which this node first saw the transaction. What
//! this node did not see before its block came has only the sender's claim; those waits are kept apart.

use crate::bytes::BlockHash;
use crate::store::{StoreError, StoreRead};
use blockhie_packing::waiting_start;

/// Entries of the mempool's journal read at a time.
const PAGE: usize = 1_024;

/// Waits of the newest blocks, and of what still waits. All times are milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waits {
    /// The clock against which [`pending_ms`](Self::pending_ms) is measured, since the epoch.
    pub now_ms: u64,
    /// The newest blocks of the best chain, ascending without a gap up to the tip.
    pub blocks: Vec<BlockWaits>,
    /// How many transactions wait.
    pub pending: u64,
    /// How long they have waited so far: of all, or of the first ones by hash, which is as good as a random choice.
    pub pending_ms: Vec<u64>,
}

/// Waits of the transactions that one block committed, those without effect included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockWaits {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: BlockHash,
    /// Its time, at which these waits end.
    pub time_ms: u64,
    /// Of transactions that this node saw before: from when it first saw them, or up to two seconds earlier where they
    /// claim so.
    pub measured_ms: Vec<u64>,
    /// Of transactions that came with their block: from the time their sender claims, which proves nothing.
    pub claimed_ms: Vec<u64>,
}

impl BlockWaits {
    /// How many transactions it committed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.measured_ms.len() + self.claimed_ms.len()
    }
}

/// Waits of the transactions that the newest `blocks` blocks committed, and of at most `most` that wait. Where these
/// blocks hold more than `most` transactions there are fewer blocks, but the newest is always among them; so there are
/// where bodies are pruned.
///
/// # Errors
/// The store's.
pub fn waits(view: &dyn StoreRead, blocks: u32, most: usize, now_ms: u64) -> Result<Waits, StoreError> {
    let (mut found, mut total) = (Vec::new(), 0usize);
    let first_whole = view.pruned()?.first_whole();
    let mut next = view.meta()?.tip;
    while let Some(hash) = next.filter(|_| found.len() < usize::try_from(blocks).unwrap_or(usize::MAX)) {
        let block = block_waits(view, &hash)?;
        total = total.saturating_add(block.count());
        if total > most && !found.is_empty() {
            break;
        }
        // What the pruned ones claimed is gone.
        next = if block.height > first_whole { view.hash_at(block.height - 1)? } else { None };
        found.push(block);
    }
    found.reverse();
    let (pending, pending_ms) = pending(view, most, now_ms)?;
    Ok(Waits { now_ms, blocks: found, pending, pending_ms })
}

fn block_waits(view: &dyn StoreRead, hash: &BlockHash) -> Result<BlockWaits, StoreError> {
    let row = view.index(hash)?.ok_or_else(|| super::missing("index"))?;
    let (height, time_ms) = (row.height, row.time_ms);
    let mut waits = BlockWaits { height, hash: *hash, time_ms, measured_ms: Vec::new(), claimed_ms: Vec::new() };
    // What it takes to undo a block names all that it committed; the genesis block committed nothing.
    let committed = view.undo(hash)?.map(|undo| undo.transactions).unwrap_or_default();
    for txhash in committed {
        let claimed = view.tx(&txhash)?.ok_or_else(|| super::missing("txs"))?.time_ms;
        let position = view.tx_position(&txhash)?.ok_or_else(|| super::missing("tx_positions"))?;
        match position.first_seen_ms {
            Some(seen) => waits.measured_ms.push(time_ms.saturating_sub(waiting_start(claimed, seen))),
            None => waits.claimed_ms.push(time_ms.saturating_sub(claimed)),
        }
    }
    Ok(waits)
}

/// How many wait, and how long up to `most` of them have.
fn pending(view: &dyn StoreRead, most: usize, now_ms: u64) -> Result<(u64, Vec<u64>), StoreError> {
    let (mut count, mut waits, mut after) = (0u64, Vec::new(), None);
    loop {
        let page = view.pending(after.as_ref(), PAGE)?;
        for (txhash, seen) in &page {
            count += 1;
            if waits.len() < most
                && let Some(tx) = view.tx(txhash)?
            {
                waits.push(now_ms.saturating_sub(waiting_start(tx.time_ms, *seen)));
            }
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => after = Some(*last),
            _ => return Ok((count, waits)),
        }
    }
}
