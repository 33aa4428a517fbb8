//! Blocks that wait for bodies, and the bodies that are asked for.

use crate::cache::BodyPool;
use crate::engine::Engine;
use crate::event::{PeerId, Request, Ticket};
use crate::limits::{
    BODY_POOL_BYTES, MAX_BODY_ROUNDS, MAX_WAITING_BLOCKS, MAX_WANT_SCAN, SOURCE_MS, SPARE_POOL_BYTES, WAIT_BODIES_MS,
};
use crate::peers::Peer;
use crate::siblings::Siblings;
use blockhie_core::{BlockError, BlockHash, ErrorClass, Fault, Transaction, TxHash, UncheckedBlock, Verified};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A block that passed all checks up to its bodies.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) block: UncheckedBlock,
    pub(crate) from: Option<PeerId>,
    pub(crate) tickets: Vec<Ticket>,
    missing: BTreeSet<TxHash>,
    /// How often it was found incomplete.
    rounds: u32,
    since_ms: u64,
}

/// A body that is asked for.
#[derive(Debug, Default)]
struct Want {
    /// The blocks that wait for it; none: it is asked for ahead.
    blocks: BTreeSet<BlockHash>,
    /// Who sent the block: asked first.
    source: Option<PeerId>,
    /// Who does not have it or did not answer.
    tried: BTreeSet<PeerId>,
    asked: Option<PeerId>,
    since_ms: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Bodies {
    waiting: BTreeMap<BlockHash, Waiting>,
    wants: BTreeMap<TxHash, Want>,
    /// Wants that nobody is asked for at present, in order. May name some that are gone.
    todo: VecDeque<TxHash>,
    /// Blocks that wait for siblings.
    pub(crate) siblings: Siblings,
    /// Fetched for blocks.
    pool: BodyPool,
    /// Refused by the mempool, or come when nobody waited any more.
    spare: BodyPool,
}

impl Bodies {
    pub(crate) fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
            wants: BTreeMap::new(),
            todo: VecDeque::new(),
            siblings: Siblings::default(),
            pool: BodyPool::new(BODY_POOL_BYTES),
            spare: BodyPool::new(SPARE_POOL_BYTES),
        }
    }

    pub(crate) fn wants(&self, hash: &TxHash) -> bool {
        self.wants.contains_key(hash)
    }

    /// Whether a block waits for bodies or siblings.
    pub(crate) fn holds(&self, hash: &BlockHash) -> bool {
        self.waiting.contains_key(hash) || self.siblings.holds(hash)
    }

    fn get(&self, hash: &TxHash) -> Option<&Transaction<Verified>> {
        self.pool.get(hash).or_else(|| self.spare.get(hash))
    }

    /// The bodies held for a block.
    pub(crate) fn of(&self, block: &UncheckedBlock) -> BTreeMap<TxHash, Transaction<Verified>> {
        block.txhashes.iter().filter_map(|hash| Some((*hash, self.get(hash)?.clone()))).collect()
    }

    /// A block was taken: its bodies are in the store, and whoever waited for it can be answered.
    pub(crate) fn taken(&mut self, block: &UncheckedBlock) -> Vec<Ticket> {
        let waited = self.stop_waiting(&block.claimed_hash);
        for hash in &block.txhashes {
            self.pool.remove(hash);
            self.spare.remove(hash);
        }
        let mut tickets = waited.map(|waiting| waiting.tickets).unwrap_or_default();
        tickets.extend(self.siblings.taken(&block.claimed_hash));
        tickets
    }

    fn stop_waiting(&mut self, hash: &BlockHash) -> Option<Waiting> {
        let waiting = self.waiting.remove(hash)?;
        for txhash in &waiting.missing {
            if let Some(want) = self.wants.get_mut(txhash) {
                want.blocks.remove(hash);
                if want.blocks.is_empty() {
                    self.wants.remove(txhash);
                }
            }
        }
        Some(waiting)
    }

    fn want(&mut self, hash: TxHash, block: Option<BlockHash>, source: Option<PeerId>, now_ms: u64) {
        let todo = &mut self.todo;
        let want = self.wants.entry(hash).or_insert_with(|| {
            todo.push_back(hash);
            Want { since_ms: now_ms, ..Want::default() }
        });
        want.source = want.source.or(source);
        want.blocks.extend(block);
    }
}

impl Engine {
    /// Holds a block until its bodies have come. Whether it does.
    pub(crate) fn wait_for_bodies(
        &mut self,
        block: UncheckedBlock,
        from: Option<PeerId>,
        tickets: Vec<Ticket>,
        missing: Vec<TxHash>,
        rounds: u32,
    ) -> bool {
        let (hash, now_ms) = (block.claimed_hash, self.now.mono_ms);
        if let Some(waiting) = self.bodies.waiting.get_mut(&hash) {
            waiting.tickets.extend(tickets);
            return true;
        }
        if self.bodies.waiting.len() >= MAX_WAITING_BLOCKS || rounds > MAX_BODY_ROUNDS {
            let text = BlockError::MissingBodies { missing }.to_string();
            self.refuse_waiting(&block, tickets, text);
            return false;
        }
        for txhash in &missing {
            self.bodies.want(*txhash, Some(hash), from, now_ms);
        }
        let missing = missing.into_iter().collect();
        self.bodies.waiting.insert(hash, Waiting { block, from, tickets, missing, rounds, since_ms: now_ms });
        true
    }

    /// Asks ahead for the bodies and the siblings of a block that will be imported soon.
    pub(crate) fn prefetch(&mut self, block: &UncheckedBlock, from: PeerId) {
        self.prefetch_siblings(block, from);
        self.prefetch_bodies(block, from);
    }

    pub(crate) fn prefetch_bodies(&mut self, block: &UncheckedBlock, from: PeerId) {
        let now_ms = self.now.mono_ms;
        for txhash in &block.txhashes {
            if self.bodies.get(txhash).is_none() && matches!(self.ledger.transaction(txhash), Ok(None)) {
                self.bodies.want(*txhash, None, Some(from), now_ms);
            }
        }
    }

    pub(crate) fn got_tx(&mut self, peer: PeerId, hash: TxHash, tx: Option<Transaction<Verified>>) {
        self.answered(peer, &Request::Tx(hash));
        match tx {
            Some(tx) if tx.hash() == hash => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.transactions.insert(hash);
                }
                self.body_came(tx);
            }
            Some(tx) => {
                self.body_unanswered(peer, &hash);
                self.report(peer, Fault::Answer, format!("transaction: expected {hash}, got {}", tx.hash()));
            }
            None => self.body_unanswered(peer, &hash),
        }
    }

    /// A body for whatever block needs it, now or later.
    pub(crate) fn body_came(&mut self, tx: Transaction<Verified>) {
        let hash = tx.hash();
        let Some(want) = self.bodies.wants.remove(&hash) else {
            self.bodies.spare.insert(tx);
            return;
        };
        self.bodies.pool.insert(tx);
        let mut complete = Vec::new();
        for block in want.blocks {
            let Some(waiting) = self.bodies.waiting.get_mut(&block) else { continue };
            waiting.missing.remove(&hash);
            if waiting.missing.is_empty() {
                complete.extend(self.bodies.waiting.remove(&block));
            }
        }
        for Waiting { block, from, tickets, rounds, .. } in complete {
            self.import(block, from, tickets, rounds + 1);
        }
    }

    /// This peer does not serve this body.
    pub(crate) fn body_unanswered(&mut self, peer: PeerId, hash: &TxHash) {
        let Some(want) = self.bodies.wants.get_mut(hash) else { return };
        want.tried.insert(peer);
        if want.asked == Some(peer) {
            want.asked = None;
            self.bodies.todo.push_back(*hash);
        }
    }

    /// Asks for wanted bodies, of the block's sender first, then of whoever is least busy.
    pub(crate) fn pump_bodies(&mut self) {
        let now_ms = self.now.mono_ms;
        for _ in 0..self.bodies.todo.len().min(MAX_WANT_SCAN) {
            let Some(hash) = self.bodies.todo.pop_front() else { return };
            let Some(want) = self.bodies.wants.get(&hash).filter(|want| want.asked.is_none()) else { continue };
            let request = Request::Tx(hash);
            let untried = |id: &PeerId| !want.tried.contains(id);
            let good = self.least_loaded(|id, peer| untried(id) && !peer.is_avoided(now_ms)).is_some();
            let may =
                |id: &PeerId, peer: &Peer| untried(id) && peer.has_room(&request) && !(good && peer.is_avoided(now_ms));
            let source = want.source.and_then(|source| self.least_loaded(|id, peer| *id == source && may(id, peer)));
            let candidate = source.or_else(|| self.least_loaded(may));
            let anybody = self.least_loaded(|id, _| untried(id)).is_some();
            let may_come = want.since_ms.saturating_add(SOURCE_MS) > now_ms
                && want.source.is_some_and(|source| untried(&source) && !self.peers.contains_key(&source));
            if let Some(peer) = candidate
                && self.ask(peer, request)
            {
                if let Some(want) = self.bodies.wants.get_mut(&hash) {
                    want.asked = Some(peer);
                }
            } else if anybody || may_come {
                self.bodies.todo.push_back(hash);
            } else {
                self.exhausted(&hash);
            }
        }
    }

    /// Nobody serves this body.
    fn exhausted(&mut self, hash: &TxHash) {
        let Some(want) = self.bodies.wants.remove(hash) else { return };
        for block in want.blocks {
            self.give_up(&block);
        }
    }

    fn give_up(&mut self, hash: &BlockHash) {
        let Some(waiting) = self.bodies.stop_waiting(hash) else { return };
        let in_order = waiting.block.txhashes.iter().filter(|txhash| waiting.missing.contains(*txhash));
        let text = BlockError::MissingBodies { missing: in_order.copied().collect() }.to_string();
        self.refuse_waiting(&waiting.block, waiting.tickets, text);
    }

    pub(crate) fn refuse_waiting(&mut self, block: &UncheckedBlock, tickets: Vec<Ticket>, text: String) {
        for ticket in tickets {
            self.reply(Some(ticket), Err((ErrorClass::NotYet, text.clone())));
        }
        self.note_refusal(format!("block {} at height {} not taken yet: {text}", block.claimed_hash, block.height));
    }

    /// Gives up blocks that wait too long.
    pub(crate) fn tick_bodies(&mut self) {
        let now_ms = self.now.mono_ms;
        let late = |waiting: &Waiting| waiting.since_ms.saturating_add(WAIT_BODIES_MS) <= now_ms;
        let late: Vec<BlockHash> =
            self.bodies.waiting.iter().filter(|(_, waiting)| late(waiting)).map(|(hash, _)| *hash).collect();
        for hash in late {
            self.give_up(&hash);
        }
    }
}
