//! Blocks that wait for bodies, and the bodies that are asked for.

use crate::cache::BodyPool;
use crate::engine::Engine;
use crate::event::{PeerId, Request, Ticket};
use crate::limits::{BODY_POOL_BYTES, MAX_BODY_ROUNDS, MAX_WAITING_BLOCKS, SPARE_POOL_BYTES, WAIT_BODIES_MS};
use crate::wants::Wants;
use blockhie_core::{BlockError, BlockHash, ErrorClass, Fault, Transaction, TxHash, UncheckedBlock, Verified};
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug)]
pub(crate) struct Bodies {
    /// The waiting blocks passed all checks up to their bodies.
    pub(crate) wants: Wants,
    /// Fetched for blocks.
    pool: BodyPool,
    /// Refused by the mempool, or come when nobody waited any more.
    spare: BodyPool,
}

impl Bodies {
    pub(crate) fn new() -> Self {
        Self {
            wants: Wants::new(Request::Tx),
            pool: BodyPool::new(BODY_POOL_BYTES),
            spare: BodyPool::new(SPARE_POOL_BYTES),
        }
    }

    fn get(&self, hash: &TxHash) -> Option<&Transaction<Verified>> {
        self.pool.get(hash).or_else(|| self.spare.get(hash))
    }

    /// The bodies held for a block.
    pub(crate) fn of(&self, block: &UncheckedBlock) -> BTreeMap<TxHash, Transaction<Verified>> {
        block.txhashes.iter().filter_map(|hash| Some((*hash, self.get(hash)?.clone()))).collect()
    }

    /// A block was taken: its bodies are in the store.
    fn taken(&mut self, block: &UncheckedBlock) {
        for hash in &block.txhashes {
            self.pool.remove(hash);
            self.spare.remove(hash);
        }
    }
}

impl Engine {
    /// Whether a block waits for bodies or siblings.
    pub(crate) fn waits(&self, hash: &BlockHash) -> bool {
        self.bodies.wants.holds(hash) || self.siblings.wants.holds(hash)
    }

    /// A block was taken by whatever way: whoever waited for it can be answered.
    pub(crate) fn stop_waiting(&mut self, block: &UncheckedBlock) -> Vec<Ticket> {
        self.bodies.taken(block);
        let bodies = self.bodies.wants.stop_waiting(&block.claimed_hash).map(|waiting| waiting.tickets);
        let siblings = self.siblings.wants.stop_waiting(&block.claimed_hash).map(|waiting| waiting.tickets);
        bodies.into_iter().chain(siblings).flatten().collect()
    }

    /// Holds a block until its bodies have come. Whether it does.
    pub(crate) fn wait_for_bodies(
        &mut self,
        block: UncheckedBlock,
        from: Option<PeerId>,
        tickets: Vec<Ticket>,
        missing: Vec<TxHash>,
        rounds: u32,
    ) -> bool {
        let wants = &mut self.bodies.wants;
        if wants.join(&block.claimed_hash, &tickets) {
            return true;
        }
        if wants.len() >= MAX_WAITING_BLOCKS || rounds > MAX_BODY_ROUNDS {
            let text = BlockError::MissingBodies { missing }.to_string();
            self.refuse_waiting(&block, tickets, text);
            return false;
        }
        wants.hold(block, from, tickets, rounds, missing, self.now.mono_ms);
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
                self.bodies.wants.ahead(*txhash, from, now_ms);
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
                self.bodies.wants.unanswered(peer, &hash);
                self.report(peer, Fault::Answer, format!("transaction: expected {hash}, got {}", tx.hash()));
            }
            None => self.bodies.wants.unanswered(peer, &hash),
        }
    }

    /// A body for whatever block needs it, now or later.
    pub(crate) fn body_came(&mut self, tx: Transaction<Verified>) {
        let hash = tx.hash();
        let Some(complete) = self.bodies.wants.came(&hash) else {
            self.bodies.spare.insert(tx);
            return;
        };
        self.bodies.pool.insert(tx);
        for waiting in complete {
            self.import(waiting.block, waiting.from, waiting.tickets, waiting.rounds + 1);
        }
    }

    pub(crate) fn pump_bodies(&mut self) {
        for hash in self.pump(|engine| &mut engine.bodies.wants) {
            for block in self.bodies.wants.stop_wanting(&hash).unwrap_or_default() {
                self.give_up(&block);
            }
        }
    }

    fn give_up(&mut self, hash: &BlockHash) {
        let Some(waiting) = self.bodies.wants.stop_waiting(hash) else { return };
        let text = BlockError::MissingBodies { missing: waiting.missing() }.to_string();
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
        for hash in self.bodies.wants.late(WAIT_BODIES_MS, self.now.mono_ms) {
            self.give_up(&hash);
        }
    }
}
