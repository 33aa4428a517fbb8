//! The rules along a best chain, read once more from the protocol's page: `fsck` shares the ledger's checks.

use blockhie_core::{Block, BlockHash, Genesis, Ledger, TxHash};
use std::collections::{BTreeMap, BTreeSet};

/// Everything on the best chain is as the page says, at a clock of `now_ms`.
///
/// # Panics
/// Names the rule that does not hold, and the height.
pub(crate) fn hold(ledger: &Ledger, genesis: &Genesis, now_ms: u64) {
    let mut chain = Vec::new();
    while let Some(block) = ledger.block_at(chain.len() as u64).expect("a store in memory") {
        chain.push(block);
    }
    assert_eq!(chain.len() as u64, ledger.tip().height + 1);
    let mut committed = BTreeSet::new();
    let mut listed: BTreeMap<BlockHash, u64> = BTreeMap::new();
    for (height, block) in chain.iter().enumerate().skip(1) {
        header(&chain[..height], block, genesis, now_ms);
        siblings(ledger, genesis, &chain[..height], block, &listed);
        listed.extend(block.siblings.iter().map(|hash| (*hash, height as u64)));
        // Of a sibling's list what is committed already is skipped; the own list repeats nothing.
        for sibling in &block.siblings {
            committed.extend(known(ledger, sibling).txhashes);
        }
        let is_new = |hash: &TxHash| committed.insert(*hash);
        assert!(block.txhashes.iter().all(is_new), "a transaction twice at height {height}");
    }
}

fn known(ledger: &Ledger, hash: &BlockHash) -> Block {
    ledger.block(hash).expect("a store in memory").expect("a block that the best chain lists is kept")
}

fn header(ancestors: &[Block], block: &Block, genesis: &Genesis, now_ms: u64) {
    let (header, parent, height) = (&block.header, &ancestors[ancestors.len() - 1], ancestors.len());
    assert_eq!((header.height, header.previous), (height as u64, parent.hash));
    assert!(header.time_ms > parent.header.time_ms, "time at height {height}");
    assert!(header.time_ms <= now_ms + genesis.future_limit_ms(), "ahead at height {height}");
    let is_member = |member: &blockhie_core::Member| *member.key.as_bytes() == header.miner.0;
    assert!(genesis.members.iter().any(is_member), "a stranger at height {height}");
    let mut before = ancestors.iter().rev().take(usize::from(genesis.spacing));
    assert!(before.all(|ancestor| ancestor.header.miner != header.miner), "spacing at height {height}");
}

/// The listing rules of `block` over these ancestors, which listed `listed`.
fn siblings(ledger: &Ledger, genesis: &Genesis, ancestors: &[Block], block: &Block, listed: &BTreeMap<BlockHash, u64>) {
    let height = ancestors.len();
    assert!(block.siblings.len() <= usize::from(genesis.sibling_limit), "L at height {height}");
    let is_ancestor = |hash: &BlockHash| ancestors.iter().any(|ancestor| ancestor.hash == *hash);
    let mut by_miner = BTreeMap::new();
    for (at, hash) in block.siblings.iter().enumerate() {
        let sibling = known(ledger, hash);
        assert!(!block.siblings[..at].contains(hash), "one sibling twice at height {height}");
        assert!(!is_ancestor(hash) && !listed.contains_key(hash), "a sibling that is here already at height {height}");
        assert!(sibling.header.height <= block.header.height, "a higher sibling at height {height}");
        assert!(sibling.header.time_ms < block.header.time_ms, "a later sibling at height {height}");
        let parent = sibling.header.previous;
        let has_place = is_ancestor(&parent) || listed.contains_key(&parent) || block.siblings[..at].contains(&parent);
        assert!(has_place, "a sibling without its parent at height {height}");
        let count = by_miner.entry(sibling.header.miner).or_insert(0);
        *count += 1;
        assert!(*count <= 2, "three siblings of one miner at height {height}");
        let mut fork = sibling;
        while !is_ancestor(&fork.hash) {
            fork = known(ledger, &fork.header.previous);
        }
        let least = block.header.height.saturating_sub(u64::from(genesis.sibling_window));
        assert!(fork.header.height >= least, "an old fork at height {height}");
    }
}
