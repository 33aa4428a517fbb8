//! A fault run: things go wrong for a time, then nothing does, and in the end everything must hold.

use crate::setup::{Choice, Setup};
use crate::world::{Tally, Violation, World};
use blockhie_core::Hash32;

/// How often it is looked whether a healed network has come to rest.
const LOOK_MS: u64 = 500;
/// Clocks were wrong by at most so much, and blocks may lie so far ahead when they are right again.
const CLOCKS_MS: u64 = 120_000;
/// After the last block the nodes agree within so long.
const SETTLE_MS: u64 = 30_000;
/// The next block comes within so many intervals: half of the members may be gone.
const MORE_INTERVALS: u64 = 60;
/// Two branches of the same weight: so often one more block is allowed to decide.
const TIES: u32 = 5;

/// How a run ended.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What did not hold; empty: all did.
    pub violations: Vec<Violation>,
    /// Virtual time that passed, ms.
    pub virtual_ms: u64,
    /// Of that, after the faults.
    pub healing_ms: u64,
    /// How much happened.
    pub tally: Tally,
    /// A digest of everything that nodes decided.
    pub trace: String,
    /// One line of what the run was.
    pub setup: String,
    /// With `--verbose`, what happened.
    #[serde(skip)]
    pub log: Vec<String>,
}

/// Runs a seed.
#[must_use]
pub fn run_seed(seed: u64, choice: &Choice, verbose: bool) -> Outcome {
    run(Setup::draw(seed, choice), verbose)
}

/// Runs this.
pub(crate) fn run(setup: Setup, verbose: bool) -> Outcome {
    let described = describe(&setup);
    let (seed, chaos_ms) = (setup.seed, setup.chaos_ms);
    let mut world = World::new(setup, verbose);
    world.run_until(chaos_ms);
    if world.violations.is_empty() {
        world.heal();
        world.come_to_rest();
    }
    if world.violations.is_empty() {
        world.check_end();
    }
    Outcome {
        seed,
        violations: std::mem::take(&mut world.violations),
        virtual_ms: world.now_ms,
        healing_ms: world.now_ms.saturating_sub(chaos_ms),
        tally: world.tally,
        trace: world.trace().to_string(),
        setup: described,
        log: world.log.take().unwrap_or_default(),
    }
}

fn describe(setup: &Setup) -> String {
    let genesis = &setup.genesis;
    format!(
        "{} nodes ({} byzantine, {} prune), {:?}, T {} ms, m {}, spacing {}, quorum {}, W {}, L {}, {}, delay {}+{} ms, {} faults",
        setup.nodes.len(),
        setup.nodes.iter().filter(|node| node.byzantine).count(),
        setup.nodes.iter().filter(|node| node.prunes.is_some()).count(),
        setup.work,
        genesis.block_interval_ms,
        genesis.max_transactions,
        genesis.spacing,
        genesis.quorum,
        genesis.sibling_window,
        genesis.sibling_limit,
        if genesis.is_open() { "open" } else { "members" },
        setup.link.delay_ms,
        setup.link.jitter_ms,
        setup.faults.len(),
    )
}

impl World {
    /// The liveness phase: everything acknowledged commits and all nodes agree, within a bounded time.
    fn come_to_rest(&mut self) {
        let start_ms = self.now_ms;
        let limit_ms = self.liveness_ms();
        let mut end_ms = start_ms + limit_ms;
        let mut ties = 0;
        loop {
            self.run_until(self.now_ms + LOOK_MS);
            if !self.violations.is_empty() {
                return;
            }
            self.clear_alarms();
            if self.waits().is_none() {
                let since_ms = self.now_ms;
                self.stop_finding();
                if self.settles() || !self.violations.is_empty() {
                    return;
                }
                // Two tips of the same work stay side by side until there is one more block.
                ties += 1;
                self.go_on_finding();
                let (most, found) = (self.now_ms + MORE_INTERVALS * self.setup.interval_ms(), self.tally.blocks);
                while self.now_ms < most && self.tally.blocks == found && self.violations.is_empty() {
                    self.run_until(self.now_ms + LOOK_MS);
                }
                end_ms += self.now_ms - since_ms;
            }
            if self.now_ms >= end_ms || ties > TIES {
                let what = self.waits().or_else(|| self.differ()).unwrap_or_else(|| "no agreement".to_owned());
                let waited_ms = self.now_ms - start_ms;
                return self.violated("liveness", None, format!("{waited_ms} ms after the last fault {what}"));
            }
        }
    }

    fn settles(&mut self) -> bool {
        let end_ms = self.now_ms + SETTLE_MS;
        while self.now_ms < end_ms && self.violations.is_empty() {
            self.run_until(self.now_ms + LOOK_MS);
            if self.differ().is_none() && self.waits().is_none() {
                return true;
            }
        }
        false
    }

    /// How long it may take: clocks that were ahead, some intervals with few miners, and the backlog, four times over.
    fn liveness_ms(&self) -> u64 {
        let genesis = &self.setup.genesis;
        let waiting = self.setup.honest().filter_map(|node| self.nodes[node].running.as_ref());
        let waiting = waiting.map(|running| running.engine.ledger().mempool_len() as u64).max().unwrap_or(0);
        let blocks = 60 + 4 * waiting / u64::from(genesis.max_transactions);
        // With half of the hash power silent, intervals double, and proof of work takes a while to notice a step.
        CLOCKS_MS + blocks * 4 * self.setup.interval_ms()
    }

    /// What still keeps a healed network from rest.
    fn waits(&self) -> Option<String> {
        for node in self.honest() {
            let Some(running) = &self.nodes[node].running else { return Some(format!("node {node} is down")) };
            for (hash, tx) in &self.acknowledged {
                if crate::app::never_void(tx.tx_type()) && !self.is_committed(node, hash) {
                    let height = running.engine.ledger().tip().height;
                    return Some(format!("acknowledged {hash} is not committed at node {node} at height {height}"));
                }
            }
        }
        None
    }

    fn is_committed(&self, node: usize, hash: &Hash32) -> bool {
        let view = self.nodes[node].store.durable().snapshot();
        matches!(view.tx_position(hash), Ok(Some(_)))
    }

    /// How the honest nodes' tips differ.
    pub(crate) fn differ(&self) -> Option<String> {
        let tip = |node: usize| self.nodes[node].running.as_ref().map(|running| running.tip.clone());
        let honest = self.honest();
        let first = tip(*honest.first()?)?;
        honest.iter().find_map(|node| {
            let other = tip(*node)?;
            (other.hash != first.hash).then(|| {
                format!(
                    "nodes {} and {node} have tips {} at {} and {} at {}",
                    honest[0], first.hash, first.height, other.hash, other.height
                )
            })
        })
    }
}
