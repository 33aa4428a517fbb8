//! Blocks that wait for siblings which they list and this node lacks, and the passing on of blocks beside the best chain:
//! a block that nobody tells of can be merged by nobody.

use crate::engine::Engine;
use crate::event::{Action, PeerId, Request, Ticket};
use crate::limits::{MAX_SIDE_KEYS, MAX_SIDE_RELAYS, MAX_WAITING_MERGES, SIDE_RELAYS_PER_TICK, WAIT_SIBLINGS_MS};
use crate::wants::Wants;
use blockhie_core::{BlockError, BlockHash, BlockQuery, Hash32, UncheckedBlock};
use std::collections::BTreeMap;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(crate) struct Siblings {
    /// The waiting blocks are kept by the ledger, which cannot follow them yet.
    pub(crate) wants: Wants,
    /// Blocks beside the best chain that were passed on, by height and miner.
    relayed: BTreeMap<(u64, Hash32), usize>,
    /// How many were passed on since the last tick.
    relays: usize,
}

impl Siblings {
    pub(crate) fn new() -> Self {
        let request = |hash| Request::Block(BlockQuery::Hash(hash));
        Self { wants: Wants::new(request), relayed: BTreeMap::new(), relays: 0 }
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
        let wants = &mut self.siblings.wants;
        if wants.join(&block.claimed_hash, &tickets) {
            return true;
        }
        if wants.len() >= MAX_WAITING_MERGES {
            let text = BlockError::MissingBlocks { missing }.to_string();
            self.refuse_waiting(&block, tickets, text);
            return false;
        }
        wants.hold(block, from, tickets, 0, missing, self.now.mono_ms);
        true
    }

    /// Asks ahead for the siblings of a block that will be imported soon. Without it a session pays the way there and back
    /// for each of them.
    pub(crate) fn prefetch_siblings(&mut self, block: &UncheckedBlock, from: PeerId) {
        let now_ms = self.now.mono_ms;
        for sibling in &block.siblings {
            if matches!(self.ledger.knows_block(sibling), Ok(false)) {
                self.siblings.wants.ahead(*sibling, from, now_ms);
            }
        }
    }

    /// A sibling that was asked for ahead. Its parent is on its way; what shows work is held until that is here, without
    /// a search for it.
    pub(crate) fn sibling_came_ahead(&mut self, peer: PeerId, block: UncheckedBlock) {
        self.siblings.wants.stop_wanting(&block.claimed_hash);
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
        for waiting in self.siblings.wants.came(hash).unwrap_or_default() {
            // More may be missing further up its branch: then it waits again.
            self.import(waiting.block, waiting.from, waiting.tickets, 0);
        }
    }

    pub(crate) fn pump_siblings(&mut self) {
        for hash in self.pump(|engine| &mut engine.siblings.wants) {
            for block in self.siblings.wants.stop_wanting(&hash).unwrap_or_default() {
                self.give_up_merge(&block);
            }
        }
    }

    /// The block stays in the ledger, sound: it is tried again when something is built on it, or when it is sent again.
    fn give_up_merge(&mut self, hash: &BlockHash) {
        let Some(waiting) = self.siblings.wants.stop_waiting(hash) else { return };
        let text = BlockError::MissingBlocks { missing: waiting.missing() }.to_string();
        self.refuse_waiting(&waiting.block, waiting.tickets, text);
    }

    /// Gives up blocks that wait too long, and lets more blocks be passed on.
    pub(crate) fn tick_siblings(&mut self) {
        self.siblings.relays = 0;
        self.ask_again_for_lost();
        for hash in self.siblings.wants.late(WAIT_SIBLINGS_MS, self.now.mono_ms) {
            self.give_up_merge(&hash);
        }
    }

    /// A sibling that came and could not be kept, because its bodies or its parent never followed, is as good as
    /// unanswered: without this nobody is asked for it as long as any block waits for it, however often that is sent.
    fn ask_again_for_lost(&mut self) {
        let is_under_way = |hash: &BlockHash, peer: &PeerId| {
            let request = Request::Block(BlockQuery::Hash(*hash));
            self.peers.get(peer).is_some_and(|peer| peer.is_asked(&request))
                || self.bodies.wants.holds(hash)
                || self.orphans.holds_checked(hash)
        };
        let lost: Vec<(BlockHash, PeerId)> =
            self.siblings.wants.asked().filter(|(hash, peer)| !is_under_way(hash, peer)).collect();
        for (hash, peer) in lost {
            self.siblings.wants.unanswered(peer, &hash);
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
        let siblings = &mut self.siblings;
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
