//! Blocks beside the best chain: how long they are kept.

use super::Ledger;
use crate::limits::{KEEP_STALE_BLOCKS, STALE_LOOKED_AT};
use crate::store::{StoreError, StoreRead};

impl Ledger {
    /// Drops blocks that can be merged no more: they stand more than W below the tip, and so do the points where their
    /// branches leave the chain. A few are looked at each time, in turn, so the work of a block is bounded. Their index
    /// rows stay, and if a heavier branch needs one after all it is asked for again
    /// ([`crate::BlockError::MissingBlocks`]).
    pub(super) fn drop_stale(&mut self) -> Result<(), StoreError> {
        let lowest = self.tip.height.saturating_sub(u64::from(self.genesis.sibling_window));
        let page = self.view().side_page(self.side_cursor.as_ref(), STALE_LOOKED_AT)?;
        let more = page.len() == STALE_LOOKED_AT;
        self.side_cursor = page.last().map(|(key, _)| *key).filter(|(height, _)| more && *height < lowest);
        for (key, since) in page.into_iter().take_while(|((height, _), _)| *height < lowest) {
            // One that came a moment ago may belong to a branch that is just being fetched.
            if self.tip.height >= since.saturating_add(KEEP_STALE_BLOCKS) {
                self.staged.side.insert(key, None);
                self.staged.blocks.insert(key.1, None);
            }
        }
        Ok(())
    }
}
