//! Blocks that wait for siblings which they list and this node lacks, and the passing on of blocks beside the best chain:
//! a block that nobody tells of can be merged by nobody.

use crate::engine::Engine;
use crate::event::{Action, PeerId, Request, Ticket};
use crate::limits::{
    MAX_SIDE_KEYS, MAX_SIDE_RELAYS, MAX_WAITING_MERGES, MAX_WANT_SCAN, SIDE_RELAYS_PER_TICK, SOURCE_MS,
    WAIT_SIBLINGS_MS,
};
use crate::peers::Peer;
use blockhie_core::{BlockError, BlockHash, BlockQuery, Hash32, UncheckedBlock};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A block that the ledger keeps and cannot follow yet.
#[derive(Debug)]
struct Waiting {
    block: UncheckedBlock,
    from: Option<PeerId>,
    tickets: Vec<Ticket>,
    /// What was missing, and of this what still is.
    named: Vec<BlockHash>,
    missing: BTreeSet<BlockHash>,
    since_ms: u64,
}

/// A sibling that is asked for.
#[derive(Debug, Default)]
struct Want {
    /// The blocks that wait for it; none: it is asked for ahead.
    blocks: BTreeSet<BlockHash>,
    /// Who sent the first of these: asked first.
    source: Option<PeerId>,
    /// Who does not have it or did not answer.
    tried: BTreeSet<PeerId>,
    asked: Option<PeerId>,
    since_ms: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Siblings {
    waiting: BTreeMap<BlockHash, Waiting>,
    wants: BTreeMap<BlockHash, Want>,
    /// Wants that nobody is asked for at present, in order. May name some that are gone.
    todo: VecDeque<BlockHash>,
    /// Blocks beside the best chain that were passed on, by height and miner.
    relayed: BTreeMap<(u64, Hash32), usize>,
    /// How many were passed on since the last tick.
    relays: usize,
}

impl Siblings {
    /// Whether this block waits for siblings.
    pub(crate) fn holds(&self, hash: &BlockHash) -> bool {
        self.waiting.contains_key(hash)
    }

    /// Whether it is asked for before the block that lists it had its turn.
    pub(crate) fn is_ahead(&self, hash: &BlockHash) -> bool {
        self.wants.get(hash).is_some_and(|want| want.blocks.is_empty())
    }

    pub(crate) fn wants(&self, hash: &BlockHash) -> bool {
        self.wants.contains_key(hash)
    }

    /// The block was taken by whatever way: whoever waited for it can be answered.
    pub(crate) fn taken(&mut self, hash: &BlockHash) -> Vec<Ticket> {
        self.stop_waiting(hash).map(|waiting| waiting.tickets).unwrap_or_default()
    }

    fn stop_waiting(&mut self, hash: &BlockHash) -> Option<Waiting> {
        let waiting = self.waiting.remove(hash)?;
        for sibling in &waiting.missing {
            if let Some(want) = self.wants.get_mut(sibling) {
                want.blocks.remove(hash);
                if want.blocks.is_empty() {
                    self.wants.remove(sibling);
                }
            }
        }
        Some(waiting)
    }

    fn want(&mut self, hash: BlockHash, block: Option<BlockHash>, source: Option<PeerId>, now_ms: u64) {
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
    /// Waits with a block until its siblings have come. Whether it does.
    pub(crate) fn wait_for_siblings(
        &mut self,
        block: UncheckedBlock,
        from: Option<PeerId>,
        tickets: Vec<Ticket>,
        missing: Vec<BlockHash>,
    ) -> bool {
        let (hash, now_ms) = (block.claimed_hash, self.now.mono_ms);
        let siblings = &mut self.bodies.siblings;
        if let Some(waiting) = siblings.waiting.get_mut(&hash) {
            waiting.tickets.extend(tickets);
            return true;
        }
        if siblings.waiting.len() >= MAX_WAITING_MERGES {
            let text = BlockError::MissingBlocks { missing }.to_string();
            self.refuse_waiting(&block, tickets, text);
            return false;
        }
        for sibling in &missing {
            siblings.want(*sibling, Some(hash), from, now_ms);
        }
        let named = missing.clone();
        let missing = missing.into_iter().collect();
        let waiting = Waiting { block, from, tickets, named, missing, since_ms: now_ms };
        siblings.waiting.insert(hash, waiting);
        true
    }

    /// Asks ahead for the siblings of a block that will be imported soon. Without it a session pays the way there and back
    /// for each of them.
    pub(crate) fn prefetch_siblings(&mut self, block: &UncheckedBlock, from: PeerId) {
        let now_ms = self.now.mono_ms;
        for sibling in &block.siblings {
            if matches!(self.ledger.knows_block(sibling), Ok(false)) {
                self.bodies.siblings.want(*sibling, None, Some(from), now_ms);
            }
        }
    }

    /// A sibling that was asked for ahead. Its parent is on its way; what shows work is held until that is here, without
    /// a search for it.
    pub(crate) fn sibling_came_ahead(&mut self, peer: PeerId, block: UncheckedBlock) {
        self.bodies.siblings.wants.remove(&block.claimed_hash);
        self.prefetch_bodies(&block, peer);
        let is_orphan = matches!(self.ledger.knows_block(&block.previous), Ok(false));
        if is_orphan && self.ledger.check_orphan(&block).is_ok() {
            self.orphans.insert(block, Some(peer), true, self.now.mono_ms);
        } else {
            self.import(block, Some(peer), Vec::new(), 0);
        }
    }

    /// The ledger keeps this block now, whatever else it thinks of it.
    pub(crate) fn sibling_came(&mut self, hash: &BlockHash) {
        let siblings = &mut self.bodies.siblings;
        let Some(want) = siblings.wants.remove(hash) else { return };
        let mut complete = Vec::new();
        for block in want.blocks {
            let Some(waiting) = siblings.waiting.get_mut(&block) else { continue };
            waiting.missing.remove(hash);
            if waiting.missing.is_empty() {
                complete.extend(siblings.waiting.remove(&block));
            }
        }
        for Waiting { block, from, tickets, .. } in complete {
            // More may be missing further up its branch: then it waits again.
            self.import(block, from, tickets, 0);
        }
    }

    /// This peer does not serve this sibling.
    pub(crate) fn sibling_unanswered(&mut self, peer: PeerId, hash: &BlockHash) {
        let siblings = &mut self.bodies.siblings;
        let Some(want) = siblings.wants.get_mut(hash) else { return };
        want.tried.insert(peer);
        if want.asked == Some(peer) {
            want.asked = None;
            siblings.todo.push_back(*hash);
        }
    }

    /// Asks for wanted siblings, of the block's sender first, then of whoever is least busy.
    pub(crate) fn pump_siblings(&mut self) {
        let now_ms = self.now.mono_ms;
        for _ in 0..self.bodies.siblings.todo.len().min(MAX_WANT_SCAN) {
            let Some(hash) = self.bodies.siblings.todo.pop_front() else { return };
            let Some(want) = self.bodies.siblings.wants.get(&hash).filter(|want| want.asked.is_none()) else {
                continue;
            };
            let request = Request::Block(BlockQuery::Hash(hash));
            let untried = |id: &PeerId| !want.tried.contains(id);
            let may = |id: &PeerId, peer: &Peer| untried(id) && peer.has_room(&request) && !peer.is_asked(&request);
            let source = want.source.and_then(|source| self.least_loaded(|id, peer| *id == source && may(id, peer)));
            let candidate = source.or_else(|| self.least_loaded(may));
            let anybody = self.least_loaded(|id, _| untried(id)).is_some();
            let may_come = want.since_ms.saturating_add(SOURCE_MS) > now_ms
                && want.source.is_some_and(|source| untried(&source) && !self.peers.contains_key(&source));
            if let Some(peer) = candidate
                && self.ask(peer, request)
            {
                if let Some(want) = self.bodies.siblings.wants.get_mut(&hash) {
                    want.asked = Some(peer);
                }
            } else if anybody || may_come {
                self.bodies.siblings.todo.push_back(hash);
            } else if let Some(want) = self.bodies.siblings.wants.remove(&hash) {
                for block in want.blocks {
                    self.give_up_merge(&block);
                }
            }
        }
    }

    /// The block stays in the ledger, sound: it is tried again when something is built on it, or when it is sent again.
    fn give_up_merge(&mut self, hash: &BlockHash) {
        let Some(waiting) = self.bodies.siblings.stop_waiting(hash) else { return };
        let missing = waiting.named.iter().filter(|hash| waiting.missing.contains(*hash)).copied().collect();
        let text = BlockError::MissingBlocks { missing }.to_string();
        self.refuse_waiting(&waiting.block, waiting.tickets, text);
    }

    /// Gives up blocks that wait too long, and lets more blocks be passed on.
    pub(crate) fn tick_siblings(&mut self) {
        let now_ms = self.now.mono_ms;
        let siblings = &mut self.bodies.siblings;
        siblings.relays = 0;
        let late = |waiting: &Waiting| waiting.since_ms.saturating_add(WAIT_SIBLINGS_MS) <= now_ms;
        let late: Vec<BlockHash> =
            siblings.waiting.iter().filter(|(_, waiting)| late(waiting)).map(|(hash, _)| *hash).collect();
        for hash in late {
            self.give_up_merge(&hash);
        }
    }

    /// Passes on a block that came to stand beside the best chain, so that whoever mines next can merge it: once to each
    /// peer, and of one miner and height no more than a block may list.
    pub(crate) fn relay_side(&mut self, block: &UncheckedBlock) {
        let genesis = self.ledger.genesis();
        let lowest = self.ledger.tip().height.saturating_sub(u64::from(genesis.sibling_window));
        // From its parent at the least the branch must leave the chain within the window.
        if genesis.sibling_limit == 0 || block.height <= lowest || self.is_catching_up() {
            return;
        }
        let siblings = &mut self.bodies.siblings;
        siblings.relayed = siblings.relayed.split_off(&(lowest, Hash32::ZERO));
        let key = (block.height, block.miner);
        let count = siblings.relayed.get(&key).copied().unwrap_or(0);
        let full = siblings.relayed.len() >= MAX_SIDE_KEYS && count == 0;
        if count >= MAX_SIDE_RELAYS || siblings.relays >= SIDE_RELAYS_PER_TICK || full {
            return;
        }
        siblings.relays += 1;
        siblings.relayed.insert(key, count + 1);
        let (hash, block) = (block.claimed_hash, Arc::new(block.clone()));
        for (peer, state) in &mut self.peers {
            if state.blocks.insert(hash) {
                self.out.push(Action::SendBlock { peer: *peer, block: Arc::clone(&block) });
            }
        }
    }
}
