//! One simulated node: what survives a crash, and what does not.

use super::{Coming, TICK_MS, World, monitor::Watch};
use crate::app::SimApp;
use crate::faults::CrashPoint;
use crate::planted::{Bug, Place};
use crate::rng::Rng;
use crate::setup::Setup;
use crate::store::FaultyStore;
use blockhie_core::{
    Application, BlockHash, CompactTarget, Consensus, Header, Ledger, LedgerError, ParentContext, Store, StoreError,
    Template, Tip, Transaction, TxHash, U256, UncheckedBlock, Unverified, Verified, WorkError,
};
use blockhie_engine::{Engine, EngineConfig, Event, Fetch, FetchId, PeerId, Ticket};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A node that could not open its store tries again after so long, as its supervisor would.
const RESTART_MS: u64 = 1_000;

/// What a node's engine is told; the same as the commands of the node's driver.
#[derive(Debug)]
pub(crate) enum Command {
    Event(Event),
    Submit { from: Option<PeerId>, tx: Transaction<Verified>, asker: Asker },
    Block { from: Option<PeerId>, block: UncheckedBlock },
    ClearAlarm,
}

/// Who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    Client,
    Peer,
}

/// What a crash takes.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    pub(crate) inbox: VecDeque<Command>,
    /// A turn is under way.
    pub(crate) busy: bool,
    pub(crate) actions: Vec<blockhie_engine::Action>,
    pub(crate) waiting: BTreeMap<Ticket, (Asker, TxHash)>,
    pub(crate) next_ticket: u64,
    /// The last turn could not be written.
    pub(crate) store_refuses: bool,
    /// What the miner looks for.
    pub(crate) template: Option<Template>,
    /// The tip on the watch channel.
    pub(crate) tip: Tip,
    /// The tip that the engine said to publish last.
    pub(crate) said: Option<BlockHash>,
    /// Connections of others to this node, known by the address at which they listen.
    pub(crate) inbound: BTreeSet<usize>,
    pub(crate) started_ms: u64,
    /// An operator let it go on in this turn.
    pub(crate) cleared: bool,
    /// Which peers are known to have which blocks.
    pub(crate) shown: BTreeSet<(BlockHash, PeerId)>,
    /// Questions over `blockhie.v1.Peer` under way.
    pub(crate) fetches: BTreeMap<FetchId, Fetch>,
    /// Blocks sent to a peer that was known to have them.
    pub(crate) echoes: u64,
    /// What the batch of this turn prunes.
    pub(crate) pruning: super::pruning::Step,
}

/// A connection to a peer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outbound {
    pub(crate) up: bool,
    /// Not before.
    pub(crate) banned_until_ms: u64,
    pub(crate) failures: u32,
}

/// See the module.
pub(crate) struct Node {
    pub(crate) store: Arc<FaultyStore>,
    pub(crate) running: Option<Running>,
    /// Grows with each start and each crash.
    pub(crate) epoch: u64,
    pub(crate) skew_ms: i64,
    pub(crate) disk_full: bool,
    /// The virtual time until which it is stopped.
    pub(crate) paused_until_ms: u64,
    /// Where it dies next.
    pub(crate) armed: Option<CrashPoint>,
    /// A fault holds it down.
    pub(crate) held_down: bool,
    pub(crate) outbound: BTreeMap<usize, Outbound>,
    pub(crate) miner: super::mining::Miner,
    /// What it acknowledged, to whomever.
    pub(crate) acknowledged: BTreeSet<TxHash>,
    /// Bodies that a byzantine node serves beside its store.
    pub(crate) hidden: BTreeMap<TxHash, Transaction<Unverified>>,
    /// Blocks that a byzantine node keeps to itself for now.
    pub(crate) private: super::evil::Private,
    pub(crate) watch: Watch,
    /// Its log says that it has to be synced anew.
    pub(crate) outdated: bool,
    /// What it had acknowledged before it was made anew, until it has acknowledged that again.
    pub(crate) outbox: BTreeSet<TxHash>,
}

/// Not on loopback, where nobody is banned.
pub(crate) fn address(node: usize) -> PeerId {
    let low = u8::try_from(node + 1).expect("a simulated network has few nodes");
    PeerId::from(([10, 0, 0, low], 7_001))
}

pub(crate) fn node_of(peer: PeerId) -> usize {
    match peer.ip() {
        std::net::IpAddr::V4(ip) => usize::from(ip.octets()[3]).saturating_sub(1),
        std::net::IpAddr::V6(_) => 0,
    }
}

impl Node {
    pub(crate) fn new(at: usize, setup: &Setup) -> Self {
        let bug = setup.bug.filter(|_| !setup.nodes[at].byzantine);
        let rng = Rng::stream(setup.seed, &format!("store {at}"));
        let others = (0..setup.nodes.len()).filter(|other| *other != at);
        Self {
            store: Arc::new(FaultyStore::new(&setup.genesis, rng, bug)),
            running: None,
            epoch: 0,
            skew_ms: setup.nodes[at].skew_ms,
            disk_full: false,
            paused_until_ms: 0,
            armed: None,
            held_down: false,
            outbound: others.map(|other| (other, Outbound::default())).collect(),
            miner: super::mining::Miner::default(),
            acknowledged: BTreeSet::new(),
            hidden: BTreeMap::new(),
            private: super::evil::Private::default(),
            watch: Watch::default(),
            outdated: false,
            outbox: BTreeSet::new(),
        }
    }

    /// Its wall clock.
    pub(crate) fn wall_ms(&self, true_ms: u64) -> u64 {
        true_ms.saturating_add_signed(self.skew_ms)
    }

    pub(crate) fn is_paused(&self, now_ms: u64) -> bool {
        self.paused_until_ms > now_ms
    }
}

impl World {
    /// The node's application and consensus, with its planted bug.
    pub(crate) fn rules_of(&self, node: usize) -> (Arc<dyn Consensus>, Arc<dyn Application>) {
        let bug = self.bug_of(node);
        let consensus = match bug {
            Some(Bug::AcceptAnyWork | Bug::WrongWork) => Arc::new(BadWork { inner: self.consensus.clone(), bug }),
            _ => self.consensus.clone(),
        };
        (consensus, Arc::new(SimApp { bug }))
    }

    /// Starts a node on what its store holds.
    pub(crate) fn start(&mut self, node: usize) {
        if self.nodes[node].running.is_some() || self.nodes[node].held_down {
            return;
        }
        self.nodes[node].epoch += 1;
        let epoch = self.nodes[node].epoch;
        let engine = match self.open(node) {
            Ok(engine) => engine,
            Err(LedgerError::Store(StoreError::Io { .. })) => return self.after(RESTART_MS, Coming::Start(node)),
            Err(error) => return self.violated("I1", Some(node), format!("the store does not open: {error}")),
        };
        let tip = engine.ledger().tip().clone();
        self.say(|| format!("node {node} starts at height {} with {} waiting", tip.height, tip.pending));
        let said = tip.hash;
        self.nodes[node].running = Some(Running {
            engine,
            inbox: VecDeque::new(),
            busy: false,
            actions: Vec::new(),
            waiting: BTreeMap::new(),
            next_ticket: 0,
            store_refuses: false,
            template: None,
            tip,
            said: Some(said),
            inbound: BTreeSet::new(),
            started_ms: self.now_ms,
            cleared: false,
            shown: BTreeSet::new(),
            fetches: BTreeMap::new(),
            echoes: 0,
            pruning: super::pruning::Step::default(),
        });
        self.check_start(node);
        let first = self.streams.driver.below(TICK_MS);
        self.after(first, Coming::Tick(node, epoch));
        let peers: Vec<usize> = self.nodes[node].outbound.keys().copied().collect();
        for to in peers {
            if let Some(outbound) = self.nodes[node].outbound.get_mut(&to) {
                (outbound.up, outbound.failures, outbound.banned_until_ms) = (false, 0, 0);
            }
            let wait = self.streams.network.below(200);
            self.after(wait, Coming::Greet { from: node, to, epoch });
        }
    }

    fn open(&self, node: usize) -> Result<Engine, LedgerError> {
        let (setup, own) = (&self.setup, &self.setup.nodes[node]);
        let store: Arc<dyn Store> = self.nodes[node].store.clone();
        let (consensus, application) = self.rules_of(node);
        let mut ledger = Ledger::open(store.clone(), consensus, application)?;
        ledger.set_mempool_limit(own.mempool);
        ledger.share_signatures(self.signatures.clone());
        if let Some(blocks) = setup.memory {
            ledger.set_short_memory(blocks);
        }
        ledger.set_pruning(own.prunes.as_ref().map(|prunes| prunes.keep.clone()))?;
        let waiting = waiting(store.as_ref())?;
        let small = |x: usize| u32::try_from(x).unwrap_or(u32::MAX);
        let position = setup.genesis.member_index(&own.public).unwrap_or(node);
        let config = EngineConfig {
            miner: Some(own.public),
            policy: setup.policy_of(node),
            node_index: small(position) + 1,
            node_count: small(setup.nodes.len()),
            seed: Rng::stream(setup.seed, &format!("policy {node}")).bits(),
            static_peers: (0..setup.nodes.len()).map(address).collect(),
        };
        let mut engine = Engine::new(ledger, config);
        engine.offer_again(waiting);
        if let (Some(bug), Some(hook)) = (self.bug_of(node).filter(|bug| bug.place() == Place::Inside), setup.hook) {
            hook(&mut engine, bug.name());
        }
        Ok(engine)
    }

    /// The process is gone. What it had written stays.
    pub(crate) fn crash(&mut self, node: usize, how: &str) {
        if self.nodes[node].running.take().is_none() {
            return;
        }
        self.tally.crashes += 1;
        self.say(|| format!("node {node} dies {how}"));
        let state = &mut self.nodes[node];
        state.epoch += 1;
        state.armed = None;
        if let Some(left) = state.store.after_crash() {
            state.store = Arc::new(left);
        }
        self.stop_mining(node);
        // Connections to it break: the others notice when they next greet it.
    }
}

/// Hashes of the transactions that wait, from the journal.
fn waiting(store: &dyn Store) -> Result<Vec<TxHash>, StoreError> {
    let view = store.snapshot();
    let mut all: Vec<TxHash> = Vec::new();
    loop {
        let page = view.pending(all.last(), 1_024)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page.into_iter().map(|(hash, _)| hash));
    }
}

/// A consensus with a planted bug.
struct BadWork {
    inner: Arc<dyn Consensus>,
    bug: Option<Bug>,
}

impl Consensus for BadWork {
    fn required_target(&self, parent: &ParentContext) -> CompactTarget {
        self.inner.required_target(parent)
    }
    fn next_lag(&self, parent: &ParentContext, time_ms: u64) -> i128 {
        self.inner.next_lag(parent, time_ms)
    }
    fn check(&self, header: &Header, hash: &BlockHash) -> Result<(), WorkError> {
        if self.bug == Some(Bug::AcceptAnyWork) { Ok(()) } else { self.inner.check(header, hash) }
    }
    fn work(&self, target: CompactTarget) -> U256 {
        if self.bug == Some(Bug::WrongWork) { U256::one() } else { self.inner.work(target) }
    }
}
