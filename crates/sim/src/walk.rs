//! A chain read a second time, by the words of the protocol page and without any code of the ledger: what it merges,
//! what it commits, where, and through what.

use crate::check::Broken;
use blockhie_core::{Block, BlockHash, Genesis, Hash32, StoreRead, TxHash};
use std::collections::BTreeMap;

/// Siblings of one miner in a block at most (protocol page).
const OF_MINER: usize = 2;

/// Where a transaction is committed: height, place in the order of commitment, and the sibling that carries it.
pub(crate) type Place = (u64, u32, Option<BlockHash>);

/// See the module.
#[derive(Default)]
pub(crate) struct Walked {
    /// Everything that is committed.
    pub(crate) places: BTreeMap<TxHash, Place>,
    /// Blocks of the chain so far, and their heights.
    on_chain: BTreeMap<BlockHash, u64>,
    /// Siblings so far, and the heights of the blocks that list them.
    listed: BTreeMap<BlockHash, u64>,
    /// Transactions of siblings that were committed before.
    pub(crate) skipped: u64,
}

impl Walked {
    /// Siblings that were merged.
    pub(crate) fn merged(&self) -> u64 {
        self.listed.len() as u64
    }

    /// Transactions that came through siblings.
    pub(crate) fn through_siblings(&self) -> u64 {
        self.places.values().filter(|(_, _, via)| via.is_some()).count() as u64
    }

    fn block(&mut self, view: &dyn StoreRead, genesis: &Genesis, chain: &[Block], at: usize) -> Result<(), Broken> {
        let (block, height) = (&chain[at], at as u64);
        let mut index = 0;
        for sibling in self.siblings(view, genesis, block, height)? {
            for hash in &sibling.txhashes {
                if self.places.contains_key(hash) {
                    self.skipped += 1;
                } else {
                    self.places.insert(*hash, (height, index, Some(sibling.hash)));
                    index += 1;
                }
            }
        }
        for hash in &block.txhashes {
            if let Some((first, _, _)) = self.places.insert(*hash, (height, index, None)) {
                return Err(Broken("I3", format!("{hash} is committed at height {first} and at {height}")));
            }
            index += 1;
        }
        self.on_chain.insert(block.hash, height);
        times_and_spacing(genesis, chain, at)
    }

    /// The siblings of a block, whole, each of which may stand where it does.
    fn siblings(
        &mut self,
        view: &dyn StoreRead,
        genesis: &Genesis,
        block: &Block,
        height: u64,
    ) -> Result<Vec<Block>, Broken> {
        if block.siblings.len() > usize::from(genesis.sibling_limit) {
            return Err(Broken("I9", format!("block {height} lists {} siblings", block.siblings.len())));
        }
        let (mut whole, mut of_miner) = (Vec::new(), BTreeMap::<Hash32, usize>::new());
        for hash in &block.siblings {
            let bad = |what: &str| Broken("I9", format!("block {height} lists {hash}: {what}"));
            let sibling = view.block(hash)?.ok_or_else(|| bad("it is not kept"))?;
            let header = &sibling.header;
            let known = |hash: &BlockHash| self.on_chain.contains_key(hash) || self.listed.contains_key(hash);
            if known(hash) {
                return Err(bad("an ancestor, or listed before"));
            }
            if !known(&header.previous) {
                return Err(bad("its parent is neither"));
            }
            if header.height > height || header.time_ms >= block.header.time_ms {
                return Err(bad("it is too high or too late"));
            }
            let fork = self.fork(view, &sibling)?;
            if fork.is_none_or(|fork| fork + u64::from(genesis.sibling_window) < height) {
                return Err(bad(&format!("it leaves the chain at {fork:?}")));
            }
            let count = of_miner.entry(header.miner).or_default();
            *count += 1;
            if *count > OF_MINER {
                return Err(bad("a third one of its miner"));
            }
            self.listed.insert(*hash, height);
            whole.push(sibling);
        }
        Ok(whole)
    }

    /// Height of the nearest ancestor of a sibling that is on the chain.
    fn fork(&self, view: &dyn StoreRead, sibling: &Block) -> Result<Option<u64>, Broken> {
        let mut at = sibling.header.previous;
        loop {
            if let Some(height) = self.on_chain.get(&at) {
                return Ok(Some(*height));
            }
            match view.index(&at)? {
                Some(row) if row.height > 0 => at = row.parent,
                _ => return Ok(None),
            }
        }
    }
}

fn times_and_spacing(genesis: &Genesis, chain: &[Block], at: usize) -> Result<(), Broken> {
    let Some(before) = at.checked_sub(1) else { return Ok(()) };
    let (block, spacing) = (&chain[at], usize::from(genesis.spacing));
    if block.header.time_ms <= chain[before].header.time_ms {
        return Err(Broken("I9", format!("block {at} is not later than its parent")));
    }
    let near = chain[..at].iter().skip(1).rev().take(spacing);
    if near.into_iter().any(|other| other.header.miner == block.header.miner) {
        return Err(Broken("I9", format!("block {at} breaks the spacing of {spacing}")));
    }
    Ok(())
}

/// Reads a chain from block 0 on, and compares what it commits with what the store says.
pub(crate) fn walk(view: &dyn StoreRead, genesis: &Genesis, chain: &[Block]) -> Result<Walked, Broken> {
    let mut walked = Walked::default();
    for at in 0..chain.len() {
        walked.block(view, genesis, chain, at)?;
    }
    for (hash, expected) in &walked.places {
        let got = view.tx_position(hash)?.map(|position| (position.height, position.index, position.via_sibling));
        if got.as_ref() != Some(expected) {
            return Err(Broken("I3", format!("place of {hash}: expected {expected:?}, got {got:?}")));
        }
    }
    let stored = view.tx_positions_page(None, usize::MAX)?.len();
    if stored != walked.places.len() {
        return Err(Broken("I3", format!("{} are committed, and {stored} have a place", walked.places.len())));
    }
    Ok(walked)
}
