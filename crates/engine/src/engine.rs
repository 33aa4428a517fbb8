//! The engine: one chain's ledger, its peers, and what is under way.

use crate::bodies::Bodies;
use crate::cache::SeenCache;
use crate::clock::Clocks;
use crate::event::{Action, Event, Now, PeerId, ReplyResult, Request, Ticket};
use crate::headers::HeaderSync;
use crate::limits::{MAX_REFUSALS, MAX_UNCONFIRMED, RECENT_NOTES, REFUSALS_MS};
use crate::mining::Mining;
use crate::orphans::Orphans;
use crate::peers::Peer;
use crate::siblings::Siblings;
use crate::side::SideBudget;
use crate::state::Refusal;
use crate::sync::Session;
use blockhie_core::packing::PackingPolicy;
use blockhie_core::{BlockHash, BlockQuery, Fault, Ledger, PublicKey, StoreError, TxHash, U256, UncheckedHeader};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What a node is told about itself.
pub struct EngineConfig {
    /// The key under which this node mines; `None`: it does not mine.
    pub miner: Option<PublicKey>,
    /// How it fills blocks.
    pub policy: Box<dyn PackingPolicy<TxHash>>,
    /// Its 1-based position among the sorted members; on an open chain from configuration.
    pub node_index: u32,
    /// Members; on an open chain from configuration.
    pub node_count: u32,
    /// For policies that draw lots.
    pub seed: u64,
    /// Peers that are left alone for a short time instead of banned: members named by the operator. Peers on loopback
    /// are never banned.
    pub static_peers: BTreeSet<PeerId>,
}

/// The state machine. See the crate's page for how a driver uses it.
pub struct Engine {
    pub(crate) ledger: Ledger,
    pub(crate) config: EngineConfig,
    pub(crate) now: Now,
    pub(crate) out: Vec<Action>,
    pub(crate) peers: BTreeMap<PeerId, Peer>,
    pub(crate) orphans: Orphans,
    pub(crate) bodies: Bodies,
    /// Blocks that wait for siblings, and what was passed on beside the chain.
    pub(crate) siblings: Siblings,
    pub(crate) session: Option<Session>,
    /// Catching up headers first. Never beside a `session`.
    pub(crate) headers: Option<HeaderSync>,
    /// The last question of `blockhie.v1.Peer`.
    pub(crate) last_fetch: u64,
    /// The last block that this node mined: it goes out whole.
    pub(crate) own_block: BlockHash,
    /// Why the last chain that claimed to be better was not taken.
    pub(crate) refusal: Option<Refusal>,
    pub(crate) mining: Mining,
    /// The other members' clocks.
    pub(crate) clocks: Clocks,
    /// Transactions that came new to this node and were not committed when last looked at.
    pub(crate) unconfirmed: SeenCache<TxHash>,
    /// The tip last published, and the one last sent to peers.
    published: BlockHash,
    announced: BlockHash,
    recent_notes: VecDeque<String>,
    /// When waiting transactions were last offered again.
    pub(crate) reoffered_ms: u64,
    /// What may still be stored beside the best chain.
    pub(crate) side: SideBudget,
    /// The tip, and when it moved there; whether that was too long ago.
    pub(crate) moved: (BlockHash, u64),
    pub(crate) stale: bool,
    /// When refused blocks were last counted from nothing, and how many there were since.
    refusals: (u64, u32),
    /// The last turn was not durable: its sends were dropped and have to be made again.
    resend: bool,
}

impl Engine {
    /// An engine on an opened ledger, with no peers.
    #[must_use]
    pub fn new(ledger: Ledger, config: EngineConfig) -> Self {
        let tip = ledger.tip().hash;
        Self {
            ledger,
            config,
            now: Now::default(),
            out: Vec::new(),
            peers: BTreeMap::new(),
            orphans: Orphans::default(),
            bodies: Bodies::new(),
            siblings: Siblings::new(),
            session: None,
            headers: None,
            last_fetch: 0,
            own_block: BlockHash::ZERO,
            refusal: None,
            mining: Mining::default(),
            clocks: Clocks::default(),
            unconfirmed: SeenCache::new(MAX_UNCONFIRMED),
            published: tip,
            announced: tip,
            recent_notes: VecDeque::new(),
            reoffered_ms: 0,
            side: SideBudget::new(),
            moved: (tip, 0),
            stale: false,
            refusals: (0, 0),
            resend: false,
        }
    }

    /// The ledger, to read. What is staged in it is not durable before [`Engine::end_turn`].
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The ledger, for what goes beside events: the alarm, remembered peers, subscribing, limits. Blocks and
    /// transactions go through [`Engine::handle`], or no peer hears of them.
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Connected peers, and the height of the highest block that each showed.
    pub fn peers(&self) -> impl Iterator<Item = (PeerId, u64)> {
        self.peers.iter().map(|(peer, state)| (*peer, state.best_height))
    }

    /// Blocks held without their parent, and their bytes.
    #[must_use]
    pub fn orphans(&self) -> (usize, usize) {
        self.orphans.size()
    }

    /// Offers waiting transactions to peers as they come up. For a driver that has just opened a store: what waited
    /// before a restart came through no event.
    pub fn offer_again(&mut self, hashes: impl IntoIterator<Item = TxHash>) {
        for hash in hashes {
            self.unconfirmed.insert(hash);
            for peer in self.peers.values_mut() {
                // Whether it came when it was first sent is not known.
                peer.transactions.remove(&hash);
                peer.offers.push_back(hash);
            }
        }
    }

    /// Takes one event. The actions are to be performed after [`Engine::end_turn`], in order.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Action> {
        // A monotonic clock that steps back would make timeouts late, and nothing else.
        self.now = now;
        let is_tick = matches!(event, Event::Tick);
        match event {
            Event::Submit { ticket, from, tx } => self.submitted(ticket, from, tx),
            Event::Block { ticket, from, block } => self.block_came(block, from, ticket),
            Event::Mined { block } => self.mined(block),
            Event::PeerUp { peer } => self.peer_up(peer),
            Event::PeerSpeaks { peer } => self.peer_speaks(peer),
            Event::PeerDown { peer } => self.peer_down(peer),
            Event::PeerTip { peer, height, work } => self.peer_tip(peer, height, work),
            Event::GotBlock { peer, query, block } => self.got_block(peer, query, block),
            Event::GotTx { peer, hash, tx } => self.got_tx(peer, hash, tx),
            Event::Fetched { peer, id, result } => self.fetched(peer, id, result),
            Event::Announced { peer, header } => self.announced_by(peer, &header),
            Event::AskFailed { peer, request, error } => self.ask_failed(peer, request, error),
            Event::Malformed { peer, reason } => self.report(peer, Fault::Message, reason),
            Event::Tick => self.tick(),
        }
        self.pump_session();
        self.pump_headers();
        self.pump_bodies();
        self.pump_siblings();
        self.announce();
        self.refresh_mining(is_tick);
        std::mem::take(&mut self.out)
    }

    /// Makes all that the events since the last turn decided durable, in one batch.
    ///
    /// # Errors
    /// The store's: then perform what [`crate::refuse_replies`] leaves of the actions. Everything stays staged and is
    /// tried again at the next turn.
    pub fn end_turn(&mut self) -> Result<(), StoreError> {
        let result = self.ledger.commit();
        self.resend |= result.is_err() && !self.is_planted("no-resend");
        result
    }

    fn tick(&mut self) {
        if std::mem::take(&mut self.resend) {
            // What a failed turn did not send has to be sent again. If this turn fails too, so it goes on.
            (self.published, self.announced) = (BlockHash::ZERO, BlockHash::ZERO);
            self.mining.forget();
            for peer in self.peers.values_mut() {
                peer.blocks.clear();
                peer.transactions.clear();
                peer.offers = self.unconfirmed.iter().copied().collect();
            }
        }
        self.tick_clock();
        self.tick_stale();
        self.tick_peers();
        self.tick_bodies();
        self.tick_siblings();
        self.tick_session();
        self.tick_headers();
        self.orphans.expire(self.now.mono_ms);
    }

    fn peer_tip(&mut self, peer: PeerId, height: u64, work: U256) {
        let tip = self.ledger.tip();
        if work > tip.work || height > tip.height {
            self.ask(peer, Request::Block(BlockQuery::Tip));
        }
    }

    /// Publishes a new tip, and sends it to all peers that are not known to have it. While catching up nothing is
    /// sent: the others have those blocks.
    fn announce(&mut self) {
        let tip = self.ledger.tip();
        if self.published != tip.hash {
            self.published = tip.hash;
            self.out.push(Action::Publish(tip.clone()));
        }
        if self.announced == tip.hash || self.is_catching_up() {
            return;
        }
        let hash = tip.hash;
        self.announced = hash;
        // Its miner gives it to all its peers; whoever only passes it on tells of it, for most have it by then.
        let (block, header) = match self.ledger.block(&hash) {
            Ok(Some(block)) => {
                let unchecked = Arc::new(block.to_unchecked());
                let header = UncheckedHeader { header: block.header, signature: block.signature };
                (unchecked, (self.own_block != hash).then(|| Arc::new(header)))
            }
            Ok(None) => return,
            Err(error) => return self.note(error.to_string()),
        };
        for (peer, state) in &mut self.peers {
            if !state.blocks.insert(hash) {
                continue;
            }
            self.out.push(match &header {
                Some(header) if state.speaks => Action::Announce { peer: *peer, header: Arc::clone(header) },
                _ => Action::SendBlock { peer: *peer, block: Arc::clone(&block) },
            });
        }
    }

    /// Whether the simulator planted this bug (docs/adr/0023-planted-bugs.md); never in a node.
    #[cfg(not(feature = "planted"))]
    #[allow(clippy::unused_self, reason = "the same call as with the feature")]
    pub(crate) const fn is_planted(&self, _: &str) -> bool {
        false
    }

    /// Whether the simulator planted this bug.
    #[cfg(feature = "planted")]
    pub(crate) fn is_planted(&self, bug: &str) -> bool {
        self.ledger.is_planted(bug)
    }

    pub(crate) fn reply(&mut self, ticket: Option<Ticket>, result: ReplyResult) {
        if let Some(ticket) = ticket {
            self.out.push(Action::Reply { ticket, result });
        }
    }

    /// Says why a block was refused, as long as there are not too many of these.
    pub(crate) fn note_refusal(&mut self, text: String) {
        let now_ms = self.now.mono_ms;
        let (since_ms, count) = self.refusals;
        if now_ms.saturating_sub(since_ms) >= REFUSALS_MS {
            self.refusals = (now_ms, 0);
            if let Some(more @ 1..) = count.checked_sub(MAX_REFUSALS) {
                self.note(format!("{more} more blocks were refused after those named (counted since {since_ms} ms)"));
            }
        }
        self.refusals.1 = self.refusals.1.saturating_add(1);
        if self.refusals.1 <= MAX_REFUSALS {
            self.note(text);
        }
    }

    /// Says something to the operator, once while it repeats.
    pub(crate) fn note(&mut self, text: String) {
        if self.recent_notes.contains(&text) {
            return;
        }
        if self.recent_notes.len() >= RECENT_NOTES {
            self.recent_notes.pop_front();
        }
        self.recent_notes.push_back(text.clone());
        self.out.push(Action::Note(text));
    }
}
