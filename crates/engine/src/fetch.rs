//! Whole blocks along a chain of checked headers: a window of parallel questions over all peers that have them.

use crate::blocks::Verdict;
use crate::engine::Engine;
use crate::event::{Fetch, FetchId, PeerId, WholeBlock};
use crate::headers::Ahead;
use crate::limits::{
    AVOID_INVALID_MS, AVOID_MS, FETCH_BYTES, MAX_FETCH_BLOCKS, MAX_FETCHES, MAX_FETCHES_PER_PEER, MAX_HELD_BYTES,
    MAX_WINDOW, QUICK_FETCH_MS, STALL_MS,
};
use crate::peers::Peer;
use blockhie_core::{BlockHash, Fault, Imported};
use std::collections::{BTreeMap, BTreeSet};

/// Memory of a held transaction beside its body, roughly.
const ENTRY_BYTES: u64 = 256;

/// What is under way or waits for its turn.
#[derive(Debug, Default)]
pub(crate) struct Window {
    requests: BTreeMap<FetchId, InFlight>,
    /// Blocks of these requests: none is asked for twice.
    asked: BTreeSet<BlockHash>,
    held: BTreeMap<BlockHash, Held>,
    held_bytes: u64,
    /// Who does not have a block, or gave one that does not fit.
    tried: BTreeMap<BlockHash, BTreeSet<PeerId>>,
    /// The next block, while it waits for bodies that were not with it.
    pub(crate) waiting: Option<BlockHash>,
    /// Who let a question time out since the last block was taken.
    pub(crate) stalled: Option<PeerId>,
}

#[derive(Debug)]
struct InFlight {
    peer: PeerId,
    blocks: Vec<BlockHash>,
    asked_ms: u64,
}

#[derive(Debug)]
struct Held {
    from: PeerId,
    whole: WholeBlock,
    bytes: u64,
}

impl Window {
    /// Whom the questions under way went to, one entry each.
    pub(crate) fn asked_peers(&self) -> Vec<PeerId> {
        self.requests.values().map(|request| request.peer).collect()
    }

    /// Blocks held ahead of their turn and their bytes.
    pub(crate) fn held(&self) -> (usize, u64) {
        (self.held.len(), self.held_bytes)
    }

    fn is_open(&self, hash: &BlockHash) -> bool {
        !self.asked.contains(hash) && !self.held.contains_key(hash) && self.waiting != Some(*hash)
    }

    fn settle(&mut self, id: FetchId, peer: PeerId) -> Option<InFlight> {
        if self.requests.get(&id)?.peer != peer {
            return None;
        }
        let request = self.requests.remove(&id)?;
        for hash in &request.blocks {
            self.asked.remove(hash);
        }
        Some(request)
    }

    /// How many questions to it are given up.
    pub(crate) fn forget_peer(&mut self, peer: PeerId) -> usize {
        let ids: Vec<FetchId> =
            self.requests.iter().filter(|(_, request)| request.peer == peer).map(|(id, _)| *id).collect();
        for id in &ids {
            self.settle(*id, peer);
        }
        ids.len()
    }

    fn hold(&mut self, hash: BlockHash, from: PeerId, whole: WholeBlock) {
        let size = |len: usize| u64::try_from(len).unwrap_or(u64::MAX).saturating_add(ENTRY_BYTES);
        let bytes = whole.transactions.iter().map(|tx| size(tx.body().len())).sum();
        if self.held.insert(hash, Held { from, whole, bytes }).is_none() {
            self.held_bytes += bytes;
        }
    }

    fn take(&mut self, hash: &BlockHash) -> Option<Held> {
        let held = self.held.remove(hash)?;
        self.held_bytes -= held.bytes;
        Some(held)
    }
}

/// Who can be asked for a block.
enum Fetcher {
    Peer(PeerId),
    Busy,
    Nobody,
}

impl Engine {
    /// Imports what came, and asks for more.
    pub(crate) fn pump_blocks(&mut self) {
        self.import_held();
        while let Some((hash, height, is_next)) = self.next_open() {
            match self.fetcher(&hash, height) {
                Fetcher::Peer(peer) => self.fetch_blocks(peer, hash),
                Fetcher::Busy => return,
                Fetcher::Nobody if is_next => {
                    self.note(format!("nobody serves block {hash} at height {height}, of which there are headers"));
                    return self.headers_failed(AVOID_INVALID_MS);
                }
                Fetcher::Nobody => return,
            }
        }
    }

    /// The first block that is to be asked for, if there is room for it; whether it is the next to be imported.
    fn next_open(&self) -> Option<(BlockHash, u64, bool)> {
        let sync = self.headers.as_ref().filter(|sync| sync.heavier)?;
        let (window, on_way) = (&sync.window, u64::try_from(sync.window.requests.len()).unwrap_or(u64::MAX));
        let one = FETCH_BYTES.max(u64::from(self.ledger.genesis().max_bytes));
        let has_room = window.held_bytes.saturating_add(one.saturating_mul(on_way + 1)) <= MAX_HELD_BYTES
            && window.requests.len() < MAX_FETCHES;
        // The next one always has room: without it nothing that is held can go.
        let seen = if has_room { MAX_WINDOW } else { 1 };
        let mut places = sync.ahead.iter().take(seen).enumerate();
        let (at, block) = places.find(|(_, block)| window.is_open(&block.hash))?;
        Some((block.hash, block.height, at == 0))
    }

    fn fetcher(&self, hash: &BlockHash, height: u64) -> Fetcher {
        let now_ms = self.now.mono_ms;
        let Some(sync) = &self.headers else { return Fetcher::Nobody };
        let tried = sync.window.tried.get(hash);
        let may = |id: &PeerId, peer: &Peer| {
            peer.speaks
                && (*id == sync.leader || peer.best_height >= height)
                && !tried.is_some_and(|tried| tried.contains(id))
        };
        let good = self.least_loaded(|id, peer| may(id, peer) && !peer.is_avoided(now_ms)).is_some();
        let chosen = self.least_loaded(|id, peer| {
            may(id, peer) && peer.fetches < MAX_FETCHES_PER_PEER && !(good && peer.is_avoided(now_ms))
        });
        match chosen {
            Some(peer) => Fetcher::Peer(peer),
            // One that does not answer at present may be back.
            None if self.peers.iter().any(|(id, peer)| may(id, peer)) => Fetcher::Busy,
            None => Fetcher::Nobody,
        }
    }

    /// Asks a peer for this block and those after it.
    fn fetch_blocks(&mut self, peer: PeerId, first: BlockHash) {
        let now_ms = self.now.mono_ms;
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let Some(sync) = &self.headers else { return };
        let window = &sync.window;
        let from_first = sync.ahead.iter().take(MAX_WINDOW).skip_while(|block| block.hash != first);
        let blocks: Vec<BlockHash> = from_first
            .take(state.fetch_blocks)
            .take_while(|block| window.is_open(&block.hash))
            .map(|block| block.hash)
            .collect();
        state.fetches += 1;
        let id = self.fetch(peer, Fetch::Blocks(blocks.clone()));
        if let Some(sync) = &mut self.headers {
            sync.window.asked.extend(blocks.iter().copied());
            sync.window.requests.insert(id, InFlight { peer, blocks, asked_ms: now_ms });
        }
    }

    /// The question is answered or given up.
    fn settle_fetch(&mut self, peer: PeerId, id: FetchId) -> Option<InFlight> {
        let request = self.headers.as_mut()?.window.settle(id, peer)?;
        if let Some(state) = self.peers.get_mut(&peer) {
            state.fetches = state.fetches.saturating_sub(1);
        }
        Some(request)
    }

    pub(crate) fn block_fetch_failed(&mut self, peer: PeerId, id: FetchId) {
        if self.settle_fetch(peer, id).is_some() {
            self.avoid(peer, AVOID_MS);
        }
    }

    pub(crate) fn blocks_came(&mut self, peer: PeerId, id: FetchId, blocks: Vec<(BlockHash, Option<WholeBlock>)>) {
        let now_ms = self.now.mono_ms;
        let Some(request) = self.settle_fetch(peer, id) else { return };
        let got = blocks.iter().filter(|(_, block)| block.is_some()).count();
        if let Some(state) = self.peers.get_mut(&peer) {
            let quick = now_ms.saturating_sub(request.asked_ms) <= QUICK_FETCH_MS;
            if blocks.len() < request.blocks.len() {
                // Its answer was long enough.
                state.fetch_blocks = blocks.len().max(1);
            } else if quick {
                state.fetch_blocks = (state.fetch_blocks * 2).min(MAX_FETCH_BLOCKS);
            }
        }
        if got == 0 {
            self.avoid(peer, AVOID_MS);
        }
        for ((hash, whole), expected) in blocks.into_iter().zip(request.blocks) {
            let claimed = whole.as_ref().map_or(expected, |whole| whole.block.claimed_hash);
            if hash != expected || claimed != expected {
                return self.report(peer, Fault::Answer, format!("block: expected {expected}, got {claimed}"));
            }
            let Some(sync) = &mut self.headers else { return };
            match whole {
                Some(whole) => {
                    // A sibling is no part of the chain of headers: it is asked for by itself, and best ahead of its turn.
                    let lister = (!whole.block.siblings.is_empty()).then(|| whole.block.clone());
                    sync.window.hold(hash, peer, whole);
                    if let Some(block) = lister {
                        self.prefetch_siblings(&block, peer);
                    }
                }
                None => drop(sync.window.tried.entry(hash).or_default().insert(peer)),
            }
        }
        if let Some(state) = self.peers.get_mut(&peer)
            && got > 0
        {
            state.walk = 0;
        }
    }

    /// Imports in order.
    fn import_held(&mut self) {
        loop {
            let Some(sync) = &mut self.headers else { return };
            let Some(Ahead { hash, .. }) = sync.ahead.front().copied() else { return };
            if let Some(held) = sync.window.take(&hash) {
                let from = held.from;
                for tx in held.whole.transactions {
                    self.body_came(tx);
                }
                let verdict = self.import(held.whole.block, Some(from), Vec::new(), 0);
                self.judged(hash, from, verdict);
                continue;
            }
            let waits = sync.window.waiting == Some(hash);
            if self.waits(&hash) {
                return;
            }
            // Its bodies or siblings came, or it came by another way.
            if matches!(self.ledger.is_settled(&hash), Ok(true)) {
                self.stepped(true);
            } else if waits {
                return self.headers_failed(AVOID_MS);
            } else {
                return;
            }
        }
    }

    /// The next block was taken.
    fn stepped(&mut self, is_new: bool) {
        let now_ms = self.now.mono_ms;
        let Some(sync) = &mut self.headers else { return };
        if let Some(block) = sync.ahead.pop_front() {
            sync.window.tried.remove(&block.hash);
        }
        (sync.window.waiting, sync.window.stalled) = (None, None);
        if is_new {
            sync.progress = Some(now_ms);
            sync.since_review += 1;
        }
    }

    /// What became of the next block.
    fn judged(&mut self, hash: BlockHash, from: PeerId, verdict: Verdict) {
        // A sender that was at fault is forgotten already, and with it the session if it led.
        let Some(sync) = &mut self.headers else { return };
        match verdict {
            Verdict::Taken(imported) => self.stepped(imported != Imported::Known),
            Verdict::Waits => sync.window.waiting = Some(hash),
            // Not with a parent that was just imported.
            Verdict::Orphan => self.headers_failed(AVOID_MS),
            Verdict::Refused { not_valid: true } => self.headers_failed(AVOID_INVALID_MS),
            Verdict::Refused { not_valid: false } if from == sync.leader => self.headers_failed(AVOID_MS),
            Verdict::Refused { not_valid: false } => drop(sync.window.tried.entry(hash).or_default().insert(from)),
        }
    }

    /// Gives up questions that take too long, and asks somebody else.
    pub(crate) fn tick_blocks(&mut self) {
        let now_ms = self.now.mono_ms;
        let Some(sync) = &self.headers else { return };
        let is_late = |request: &InFlight| request.asked_ms.saturating_add(STALL_MS) <= now_ms;
        let late: Vec<(FetchId, PeerId)> = sync
            .window
            .requests
            .iter()
            .filter(|(_, request)| is_late(request))
            .map(|(id, request)| (*id, request.peer))
            .collect();
        let mut slow = BTreeSet::new();
        for (id, peer) in late {
            self.settle_fetch(peer, id);
            if let Some(state) = self.peers.get_mut(&peer) {
                state.fetch_blocks = (state.fetch_blocks / 2).max(1);
            }
            slow.insert(peer);
        }
        // Many questions that end together are one stall.
        for peer in slow {
            self.note(format!("peer {peer} gave no blocks within {STALL_MS} ms: others are asked"));
            self.stalled(peer);
            self.avoid(peer, AVOID_MS);
            if let Some(sync) = &mut self.headers {
                sync.window.stalled = Some(peer);
            }
        }
    }
}
