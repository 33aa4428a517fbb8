//! When blocks are found.
//!
//! A search without memory takes an exponentially distributed number of hashes. With `NoWork` each node finds blocks at
//! a constant rate, at times that depend on the seed alone, so that runs which differ only in a policy share their
//! schedule. With proof of work the wait is drawn in units of its mean, which follows from the template's target and
//! the node's hash rate; when the target or the rate changes, what was searched already is taken off. The nonce is then
//! really searched, at targets that cost some hundred hashes: the check of the work stays the real one.

use super::node::Command;
use super::{Coming, World};
use crate::rng::{scale, units};
use crate::setup::{HASHES_PER_S, Work};
use blockhie_core::{CompactTarget, Template, U256};
use blockhie_engine::Event;

/// A search that is drawn as ended has to end: the mean is about a thousand hashes, eight times that with the rate.
pub(super) const MOST_TRIES: u64 = 1 << 24;

/// One node's search.
#[derive(Debug, Clone)]
pub(crate) struct Miner {
    /// Hashes a second, but for a fault's factor.
    pub(super) rate: u64,
    /// What is left, in 2^-24 of the mean.
    left: u64,
    /// The mean of the present search, ms, and since when.
    mean_ms: Option<u64>,
    since_ms: u64,
    /// Grows with each change; a find of an earlier search counts for nothing.
    search: u64,
    /// A fault's factor on the hash rate.
    pub(super) factor: Option<u64>,
}

impl Default for Miner {
    fn default() -> Self {
        Self { rate: HASHES_PER_S, left: 0, mean_ms: None, since_ms: 0, search: 0, factor: None }
    }
}

impl World {
    pub(super) fn start_mining(&mut self, node: usize) {
        self.nodes[node].miner.left = self.streams.mining.exponential();
        if self.setup.work == Work::None {
            let mean_ms = self.setup.interval_ms() * self.setup.nodes.len() as u64;
            self.search(node, Some(mean_ms));
        }
    }

    /// Goes on searching with another mean.
    fn search(&mut self, node: usize, mean_ms: Option<u64>) {
        let now_ms = self.now_ms;
        let miner = &mut self.nodes[node].miner;
        if let Some(old_ms) = miner.mean_ms {
            miner.left = miner.left.saturating_sub(units(now_ms - miner.since_ms, old_ms));
        }
        (miner.mean_ms, miner.since_ms) = (mean_ms, now_ms);
        miner.search += 1;
        let (search, left) = (miner.search, miner.left);
        if let Some(mean_ms) = mean_ms {
            self.after(scale(left, mean_ms), Coming::Found { node, search });
        }
    }

    /// When a node's present search ends.
    pub(crate) fn finds_at_ms(&self, node: usize) -> Option<u64> {
        let miner = &self.nodes[node].miner;
        Some(miner.since_ms + scale(miner.left, miner.mean_ms?))
    }

    /// The mean of a search for this target by this node.
    fn mean_ms(&self, node: usize, target: CompactTarget) -> Option<u64> {
        let miner = &self.nodes[node].miner;
        let rate = miner.rate.saturating_mul(miner.factor.unwrap_or(1));
        let hashes = target.work();
        let hashes = if hashes > U256::from(u32::MAX) { u64::from(u32::MAX) } else { hashes.low_u64() };
        (hashes * 1_000).checked_div(rate).map(|mean| mean.max(1))
    }

    /// The engine orders a template.
    pub(super) fn ordered(&mut self, node: usize, template: Template) {
        let mean_ms = self.mean_ms(node, template.header.target);
        self.probe_template(node, &template);
        let disk_full = self.nodes[node].disk_full;
        let Some(running) = &mut self.nodes[node].running else { return };
        if disk_full || running.store_refuses {
            return;
        }
        running.template = Some(template);
        if self.setup.work == Work::Proof {
            self.search(node, mean_ms);
        }
    }

    /// The engine, a crash or a full disk stops the search.
    pub(super) fn stop_mining(&mut self, node: usize) {
        if let Some(running) = &mut self.nodes[node].running {
            running.template = None;
        }
        if self.setup.work == Work::Proof {
            self.search(node, None);
        }
    }

    /// A fault changes the hash rate.
    pub(super) fn set_hash_rate(&mut self, node: usize, factor: Option<u64>) {
        if self.nodes[node].miner.factor == factor {
            return;
        }
        self.nodes[node].miner.factor = factor;
        self.rate_changed(node);
    }

    /// The search under way goes on with another mean.
    pub(super) fn rate_changed(&mut self, node: usize) {
        let target =
            self.nodes[node].running.as_ref().and_then(|running| Some(running.template.as_ref()?.header.target));
        if let (Work::Proof, Some(target)) = (self.setup.work, target) {
            let mean_ms = self.mean_ms(node, target);
            self.search(node, mean_ms);
        }
    }

    pub(super) fn found(&mut self, node: usize, search: u64) {
        if self.nodes[node].miner.search != search {
            return;
        }
        let mean_ms = self.nodes[node].miner.mean_ms.filter(|_| self.setup.work == Work::None);
        self.nodes[node].miner.left = self.streams.mining.exponential();
        self.nodes[node].miner.since_ms = self.now_ms;
        self.nodes[node].miner.mean_ms = None;
        self.search(node, mean_ms);
        let state = &mut self.nodes[node];
        if state.is_paused(self.now_ms) || state.disk_full || self.clients.stopped {
            return;
        }
        let has_template = state.running.as_ref().is_some_and(|running| running.template.is_some());
        self.probe_find(node, has_template);
        let state = &mut self.nodes[node];
        // One block a template: the engine orders the next one.
        let Some(template) = state.running.as_mut().and_then(|running| running.template.take()) else { return };
        if self.setup.nodes[node].byzantine {
            if !self.quiet {
                self.found_badly(node, template);
            }
            return;
        }
        if let Some(strategy) = self.strategies.get(&node).copied() {
            return self.found_as(node, template, strategy);
        }
        if let Some(block) = self.seal(node, template) {
            self.tally.blocks += 1;
            self.probe_block(node, &block);
            self.say(|| format!("node {node} finds block {} {}", block.height, block.claimed_hash));
            self.command(node, Command::Event(Event::Mined { block }));
        }
    }
}
