//! Catching up with one peer's best chain over calls that give one block at a time. See the crate's page.

use crate::blocks::Verdict;
use crate::engine::Engine;
use crate::event::{PeerId, Request};
use crate::headers::HeaderSync;
use crate::limits::{
    AVOID_INVALID_MS, AVOID_MS, CATCHING_UP_MS, MAX_AVOID_DOUBLINGS, MAX_RELOCATIONS, MIN_REVIEW_BLOCKS,
    PREFETCH_BYTES, REVIEW_MS, SYNC_WINDOW,
};
use crate::peers::Peer;
use crate::state::SyncState;
use blockhie_core::{BlockHash, BlockQuery, Fault, Imported, UncheckedBlock};
use std::collections::{BTreeMap, BTreeSet};

/// One at a time: all peers serve it, and one of them, the leader, says which chain.
#[derive(Debug)]
pub(crate) struct Session {
    leader: PeerId,
    /// Height up to which it goes; what the leader claims, cut when it has no such block.
    end: u64,
    phase: Phase,
    /// Peers whose blocks did not fit: on another branch, and not asked for this one.
    strangers: BTreeSet<PeerId>,
    relocations: u32,
    /// When it last took a new block.
    progress_ms: Option<u64>,
    review_ms: u64,
    /// New blocks since the last review.
    since_review: u32,
}

#[derive(Debug)]
enum Phase {
    /// Stepping back for a block of the leader's chain that is known here.
    Locate { probe: u64, step: u64 },
    /// Forward from there.
    Forward(Forward),
}

#[derive(Debug)]
struct Forward {
    /// The next height to import.
    next: u64,
    /// The block below that, on the leader's chain: what the next one must stand on.
    parent: BlockHash,
    asked: BTreeMap<u64, PeerId>,
    got: BTreeMap<u64, (PeerId, UncheckedBlock)>,
    /// Heights that only the leader is asked for: another peer's block did not fit.
    leader_only: BTreeSet<u64>,
    /// The block at `next`, while it waits for its bodies.
    waiting: Option<BlockHash>,
}

impl Forward {
    /// From above `parent` on. The first block has to be the leader's: only it says which of several branches.
    fn new(next: u64, parent: BlockHash) -> Self {
        let (asked, got) = (BTreeMap::new(), BTreeMap::new());
        Self { next, parent, asked, got, leader_only: [next].into(), waiting: None }
    }

    fn step(&mut self, imported: BlockHash) {
        self.leader_only.remove(&self.next);
        self.next = self.next.saturating_add(1);
        self.parent = imported;
    }
}

fn by_height(height: u64) -> Request {
    Request::Block(BlockQuery::Height(height))
}

impl Engine {
    /// Starts to catch up with a peer, unless that is under way with one or this one failed a moment ago.
    pub(crate) fn start_session(&mut self, leader: PeerId, end: u64) {
        let now_ms = self.now.mono_ms;
        let may = |peer: &&Peer| !peer.is_avoided(now_ms) && peer.is_awake(now_ms);
        let Some(peer) = self.peers.get(&leader).filter(may) else { return };
        if self.session.is_some() || self.headers.is_some() {
            return;
        }
        if peer.speaks {
            return self.start_headers(leader);
        }
        let probe = self.ledger.tip().height.min(end.saturating_sub(1));
        self.session = Some(Session {
            leader,
            end,
            phase: Phase::Locate { probe, step: 1 },
            strangers: BTreeSet::new(),
            relocations: 0,
            progress_ms: None,
            review_ms: now_ms,
            since_review: 0,
        });
    }

    /// Whether blocks come in by a session right now: then mining and relay wait.
    pub(crate) fn is_catching_up(&self) -> bool {
        let recent = |at: u64| self.now.mono_ms < at.saturating_add(CATCHING_UP_MS);
        let progress_ms = self.session.as_ref().and_then(|session| session.progress_ms);
        let progress_ms = progress_ms.or_else(|| self.headers.as_ref().and_then(HeaderSync::progress_ms));
        progress_ms.is_some_and(recent)
    }

    /// What the session waits for.
    pub(crate) fn session_state(&self) -> Option<SyncState> {
        let Session { leader: peer, phase, .. } = self.session.as_ref()?;
        Some(match phase {
            Phase::Locate { .. } => SyncState::Locating { peer: *peer },
            Phase::Forward(forward) => SyncState::Blocks { height: forward.next, peer: *peer },
        })
    }

    /// Asks for what the session needs next.
    pub(crate) fn pump_session(&mut self) {
        let now_ms = self.now.mono_ms;
        let Some(session) = &self.session else { return };
        let leader = session.leader;
        if !self.peers.get(&leader).is_some_and(|peer| peer.is_awake(now_ms)) {
            return self.session_failed(AVOID_MS);
        }
        match &session.phase {
            Phase::Locate { probe, .. } => {
                let request = by_height(*probe);
                self.ask(leader, request);
            }
            Phase::Forward(forward) => {
                if let Some(hash) = forward.waiting.filter(|hash| !self.waits(hash)) {
                    self.resume(hash);
                }
                self.pump_forward();
            }
        }
    }

    /// The block at `next` waits no longer: by whatever way its bodies or siblings came, or were given up, the ledger
    /// tells.
    fn resume(&mut self, hash: BlockHash) {
        if !self.ledger.is_settled(&hash).unwrap_or(false) {
            return self.session_failed(AVOID_MS);
        }
        let now_ms = self.now.mono_ms;
        if let Some(Session { phase: Phase::Forward(forward), progress_ms, since_review, .. }) = &mut self.session {
            forward.waiting = None;
            forward.step(hash);
            *progress_ms = Some(now_ms);
            *since_review += 1;
        }
        self.advance();
    }

    fn pump_forward(&mut self) {
        let now_ms = self.now.mono_ms;
        let Some(Session { leader, end, phase: Phase::Forward(forward), strangers, .. }) = &self.session else {
            return;
        };
        if forward.next > *end {
            let leader = *leader;
            self.session = None;
            // It may have grown meanwhile.
            self.ask(leader, Request::Block(BlockQuery::Tip));
            return;
        }
        let (leader, window_end) = (*leader, (*end).min(forward.next.saturating_add(SYNC_WINDOW - 1)));
        let waiting = u64::from(forward.waiting.is_some());
        let open = |height: &u64| !forward.asked.contains_key(height) && !forward.got.contains_key(height);
        let heights: Vec<(u64, bool)> = (forward.next.saturating_add(waiting)..=window_end)
            .filter(open)
            .map(|height| (height, forward.leader_only.contains(&height)))
            .collect();
        let strangers = strangers.clone();
        for (height, leader_only) in heights {
            let request = by_height(height);
            let peer = self.least_loaded(|id, peer| {
                let helps =
                    !leader_only && peer.best_height >= height && !peer.is_avoided(now_ms) && !strangers.contains(id);
                (*id == leader || helps) && peer.has_room(&request) && !peer.is_asked(&request)
            });
            let Some(peer) = peer else { continue };
            if self.ask(peer, request)
                && let Some(forward) = self.forward()
            {
                forward.asked.insert(height, peer);
            }
        }
    }

    fn forward(&mut self) -> Option<&mut Forward> {
        match &mut self.session.as_mut()?.phase {
            Phase::Forward(forward) => Some(forward),
            Phase::Locate { .. } => None,
        }
    }

    /// The answer to a question by height; `None`: the peer's best chain is shorter.
    pub(crate) fn height_came(&mut self, peer: PeerId, height: u64, block: Option<UncheckedBlock>) {
        if let Some(block) = block.as_ref().filter(|block| block.height != height) {
            self.height_unanswered(peer, height);
            return self.report(peer, Fault::Answer, format!("block: expected height {height}, got {}", block.height));
        }
        if block.is_none()
            && let Some(state) = self.peers.get_mut(&peer)
        {
            state.best_height = state.best_height.min(height.saturating_sub(1));
        }
        let Some(session) = &mut self.session else { return };
        match &mut session.phase {
            Phase::Locate { probe, .. } if peer == session.leader && *probe == height => self.located(height, block),
            Phase::Forward(forward) if forward.asked.get(&height) == Some(&peer) => {
                forward.asked.remove(&height);
                match block {
                    Some(block) => {
                        forward.got.insert(height, (peer, block));
                        self.prefetch_at(height);
                        self.advance();
                    }
                    None if peer == session.leader => session.end = session.end.min(height.saturating_sub(1)),
                    None => drop(forward.leader_only.insert(height)),
                }
            }
            _ => {}
        }
    }

    /// The leader's block at a probed height.
    fn located(&mut self, height: u64, block: Option<UncheckedBlock>) {
        let hash = block.map(|block| block.claimed_hash);
        let known = hash.filter(|hash| self.ledger.knows_block(hash).unwrap_or(false));
        let Some(Session { leader, phase, .. }) = &mut self.session else { return };
        let Phase::Locate { probe, step } = phase else { return };
        if let Some(hash) = known {
            *phase = Phase::Forward(Forward::new(height.saturating_add(1), hash));
        } else if height == 0 {
            let leader = *leader;
            self.note(format!("peer {leader} does not serve this chain's genesis block"));
            self.session_failed(AVOID_INVALID_MS);
        } else {
            *probe = height.saturating_sub(*step);
            *step = step.saturating_mul(2);
        }
    }

    /// Asks ahead for the bodies of a block that came, if it is near enough to its turn.
    fn prefetch_at(&mut self, height: u64) {
        let ahead = (PREFETCH_BYTES / u64::from(self.ledger.genesis().max_bytes)).max(1);
        let Some(forward) = self.forward() else { return };
        if height >= forward.next.saturating_add(ahead) {
            return;
        }
        if let Some((peer, block)) = forward.got.get(&height).cloned() {
            self.prefetch(&block, peer);
        }
    }

    /// Imports what came in order.
    fn advance(&mut self) {
        while let Some(forward) = self.forward() {
            if forward.waiting.is_some() {
                return;
            }
            let next = forward.next;
            let Some((peer, block)) = forward.got.remove(&next) else { return };
            let hash = block.claimed_hash;
            if block.previous != forward.parent {
                self.does_not_fit(peer, next);
                continue;
            }
            let verdict = self.import(block, Some(peer), Vec::new(), 0);
            self.session_step(hash, peer, verdict);
        }
    }

    /// What became of the block at `next`.
    fn session_step(&mut self, hash: BlockHash, peer: PeerId, verdict: Verdict) {
        let now_ms = self.now.mono_ms;
        let Some(session) = &mut self.session else { return };
        let Phase::Forward(forward) = &mut session.phase else { return };
        let next = forward.next;
        match verdict {
            Verdict::Taken(imported) => {
                forward.step(hash);
                if imported != Imported::Known {
                    session.progress_ms = Some(now_ms);
                    session.since_review += 1;
                }
            }
            Verdict::Waits => forward.waiting = Some(hash),
            // Not with a parent that was just imported.
            Verdict::Orphan => self.does_not_fit(peer, next),
            Verdict::Refused { not_valid } if peer == session.leader => {
                self.session_failed(if not_valid { AVOID_INVALID_MS } else { AVOID_MS });
            }
            Verdict::Refused { .. } => drop(forward.leader_only.insert(next)),
        }
    }

    /// The block that this peer gave for `next` does not stand on what was imported. If it is the leader's, its chain
    /// has changed meanwhile.
    fn does_not_fit(&mut self, peer: PeerId, next: u64) {
        let Some(session) = &mut self.session else { return };
        if peer != session.leader {
            session.strangers.insert(peer);
            if let Phase::Forward(forward) = &mut session.phase {
                forward.leader_only.insert(next);
                forward.got.retain(|_, (from, _)| *from != peer);
            }
            return;
        }
        session.relocations += 1;
        if session.relocations > MAX_RELOCATIONS {
            return self.session_failed(AVOID_MS);
        }
        session.phase = Phase::Locate { probe: next.saturating_sub(1), step: 1 };
    }

    /// A question by height got no answer.
    pub(crate) fn height_unanswered(&mut self, peer: PeerId, height: u64) {
        let Some(session) = &mut self.session else { return };
        let is_leader = peer == session.leader;
        match &mut session.phase {
            Phase::Locate { probe, .. } if is_leader && *probe == height => self.session_failed(AVOID_MS),
            Phase::Forward(forward) if forward.asked.get(&height) == Some(&peer) => {
                forward.asked.remove(&height);
                if !is_leader {
                    self.avoid(peer, AVOID_INVALID_MS);
                } else if forward.leader_only.contains(&height) {
                    self.session_failed(AVOID_MS);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn leader_lost(&mut self, peer: PeerId) {
        if self.session.as_ref().is_some_and(|session| session.leader == peer) {
            self.session = None;
            self.find_leader();
        }
    }

    fn session_failed(&mut self, avoid_ms: u64) {
        let Some(session) = self.session.take() else { return };
        let mut doublings = 0;
        if let Some(state) = self.peers.get_mut(&session.leader) {
            doublings = state.failures.min(MAX_AVOID_DOUBLINGS);
            state.failures = if session.progress_ms.is_some() { 0 } else { state.failures.saturating_add(1) };
        }
        self.avoid(session.leader, avoid_ms << doublings);
        self.find_leader();
    }

    /// Asks whoever may be further than we are for its tip, without waiting for the next poll.
    pub(crate) fn find_leader(&mut self) {
        let (now_ms, height) = (self.now.mono_ms, self.ledger.tip().height);
        let ahead = |peer: &Peer| peer.best_height > height && !peer.is_avoided(now_ms);
        let peers: Vec<PeerId> = self.peers.iter().filter(|(_, peer)| ahead(peer)).map(|(id, _)| *id).collect();
        for peer in peers {
            self.ask(peer, Request::Block(BlockQuery::Tip));
        }
    }

    /// Takes the session from a leader that is slow while another peer could lead.
    pub(crate) fn tick_session(&mut self) {
        let now_ms = self.now.mono_ms;
        let height = self.ledger.tip().height;
        let Some(session) = &mut self.session else { return };
        if now_ms < session.review_ms.saturating_add(REVIEW_MS) {
            return;
        }
        let slow = session.since_review < MIN_REVIEW_BLOCKS;
        (session.review_ms, session.since_review) = (now_ms, 0);
        let leader = session.leader;
        let may_lead =
            |id: &PeerId, peer: &Peer| *id != leader && peer.best_height > height && !peer.is_avoided(now_ms);
        if slow && self.least_loaded(may_lead).is_some() {
            self.note(format!("peer {leader} serves too slowly: catching up with another"));
            // Longer than a review, so that two slow ones do not take turns.
            self.session_failed(AVOID_INVALID_MS);
        }
    }
}
