//! What is watched while a run goes on: each turn, each start, each text.

use super::clients::CANARY;
use super::{Coming, World};
use blockhie_core::limits::{MAX_MEMPOOL_TRANSACTIONS, MAX_PARKED_TRANSACTIONS};
use blockhie_core::{BlockHash, TxHash, U256};
use blockhie_engine::limits::{MAX_ORPHAN_BYTES, TIE_INTERVALS};
use std::collections::BTreeMap;

/// A tip that is written has to be told within so long, ms of a node that runs and can write.
const SAID_MS: u64 = 1_000;
/// Somebody looks at an alarm after so long.
const OPERATOR_MS: u64 = 3_000;

/// An invariant of the threats page that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// `I1` to `I9`, or `liveness`.
    pub invariant: &'static str,
    /// Virtual time.
    pub at_ms: u64,
    /// Where.
    pub node: Option<usize>,
    /// What, with expected and got.
    pub what: String,
}

/// What a node is measured by.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Its durable tip.
    tip: Option<(BlockHash, U256)>,
    /// Since when.
    tip_ms: u64,
    /// The tip that it decided for, and when: a turn that fails at first is written long after.
    decided: Option<(BlockHash, u64)>,
    /// Work of the best tip that it published.
    published: U256,
    /// The highest final block.
    last_final: Option<(u64, BlockHash)>,
    /// Its highest tip.
    pub(super) highest: u64,
    /// How far its bodies are pruned, as it wrote.
    pub(super) pruned_below: u64,
    /// When what it said began to differ from what it has.
    unsaid_since_ms: Option<u64>,
    /// First-seen of what it acknowledged, as written then.
    pub(crate) first_seen: BTreeMap<TxHash, u64>,
}

impl World {
    /// Notes a violation.
    pub(crate) fn violated(&mut self, invariant: &'static str, node: Option<usize>, what: String) {
        let at_ms = self.now_ms;
        self.say(|| format!("VIOLATION of {invariant} at node {node:?}: {what}"));
        self.violations.push(Violation { invariant, at_ms, node, what });
    }

    fn is_honest(&self, node: usize) -> bool {
        !self.setup.nodes[node].byzantine
    }

    /// I8: no private text leaves the bodies.
    pub(super) fn scan(&mut self, node: usize, what: &str, text: &str) {
        if text.contains(CANARY) {
            self.violated("I8", Some(node), format!("{what} carries private text: {text}"));
        }
    }

    /// A node starts on its store: nothing that it acknowledged or published may be gone.
    pub(super) fn check_start(&mut self, node: usize) {
        if !self.is_honest(node) {
            return;
        }
        self.nodes[node].watch.unsaid_since_ms = None;
        if let Some(what) = self.lost(node) {
            return self.violated("I1", Some(node), format!("after a restart {what}"));
        }
        let Some(running) = &self.nodes[node].running else { return };
        let (tip, watch) = (running.engine.ledger().tip().clone(), &self.nodes[node].watch);
        if tip.pruned_below < watch.pruned_below {
            let (expected, got) = (watch.pruned_below, tip.pruned_below);
            let what = format!("after a restart bodies are pruned below {got}, expected {expected} at least");
            return self.violated("I3", Some(node), what);
        }
        if tip.work < watch.published {
            let what =
                format!("after a restart the tip is {tip:?}, and a tip of work {} was published", watch.published);
            return self.violated("I1", Some(node), what);
        }
        if let Some((hash, work)) = watch.tip
            // What it had decided for, and written, when it died is as good.
            && (tip.work < work || tip.work == work && tip.hash != hash && watch.decided.is_none_or(|(decided, _)| decided != tip.hash))
        {
            let what = format!("a restart changed the tip from {hash} to {} of work {}", tip.hash, tip.work);
            self.violated("I2", Some(node), what);
        }
    }

    /// I1: something that this node acknowledged and has no more, neither on its chain nor waiting.
    pub(crate) fn lost(&self, node: usize) -> Option<String> {
        let state = &self.nodes[node];
        let view = state.store.durable().snapshot();
        for hash in &state.acknowledged {
            let (position, since) = match (view.tx_position(hash), view.pending_since(hash)) {
                (Ok(position), Ok(since)) => (position, since),
                (Err(error), _) | (_, Err(error)) => return Some(error.to_string()),
            };
            let has = match (&position, since) {
                (None, None) => return Some(format!("acknowledged {hash} is neither on the chain nor waiting")),
                (Some(position), _) => position.first_seen_ms,
                (None, since) => since,
            };
            match (view.tx(hash), self.must_have(node, view.as_ref(), hash, position.as_ref())) {
                (Ok(None), Ok(true)) => return Some(format!("the body of acknowledged {hash} is gone")),
                (Ok(_), Ok(_)) => {}
                (Err(error), _) | (_, Err(error)) => return Some(error.to_string()),
            }
            if let Some(expected) = state.watch.first_seen.get(hash)
                && has != Some(*expected)
            {
                return Some(format!("first-seen of {hash}: expected {expected}, got {has:?}"));
            }
        }
        None
    }

    /// What was written of a transaction when it was acknowledged.
    pub(super) fn watch_acknowledged(&mut self, node: usize, hash: TxHash) {
        let state = &mut self.nodes[node];
        let since = {
            let view = state.store.durable().snapshot();
            match view.pending_since(&hash) {
                Ok(Some(since)) => Some(since),
                _ => view.tx_position(&hash).ok().flatten().and_then(|position| position.first_seen_ms),
            }
        };
        if let Some(since) = since {
            state.watch.first_seen.entry(hash).or_insert(since);
        }
        let written = {
            let view = state.store.durable().snapshot();
            since.is_some() || matches!(view.tx_position(&hash), Ok(Some(_)))
        };
        if !written && self.is_honest(node) {
            self.violated("I1", Some(node), format!("{hash} was acknowledged and is not written"));
        }
    }

    pub(super) fn watch_published(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        if let Some(running) = &state.running {
            state.watch.published = state.watch.published.max(running.tip.work);
        }
    }

    /// I7: what can be counted from outside stays within its bounds.
    pub(super) fn watch_queues(&mut self, node: usize) {
        let now_ms = self.now_ms;
        let state = &mut self.nodes[node];
        let Some(running) = &state.running else { return };
        let tip = running.engine.ledger().tip().hash;
        if state.watch.decided.is_none_or(|(decided, _)| decided != tip) {
            state.watch.decided = Some((tip, now_ms));
        }
        let Some(running) = &self.nodes[node].running else { return };
        let (engine, limit) = (&running.engine, self.setup.nodes[node].mempool.min(MAX_MEMPOOL_TRANSACTIONS));
        let (orphans, bytes) = engine.orphans();
        let waiting = engine.ledger().mempool_len();
        if bytes > MAX_ORPHAN_BYTES || orphans > 128 * self.setup.nodes.len() {
            let what = format!("{orphans} orphans of {bytes} bytes");
            self.violated("I7", Some(node), what);
        } else if waiting > 2 * limit + MAX_PARKED_TRANSACTIONS {
            self.violated("I7", Some(node), format!("{waiting} transactions wait, with a limit of {limit}"));
        }
    }

    /// After a turn that was written: the rules by which a tip may change.
    pub(super) fn watch_turn(&mut self, node: usize) {
        if !self.is_honest(node) {
            return;
        }
        let Some(running) = &mut self.nodes[node].running else { return };
        let cleared = std::mem::take(&mut running.cleared);
        let tip = running.engine.ledger().tip();
        let (hash, work, alarm) = (tip.hash, tip.work, tip.alarm);
        let final_height = tip.final_height;
        let old = self.nodes[node].watch.tip;
        if old.is_some_and(|(old, _)| old == hash) {
            return;
        }
        // Of two chains of the same work the first stands, unless for long nobody could go on from it.
        let watch = &self.nodes[node].watch;
        let decided_ms = watch.decided.map_or(self.now_ms, |(_, at_ms)| at_ms);
        let stood_ms = decided_ms.saturating_sub(watch.tip_ms);
        let stalled = stood_ms >= TIE_INTERVALS * self.setup.interval_ms();
        if let Some((old, old_work)) = old
            && (work < old_work || work == old_work && !stalled)
        {
            let what = format!("the tip went from {old} of work {old_work} to {hash} of work {work}");
            return self.violated("I2", Some(node), what);
        }
        let (abandoned, reorganised, final_now) = {
            let view = self.nodes[node].store.durable().snapshot();
            let at = |height| view.hash_at(height).ok().flatten();
            let on_chain =
                |hash: &BlockHash| view.index(hash).ok().flatten().is_some_and(|row| at(row.height) == Some(*hash));
            let last = self.nodes[node].watch.last_final;
            let abandoned = last.filter(|(height, hash)| at(*height) != Some(*hash));
            let reorganised = old.is_some_and(|(old, _)| !on_chain(&old));
            (abandoned, reorganised, final_height.and_then(|height| Some((height, at(height)?))))
        };
        self.nodes[node].watch.tip = Some((hash, work));
        self.nodes[node].watch.tip_ms = decided_ms;
        self.nodes[node].watch.last_final = final_now;
        if reorganised {
            self.tally.reorganisations += 1;
        }
        if let Some((height, block)) = abandoned {
            self.tally.alarms += 1;
            if alarm.is_none() && !cleared {
                let what = format!("the final block {block} at height {height} was abandoned without an alarm");
                return self.violated("I4", Some(node), what);
            }
        }
        if alarm.is_some() {
            self.after(OPERATOR_MS, Coming::Operator(node));
        }
    }

    /// After the actions: a tip that was written has been told of, at the latest a second later.
    pub(super) fn watch_said(&mut self, node: usize) {
        let now_ms = self.now_ms;
        let state = &mut self.nodes[node];
        let Some(running) = &state.running else { return };
        if running.said == Some(running.tip.hash) || running.store_refuses {
            state.watch.unsaid_since_ms = None;
            return;
        }
        let since_ms = *state.watch.unsaid_since_ms.get_or_insert(now_ms);
        if now_ms > since_ms + SAID_MS && self.is_honest(node) {
            let what = "a new tip was written and never published".to_owned();
            self.violated("I2", Some(node), what);
        }
    }

    /// A node that is stopped cannot tell anything.
    pub(super) fn forgive_pause(&mut self, node: usize) {
        self.nodes[node].watch.unsaid_since_ms = None;
    }
}
