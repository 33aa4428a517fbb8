//! Headers and whole blocks for peers that catch up.

use super::{BlockQuery, block, transaction};
use crate::block::Block;
use crate::bytes::BlockHash;
use crate::store::{StoreError, StoreRead};
use crate::tx::{Transaction, Verified};

/// Hashes of the newest blocks in a locator before the distances begin to double: a fork is nearly always that near.
const LOCATOR_DENSE: usize = 10;

/// Hashes of the best chain from `tip_height` down, the distances doubling after the first ten, and block 0 at the end.
/// At most 64 of them, however long the chain.
///
/// # Errors
/// The store's.
pub fn locator(view: &dyn StoreRead, tip_height: u64) -> Result<Vec<BlockHash>, StoreError> {
    let (mut hashes, mut height, mut step) = (Vec::new(), tip_height, 1);
    loop {
        hashes.extend(view.hash_at(height)?);
        if height == 0 || hashes.len() >= 63 {
            break;
        }
        if hashes.len() >= LOCATOR_DENSE {
            step *= 2;
        }
        height = height.saturating_sub(step);
    }
    Ok(hashes)
}

/// Blocks of the best chain, ascending, from above the first hash of the locator that stands on it, at most `limit`.
/// `None` when none of the hashes does.
///
/// # Errors
/// The store's.
pub fn blocks_after(view: &dyn StoreRead, locator: &[BlockHash], limit: u32) -> Result<Option<Vec<Block>>, StoreError> {
    for hash in locator {
        let Some(row) = view.index(hash)? else { continue };
        if view.hash_at(row.height)? != Some(*hash) {
            continue;
        }
        let mut blocks = Vec::new();
        for height in (row.height.saturating_add(1)..).take(usize::try_from(limit).unwrap_or(usize::MAX)) {
            let Some(block) = block(view, BlockQuery::Height(height))? else { break };
            blocks.push(block);
        }
        return Ok(Some(blocks));
    }
    Ok(None)
}

/// A block and the transactions of its own list, in order.
pub type WholeBlock = (Block, Vec<Transaction<Verified>>);

/// A block and the transactions of its own list, in order. `None` when it is not kept whole.
///
/// # Errors
/// The store's.
pub fn whole_block(view: &dyn StoreRead, hash: &BlockHash) -> Result<Option<WholeBlock>, StoreError> {
    let Some(block) = view.block(hash)? else { return Ok(None) };
    let mut transactions = Vec::with_capacity(block.txhashes.len());
    for txhash in &block.txhashes {
        let Some(tx) = transaction(view, txhash)? else { return Ok(None) };
        transactions.push(tx);
    }
    Ok(Some((block, transactions)))
}
