//! A network of engines in memory, on a virtual clock: the same seed gives the same run.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "shared by test binaries that use parts of it")]
#![allow(clippy::unwrap_used, reason = "only tests call it")]

pub mod bulk;
pub mod forge;
mod time;

use blockhie_core::packing::TpFair;
use blockhie_core::{
    BlockQuery, ChainKind, CompactTarget, Genesis, Hash32, Ledger, Member, MemoryStore, OpaqueApp, SecretKey, Store,
    StoreError, StoreRead, Template, Tip, Transaction, TxHash, TxStatus, UncheckedBlock, Verified, query, store::Batch,
};
use blockhie_engine::{
    Action, Engine, EngineConfig, Event, Fetch, FetchId, Now, PeerId, ReplyResult, Request, Ticket, refuse_replies,
};
use blockhie_pow::ProofOfWork;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Time of the genesis; the wall clock is this and the virtual time.
pub const START_MS: u64 = 1_750_000_000_000;
pub const TICK_MS: u64 = 100;

/// A store that can be told to fail.
pub struct FlakyStore {
    inner: MemoryStore,
    pub fails: AtomicBool,
}

impl Store for FlakyStore {
    fn snapshot(&self) -> Box<dyn StoreRead + '_> {
        self.inner.snapshot()
    }
    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError::Io { action: "commit", reason: "disk full".into(), hint: None });
        }
        self.inner.commit(batch)
    }
}

/// How a node answers questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    Honestly,
    Nothing,
    NoBodies,
    /// Its tip, and nothing else.
    TipOnly,
    /// Headers, and no answer to questions for whole blocks.
    NoBlocks,
    /// Headers, and of whole blocks that it keeps none.
    KeepsNone,
    /// Each answer after so many ms.
    Slowly(u64),
}

pub struct Node {
    pub engine: Engine,
    pub store: Arc<FlakyStore>,
    pub secret: SecretKey,
    pub serves: Serves,
    pub template: Option<Template>,
    pub notes: Vec<String>,
    pub replies: BTreeMap<Ticket, ReplyResult>,
    pub bans: Vec<(PeerId, u64, String)>,
    pub asked: Vec<Request>,
    pub sent_txs: usize,
    pub sent_blocks: usize,
    /// Blocks served instead of the engine's own, from height 0 on.
    pub fake: Option<Vec<UncheckedBlock>>,
    /// Whether it answers `blockhie.v1.Peer`.
    pub speaks: bool,
    /// By how much its wall clock is ahead, ms.
    pub skew_ms: i64,
    /// It does nothing: what comes to it waits.
    pub paused: bool,
    /// What it asked of whom in that way.
    pub fetched: Vec<(PeerId, Fetch)>,
    /// Headers that it told of.
    pub announced: usize,
}

enum Message {
    Event(Box<Event>),
    Serve { asker: usize, request: Request },
    Fetch { asker: usize, id: FetchId, fetch: Fetch },
}

pub struct Net {
    pub genesis: Genesis,
    pub nodes: Vec<Node>,
    pub now_ms: u64,
    /// Delay of a message: this and up to as much again.
    pub delay_ms: u64,
    /// One message in so many is lost; 0: none.
    pub loss: u64,
    cut: BTreeSet<(usize, usize)>,
    queue: BTreeMap<(u64, u64), (usize, Message)>,
    held: Vec<(usize, Message)>,
    sequence: u64,
    random: u64,
}

/// Not on loopback, where nobody is banned.
pub fn address(node: usize) -> PeerId {
    PeerId::from(([10, 0, 0, 1], 10_000 + u16::try_from(node).unwrap()))
}

pub fn node_of(peer: PeerId) -> usize {
    usize::from(peer.port() - 10_000)
}

/// From a chain made by hand, from height 0 on.
fn fake_block(chain: &[UncheckedBlock], query: BlockQuery) -> Option<UncheckedBlock> {
    match query {
        BlockQuery::Tip => chain.last(),
        BlockQuery::Height(height) => chain.get(usize::try_from(height).unwrap()),
        BlockQuery::Hash(hash) => chain.iter().find(|block| block.claimed_hash == hash),
    }
    .cloned()
}

pub fn secret(node: usize) -> SecretKey {
    SecretKey::from_seed([u8::try_from(node).unwrap() + 1; 32])
}

pub fn genesis(members: usize) -> Genesis {
    let members: Vec<Member> =
        (0..members).map(|i| Member { key: secret(i).public(), name: format!("hospital {i}") }).collect();
    let mut genesis =
        Genesis::with_defaults(ChainKind::Emr, "test", Hash32([7; 32]), START_MS, CompactTarget::MOST, members);
    // Any member may mine at any time, unless a test says otherwise.
    genesis.spacing = 0;
    genesis
}

pub fn open_ledger(genesis: &Genesis) -> (Ledger, Arc<FlakyStore>) {
    let store = Arc::new(FlakyStore { inner: MemoryStore::new(genesis), fails: AtomicBool::new(false) });
    let pow = Arc::new(ProofOfWork::new(genesis));
    (Ledger::open(store.clone(), pow, Arc::new(OpaqueApp)).unwrap(), store)
}

/// Messages of a flood: as many as this, or as many as somebody asked for who has time (`cargo xtask hostile --row`).
pub fn flood_size(usual: u64) -> u64 {
    std::env::var("BLOCKHIE_FLOOD").map_or(usual, |text| text.parse().unwrap())
}

pub fn tx(genesis: &Genesis, n: u64) -> Transaction<Verified> {
    let client = SecretKey::from_seed([200 + u8::try_from(n % 50).unwrap(); 32]);
    Transaction::sign(&genesis.chain_id(), &client, START_MS + n, 1, None, &n.to_be_bytes())
}

impl Net {
    pub fn new(genesis: Genesis, nodes: usize, seed: u64) -> Self {
        let mut net = Self {
            genesis,
            nodes: Vec::new(),
            now_ms: 0,
            delay_ms: 10,
            loss: 0,
            cut: BTreeSet::new(),
            queue: BTreeMap::new(),
            held: Vec::new(),
            sequence: 0,
            random: seed,
        };
        for _ in 0..nodes {
            net.add_node();
        }
        net
    }

    fn config(&self, i: usize) -> EngineConfig {
        let is_member = self.genesis.is_open() || self.genesis.member_index(&secret(i).public()).is_some();
        EngineConfig {
            miner: is_member.then(|| secret(i).public()),
            policy: Box::new(TpFair),
            node_index: u32::try_from(i + 1).unwrap(),
            node_count: 4,
            seed: i as u64,
            static_peers: BTreeSet::new(),
        }
    }

    /// The node's engine begins anew on what is stored. It is connected to nobody.
    pub fn restart(&mut self, node: usize) {
        let pow = Arc::new(ProofOfWork::new(&self.genesis));
        let ledger = Ledger::open(self.nodes[node].store.clone(), pow, Arc::new(OpaqueApp)).unwrap();
        self.nodes[node].engine = Engine::new(ledger, self.config(node));
        self.queue.retain(|_, (to, _)| *to != node);
    }

    /// A node with a new store, connected to nobody.
    pub fn add_node(&mut self) -> usize {
        let i = self.nodes.len();
        let (ledger, store) = open_ledger(&self.genesis);
        let config = self.config(i);
        self.nodes.push(Node {
            engine: Engine::new(ledger, config),
            store,
            secret: secret(i),
            serves: Serves::Honestly,
            template: None,
            notes: Vec::new(),
            replies: BTreeMap::new(),
            bans: Vec::new(),
            asked: Vec::new(),
            sent_txs: 0,
            sent_blocks: 0,
            fake: None,
            speaks: false,
            skew_ms: 0,
            paused: false,
            fetched: Vec::new(),
            announced: 0,
        });
        i
    }

    pub fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }

    pub fn connect(&mut self, a: usize, b: usize) {
        self.cut.remove(&(a.min(b), a.max(b)));
        for (here, there) in [(a, b), (b, a)] {
            self.event(here, Event::PeerUp { peer: address(there) });
            if self.nodes[there].speaks {
                self.event(here, Event::PeerSpeaks { peer: address(there) });
            }
        }
    }

    pub fn connect_all(&mut self) {
        for a in 0..self.nodes.len() {
            for b in 0..a {
                self.connect(a, b);
            }
        }
    }

    /// Messages between these two are lost from now on. Nobody is told.
    pub fn cut(&mut self, a: usize, b: usize) {
        self.cut.insert((a.min(b), a.max(b)));
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    fn send(&mut self, from: usize, to: usize, extra_ms: u64, message: Message) {
        if self.cut.contains(&(from.min(to), from.max(to))) || (self.loss > 0 && self.random(self.loss) == 0) {
            return;
        }
        let at = self.now_ms + extra_ms + self.delay_ms + self.random(self.delay_ms);
        self.sequence += 1;
        self.queue.insert((at, self.sequence), (to, message));
    }

    pub fn now(&self) -> Now {
        Now { mono_ms: self.now_ms, wall_ms: START_MS + self.now_ms }
    }

    pub fn ticket(&mut self) -> Ticket {
        self.sequence += 1;
        Ticket(self.sequence)
    }

    /// One event, one turn.
    pub fn event(&mut self, node: usize, event: Event) {
        let mut now = self.now();
        now.wall_ms = now.wall_ms.saturating_add_signed(self.nodes[node].skew_ms);
        let engine = &mut self.nodes[node].engine;
        let mut actions = engine.handle(event, now);
        if let Err(error) = engine.end_turn() {
            actions = refuse_replies(actions, &error);
        }
        for action in actions {
            self.perform(node, action);
        }
    }

    fn perform(&mut self, node: usize, action: Action) {
        match action {
            Action::Reply { ticket, result } => {
                assert!(self.nodes[node].replies.insert(ticket, result).is_none(), "one reply a ticket");
            }
            Action::Ask { peer, request } => {
                self.nodes[node].asked.push(request);
                self.send(node, node_of(peer), 0, Message::Serve { asker: node, request });
            }
            Action::Fetch { peer, id, fetch } => {
                self.nodes[node].fetched.push((peer, fetch.clone()));
                self.send(node, node_of(peer), 0, Message::Fetch { asker: node, id, fetch });
            }
            Action::Announce { peer, header } => {
                self.nodes[node].announced += 1;
                let event = Event::Announced { peer: address(node), header: (*header).clone() };
                self.send(node, node_of(peer), 0, Message::Event(Box::new(event)));
            }
            Action::SendBlock { peer, block } => {
                self.nodes[node].sent_blocks += 1;
                let (ticket, from, block) = (Some(self.ticket()), Some(address(node)), (*block).clone());
                self.send(node, node_of(peer), 0, Message::Event(Box::new(Event::Block { ticket, from, block })));
            }
            Action::SendTx { peer, tx } => {
                self.nodes[node].sent_txs += 1;
                let (ticket, from) = (self.ticket(), Some(address(node)));
                self.send(node, node_of(peer), 0, Message::Event(Box::new(Event::Submit { ticket, from, tx })));
            }
            Action::Mine(template) => self.nodes[node].template = Some(template),
            Action::StopMining => self.nodes[node].template = None,
            Action::Ban { peer, for_ms, reason } => {
                self.cut(node, node_of(peer));
                self.nodes[node].bans.push((peer, for_ms, reason));
            }
            Action::Publish(tip) => assert_eq!(tip.hash, self.tip(node).hash),
            Action::Note(text) => self.nodes[node].notes.push(text),
        }
    }

    fn serve(&mut self, node: usize, asker: usize, request: Request) {
        let (peer, state) = (address(node), &self.nodes[node]);
        let extra_ms = match (state.serves, request) {
            (Serves::Nothing, _) | (Serves::NoBodies, Request::Tx(_)) => return,
            (Serves::TipOnly, Request::Block(BlockQuery::Tip)) => 0,
            (Serves::TipOnly, _) => return,
            (Serves::Slowly(ms), _) => ms,
            _ => 0,
        };
        // Like a node's readers: what is durable.
        let view = state.store.snapshot();
        let answer = match request {
            Request::Block(query) => {
                let block = query::block(&*view, query).unwrap().map(|block| block.to_unchecked());
                let block = state.fake.as_ref().map_or(block, |chain| fake_block(chain, query));
                Event::GotBlock { peer, query, block }
            }
            Request::Tx(hash) => Event::GotTx { peer, hash, tx: query::transaction(&*view, &hash).unwrap() },
        };
        drop(view);
        self.send(node, asker, extra_ms, Message::Event(Box::new(answer)));
    }

    /// For the message of a failed assertion.
    pub fn describe(&self) -> String {
        let line = |i: usize| {
            let (tip, node) = (self.tip(i), &self.nodes[i]);
            let notes: Vec<_> = node.notes.iter().rev().take(6).collect();
            let asked: Vec<_> = node.asked.iter().rev().take(12).collect();
            format!("{i}: {tip:?}\n  bans {:?}\n  notes {notes:?}\n  asked {asked:?}\n", node.bans)
        };
        format!("at {} ms\n{}", self.now_ms, (0..self.nodes.len()).map(line).collect::<String>())
    }

    pub fn submit(&mut self, node: usize, tx: Transaction<Verified>) -> Ticket {
        let ticket = self.ticket();
        self.event(node, Event::Submit { ticket, from: None, tx });
        ticket
    }

    /// Somebody pushes a block.
    pub fn push(&mut self, node: usize, from: Option<usize>, block: UncheckedBlock) -> Ticket {
        let ticket = self.ticket();
        self.event(node, Event::Block { ticket: Some(ticket), from: from.map(address), block });
        ticket
    }

    pub fn reply(&self, node: usize, ticket: Ticket) -> Option<&ReplyResult> {
        self.nodes[node].replies.get(&ticket)
    }

    pub fn tip(&self, node: usize) -> Tip {
        self.nodes[node].engine.ledger().tip().clone()
    }

    pub fn committed(&self, node: usize, hash: &TxHash) -> bool {
        matches!(self.nodes[node].engine.ledger().status(hash), Ok(TxStatus::Committed { void: None, .. }))
    }

    pub fn agree(&self) -> bool {
        (1..self.nodes.len()).all(|node| self.tip(node).hash == self.tip(0).hash)
    }
}
