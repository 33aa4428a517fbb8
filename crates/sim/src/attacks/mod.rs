//! Scenarios with one attacker or one event each, on the engine of the nodes with real proof of work: what difficulty,
//! selfish mining and deep reorganisations come to, measured.
//!
//! They do not look for bugs as the fault runs do: they answer with figures, and say which bound each has to keep.

mod deep;
mod difficulty;
mod selfish;

pub use deep::{Deep, deep_reorganisation};
pub use difficulty::{Game, Interval, mean_interval};
pub use selfish::{Share, selfish_share};

use crate::setup::{HASHES_PER_S, Link, Load, NodeSetup, START_MS, Setup, Work};
use crate::world::World;
use blockhie_core::{ChainKind, CompactTarget, Genesis, Hash32, Member, SecretKey};
use blockhie_pow::first_target_for;

/// The interval of all scenarios.
pub const INTERVAL_MS: u32 = 1_000;

/// A quiet network: members, no faults, few transactions.
pub(crate) struct Quiet {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    /// Members that are no nodes of their own.
    pub(crate) keys: Vec<SecretKey>,
    pub(crate) spacing: u8,
    /// W and L.
    pub(crate) siblings: (u8, u8),
    pub(crate) work: Work,
}

impl Quiet {
    /// Nodes that are all the members, without spacing and siblings.
    pub(crate) fn of(seed: u64, nodes: usize, work: Work) -> Self {
        Self { seed, nodes, keys: Vec::new(), spacing: 0, siblings: (0, 0), work }
    }

    fn secret(&self, at: usize) -> SecretKey {
        SecretKey::from_seed(crate::rng::Rng::stream(self.seed, &format!("member {at}")).bytes())
    }

    fn genesis(&self) -> Genesis {
        let member = |(at, key): (usize, SecretKey)| Member { key: key.public(), name: format!("member {at}") };
        let keys = (0..self.nodes).map(|at| self.secret(at)).chain(self.keys.iter().cloned());
        let members: Vec<Member> = keys.enumerate().map(member).collect();
        let first = match self.work {
            Work::None => CompactTarget::MOST,
            Work::Proof => first_target_for(self.nodes, HASHES_PER_S, INTERVAL_MS),
        };
        // Nothing is final before everybody has mined on it: these scenarios reorganise on purpose.
        let quorum = u8::try_from(members.len()).unwrap_or(u8::MAX);
        let nonce = Hash32(crate::rng::Rng::stream(self.seed, "genesis").bytes());
        let mut genesis = Genesis::with_defaults(ChainKind::Emr, "sim", nonce, START_MS, first, members);
        genesis.block_interval_ms = INTERVAL_MS;
        genesis.half_life_ms = 144 * u64::from(INTERVAL_MS);
        genesis.max_transactions = 16;
        (genesis.spacing, genesis.quorum) = (self.spacing, quorum);
        (genesis.sibling_window, genesis.sibling_limit) = self.siblings;
        genesis
    }

    /// The network at time 0.
    pub(crate) fn world(&self) -> World {
        let node = |at: usize| {
            let secret = self.secret(at);
            NodeSetup {
                public: secret.public(),
                secret,
                byzantine: false,
                policy: blockhie_packing::POLICY_NAMES[0],
                mempool: 1_000,
                speaks: true,
                skew_ms: 0,
                prunes: None,
            }
        };
        World::new(
            Setup {
                seed: self.seed,
                genesis: self.genesis(),
                work: self.work,
                nodes: (0..self.nodes).map(node).collect(),
                link: Link { delay_ms: 5, jitter_ms: 5, loss_ppm: 0, duplicate_ppm: 0 },
                load: Load { every_ms: 20_000, senders: 2 },
                memory: None,
                faults: Vec::new(),
                chaos_ms: u64::MAX,
                bug: None,
                hook: None,
                paper: None,
            },
            false,
        )
    }
}

/// What did not hold on the way, in words.
pub(crate) fn broken(world: &World) -> Result<(), String> {
    match world.violations.first() {
        None => Ok(()),
        Some(violation) => Err(format!("{}: {}", violation.invariant, violation.what)),
    }
}
