//! Siblings: which blocks a block may list, and in what order it commits what they carry.
//!
//! All of the listing rules but length and distinctness speak of other blocks than a block's own ancestors, so they
//! belong to step 9: a block that breaks one is sound and not valid, and may itself be merged. Its list then only has to
//! match its root, so a stale block's own siblings are never asked for. See `docs/adr/0022-siblings.md`.

use super::{Ledger, missing};
use crate::block::Block;
use crate::bytes::{BlockHash, Hash32, TxHash};
use crate::error::BlockError;
use crate::limits::{MAX_NAMED_BLOCKS, MAX_SIBLING_CANDIDATES, MAX_SIBLINGS_OF_MINER};
use crate::staged::View;
use crate::store::{IndexRow, StoreError, StoreRead};
use std::collections::{BTreeMap, BTreeSet};

/// Why a sibling may not be listed: what was expected and what was found.
pub(super) struct Fault {
    expected: String,
    got: String,
}

fn fault(expected: impl Into<String>, got: impl Into<String>) -> Fault {
    Fault { expected: expected.into(), got: got.into() }
}

/// The list of one block, checked sibling by sibling in order. The view's tip is that block's parent, so its best chain
/// is the block's ancestors and its `listed` what they list.
pub(super) struct Listing<'a> {
    view: &'a View<'a>,
    height: u64,
    time_ms: u64,
    /// Lowest height at which a sibling's branch may leave the chain.
    lowest_fork: u64,
    taken: Vec<BlockHash>,
    of_miner: BTreeMap<Hash32, usize>,
}

impl<'a> Listing<'a> {
    pub(super) fn new(view: &'a View<'a>, height: u64, time_ms: u64, window: u8) -> Self {
        let lowest_fork = height.saturating_sub(u64::from(window));
        Self { view, height, time_ms, lowest_fork, taken: Vec::new(), of_miner: BTreeMap::new() }
    }

    /// Takes the next sibling, of this index row, if every rule allows it there.
    pub(super) fn take(&mut self, hash: BlockHash, row: &IndexRow) -> Result<Result<(), Fault>, StoreError> {
        if self.is_ancestor(&hash, row.height)? {
            return Ok(Err(fault("no ancestor", format!("ancestor {hash} at height {}", row.height))));
        }
        if let Some(at) = self.view.listed(&hash)? {
            return Ok(Err(fault("none that an ancestor lists", format!("{hash}, listed at height {at}"))));
        }
        if row.height > self.height {
            let expected = format!("a height of at most {}", self.height);
            return Ok(Err(fault(expected, format!("{hash} at height {}", row.height))));
        }
        if row.time_ms >= self.time_ms {
            return Ok(Err(fault(format!("a time below {}", self.time_ms), format!("{hash} at {}", row.time_ms))));
        }
        let of_miner = self.of_miner.get(&row.miner).copied().unwrap_or(0);
        if of_miner >= MAX_SIBLINGS_OF_MINER {
            let expected = format!("at most {MAX_SIBLINGS_OF_MINER} of one miner");
            return Ok(Err(fault(expected, format!("one more, {hash}, of miner {}", row.miner))));
        }
        if self.fork_height(row)?.is_none() {
            let expected = format!("a branch that leaves this chain at height {} or above", self.lowest_fork);
            return Ok(Err(fault(expected, format!("{hash}, which leaves it below"))));
        }
        if !self.has_parent(row)? {
            let expected = "a parent that is an ancestor, listed by one, or earlier in the list";
            return Ok(Err(fault(expected, format!("{hash} on {}", row.parent))));
        }
        self.taken.push(hash);
        self.of_miner.insert(row.miner, of_miner + 1);
        Ok(Ok(()))
    }

    fn is_ancestor(&self, hash: &BlockHash, height: u64) -> Result<bool, StoreError> {
        Ok(self.view.hash_at(height)? == Some(*hash))
    }

    fn has_parent(&self, row: &IndexRow) -> Result<bool, StoreError> {
        let parent = &row.parent;
        let height = row.height.saturating_sub(1);
        Ok(self.taken.contains(parent) || self.is_ancestor(parent, height)? || self.view.listed(parent)?.is_some())
    }

    /// Height of the nearest ancestor of the sibling that is an ancestor of the block, if that is not too low. At most
    /// W + 1 rows are read.
    fn fork_height(&self, row: &IndexRow) -> Result<Option<u64>, StoreError> {
        let (mut at, mut height) = (row.parent, row.height.saturating_sub(1));
        while height >= self.lowest_fork {
            if self.is_ancestor(&at, height)? {
                return Ok(Some(height));
            }
            let row = self.view.index(&at)?.ok_or_else(|| missing("index", &at))?;
            let Some(below) = row.height.checked_sub(1) else { break };
            (at, height) = (row.parent, below);
        }
        Ok(None)
    }

    pub(super) fn into_taken(self) -> Vec<BlockHash> {
        self.taken
    }
}

/// Whether a block is kept whole, and not only its index row.
pub(super) fn is_held(view: &dyn StoreRead, hash: &BlockHash, row: &IndexRow) -> Result<bool, StoreError> {
    Ok(view.hash_at(row.height)? == Some(*hash)
        || view.side(&(row.height, *hash))?.is_some()
        || view.listed(hash)?.is_some())
}

/// What a list of siblings commits, in order, and through which of them: what an ancestor committed, or what an earlier
/// sibling carries, is skipped. The view's tip is the parent of the block that lists them.
pub(super) fn commit_order(view: &dyn StoreRead, siblings: &[Block]) -> Result<Vec<(TxHash, BlockHash)>, StoreError> {
    let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
    for sibling in siblings {
        for txhash in &sibling.txhashes {
            if seen.insert(*txhash) && view.tx_position(txhash)?.is_none() {
                order.push((*txhash, sibling.hash));
            }
        }
    }
    Ok(order)
}

impl Ledger {
    /// The siblings that `list` names, whole. All of them are held when this is asked.
    pub(super) fn siblings_of(&self, list: &[BlockHash]) -> Result<Vec<Block>, StoreError> {
        let view = self.view();
        list.iter().map(|hash| view.block(hash)?.ok_or_else(|| missing("blocks", hash))).collect()
    }

    /// "Not yet": blocks of a branch, or siblings that they list, which are not held here. The first few are named,
    /// lowest first.
    pub(super) fn check_held(&self, branch: &[BlockHash]) -> Result<(), BlockError> {
        let view = self.view();
        let mut missing = Vec::new();
        let held = |hash: &BlockHash| match view.index(hash)? {
            Some(row) => is_held(&view, hash, &row),
            None => Ok(false),
        };
        for hash in branch {
            if missing.len() >= MAX_NAMED_BLOCKS {
                break;
            }
            let Some(block) = view.block(hash)? else {
                missing.push(*hash);
                continue;
            };
            for sibling in &block.siblings {
                if !missing.contains(sibling) && !held(sibling)? {
                    missing.push(*sibling);
                }
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(BlockError::MissingBlocks { missing }) }
    }

    /// Step 9, of the siblings: each may stand where it does. All of them are held, and the tip is the block's parent.
    pub(super) fn check_siblings(&self, block: &Block) -> Result<(), BlockError> {
        let view = self.view();
        let header = &block.header;
        let mut listing = Listing::new(&view, header.height, header.time_ms, self.genesis.sibling_window);
        for hash in &block.siblings {
            let row = view.index(hash)?.ok_or_else(|| missing("index", hash))?;
            if let Err(Fault { expected, got }) = listing.take(*hash, &row)? {
                if self.is_planted("any-sibling") {
                    continue;
                }
                return Err(BlockError::NotValid { block: block.hash, rule: "siblings", expected, got });
            }
        }
        Ok(())
    }

    /// What a block on the tip with this time should list: every block beside the best chain that the rules allow,
    /// lowest first and of one height by hash, so that parents come before children and all nodes that hold the same
    /// blocks choose alike. At most L.
    pub(super) fn due_siblings(&self, time_ms: u64) -> Result<Vec<BlockHash>, StoreError> {
        let limit = usize::from(self.genesis.sibling_limit);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let (view, height) = (self.view(), self.tip.height.saturating_add(1));
        let window = self.genesis.sibling_window;
        let mut listing = Listing::new(&view, height, time_ms, window);
        // A block that forks at height f stands at f + 1 or above.
        let after = (height.saturating_sub(u64::from(window)), Hash32([0xff; 32]));
        for ((at, hash), _) in view.side_page(Some(&after), MAX_SIBLING_CANDIDATES)? {
            if at > height || listing.taken.len() >= limit {
                break;
            }
            let row = view.index(&hash)?.ok_or_else(|| missing("index", &hash))?;
            // What may not be listed now is left for later blocks.
            let _ = listing.take(hash, &row)?;
        }
        Ok(listing.into_taken())
    }
}
