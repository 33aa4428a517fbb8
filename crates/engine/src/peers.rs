//! What is known of each peer, and what is under way to it.

use crate::cache::SeenCache;
use crate::engine::Engine;
use crate::event::{Action, AskError, PeerId, Request};
use crate::limits::{
    AVOID_MS, BACKOFF_MS, BAN_MS, BAN_SCORE, FIRST_FETCH_BLOCKS, MAX_ASKS_PER_PEER, MAX_BODY_ASKS_PER_PEER,
    MAX_HEIGHT_ASKS_PER_PEER, MAX_PEERS, MAX_REOFFERED, MAX_STALLS, OFFERS_PER_TICK, REOFFER_MS, SCORE_HALVES_MS,
    SEEN_BLOCKS, SEEN_TRANSACTIONS, STALL_MS, STATIC_BAN_MS, TIP_POLL_MS, points,
};
use blockhie_core::{BlockHash, BlockQuery, Fault, TxHash};
use std::collections::{BTreeMap, VecDeque};

/// One peer.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Requests under way, and when they were made.
    asks: BTreeMap<Request, u64>,
    /// Of these, blocks by height and bodies.
    height_asks: usize,
    body_asks: usize,
    /// Blocks it is known to have.
    pub(crate) blocks: SeenCache<BlockHash>,
    /// Transactions it is known to have.
    pub(crate) transactions: SeenCache<TxHash>,
    /// Waiting transactions to be offered to it.
    pub(crate) offers: VecDeque<TxHash>,
    /// Height up to which it is believed to serve: of the blocks that it showed, never of what it claims.
    pub(crate) best_height: u64,
    /// Ancestors asked for by hash in a row without meeting a known block.
    pub(crate) walk: u32,
    /// Before, it does not lead a session, and is asked for what others may have only when there is nobody else.
    pub(crate) avoid_until_ms: u64,
    /// Sessions that it led to nothing, in succession.
    pub(crate) failures: u32,
    /// When a block last came from it.
    pub(crate) heard_ms: u64,
    /// Whether it answers `blockhie.v1.Peer`.
    pub(crate) speaks: bool,
    /// Questions of that kind under way.
    pub(crate) fetches: usize,
    /// Blocks it is asked for in one question: as many as come quickly.
    pub(crate) fetch_blocks: usize,
    stalls: u32,
    backoff_until_ms: u64,
    score: u32,
    scored_ms: u64,
}

impl Peer {
    fn new(now_ms: u64) -> Self {
        Self {
            asks: BTreeMap::new(),
            height_asks: 0,
            body_asks: 0,
            blocks: SeenCache::new(SEEN_BLOCKS),
            transactions: SeenCache::new(SEEN_TRANSACTIONS),
            offers: VecDeque::new(),
            best_height: 0,
            walk: 0,
            avoid_until_ms: 0,
            failures: 0,
            heard_ms: now_ms,
            speaks: false,
            fetches: 0,
            fetch_blocks: FIRST_FETCH_BLOCKS,
            stalls: 0,
            backoff_until_ms: 0,
            score: 0,
            scored_ms: now_ms,
        }
    }

    /// Whether it answers at present.
    pub(crate) fn is_awake(&self, now_ms: u64) -> bool {
        self.backoff_until_ms <= now_ms
    }

    /// Whether it failed a moment ago.
    pub(crate) fn is_avoided(&self, now_ms: u64) -> bool {
        self.avoid_until_ms > now_ms
    }

    pub(crate) fn is_asked(&self, request: &Request) -> bool {
        self.asks.contains_key(request)
    }

    /// Requests under way.
    pub(crate) fn load(&self) -> usize {
        self.asks.len() + self.fetches
    }

    /// Whether one more request of this kind may be under way to it.
    pub(crate) fn has_room(&self, request: &Request) -> bool {
        self.asks.len() < MAX_ASKS_PER_PEER
            && match request {
                Request::Tx(_) => self.body_asks < MAX_BODY_ASKS_PER_PEER,
                Request::Block(BlockQuery::Height(_)) => self.height_asks < MAX_HEIGHT_ASKS_PER_PEER,
                Request::Block(_) => true,
            }
    }

    /// It is there.
    pub(crate) fn answers(&mut self) {
        (self.stalls, self.backoff_until_ms) = (0, 0);
    }

    fn count(&mut self, request: &Request) -> Option<&mut usize> {
        match request {
            Request::Tx(_) => Some(&mut self.body_asks),
            Request::Block(BlockQuery::Height(_)) => Some(&mut self.height_asks),
            Request::Block(_) => None,
        }
    }

    fn start(&mut self, request: Request, now_ms: u64) {
        self.asks.insert(request, now_ms);
        if let Some(count) = self.count(&request) {
            *count += 1;
        }
    }

    fn settle(&mut self, request: &Request) -> bool {
        let was_asked = self.asks.remove(request).is_some();
        if was_asked && let Some(count) = self.count(request) {
            *count -= 1;
        }
        was_asked
    }
}

impl Engine {
    /// Peers that misbehaved and their scores, ascending by address. At 100 a peer is banned; scores halve with time.
    #[must_use]
    pub fn scores(&self) -> Vec<(PeerId, u32)> {
        let scored = self.peers.iter().filter(|(_, state)| state.score > 0);
        scored.map(|(peer, state)| (*peer, state.score)).collect()
    }

    pub(crate) fn peer_up(&mut self, peer: PeerId) {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&peer) {
            self.note(format!("peer {peer} is not used: expected at most {MAX_PEERS} peers"));
            return;
        }
        self.peer_down(peer);
        let mut state = Peer::new(self.now.mono_ms);
        state.offers.extend(self.unconfirmed.iter().copied());
        self.peers.insert(peer, state);
        self.ask(peer, Request::Block(BlockQuery::Tip));
    }

    pub(crate) fn peer_speaks(&mut self, peer: PeerId) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.speaks = true;
        }
    }

    /// Forgets a peer; what it was asked for is asked of others.
    pub(crate) fn peer_down(&mut self, peer: PeerId) {
        let Some(state) = self.peers.remove(&peer) else { return };
        for request in state.asks.keys() {
            self.unanswered(peer, *request);
        }
        self.leader_lost(peer);
        self.fetcher_lost(peer);
    }

    /// Asks a peer, unless it is busy, does not answer at present, or is asked that already.
    pub(crate) fn ask(&mut self, peer: PeerId, request: Request) -> bool {
        let now_ms = self.now.mono_ms;
        let Some(state) = self.peers.get_mut(&peer) else { return false };
        // A peer that did not answer is still asked for its tip: so we hear when it is back.
        let awake = state.is_awake(now_ms) || request == Request::Block(BlockQuery::Tip);
        if !awake || state.is_asked(&request) || !state.has_room(&request) {
            return false;
        }
        state.start(request, now_ms);
        self.out.push(Action::Ask { peer, request });
        true
    }

    /// An answer came; whether it was still waited for.
    pub(crate) fn answered(&mut self, peer: PeerId, request: &Request) -> bool {
        let now_ms = self.now.mono_ms;
        let Some(state) = self.peers.get_mut(&peer) else { return false };
        if matches!(request, Request::Block(_)) {
            state.heard_ms = now_ms;
        }
        state.answers();
        state.settle(request)
    }

    pub(crate) fn ask_failed(&mut self, peer: PeerId, request: Request, error: AskError) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let was_asked = state.settle(&request);
        match error {
            AskError::Malformed(reason) => self.report(peer, Fault::Answer, reason),
            AskError::Unreachable(_) => self.stalled(peer),
        }
        if was_asked {
            self.unanswered(peer, request);
        }
    }

    /// It did not answer in time.
    pub(crate) fn stalled(&mut self, peer: PeerId) {
        let now_ms = self.now.mono_ms;
        let Some(state) = self.peers.get_mut(&peer) else { return };
        state.stalls += 1;
        if state.stalls >= MAX_STALLS {
            state.stalls = 0;
            state.backoff_until_ms = now_ms.saturating_add(BACKOFF_MS);
        }
    }

    /// Somebody else has to be asked.
    fn unanswered(&mut self, peer: PeerId, request: Request) {
        match request {
            Request::Tx(hash) => self.bodies.wants.unanswered(peer, &hash),
            Request::Block(BlockQuery::Height(height)) => self.height_unanswered(peer, height),
            // Asked again when the tip is, unless it is a sibling.
            Request::Block(BlockQuery::Hash(hash)) => self.siblings.wants.unanswered(peer, &hash),
            Request::Block(BlockQuery::Tip) => {}
        }
    }

    /// Gives up what takes too long, and asks idle peers for their tips.
    pub(crate) fn tick_peers(&mut self) {
        let now_ms = self.now.mono_ms;
        let mut late = Vec::new();
        for (peer, state) in &mut self.peers {
            if now_ms.saturating_sub(state.scored_ms) >= SCORE_HALVES_MS {
                state.scored_ms = now_ms;
                state.score /= 2;
            }
            let overdue = state.asks.iter().filter(|(_, asked_ms)| asked_ms.saturating_add(STALL_MS) <= now_ms);
            late.extend(overdue.map(|(request, _)| (*peer, *request)));
        }
        // Many requests that end together are one stall.
        let mut slow: Vec<PeerId> = late.iter().map(|(peer, _)| *peer).collect();
        slow.dedup();
        for (peer, request) in late {
            if self.peers.get_mut(&peer).is_some_and(|state| state.settle(&request)) {
                if matches!(request, Request::Tx(_)) {
                    self.avoid(peer, AVOID_MS);
                }
                self.unanswered(peer, request);
            }
        }
        for peer in slow {
            self.stalled(peer);
        }
        let quiet = |state: &Peer| state.heard_ms.saturating_add(TIP_POLL_MS) <= now_ms;
        let idle: Vec<PeerId> = self.peers.iter().filter(|(_, state)| quiet(state)).map(|(peer, _)| *peer).collect();
        for peer in idle {
            self.ask(peer, Request::Block(BlockQuery::Tip));
        }
        if now_ms.saturating_sub(self.reoffered_ms) >= REOFFER_MS {
            self.reoffered_ms = now_ms;
            self.offer_oldest();
        }
        self.send_offers();
    }

    /// What still waits after so long may have been lost on its way, or refused by a mempool that was full.
    fn offer_oldest(&mut self) {
        let oldest: Vec<TxHash> = self.unconfirmed.iter().take(MAX_REOFFERED).copied().collect();
        for state in self.peers.values_mut() {
            for hash in &oldest {
                state.transactions.remove(hash);
            }
            state.offers = oldest.iter().copied().collect();
        }
    }

    /// Offers waiting transactions to peers that came up or may have missed them, a few at a time.
    fn send_offers(&mut self) {
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            for _ in 0..OFFERS_PER_TICK {
                let Some(hash) = self.peers.get_mut(&peer).and_then(|state| state.offers.pop_front()) else { break };
                self.offer(peer, hash);
            }
        }
    }

    /// A peer misbehaved in this way.
    pub(crate) fn report(&mut self, peer: PeerId, fault: Fault, reason: String) {
        self.punish(peer, points(fault), reason);
    }

    /// Scores misbehaviour. At [`BAN_SCORE`] the peer is banned and all it sent is forgotten. On loopback any program of
    /// this machine may claim any port, so nobody there is banned: it is only not asked first for a while.
    fn punish(&mut self, peer: PeerId, points: u32, reason: String) {
        let score = match self.peers.get_mut(&peer) {
            Some(state) => {
                state.score = state.score.saturating_add(points);
                state.score
            }
            None => points,
        };
        if score < BAN_SCORE {
            return;
        }
        if peer.ip().to_canonical().is_loopback() {
            return self.pass_over(peer, &reason);
        }
        let for_ms = if self.config.static_peers.contains(&peer) { STATIC_BAN_MS } else { BAN_MS };
        self.out.push(Action::Ban { peer, for_ms, reason });
        self.orphans.forget_peer(peer);
        self.peer_down(peer);
    }

    /// Instead of a ban.
    fn pass_over(&mut self, peer: PeerId, reason: &str) {
        self.note(format!("peer {peer} of this machine is passed over for {AVOID_MS} ms: {reason}"));
        self.orphans.forget_peer(peer);
        if let Some(state) = self.peers.get_mut(&peer) {
            state.score = 0;
        }
        self.avoid(peer, AVOID_MS);
        self.leader_lost(peer);
        self.fetcher_lost(peer);
    }

    /// Leaves a peer alone for a time.
    pub(crate) fn avoid(&mut self, peer: PeerId, for_ms: u64) {
        let until_ms = self.now.mono_ms.saturating_add(for_ms);
        if let Some(state) = self.peers.get_mut(&peer) {
            state.avoid_until_ms = state.avoid_until_ms.max(until_ms);
        }
    }

    /// The awake peer with fewest requests under way of those that `may`.
    pub(crate) fn least_loaded(&self, may: impl Fn(&PeerId, &Peer) -> bool) -> Option<PeerId> {
        let now_ms = self.now.mono_ms;
        let awake = self.peers.iter().filter(|(id, peer)| peer.is_awake(now_ms) && may(id, peer));
        awake.min_by_key(|(_, peer)| peer.load()).map(|(id, _)| *id)
    }
}
