//! A network of nodes on a virtual clock: one queue of things to come, one thread.

mod attack;
mod bulk;
mod clients;
mod driver;
mod evil;
mod mining;
mod monitor;
mod network;
mod node;
mod pruning;
mod trouble;

pub use attack::{Holder, Strategy};
pub(crate) use clients::{CANARY, senders};
pub use monitor::Violation;
pub(crate) use node::Node;

use crate::faults::CrashPoint;
use crate::planted::Bug;
use crate::rng::Rng;
use crate::setup::{START_MS, Setup, Work};
use blockhie_core::{
    BlockHash, Consensus, Hash32, SecretKey, Signatures, Transaction, TxHash, UncheckedBlock, Unverified, Verification,
    Verified, sha256,
};
use blockhie_engine::Action;
use blockhie_pow::{NoWork, ProofOfWork};
use network::Message;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How often an engine is told that time passes.
pub(crate) const TICK_MS: u64 = 100;

/// Good signatures remembered: more than a run has.
const SIGNATURES: usize = 1 << 20;

/// What comes.
#[derive(Debug)]
enum Coming {
    /// A node takes what waits for it. The number is its incarnation, as everywhere: what was meant for an earlier
    /// one does not reach a later.
    Turn(usize, u64),
    /// Its batch is written, and it acts.
    EndTurn(usize, u64),
    /// Time passes for a node.
    Tick(usize, u64),
    /// A message arrives.
    Deliver { from: usize, to: usize, message: Message },
    /// A node looks after its connection to another.
    Greet { from: usize, to: usize, epoch: u64 },
    /// A node finds a block, unless it looks for another since.
    Found { node: usize, search: u64 },
    /// A client of a node has something to submit.
    Client(usize),
    /// A byzantine node does something beside following along.
    Evil(usize),
    /// A fault of the plan begins or ends.
    Fault(usize, bool),
    /// A node that could not open its store tries again.
    Start(usize),
    /// Somebody looks at a node's alarm.
    Operator(usize),
    /// The selfish miner finds a block.
    Selfish,
    /// Clients of a node that lost its store submit again.
    Again(usize),
}

/// The random streams, one a subject.
struct Streams {
    network: Rng,
    mining: Rng,
    clients: Rng,
    driver: Rng,
    evil: Rng,
}

/// How much happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// Blocks found by honest nodes.
    pub blocks: u64,
    /// Transactions acknowledged to clients.
    pub acknowledged: u64,
    /// Messages sent.
    pub messages: u64,
    /// Crashes, all kinds.
    pub crashes: u64,
    /// Of these, inside a turn.
    pub crashes_in_turn: u64,
    /// Turns that could not be written.
    pub failed_turns: u64,
    /// Reorganisations of honest nodes.
    pub reorganisations: u64,
    /// Of these, below a final block.
    pub alarms: u64,
    /// Deeds of byzantine nodes.
    pub evil: u64,
    /// Bans by honest nodes.
    pub bans: u64,
    /// Transactions committed void at the end, on the best chain.
    pub void: u64,
    /// Siblings that the best chain lists at the end.
    pub siblings: u64,
    /// Transactions that it commits through them.
    pub through_siblings: u64,
    /// Transactions of siblings that were committed before, and skipped.
    pub skipped: u64,
    /// Receipts verified.
    pub receipts: u64,
    /// Blocks sent back to the peer they came from.
    pub echoes: u64,
    /// Blocks sent.
    pub block_sends: u64,
    /// Questions over `blockhie.v1.Peer` by honest nodes.
    pub fetches: u64,
    /// Of these, answered in form.
    pub fetched: u64,
    /// Blocks told of by their headers.
    pub announcements: u64,
    /// Bodies pruned.
    pub pruned: u64,
    /// Crashes in a turn that prunes.
    pub crashes_pruning: u64,
    /// Nodes that were synced anew because of a heavier chain below what they had pruned.
    pub renewed: u64,
}

impl Tally {
    /// The sum of both.
    pub fn add(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.acknowledged += other.acknowledged;
        self.messages += other.messages;
        self.crashes += other.crashes;
        self.crashes_in_turn += other.crashes_in_turn;
        self.failed_turns += other.failed_turns;
        self.reorganisations += other.reorganisations;
        self.alarms += other.alarms;
        self.evil += other.evil;
        self.bans += other.bans;
        self.void += other.void;
        self.siblings += other.siblings;
        self.through_siblings += other.through_siblings;
        self.skipped += other.skipped;
        self.receipts += other.receipts;
        self.echoes += other.echoes;
        self.block_sends += other.block_sends;
        self.fetches += other.fetches;
        self.fetched += other.fetched;
        self.announcements += other.announcements;
        self.pruned += other.pruned;
        self.crashes_pruning += other.crashes_pruning;
        self.renewed += other.renewed;
    }
}

/// See the module.
pub struct World {
    pub(crate) setup: Setup,
    pub(crate) now_ms: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) consensus: Arc<dyn Consensus>,
    pub(crate) tally: Tally,
    pub(crate) violations: Vec<Violation>,
    /// Hashes of blocks and transactions that no honest node may ever take, and why.
    pub(crate) poison: BTreeMap<Hash32, &'static str>,
    /// Blocks that are sound and not valid: kept, and never on a best chain.
    pub(crate) never_best: BTreeSet<BlockHash>,
    /// Blocks that are nothing but headers, which break a rule that headers show, or stand on one that does.
    pub(crate) bad_headers: BTreeSet<BlockHash>,
    /// The same of those that are only announced.
    pub(crate) bad_announced: BTreeSet<BlockHash>,
    /// Transactions that a client was told are durable.
    pub(crate) acknowledged: BTreeMap<TxHash, Transaction<Verified>>,
    /// Whether each event is printed.
    pub(crate) log: Option<Vec<String>>,
    queue: BTreeMap<(u64, u64), Coming>,
    sequence: u64,
    streams: Streams,
    net: network::Net,
    clients: clients::Clients,
    /// Signatures that were verified: the same bytes get the same verdict.
    verified: BTreeMap<TxHash, (Transaction<Unverified>, Transaction<Verified>)>,
    /// The same of blocks: all nodes of a run remember together.
    pub(crate) signatures: Arc<Signatures>,
    /// Receipts that were verified, by the hash of their bytes.
    pub(crate) proved: RefCell<BTreeMap<Hash32, Verification>>,
    active_faults: BTreeSet<usize>,
    /// Nodes that do something to the blocks they find.
    strategies: BTreeMap<usize, Strategy>,
    pub(crate) selfish: Option<attack::Selfish>,
    /// Where a node dies in the turn that reorganises it by more than one block.
    pub(crate) dies_reorganising: Option<(usize, CrashPoint)>,
    quiet: bool,
    trace: Hash32,
    /// What an evaluation notes.
    pub(crate) probe: Option<crate::paper::Probe>,
}

impl World {
    /// The nodes start at time 0.
    #[must_use]
    pub fn new(setup: Setup, verbose: bool) -> Self {
        let stream = |name| Rng::stream(setup.seed, name);
        let streams = Streams {
            network: stream("network"),
            mining: stream("mining"),
            clients: stream("clients"),
            driver: stream("driver"),
            evil: stream("evil"),
        };
        let consensus: Arc<dyn Consensus> = match setup.work {
            Work::None => Arc::new(NoWork),
            Work::Proof => Arc::new(ProofOfWork::new(&setup.genesis)),
        };
        let nodes = (0..setup.nodes.len()).map(|at| Node::new(at, &setup)).collect();
        let clients = clients::Clients::new(&setup);
        let mut world = Self {
            now_ms: 0,
            nodes,
            consensus,
            tally: Tally::default(),
            violations: Vec::new(),
            poison: BTreeMap::new(),
            never_best: BTreeSet::new(),
            bad_headers: BTreeSet::new(),
            bad_announced: BTreeSet::new(),
            acknowledged: BTreeMap::new(),
            log: verbose.then(Vec::new),
            queue: BTreeMap::new(),
            sequence: 0,
            streams,
            net: network::Net::new(&setup),
            clients,
            verified: BTreeMap::new(),
            proved: RefCell::default(),
            signatures: Arc::new(Signatures::new(SIGNATURES)),
            active_faults: BTreeSet::new(),
            strategies: BTreeMap::new(),
            selfish: None,
            dies_reorganising: None,
            quiet: false,
            trace: Hash32::ZERO,
            probe: setup.paper.is_some().then(crate::paper::Probe::new),
            setup,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for node in 0..self.nodes.len() {
            self.start(node);
            self.start_mining(node);
            self.first_client(node);
            if self.setup.nodes[node].byzantine {
                self.first_deed(node);
            }
        }
        for (at, fault) in self.setup.faults.clone().iter().enumerate() {
            self.at(fault.from_ms, Coming::Fault(at, true));
            self.at(fault.until_ms, Coming::Fault(at, false));
        }
    }

    fn at(&mut self, at_ms: u64, coming: Coming) {
        self.sequence += 1;
        self.queue.insert((at_ms.max(self.now_ms), self.sequence), coming);
    }

    fn after(&mut self, ms: u64, coming: Coming) {
        self.at(self.now_ms.saturating_add(ms), coming);
    }

    /// Lets time pass. Stops early at a violation.
    pub fn run_until(&mut self, end_ms: u64) {
        while self.violations.is_empty()
            && let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end_ms)
        {
            let ((at_ms, _), coming) = entry.remove_entry();
            self.now_ms = at_ms;
            self.happen(coming);
        }
        self.now_ms = self.now_ms.max(end_ms);
    }

    fn happen(&mut self, coming: Coming) {
        match coming {
            Coming::Turn(node, epoch) => self.turn(node, epoch),
            Coming::EndTurn(node, epoch) => self.end_turn(node, epoch),
            Coming::Tick(node, epoch) => self.tick(node, epoch),
            Coming::Deliver { from, to, message } => self.deliver(from, to, message),
            Coming::Greet { from, to, epoch } => self.greet(from, to, epoch),
            Coming::Found { node, search } => self.found(node, search),
            Coming::Client(node) => self.client(node),
            Coming::Evil(node) => self.deed(node),
            Coming::Fault(at, begins) => self.fault(at, begins),
            Coming::Start(node) => self.start(node),
            Coming::Operator(node) => self.operator(node),
            Coming::Selfish => self.selfish_found(),
            Coming::Again(node) => self.submit_again(node),
        }
    }

    /// A digest of everything that nodes decided so far: two runs of one seed must not differ.
    #[must_use]
    pub fn trace(&self) -> Hash32 {
        self.trace
    }

    fn stamp(&mut self, node: usize, what: &Hash32) {
        let at = [self.now_ms.to_be_bytes(), (node as u64).to_be_bytes()].concat();
        self.trace = sha256(&[self.trace.as_bytes(), &at, what.as_bytes()]);
    }

    /// Notes something for `--verbose`.
    pub(crate) fn say(&mut self, text: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:>9} ms  {}", self.now_ms, text()));
        }
    }

    /// What everybody's clock would show if no clock were wrong.
    pub(crate) fn true_wall_ms(&self) -> u64 {
        START_MS + self.now_ms
    }

    /// The bug, if this node has it.
    fn bug_of(&self, node: usize) -> Option<Bug> {
        let victim = self.setup.honest().next();
        self.setup.bug.filter(|bug| !self.setup.nodes[node].byzantine && (!bug.of_one_node() || victim == Some(node)))
    }

    /// Nodes that follow the rules.
    pub(crate) fn honest(&self) -> Vec<usize> {
        self.setup.honest().collect()
    }

    /// Verifies a transaction's signature as a node's pool does, or remembers that these very bytes were verified.
    pub(crate) fn verify(&mut self, tx: Transaction<Unverified>) -> Result<Transaction<Verified>, String> {
        if let Some((_, verified)) = self.verified.get(&tx.hash()).filter(|(known, _)| *known == tx) {
            return Ok(verified.clone());
        }
        let (chain, kind) = (self.setup.genesis.chain_id(), self.setup.genesis.kind);
        let verified = tx.clone().verify(&chain, kind).map_err(|error| error.to_string())?;
        self.verified.insert(tx.hash(), (tx, verified.clone()));
        Ok(verified)
    }

    /// A transaction that was made here.
    pub(crate) fn made(&mut self, tx: &Transaction<Verified>) {
        self.verified.insert(tx.hash(), (tx.clone().into_unverified(), tx.clone()));
    }

    /// Seals a block under this chain's rule.
    fn seal(&mut self, node: usize, template: blockhie_core::Template) -> Option<UncheckedBlock> {
        let secret = self.setup.nodes[node].secret.clone();
        self.seal_by(&secret, template)
    }

    fn seal_by(&mut self, secret: &SecretKey, template: blockhie_core::Template) -> Option<UncheckedBlock> {
        let chain = self.setup.genesis.chain_id();
        let start = self.streams.evil.bits();
        let nonce = match self.setup.work {
            Work::None => start,
            Work::Proof => blockhie_pow::seal(&template.header, &chain, start, mining::MOST_TRIES)?,
        };
        let member = (!self.setup.genesis.is_open()).then_some(secret);
        Some(template.seal(&chain, nonce, member))
    }
}

/// What a node still has to do in a turn.
type Actions = Vec<Action>;
