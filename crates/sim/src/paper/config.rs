//! What is compared: the parameters of an evaluation, checked, and the network that each run of it is.

use super::policies::POLICIES;
use super::script::Script;
use crate::rng::Rng;
use crate::setup::{Link, Load, NodeSetup, START_MS, Setup, Work};
use blockhie_core::limits::{MAX_BLOCK_BYTES, MAX_BLOCK_TRANSACTIONS};
use blockhie_core::{ChainKind, CompactTarget, Genesis, Hash32, Member, SecretKey};
use blockhie_packing::{POLICY_NAMES, PackingError};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// Nodes at most: every node sends every transaction to every other, so the work grows with their square.
pub const MAX_NODES: usize = 64;
/// Transactions of one run at most. All are signed and kept for the whole run: half a GiB.
pub const MAX_TRANSACTIONS: f64 = 1_000_000.0;
/// Seeds at most.
pub const MAX_SEEDS: u64 = 1_000;
/// Virtual seconds of a run at most: a day.
pub const MAX_SECONDS: u64 = 86_400;
/// The longest block interval and delay, ms: the delay is waited for at the end of each run.
pub const MAX_MS: u64 = 600_000;
/// The largest frame of stripe, in blocks.
pub const MAX_FRAME: usize = 1_024;

/// Whether a ledger commits what stale blocks carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LedgerKind {
    /// A plain longest chain: W = L = 0.
    Plain,
    /// With siblings, W and L of the protocol page's defaults.
    Merged,
}

impl LedgerKind {
    /// `plain` or `merged`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Merged => "merged",
        }
    }
}

/// An evaluation: every policy on every ledger with every seed.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PaperConfig {
    /// Which of the two chains: only the types of the transactions differ.
    pub chain: ChainKind,
    /// Nodes, each a member and a miner.
    pub nodes: usize,
    /// Transactions a second at each node, a Poisson process.
    pub rate: f64,
    /// T, ms.
    pub interval_ms: u32,
    /// d: ms from a block's finding to its being a template's parent at another node, and of everything else that goes
    /// from one node to another.
    pub delay_ms: u64,
    /// m.
    pub capacity: u32,
    /// Blocks that a miner leaves to others after its own.
    pub spacing: u8,
    /// The policies.
    pub policies: Vec<&'static str>,
    /// c of stripe, in blocks; 0: its default.
    pub frame: usize,
    /// The ledgers.
    pub ledgers: Vec<LedgerKind>,
    /// The seeds.
    pub seeds: Range<u64>,
    /// Virtual seconds that are measured, warm-up included.
    pub seconds: u64,
    /// Of these the first ones, which are not counted.
    pub warm_up_s: u64,
}

impl Default for PaperConfig {
    /// The paper's eight nodes with seven transactions a second each, T and m of a new genesis.
    fn default() -> Self {
        Self {
            chain: ChainKind::Emr,
            nodes: 8,
            rate: 7.0,
            interval_ms: 1_000,
            delay_ms: 50,
            capacity: 1_000,
            spacing: 0,
            policies: POLICY_NAMES.to_vec(),
            frame: 0,
            ledgers: vec![LedgerKind::Plain, LedgerKind::Merged],
            seeds: 0..5,
            seconds: 300,
            warm_up_s: 60,
        }
    }
}

/// Why there is no evaluation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PaperError {
    /// A parameter outside its range.
    #[error("{field}: expected {expected}, got {got}")]
    Value {
        /// Which.
        field: &'static str,
        /// The range.
        expected: String,
        /// The value.
        got: String,
    },
    /// No policy has this name.
    #[error(transparent)]
    Policy(#[from] PackingError),
    /// An invariant of the network did not hold: the figures would mean nothing.
    #[error("{run}: {what}")]
    Run {
        /// Ledger, policy and seed.
        run: String,
        /// What was expected and what was found.
        what: String,
    },
    /// A file or folder could not be written.
    #[error("write {path}: {reason}")]
    Write {
        /// Where.
        path: String,
        /// The system's reason.
        reason: String,
    },
    /// A plot could not be drawn.
    #[error("draw {path}: {reason}")]
    Draw {
        /// Where.
        path: String,
        /// The plotter's reason.
        reason: String,
    },
}

fn within<T: PartialOrd + std::fmt::Display>(field: &'static str, got: T, least: T, most: T) -> Result<(), PaperError> {
    if got >= least && got <= most {
        return Ok(());
    }
    Err(PaperError::Value { field, expected: format!("{least} to {most}"), got: got.to_string() })
}

/// The policy of this name.
///
/// # Errors
/// [`PaperError::Policy`] with the list of names.
pub fn policy_named(name: &str) -> Result<&'static str, PaperError> {
    let known = POLICIES.iter().find(|known| **known == name).copied();
    Ok(known.ok_or_else(|| PackingError::UnknownPolicy { expected: POLICIES, got: name.to_owned() })?)
}

/// One run of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Task {
    /// The seed: block schedule and arrivals.
    pub seed: u64,
    /// The ledger.
    pub ledger: LedgerKind,
    /// The policy.
    pub policy: &'static str,
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} seed {}", self.ledger.name(), self.policy, self.seed)
    }
}

impl PaperConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// The first parameter that is out of its range, or an unknown policy with the list of names.
    pub fn check(&self) -> Result<(), PaperError> {
        within("nodes", self.nodes, 2, MAX_NODES)?;
        within("rate", self.rate, 0.001, 10_000.0)?;
        within("interval T (ms)", u64::from(self.interval_ms), 1, MAX_MS)?;
        within("delay d (ms)", self.delay_ms, 0, MAX_MS)?;
        within("capacity m", self.capacity, 1, MAX_BLOCK_TRANSACTIONS)?;
        within("spacing", usize::from(self.spacing), 0, self.nodes - 1)?;
        within("frame", self.frame, 0, MAX_FRAME)?;
        within("number of seeds", self.seeds.end.saturating_sub(self.seeds.start), 1, MAX_SEEDS)?;
        within("seconds", self.seconds, 1, MAX_SECONDS)?;
        within("warm-up (s)", self.warm_up_s, 0, self.seconds - 1)?;
        within("rate·nodes·seconds", self.rate * self.nodes as f64 * self.seconds as f64, 1.0, MAX_TRANSACTIONS)?;
        for name in &self.policies {
            policy_named(name)?;
        }
        let distinct = self.policies.iter().collect::<BTreeSet<_>>().len();
        within("number of different policies", distinct, 1.max(self.policies.len()), POLICIES.len())?;
        let distinct = self.ledgers.iter().collect::<BTreeSet<_>>().len();
        within("number of different ledgers", distinct, 1.max(self.ledgers.len()), 2)
    }

    /// All runs, those of one seed and ledger together.
    #[must_use]
    pub fn tasks(&self) -> Vec<Task> {
        let mut all = Vec::new();
        for seed in self.seeds.clone() {
            for ledger in &self.ledgers {
                all.extend(self.policies.iter().map(|policy| Task { seed, ledger: *ledger, policy }));
            }
        }
        all
    }

    /// What is measured, virtual ms.
    #[must_use]
    pub fn window_ms(&self) -> Range<u64> {
        self.warm_up_s * 1_000..self.seconds * 1_000
    }

    /// How long a run goes on after that, ms, so that it is decided which of the last blocks are on the best chain.
    #[must_use]
    pub fn tail_ms(&self) -> u64 {
        8 * (u64::from(self.interval_ms) + self.delay_ms)
    }

    /// The chain of a ledger. With all members for a quorum next to nothing is final where many blocks are stale, and no
    /// node stops for an alarm.
    fn genesis(&self, seed: u64, ledger: LedgerKind, secrets: &[SecretKey]) -> Genesis {
        let member = |(at, secret): (usize, &SecretKey)| Member { key: secret.public(), name: format!("member {at}") };
        let members = secrets.iter().enumerate().map(member).collect();
        let nonce = Hash32(Rng::stream(seed, "paper genesis").bytes());
        let most = CompactTarget::MOST;
        let mut genesis = Genesis::with_defaults(self.chain, "paper", nonce, START_MS, most, members);
        genesis.block_interval_ms = self.interval_ms;
        genesis.half_life_ms = 144 * u64::from(self.interval_ms);
        genesis.max_transactions = self.capacity;
        // m alone limits a block.
        genesis.max_bytes = MAX_BLOCK_BYTES;
        genesis.spacing = self.spacing;
        genesis.quorum = u8::try_from(self.nodes).expect("at most MAX_NODES");
        match ledger {
            LedgerKind::Plain => genesis,
            LedgerKind::Merged => genesis.with_siblings(),
        }
    }

    /// The network of a run without its policy, and what clients send in it. No faults, clocks right.
    #[must_use]
    pub fn setup(&self, seed: u64, ledger: LedgerKind) -> Setup {
        let mut rng = Rng::stream(seed, "paper nodes");
        let mut secrets: Vec<SecretKey> = (0..self.nodes).map(|_| SecretKey::from_seed(rng.bytes())).collect();
        // Node i of the simulation is member i of the genesis.
        secrets.sort_by_key(SecretKey::public);
        let genesis = self.genesis(seed, ledger, &secrets);
        let script = Arc::new(Script::draw(self, seed, &genesis.chain_id()));
        let node = |secret: SecretKey| NodeSetup {
            public: secret.public(),
            secret,
            byzantine: false,
            policy: self.policies[0],
            mempool: usize::MAX,
            // Blocks are pushed whole, by whoever found them and by whoever passes them on.
            speaks: false,
            skew_ms: 0,
            prunes: None,
        };
        Setup {
            seed,
            genesis,
            work: Work::None,
            nodes: secrets.into_iter().map(node).collect(),
            link: Link { delay_ms: self.delay_ms, jitter_ms: 0, loss_ppm: 0, duplicate_ppm: 0 },
            load: Load { every_ms: 0, senders: 0 },
            memory: None,
            faults: Vec::new(),
            chaos_ms: 0,
            bug: None,
            hook: None,
            paper: Some(super::Terms { script, frame: self.frame }),
        }
    }
}
