//! What a run is made of, all drawn from its seed.

mod pruning;

use crate::faults::{Fault, plan};
use crate::paper::{STRIPE_FIXED, StripeFixed};
use crate::planted::{Bug, Hook};
use crate::rng::Rng;
use blockhie_core::genesis::{DEFAULT_SIBLING_LIMIT, DEFAULT_SIBLING_WINDOW};
use blockhie_core::{ChainKind, CompactTarget, Genesis, Hash32, Keep, Member, PublicKey, SecretKey};
use blockhie_packing::{PackingPolicy, Stripe, Turn, policy_by_name};
use blockhie_pow::first_target_for;

/// Time of every genesis, ms since the epoch; a node's wall clock is this, the virtual time and its skew.
pub const START_MS: u64 = 1_750_000_000_000;
/// Hashes a second of a miner. Blocks are really sealed and really checked, so the search must cost next to nothing:
/// at this rate a block of five members and 5 s is 1,000 hashes, 0.1 ms.
pub const HASHES_PER_S: u64 = 40;

/// What weighs blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// `NoWork`: every block weighs the same and each node finds blocks at a constant rate, at times that depend on
    /// the seed alone. Two runs that differ in something else have the same schedule.
    None,
    /// `ProofOfWork`: targets by the difficulty rule; how long a search takes is drawn by hash rate and target, then
    /// the nonce is really searched.
    Proof,
}

/// What a node prunes.
#[derive(Debug, Clone)]
pub struct Prunes {
    /// How deep, and whose bodies it keeps.
    pub keep: Keep,
    /// A fault that kills it in a turn waits for one that prunes.
    pub dies: bool,
}

/// A node.
#[derive(Debug, Clone)]
pub struct NodeSetup {
    /// Its key, a member's or, on an open chain, anybody's.
    pub secret: SecretKey,
    /// The same, public.
    pub public: PublicKey,
    /// Whether it does what it can against the others.
    pub byzantine: bool,
    /// How it fills blocks: a name of `blockhie-packing`.
    pub policy: &'static str,
    /// Transactions it takes into its mempool at most.
    pub mempool: usize,
    /// Whether it speaks `blockhie.v1.Peer` beside the frozen contract.
    pub speaks: bool,
    /// By how many ms its wall clock is ahead at the start.
    pub skew_ms: i64,
    /// What it prunes, if it does.
    pub prunes: Option<Prunes>,
}

/// How messages travel when nothing is wrong.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Least time, ms.
    pub delay_ms: u64,
    /// Mean of what is added, exponentially distributed, ms.
    pub jitter_ms: u64,
    /// Lost, in a million.
    pub loss_ppm: u32,
    /// Delivered twice, in a million.
    pub duplicate_ppm: u32,
}

/// Transactions offered.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Mean ms between two at one node.
    pub every_ms: u64,
    /// Different senders.
    pub senders: u64,
}

/// What an operator of a run may choose; the seed gives the rest.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// Nodes; `None`: 3 to 7 by seed.
    pub nodes: Option<usize>,
    /// Virtual seconds during which things go wrong.
    pub seconds: u64,
    /// A bug to plant.
    pub bug: Option<Bug>,
    /// How it gets into core and engine, if it belongs there.
    pub hook: Option<Hook>,
}

impl Default for Choice {
    fn default() -> Self {
        Self { nodes: None, seconds: 60, bug: None, hook: None }
    }
}

/// A whole run.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The seed.
    pub seed: u64,
    /// The chain.
    pub genesis: Genesis,
    /// What weighs blocks.
    pub work: Work,
    /// The nodes.
    pub nodes: Vec<NodeSetup>,
    /// The network.
    pub link: Link,
    /// The clients.
    pub load: Load,
    /// Blocks for which one beside the chain is kept, where that is not the ledger's own limit.
    pub memory: Option<u64>,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
    /// Virtual ms during which things go wrong.
    pub chaos_ms: u64,
    /// A planted bug.
    pub bug: Option<Bug>,
    /// How it gets into core and engine.
    pub hook: Option<Hook>,
    /// An evaluation: what clients send is written, nothing is drawn but finds, and a turn takes no time.
    pub paper: Option<crate::paper::Terms>,
}

impl Setup {
    /// The run of a seed.
    #[must_use]
    pub fn draw(seed: u64, choice: &Choice) -> Self {
        let mut rng = Rng::stream(seed, "setup");
        let count = choice.nodes.unwrap_or_else(|| 3 + rng.index(5));
        let work = if rng.chance(500_000) { Work::Proof } else { Work::None };
        let evil = if count >= 4 && rng.chance(700_000) { 1 + rng.index((count - 1) / 3) } else { 0 };
        let open = rng.chance(100_000);
        let mut nodes: Vec<NodeSetup> = (0..count).map(|_| draw_node(&mut rng)).collect();
        for node in nodes.iter_mut().take(evil) {
            node.byzantine = true;
        }
        rotate(&mut nodes, &mut rng);
        let mut genesis = draw_genesis(&mut rng, &nodes, work, open, evil);
        let memory = pruning::draw(seed, &mut nodes, &mut genesis, work);
        let link = Link {
            delay_ms: *rng.pick(&[1, 5, 20, 80]),
            jitter_ms: *rng.pick(&[1, 10, 50, 200]),
            loss_ppm: *rng.pick(&[0, 0, 1_000, 20_000]),
            duplicate_ppm: *rng.pick(&[0, 1_000, 20_000]),
        };
        let load = Load { every_ms: *rng.pick(&[700, 1_500, 4_000]), senders: 2 + rng.below(5) };
        let chaos_ms = choice.seconds.saturating_mul(1_000);
        let faults = plan(seed, count, chaos_ms, genesis.block_interval_ms.into());
        Self {
            seed,
            genesis,
            work,
            nodes,
            link,
            load,
            memory,
            faults,
            chaos_ms,
            bug: choice.bug,
            hook: choice.hook,
            paper: None,
        }
    }

    /// Nodes that follow the rules.
    pub fn honest(&self) -> impl Iterator<Item = usize> {
        self.nodes.iter().enumerate().filter(|(_, node)| !node.byzantine).map(|(at, _)| at)
    }

    /// How a node fills blocks.
    pub(crate) fn policy_of(&self, node: usize) -> Box<dyn PackingPolicy<Hash32>> {
        let frame = self.paper.as_ref().map_or(0, |terms| terms.frame);
        let stripe = |turn| Stripe { frame, turn };
        match self.nodes[node].policy {
            "stripe" => Box::new(stripe(Turn::Parent)),
            "stripe-minute" => Box::new(stripe(Turn::Minute)),
            STRIPE_FIXED => Box::new(StripeFixed(stripe(Turn::Parent))),
            name => policy_by_name(name).expect("drawn from the list of names, or checked against it"),
        }
    }

    /// T, ms.
    #[must_use]
    pub fn interval_ms(&self) -> u64 {
        self.genesis.block_interval_ms.into()
    }
}

fn draw_node(rng: &mut Rng) -> NodeSetup {
    let secret = SecretKey::from_seed(rng.bytes());
    NodeSetup {
        public: secret.public(),
        secret,
        byzantine: false,
        policy: blockhie_packing::POLICY_NAMES[rng.index(blockhie_packing::POLICY_NAMES.len())],
        mempool: if rng.chance(150_000) { 24 } else { 100_000 },
        speaks: rng.chance(800_000),
        skew_ms: i64::try_from(rng.below(2_000)).expect("below 2,000") - 1_000,
        prunes: None,
    }
}

/// The byzantine ones anywhere.
fn rotate(nodes: &mut [NodeSetup], rng: &mut Rng) {
    let by = rng.index(nodes.len());
    nodes.rotate_left(by);
}

fn draw_genesis(rng: &mut Rng, nodes: &[NodeSetup], work: Work, open: bool, evil: usize) -> Genesis {
    let count = nodes.len();
    let interval_ms = *rng.pick(&[1_000, 2_000, 5_000]);
    let first_target = match work {
        Work::None => CompactTarget::MOST,
        Work::Proof => first_target_for(count, HASHES_PER_S, interval_ms),
    };
    let member = |(at, node): (usize, &NodeSetup)| Member { key: node.public, name: format!("member {at}") };
    let members = if open { Vec::new() } else { nodes.iter().enumerate().map(member).collect() };
    let nonce = Hash32(rng.bytes());
    let mut genesis = Genesis::with_defaults(ChainKind::Emr, "sim", nonce, START_MS, first_target, members);
    genesis.block_interval_ms = interval_ms;
    genesis.half_life_ms = 144 * u64::from(interval_ms);
    // Small blocks: a backlog forms, and policies choose.
    genesis.max_transactions = *rng.pick(&[4, 16, 64]);
    (genesis.sibling_window, genesis.sibling_limit) = draw_siblings(rng);
    if !open {
        // Whoever is byzantine goes silent at the end: the others have to get on alone.
        let most = (count - 1) / 2;
        let most = most.min((count - evil).saturating_sub(1));
        genesis.spacing = u8::try_from(rng.index(most + 1)).expect("at most 3");
        // A quorum of few makes blocks final that a partition then abandons.
        let quorum =
            if rng.chance(250_000) { 1 + rng.index(count / 2) } else { 1 + count / 2 + rng.index(count - count / 2) };
        genesis.quorum = u8::try_from(quorum).expect("at most 7");
    }
    genesis
}

/// W and L: none at all, small ones so that windows are left and lists are full, or what `init` writes.
fn draw_siblings(rng: &mut Rng) -> (u8, u8) {
    match rng.below(4) {
        0 => (0, 0),
        1 => (DEFAULT_SIBLING_WINDOW, DEFAULT_SIBLING_LIMIT),
        _ => (*rng.pick(&[1, 2, 3, 6]), *rng.pick(&[1, 2, 4, 8])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_drawn_genesis_is_valid_and_seeds_differ() {
        let (mut ids, mut siblings, mut pruning) = (BTreeSet::new(), BTreeSet::new(), 0);
        for seed in 0..300 {
            let setup = Setup::draw(seed, &Choice::default());
            setup.genesis.check().unwrap();
            ids.insert(setup.genesis.chain_id());
            let honest = setup.honest().count();
            assert!(honest > setup.genesis.spacing.into() && honest * 2 > setup.nodes.len(), "seed {seed}");
            let prune = setup.nodes.iter().filter(|node| node.prunes.is_some()).count();
            assert!(setup.nodes.iter().all(|node| !(node.byzantine && node.prunes.is_some())), "seed {seed}");
            assert!(
                prune < honest && (prune > 0) == setup.memory.is_some(),
                "seed {seed}: one of the honest keeps all"
            );
            let unsure = prune + setup.nodes.len() - honest;
            assert!(prune == 0 || usize::from(setup.genesis.quorum) > unsure, "seed {seed}: {:?}", setup.genesis);
            pruning += usize::from(prune > 0);
            siblings.insert((setup.genesis.sibling_window, setup.genesis.sibling_limit));
        }
        assert_eq!(ids.len(), 300);
        assert!((60..140).contains(&pruning), "{pruning}");
        assert!(siblings.len() == 18 && siblings.contains(&(0, 0)) && siblings.contains(&(16, 8)), "{siblings:?}");
    }
}
