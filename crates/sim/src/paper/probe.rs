//! What a run notes while it goes on.

use crate::world::{TICK_MS, World};
use blockhie_core::{BlockHash, Hash32, Template, TxHash, UncheckedBlock, sha256};
use std::collections::{BTreeMap, BTreeSet};

/// The longest time without a tick for a node of an evaluation, ms: for what an engine does beside mining.
const MOST_TICK_MS: u64 = 1_000;

/// A block that was found, whatever became of it.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) at_ms: u64,
    pub(crate) node: usize,
    pub(crate) height: u64,
    pub(crate) txhashes: Vec<TxHash>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) blocks: BTreeMap<BlockHash, Found>,
    /// A digest of the times and nodes of all finds.
    pub(crate) schedule: Hash32,
    /// Finds that made no block: the node had nothing to mine on.
    pub(crate) idle_finds: u64,
    /// Blocks that became the parent at another node, the sum of the ms that took, and the longest.
    pub(crate) spread: (u64, u64, u64),
    built_on: BTreeSet<(usize, BlockHash)>,
    /// The next transaction of each node.
    next: Vec<usize>,
}

impl Probe {
    pub(crate) fn new() -> Self {
        Self {
            blocks: BTreeMap::new(),
            schedule: Hash32::ZERO,
            idle_finds: 0,
            spread: (0, 0, 0),
            built_on: BTreeSet::new(),
            next: Vec::new(),
        }
    }
}

impl World {
    /// A search ends, whether or not there was a template.
    pub(crate) fn probe_find(&mut self, node: usize, has_template: bool) {
        let now_ms = self.now_ms;
        let Some(probe) = &mut self.probe else { return };
        probe.schedule = sha256(&[probe.schedule.as_bytes(), &now_ms.to_be_bytes(), &(node as u64).to_be_bytes()]);
        probe.idle_finds += u64::from(!has_template);
    }

    /// A node has found a block.
    pub(crate) fn probe_block(&mut self, node: usize, block: &UncheckedBlock) {
        let at_ms = self.now_ms;
        let Some(probe) = &mut self.probe else { return };
        let found = Found { at_ms, node, height: block.height, txhashes: block.txhashes.clone() };
        probe.blocks.insert(block.claimed_hash, found);
    }

    /// A node mines on this template from now on.
    pub(crate) fn probe_template(&mut self, node: usize, template: &Template) {
        let now_ms = self.now_ms;
        let Some(probe) = &mut self.probe else { return };
        let parent = template.header.previous;
        let Some(found) = probe.blocks.get(&parent).filter(|found| found.node != node) else { return };
        if probe.built_on.insert((node, parent)) {
            let took_ms = now_ms - found.at_ms;
            let (count, sum_ms, most_ms) = &mut probe.spread;
            (*count, *sum_ms, *most_ms) = (*count + 1, *sum_ms + took_ms, (*most_ms).max(took_ms));
        }
    }

    /// In an evaluation, the ms until a node is next told that time passes. A tick renews the template, which costs more
    /// than all else and is in vain unless a block is found before the next: so a node is spared those ticks.
    pub(crate) fn sparse_tick_ms(&self, node: usize) -> Option<u64> {
        self.setup.paper.as_ref()?;
        let left_ms = self.finds_at_ms(node)?.saturating_sub(self.now_ms);
        Some((left_ms / TICK_MS * TICK_MS).clamp(TICK_MS, MOST_TICK_MS))
    }

    /// In an evaluation, whether a node has a transaction already. All that its engine would do is to note that the
    /// sender has it too, and it has sent it to all by then.
    pub(crate) fn is_old_news(&self, node: usize, hash: &TxHash) -> bool {
        self.setup.paper.is_some() && self.nodes[node].acknowledged.contains(hash)
    }

    /// When a node of an evaluation has its next transaction to submit.
    pub(crate) fn next_scripted_ms(&mut self, node: usize) -> Option<u64> {
        let script = &self.setup.paper.as_ref()?.script;
        let probe = self.probe.as_mut()?;
        probe.next.resize(script.by_node.len(), 0);
        Some(script.by_node.get(node)?.get(probe.next[node])?.at_ms)
    }

    /// Submits what is due at a node of an evaluation.
    pub(crate) fn submit_scripted(&mut self, node: usize) {
        let Some(terms) = self.setup.paper.clone() else { return };
        while self.next_scripted_ms(node).is_some_and(|at_ms| at_ms <= self.now_ms) {
            let Some(probe) = &mut self.probe else { return };
            let tx = terms.script.by_node[node][probe.next[node]].tx.clone();
            probe.next[node] += 1;
            self.made(&tx);
            self.submit(node, tx);
        }
    }
}
