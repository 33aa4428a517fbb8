//! Blocks beside the best chain: how long they are kept, and the bodies that they alone carry.

use super::Ledger;
use crate::block::Block;
use crate::bytes::{BlockHash, TxHash};
use crate::limits::{STALE_BODIES, STALE_LOOKED_AT};
use crate::store::{StoreError, StoreRead};

impl Ledger {
    /// Keeps a block beside the chain until the tip has grown by `blocks`, instead of
    /// [`crate::limits::KEEP_STALE_BLOCKS`], and lets bodies be pruned that lie deeper than that and this chain's W. For
    /// simulators, whose chains are short; a node keeps to the limits.
    pub fn set_short_memory(&mut self, blocks: u64) {
        self.memory.stale = blocks;
        self.memory.prune = blocks + u64::from(self.genesis.sibling_window) + 1;
    }

    /// Drops blocks that can be merged no more: they stand more than W below the tip, and so do the points where their
    /// branches leave the chain. A few are looked at each time, in turn, so the work of a block is bounded. Their index
    /// rows stay, and if a heavier branch needs one after all it is asked for again
    /// ([`crate::BlockError::MissingBlocks`]). Bodies that nothing else needs go with them, in the same batch.
    pub(super) fn drop_stale(&mut self) -> Result<(), StoreError> {
        let lowest = self.tip.height.saturating_sub(u64::from(self.genesis.sibling_window));
        let page = self.view().side_page(self.side_cursor.as_ref(), STALE_LOOKED_AT)?;
        let more = page.len() == STALE_LOOKED_AT;
        self.side_cursor = page.last().map(|(key, _)| *key).filter(|(height, _)| more && *height < lowest);
        let mut looked_at = 0;
        for (key, since) in page.into_iter().take_while(|((height, _), _)| *height < lowest) {
            // One that came a moment ago may belong to a branch that is just being fetched.
            if self.tip.height >= since.saturating_add(self.memory.stale) {
                let txhashes = self.view().block(&key.1)?.map(|block| block.txhashes).unwrap_or_default();
                if looked_at > 0 && looked_at + txhashes.len() > STALE_BODIES {
                    // Those left over have their turn when the cursor comes round.
                    break;
                }
                looked_at += txhashes.len();
                self.drop_block(key.1, &txhashes)?;
                self.staged.side.insert(key, None);
            }
        }
        Ok(())
    }

    /// Forgets a block beside the best chain and what it alone carries. All reads come first.
    fn drop_block(&mut self, hash: BlockHash, txhashes: &[TxHash]) -> Result<(), StoreError> {
        let mut alone = Vec::new();
        for txhash in txhashes {
            if !self.is_needed(txhash, Some(&hash))? || self.is_planted("stale-takes-bodies") {
                alone.push(*txhash);
            }
        }
        self.staged.txs.extend(alone.into_iter().map(|txhash| (txhash, None)));
        self.staged.carried.extend(txhashes.iter().map(|txhash| ((*txhash, hash), false)));
        self.staged.blocks.insert(hash, None);
        Ok(())
    }

    /// Whether a body is needed: it waits, or is committed on the best chain (how long those are kept is pruning's to
    /// say), or a block beside it carries it, other than `without`.
    pub(super) fn is_needed(&self, txhash: &TxHash, without: Option<&BlockHash>) -> Result<bool, StoreError> {
        let view = self.view();
        if view.pending_since(txhash)?.is_some() || view.tx_position(txhash)?.is_some() {
            return Ok(true);
        }
        Ok(view.carriers(txhash, 2)?.iter().any(|block| Some(block) != without))
    }

    /// Notes what a block carries while it stands beside the best chain, or takes that back.
    pub(super) fn carry(&mut self, block: &Block, carries: bool) {
        self.staged.carried.extend(block.txhashes.iter().map(|txhash| ((*txhash, block.hash), carries)));
    }
}
