//! Nodes that prune: what they drop and when, what they must still have, and what becomes of one that pruned what turned
//! out not to be the chain.

use super::node::{Asker, Command, Running};
use super::{Coming, World};
use crate::app::SimApp;
use crate::rng::Rng;
use crate::setup::Prunes;
use crate::store::FaultyStore;
use blockhie_core::app::TxPosition;
use blockhie_core::{Application, StoreError, StoreRead, Transaction, TxHash, Verified};
use std::sync::Arc;

/// Somebody looks at an alarm after so long; the monitor's time, too.
const OPERATOR_MS: u64 = 3_000;
/// A client whose node was made anew submits again after so long what was not taken.
const AGAIN_MS: u64 = 2_000;

/// What a turn prunes.
#[derive(Debug, Default)]
pub(crate) struct Step {
    bodies: u64,
    moved: bool,
    /// It dropped what it had to keep.
    wrong: Option<String>,
}

impl Step {
    pub(super) fn is_some(&self) -> bool {
        self.moved || self.bodies > 0
    }
}

impl Running {
    /// The next step, as a node's driver takes it with each tick.
    pub(super) fn prune(&mut self) {
        let ledger = self.engine.ledger_mut();
        let before = ledger.tip().pruned_below;
        // A store that cannot be read: it is tried again.
        let Ok(bodies) = ledger.prune() else { return };
        let tip = ledger.tip();
        self.pruning.bodies += bodies;
        self.pruning.moved |= tip.pruned_below != before;
        let final_height = tip.final_height.unwrap_or(0);
        if tip.pruned_below != before
            && (tip.pruned_below < before || tip.pruned_below > final_height || tip.alarm.is_some())
        {
            let (below, alarm) = (tip.pruned_below, tip.alarm);
            self.pruning.wrong = Some(format!(
                "bodies below {below} are pruned, with a final height of {final_height}, alarm {alarm:?}"
            ));
        }
    }
}

impl World {
    fn prunes(&self, node: usize) -> Option<&Prunes> {
        self.setup.nodes[node].prunes.as_ref()
    }

    /// Whether a fault that kills this node waits for a turn that prunes.
    pub(super) fn dies_pruning(&self, node: usize) -> bool {
        self.prunes(node).is_some_and(|prunes| prunes.dies)
    }

    /// I3, after a turn that was written: only what is final and deep is pruned, and how far that went is written.
    pub(super) fn watch_pruned(&mut self, node: usize) {
        let Some(depth) = self.prunes(node).map(|prunes| prunes.keep.depth) else { return };
        let Some(running) = &mut self.nodes[node].running else { return };
        let step = std::mem::take(&mut running.pruning);
        let tip = running.engine.ledger().tip();
        let (height, said) = (tip.height, tip.pruned_below);
        let state = &mut self.nodes[node];
        state.watch.highest = state.watch.highest.max(height);
        let highest = state.watch.highest;
        if !step.is_some() {
            return;
        }
        self.tally.pruned += step.bodies;
        let written = state.store.durable().snapshot().pruned().map_or(0, |pruned| pruned.first_whole());
        let before = std::mem::replace(&mut state.watch.pruned_below, written);
        let wrong = step.wrong.or_else(|| {
            (written != said || written < before || written.saturating_add(depth) > highest).then(|| {
                format!("bodies below {said} are pruned, {before} before, written {written}, height {highest}, depth {depth}")
            })
        });
        if let Some(what) = wrong {
            self.violated("I3", Some(node), what);
        }
    }

    /// The body of a transaction that was made or taken in this run.
    pub(crate) fn body(&self, hash: &TxHash) -> Option<&Transaction<Verified>> {
        self.verified.get(hash).map(|(_, tx)| tx)
    }

    /// Whether a node must have this body: it waits (no position), is not deep, or the node keeps it whatever its depth.
    pub(crate) fn must_have(
        &self,
        node: usize,
        view: &dyn StoreRead,
        hash: &TxHash,
        position: Option<&TxPosition>,
    ) -> Result<bool, StoreError> {
        let (Some(Prunes { keep, .. }), Some(position)) = (self.prunes(node), position) else { return Ok(true) };
        let kept = |tx: &Transaction<Verified>| keep.senders.contains(tx.from()) || SimApp::default().keeps(tx);
        Ok(position.height >= view.pruned()?.first_whole() || self.body(hash).is_none_or(kept))
    }

    /// Somebody reads the log of a node: whether it stands before a heavier chain that it cannot follow any more.
    pub(super) fn read_log(&mut self, node: usize, text: &str) {
        if text.contains("sync anew from a node that keeps all") && !self.nodes[node].outdated {
            self.nodes[node].outdated = true;
            self.after(OPERATOR_MS, Coming::Operator(node));
        }
    }

    /// A new folder for a node, to be synced from those that keep all, as the operating page says. Its clients submit
    /// again what is not committed, as a gateway's outbox does.
    pub(super) fn renew(&mut self, node: usize) {
        self.crash(node, "to be synced anew");
        self.tally.renewed += 1;
        let rng = Rng::stream(self.setup.seed, &format!("store {node} of {}", self.now_ms));
        let bug = self.setup.bug.filter(|_| !self.setup.nodes[node].byzantine);
        let state = &mut self.nodes[node];
        state.store = Arc::new(FaultyStore::new(&self.setup.genesis, rng, bug));
        (state.outdated, state.watch) = (false, super::monitor::Watch::default());
        let acknowledged = std::mem::take(&mut state.acknowledged);
        state.outbox.extend(acknowledged);
        self.derive();
        self.start(node);
        self.after(AGAIN_MS, Coming::Again(node));
    }

    /// Clients of a node that was made anew submit again.
    pub(super) fn submit_again(&mut self, node: usize) {
        let state = &self.nodes[node];
        let open: Vec<TxHash> = state.outbox.difference(&state.acknowledged).copied().collect();
        if open.is_empty() {
            return self.nodes[node].outbox.clear();
        }
        for hash in open {
            if let Some(tx) = self.body(&hash).cloned() {
                self.command(node, Command::Submit { from: None, tx, asker: Asker::Client });
            }
        }
        self.after(AGAIN_MS, Coming::Again(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::run;
    use crate::faults::{Fault, Trouble};
    use crate::setup::{Choice, Setup};
    use blockhie_core::Keep;

    /// Three members, of which the first prunes and is alone for a while, with a quorum of one: against the rule that
    /// fewer than a quorum prune.
    #[test]
    fn a_node_that_pruned_another_chain_than_the_others_is_synced_anew() {
        let mut setup = Setup::draw(3, &Choice { nodes: Some(3), seconds: 60, ..Choice::default() });
        assert!(!setup.genesis.is_open() && setup.honest().count() == 3);
        let alone = Fault { trouble: Trouble::Partition(vec![0]), from_ms: 5_000, until_ms: 45_000 };
        (setup.faults, setup.memory) = (vec![alone], Some(3));
        (setup.genesis.block_interval_ms, setup.genesis.spacing, setup.genesis.quorum) = (500, 0, 1);
        (setup.genesis.sibling_window, setup.genesis.sibling_limit) = (0, 0);
        for (at, node) in setup.nodes.iter_mut().enumerate() {
            node.prunes = (at == 0).then(|| Prunes { keep: Keep { depth: 4, ..Keep::default() }, dies: false });
        }
        let outcome = run(setup, false);
        assert!(outcome.violations.is_empty(), "{:?}", outcome.violations);
        assert!(outcome.tally.renewed > 0 && outcome.tally.pruned > 0, "{:?}", outcome.tally);
    }
}
