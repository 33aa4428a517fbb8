//! Catching up headers first, with peers that speak `blockhie.v1.Peer`: the chain of headers, and its leader. The blocks
//! are in [`crate::fetch`]. See the crate's page.

use crate::engine::Engine;
use crate::event::{Action, AskError, Fetch, FetchId, Fetched, PeerId, Request};
use crate::fetch::Window;
use crate::limits::{
    AVOID_INVALID_MS, AVOID_MS, HEADERS_PER_FETCH, MAX_AVOID_DOUBLINGS, MAX_HEADERS_AHEAD, MAX_RELOCATIONS,
    MIN_HEADERS_AHEAD, MIN_REVIEW_BLOCKS, REVIEW_MS, STALL_MS,
};
use crate::peers::Peer;
use blockhie_core::{BlockError, BlockHash, BlockQuery, Fault, HeaderTip, UncheckedHeader};
use std::collections::VecDeque;

/// Hashes in a locator at most (protocol of `blockhie.v1.Peer`).
const MAX_LOCATOR: usize = 64;

/// A checked header whose block is not imported yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ahead {
    pub(crate) hash: BlockHash,
    pub(crate) height: u64,
}

/// One at a time. All peers that speak give blocks, and one of them, the leader, says which chain.
#[derive(Debug)]
pub(crate) struct HeaderSync {
    pub(crate) leader: PeerId,
    /// From the next block to import on, ascending.
    pub(crate) ahead: VecDeque<Ahead>,
    /// The end of `ahead`; before the first answer: nothing.
    tip: Option<HeaderTip>,
    /// Beyond it, when `ahead` is full and does not outweigh our chain yet. Nothing is kept of what it passes.
    scout: Option<HeaderTip>,
    /// Whether headers were checked that together outweigh our chain. Before, no block is fetched.
    pub(crate) heavier: bool,
    /// The leader had no more headers.
    exhausted: bool,
    /// The question for headers under way, and when it was made.
    asked: Option<(FetchId, u64)>,
    pub(crate) window: Window,
    relocations: u32,
    /// When it last took a new block.
    pub(crate) progress: Option<u64>,
    review_ms: u64,
    /// New blocks since the last review.
    pub(crate) since_review: u32,
}

impl HeaderSync {
    fn new(leader: PeerId, now_ms: u64) -> Self {
        Self {
            leader,
            ahead: VecDeque::new(),
            tip: None,
            scout: None,
            heavier: false,
            exhausted: false,
            asked: None,
            window: Window::default(),
            relocations: 0,
            progress: None,
            review_ms: now_ms,
            since_review: 0,
        }
    }

    /// When it last took a new block.
    pub(crate) fn progress_ms(&self) -> Option<u64> {
        self.progress
    }

    /// Whether the leader's chain was found.
    pub(crate) fn is_located(&self) -> bool {
        self.tip.is_some()
    }

    fn end(&self) -> Option<&HeaderTip> {
        self.scout.as_ref().or(self.tip.as_ref())
    }

    fn wants_headers(&self) -> bool {
        self.asked.is_none() && !self.exhausted && (self.ahead.len() < MIN_HEADERS_AHEAD || !self.heavier)
    }

    fn is_done(&self) -> bool {
        self.asked.is_none() && self.exhausted && (self.ahead.is_empty() || !self.heavier)
    }
}

impl Engine {
    /// Starts to catch up with a peer that speaks.
    pub(crate) fn start_headers(&mut self, leader: PeerId) {
        self.headers = Some(HeaderSync::new(leader, self.now.mono_ms));
    }

    /// Asks for what is needed next.
    pub(crate) fn pump_headers(&mut self) {
        let now_ms = self.now.mono_ms;
        let Some(sync) = &self.headers else { return };
        let leader = sync.leader;
        if !self.peers.get(&leader).is_some_and(|peer| peer.is_awake(now_ms)) {
            return self.headers_failed(AVOID_MS);
        }
        if sync.wants_headers() {
            let mut locator: Vec<BlockHash> = sync.end().map(HeaderTip::hash).into_iter().collect();
            match self.ledger.locator() {
                Ok(hashes) => locator.extend(hashes),
                Err(error) => return self.note(error.to_string()),
            }
            locator.truncate(MAX_LOCATOR);
            let id = self.fetch(leader, Fetch::Headers { locator, limit: HEADERS_PER_FETCH });
            if let Some(sync) = &mut self.headers {
                sync.asked = Some((id, now_ms));
            }
        }
        self.pump_blocks();
        if self.headers.as_ref().is_some_and(HeaderSync::is_done) {
            self.headers_done();
        }
    }

    /// A question of `blockhie.v1.Peer`.
    pub(crate) fn fetch(&mut self, peer: PeerId, fetch: Fetch) -> FetchId {
        self.last_fetch += 1;
        let id = FetchId(self.last_fetch);
        self.out.push(Action::Fetch { peer, id, fetch });
        id
    }

    /// All of the leader's chain is here, or it is no better than ours.
    fn headers_done(&mut self) {
        let Some(sync) = self.end_headers() else { return };
        if sync.progress.is_none() {
            self.avoid(sync.leader, AVOID_MS);
        } else if let Some(state) = self.peers.get_mut(&sync.leader) {
            state.failures = 0;
        }
        // It may have grown meanwhile.
        self.ask(sync.leader, Request::Block(BlockQuery::Tip));
    }

    fn end_headers(&mut self) -> Option<HeaderSync> {
        let sync = self.headers.take()?;
        for peer in sync.window.asked_peers() {
            if let Some(state) = self.peers.get_mut(&peer) {
                state.fetches = state.fetches.saturating_sub(1);
            }
        }
        Some(sync)
    }

    /// Gives the session up; what was imported stays, and somebody else may lead.
    pub(crate) fn headers_failed(&mut self, avoid_ms: u64) {
        let Some(sync) = self.end_headers() else { return };
        let mut doublings = 0;
        if let Some(state) = self.peers.get_mut(&sync.leader) {
            doublings = state.failures.min(MAX_AVOID_DOUBLINGS);
            state.failures = if sync.progress.is_some() { 0 } else { state.failures.saturating_add(1) };
        }
        self.avoid(sync.leader, avoid_ms << doublings);
        self.find_leader();
    }

    /// A peer is gone, or not believed any more.
    pub(crate) fn fetcher_lost(&mut self, peer: PeerId) {
        let Some(sync) = &mut self.headers else { return };
        let lost = sync.window.forget_peer(peer);
        if sync.leader == peer {
            self.end_headers();
            self.find_leader();
        } else if let Some(state) = self.peers.get_mut(&peer) {
            state.fetches = state.fetches.saturating_sub(lost);
        }
    }

    /// The answer to a question of this kind.
    pub(crate) fn fetched(&mut self, peer: PeerId, id: FetchId, result: Result<Fetched, AskError>) {
        let now_ms = self.now.mono_ms;
        if let Some(state) = self.peers.get_mut(&peer)
            && result.is_ok()
        {
            state.answers();
            state.heard_ms = now_ms;
        }
        let Some(sync) = &mut self.headers else { return };
        let of_headers = sync.leader == peer && sync.asked.is_some_and(|(asked, _)| asked == id);
        if of_headers {
            sync.asked = None;
        }
        match result {
            Ok(Fetched::Headers(headers)) if of_headers => self.headers_came(headers),
            Ok(Fetched::Blocks(blocks)) if !of_headers => self.blocks_came(peer, id, blocks),
            Ok(_) => {}
            Err(AskError::Malformed(reason)) => {
                self.block_fetch_failed(peer, id);
                self.report(peer, Fault::Answer, reason);
            }
            Err(AskError::Unreachable(_)) => {
                self.block_fetch_failed(peer, id);
                self.stalled(peer);
                if of_headers {
                    self.headers_failed(AVOID_MS);
                }
            }
        }
    }

    /// The leader's next headers.
    fn headers_came(&mut self, headers: Option<Vec<UncheckedHeader>>) {
        let Some(sync) = &mut self.headers else { return };
        let leader = sync.leader;
        let Some(headers) = headers else {
            self.note(format!("peer {leader} does not serve this chain's genesis block"));
            return self.headers_failed(AVOID_INVALID_MS);
        };
        let full = headers.len() >= HEADERS_PER_FETCH as usize;
        let Some(first) = headers.first() else {
            sync.exhausted = true;
            return;
        };
        let previous = first.header.previous;
        let at = match sync.end() {
            Some(end) if end.hash() == previous => end.clone(),
            _ => match self.locate(previous) {
                Some(at) => at,
                None => return,
            },
        };
        self.check_headers(at, &headers, full);
    }

    /// The leader's chain leaves ours on this block: at the beginning, or because it has changed meanwhile.
    fn locate(&mut self, previous: BlockHash) -> Option<HeaderTip> {
        let found = self.ledger.header_tip(&previous);
        let sync = self.headers.as_mut()?;
        let leader = sync.leader;
        match found {
            Ok(Some(at)) => {
                if sync.is_located() {
                    sync.relocations += 1;
                }
                if sync.relocations > MAX_RELOCATIONS {
                    self.headers_failed(AVOID_MS);
                    return None;
                }
                for peer in sync.window.asked_peers() {
                    if let Some(state) = self.peers.get_mut(&peer) {
                        state.fetches = state.fetches.saturating_sub(1);
                    }
                }
                (sync.window, sync.scout, sync.heavier) = (Window::default(), None, false);
                sync.ahead.clear();
                sync.tip = Some(at.clone());
                Some(at)
            }
            Ok(None) => {
                let reason = format!("headers: expected ones on a block of the locator, got ones on {previous}");
                self.report(leader, Fault::Answer, reason);
                None
            }
            Err(error) => {
                self.note(error.to_string());
                self.headers_failed(AVOID_MS);
                None
            }
        }
    }

    /// Checks headers one on the other and remembers them. `full`: there may be more.
    fn check_headers(&mut self, mut at: HeaderTip, headers: &[UncheckedHeader], full: bool) {
        let (now_ms, work) = (self.now.wall_ms, self.ledger.tip().work);
        let Some(sync) = &mut self.headers else { return };
        let leader = sync.leader;
        let mut fault = None;
        sync.exhausted = !full;
        for header in headers {
            if sync.ahead.is_empty() && sync.scout.is_none() {
                // A locator is sparse: what is here already needs no fetching.
                let hash = header.header.hash(self.ledger.chain_id());
                if matches!(self.ledger.knows_block(&hash), Ok(true))
                    && let Ok(Some(known)) = self.ledger.header_tip(&hash)
                {
                    at = known;
                    continue;
                }
            }
            let hash = match self.ledger.check_header(&mut at, header, now_ms) {
                Ok(hash) => hash,
                Err(error) => {
                    sync.exhausted = true;
                    fault = Some(error);
                    break;
                }
            };
            if sync.ahead.len() < MAX_HEADERS_AHEAD {
                sync.ahead.push_back(Ahead { hash, height: at.height() });
                if sync.ahead.len() == MAX_HEADERS_AHEAD {
                    sync.tip = Some(at.clone());
                    sync.scout = Some(at.clone());
                }
            }
        }
        sync.heavier |= at.work() > work;
        if let Some(state) = self.peers.get_mut(&leader) {
            state.best_height = state.best_height.max(at.height());
        }
        if sync.scout.is_none() {
            sync.tip = Some(at);
        } else if sync.heavier {
            // What it passed is asked for again when there is room.
            (sync.scout, sync.exhausted) = (None, false);
        } else {
            sync.scout = Some(at);
        }
        match fault {
            // "Not yet": what came before it holds.
            None | Some(BlockError::TooFarAhead { .. }) => {}
            Some(error) => self.chain_refused(&error),
        }
    }

    /// The leader's chain does not hold.
    fn chain_refused(&mut self, error: &BlockError) {
        let Some(leader) = self.headers.as_ref().map(|sync| sync.leader) else { return };
        let text = error.to_string();
        self.note(format!("headers from {leader} refused: {text}"));
        self.refused(text.clone());
        self.headers_failed(AVOID_INVALID_MS);
        if let Some(fault) = error.fault() {
            self.report(leader, fault, text);
        }
    }

    /// Gives up what takes too long, and takes the session from a leader that is slow while another peer could lead.
    pub(crate) fn tick_headers(&mut self) {
        let now_ms = self.now.mono_ms;
        self.tick_blocks();
        let Some(sync) = &mut self.headers else { return };
        let leader = sync.leader;
        if sync.asked.is_some_and(|(_, asked_ms)| asked_ms.saturating_add(STALL_MS) <= now_ms) {
            self.note(format!("peer {leader} gave no headers within {STALL_MS} ms"));
            self.stalled(leader);
            return self.headers_failed(AVOID_MS);
        }
        if now_ms < sync.review_ms.saturating_add(REVIEW_MS) {
            return;
        }
        let slow = sync.since_review < MIN_REVIEW_BLOCKS;
        (sync.review_ms, sync.since_review) = (now_ms, 0);
        let height = self.ledger.tip().height;
        let may_lead =
            |id: &PeerId, peer: &Peer| *id != leader && peer.best_height > height && !peer.is_avoided(now_ms);
        if slow && self.least_loaded(may_lead).is_some() {
            self.note(format!("peer {leader} leads too slowly: catching up with another"));
            // Longer than a review, so that two slow ones do not take turns.
            self.headers_failed(AVOID_INVALID_MS);
        }
    }

    /// A peer tells of a block. Only one that shows work, and a member's signature where members sign, is asked for.
    pub(crate) fn announced_by(&mut self, peer: PeerId, unchecked: &UncheckedHeader) {
        let (now, hash) = (self.now, unchecked.header.hash(self.ledger.chain_id()));
        let Some(state) = self.peers.get_mut(&peer) else { return };
        state.heard_ms = now.mono_ms;
        state.blocks.insert(hash);
        if !matches!(self.ledger.knows_block(&hash), Ok(false)) || self.waits(&hash) {
            return;
        }
        let request = Request::Block(BlockQuery::Hash(hash));
        let Ok(Some(mut tip)) = self.ledger.header_tip(&unchecked.header.previous) else {
            // Something is missing between us, or it is a mere claim: its tip tells.
            self.ask(peer, Request::Block(BlockQuery::Tip));
            return;
        };
        let checked = self.ledger.check_header(&mut tip, unchecked, now.wall_ms);
        if matches!(checked, Ok(_) | Err(BlockError::TooFarAhead { .. })) {
            self.heard_header(hash, &unchecked.header);
        }
        match checked {
            Ok(_) => {
                if !self.peers.values().any(|peer| peer.is_asked(&request)) {
                    self.ask(peer, request);
                }
            }
            Err(error) => {
                if let Some(fault) = error.fault() {
                    self.report(peer, fault, error.to_string());
                }
            }
        }
    }
}
