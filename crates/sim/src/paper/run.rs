//! One run: the network goes on to the end of its time, and what became of every transaction is read from a store.

use super::config::{PaperConfig, PaperError, Task};
use super::probe::{Found, Probe};
use super::row::{Census, Row};
use crate::setup::Setup;
use crate::world::World;
use blockhie_core::{BlockHash, Hash32, StoreError, StoreRead, TxHash};
use std::collections::{BTreeMap, BTreeSet};

/// Times that a run goes on for its tail while the nodes do not agree on the blocks that count.
pub(super) const MOST_TAILS: u32 = 20;

/// The blocks of a run that came before its end, as the nodes agree on them.
pub(super) struct Chain {
    /// On the best chain, ascending, with when each was found.
    pub(super) best: BTreeMap<BlockHash, u64>,
    /// Listed as siblings by one of those.
    pub(super) merged: BTreeSet<BlockHash>,
}

/// Runs one task in its network.
///
/// # Errors
/// [`PaperError::Run`]: an invariant was broken, or the nodes did not agree.
pub fn run(config: &PaperConfig, task: &Task, mut setup: Setup) -> Result<Row, PaperError> {
    for node in &mut setup.nodes {
        node.policy = task.policy;
    }
    let mut world = World::new(setup, false);
    let end_ms = config.window_ms().end;
    world.run_until(end_ms);
    let waiting = world.waiting_of_all();
    let mut tails = 0;
    while tails == 0 || (!world.agrees_before(end_ms) && tails < MOST_TAILS) {
        world.run_until(world.now_ms + config.tail_ms());
        tails += 1;
    }
    let broken = |what: String| PaperError::Run { run: task.to_string(), what };
    if let Some(violation) = world.violations.first() {
        return Err(broken(format!("{}: {}", violation.invariant, violation.what)));
    }
    if !world.agrees_before(end_ms) {
        return Err(broken(format!("expected one chain of the blocks before {end_ms} ms, got several")));
    }
    let probe = world.probe.take().ok_or_else(|| broken("expected notes, got none".to_owned()))?;
    let read = |error: StoreError| PaperError::Run { run: task.to_string(), what: error.to_string() };
    let view = world.nodes[0].store.durable().snapshot();
    let chain = chain_before(view.as_ref(), &probe, end_ms).map_err(read)?;
    let Some(terms) = &world.setup.paper else { return Err(broken("expected a script, got none".to_owned())) };
    let mut census = Census::new(waiting, world.tally.alarms);
    for (hash, (at_ms, sender)) in terms.script.by_hash() {
        if at_ms >= end_ms {
            continue;
        }
        let position = view.tx_position(&hash).map_err(read)?;
        let ended = position.and_then(|position| {
            let via = position.via_sibling.is_some();
            Some((*chain.best.get(&position.block)?, via))
        });
        census.add(hash, at_ms, sender, ended);
    }
    let vanished = census.vanished(&probe);
    if vanished > 0 {
        return Err(broken(format!("expected every transaction somewhere, got {vanished} nowhere")));
    }
    Ok(Row::new(config, task, &probe, &chain, &census, terms.script.digest))
}

fn chain_before(view: &dyn StoreRead, probe: &Probe, end_ms: u64) -> Result<Chain, StoreError> {
    let mut chain = Chain { best: BTreeMap::new(), merged: BTreeSet::new() };
    for height in 1.. {
        let Some(hash) = view.hash_at(height)? else { break };
        let Some(found) = probe.blocks.get(&hash).filter(|found| found.at_ms < end_ms) else { break };
        chain.best.insert(hash, found.at_ms);
        let siblings = view.block(&hash)?.map(|block| block.siblings).unwrap_or_default();
        chain.merged.extend(siblings);
    }
    Ok(chain)
}

impl World {
    /// Transactions that wait at some node.
    fn waiting_of_all(&self) -> BTreeSet<TxHash> {
        let mut all = BTreeSet::new();
        for node in &self.nodes {
            let view = node.store.durable().snapshot();
            // The store in memory reads everything.
            all.extend(view.pending(None, usize::MAX).unwrap_or_default().into_iter().map(|(hash, _)| hash));
        }
        all
    }

    /// Whether all nodes have the same blocks up to the first that was found at this time or later.
    fn agrees_before(&self, end_ms: u64) -> bool {
        let Some(probe) = &self.probe else { return false };
        let views: Vec<_> = self.nodes.iter().map(|node| node.store.durable().snapshot()).collect();
        for height in 1.. {
            let at: BTreeSet<Option<Hash32>> = views.iter().map(|view| view.hash_at(height).ok().flatten()).collect();
            let Some(Some(hash)) = at.first().filter(|_| at.len() == 1) else { return false };
            if probe.blocks.get(hash).is_none_or(|found: &Found| found.at_ms >= end_ms) {
                return true;
            }
        }
        false
    }
}
