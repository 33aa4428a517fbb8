//! Blocks: the one way by which they reach the ledger, and what becomes of those it does not take.

use crate::engine::Engine;
use crate::event::{PeerId, Reply, Request, Ticket};
use crate::limits::{MAX_WALK, NEAR_BLOCKS};
use blockhie_core::{BlockError, BlockHash, BlockQuery, ErrorClass, Fault, Imported, UncheckedBlock, genesis_block};

/// What became of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The ledger has it.
    Taken(Imported),
    /// It is held until its bodies or its siblings have come.
    Waits,
    /// Its parent is not known.
    Orphan,
    /// Refused; whether because its chain is not valid, which is nobody's misbehaviour.
    Refused {
        /// See above.
        not_valid: bool,
    },
}

impl Engine {
    /// A block that somebody pushed.
    pub(crate) fn block_came(&mut self, block: UncheckedBlock, from: Option<PeerId>, ticket: Option<Ticket>) {
        if let Some(state) = from.and_then(|peer| self.peers.get_mut(&peer)) {
            state.heard_ms = self.now.mono_ms;
        }
        if self.is_too_much_beside(&block) {
            return self.refuse_beside(&block, ticket);
        }
        self.clocks.pushed = Some(block.claimed_hash);
        self.import(block, from, ticket.into_iter().collect(), 0);
    }

    pub(crate) fn mined(&mut self, block: UncheckedBlock) {
        self.own_block = block.claimed_hash;
        self.import(block, None, Vec::new(), 0);
    }

    pub(crate) fn got_block(&mut self, peer: PeerId, query: BlockQuery, block: Option<UncheckedBlock>) {
        self.answered(peer, &Request::Block(query));
        let Some(state) = self.peers.get_mut(&peer) else { return };
        match (query, block) {
            (BlockQuery::Tip, Some(block)) => {
                state.best_height = block.height;
                self.import(block, Some(peer), Vec::new(), 0);
            }
            (BlockQuery::Height(height), block) => self.height_came(peer, height, block),
            (BlockQuery::Hash(hash), Some(block)) if block.claimed_hash == hash => {
                if self.siblings.wants.is_ahead(&hash) {
                    return self.sibling_came_ahead(peer, block);
                }
                if let Verdict::Refused { .. } = self.import(block, Some(peer), Vec::new(), 0) {
                    self.siblings.wants.unanswered(peer, &hash);
                }
            }
            (BlockQuery::Hash(hash), Some(block)) => {
                self.siblings.wants.unanswered(peer, &hash);
                self.report(peer, Fault::Answer, format!("block: expected {hash}, got {}", block.claimed_hash));
            }
            (BlockQuery::Hash(hash), None) if self.siblings.wants.wants(&hash) => {
                self.siblings.wants.unanswered(peer, &hash)
            }
            // It sent a block whose ancestor it cannot serve by hash: its best chain may be had by height.
            (BlockQuery::Hash(_), None) => {
                let end = state.best_height;
                self.start_session(peer, end);
            }
            (BlockQuery::Tip, None) => {}
        }
    }

    /// Offers a block to the ledger, and then whatever was held for it. `rounds`: how often it waited for bodies.
    pub(crate) fn import(
        &mut self,
        block: UncheckedBlock,
        from: Option<PeerId>,
        tickets: Vec<Ticket>,
        rounds: u32,
    ) -> Verdict {
        let hash = block.claimed_hash;
        let verdict = self.import_one(block, from, tickets, rounds);
        // One that is kept and not followed has children too, and they may be siblings.
        let mut kept = vec![hash];
        while let Some(parent) = kept.pop() {
            if !self.ledger.knows_block(&parent).unwrap_or(false) {
                continue;
            }
            for orphan in self.orphans.take_children(&parent) {
                if self.is_too_much_beside(&orphan.block) {
                    continue;
                }
                kept.push(orphan.block.claimed_hash);
                self.import_one(orphan.block, orphan.from, Vec::new(), 0);
            }
        }
        verdict
    }

    fn import_one(
        &mut self,
        block: UncheckedBlock,
        from: Option<PeerId>,
        tickets: Vec<Ticket>,
        rounds: u32,
    ) -> Verdict {
        if block.height == 0 {
            return self.genesis_came(&block, from, tickets);
        }
        let bodies = self.bodies.of(&block);
        let old_tip = self.ledger.tip().hash;
        let result = self.ledger.import(block.clone(), &bodies, self.now.wall_ms);
        self.stored_beside(&block, &result);
        if tells_time(&result) {
            self.heard_block(&block);
        }
        let hash = block.claimed_hash;
        let kept = matches!(result, Ok(_) | Err(BlockError::NotValid { .. } | BlockError::MissingBlocks { .. }));
        // Its hash was recomputed: whoever shows a block that has to wait has it, too, and not only the first.
        if let Err(BlockError::MissingBodies { .. } | BlockError::MissingBlocks { .. }) = &result {
            self.shown_by(from, hash);
        }
        let verdict = match result {
            Ok(imported) => {
                self.taken(&block, from, tickets, imported, old_tip);
                Verdict::Taken(imported)
            }
            Err(BlockError::MissingBodies { missing }) => {
                if self.wait_for_bodies(block, from, tickets, missing, rounds) {
                    Verdict::Waits
                } else {
                    Verdict::Refused { not_valid: false }
                }
            }
            Err(BlockError::MissingBlocks { missing }) => {
                if self.wait_for_siblings(block, from, tickets, missing) {
                    Verdict::Waits
                } else {
                    Verdict::Refused { not_valid: false }
                }
            }
            Err(BlockError::UnknownParent { parent }) => self.hold(block, from, tickets, parent),
            Err(error) => self.refuse(&block, from, tickets, &error),
        };
        if kept {
            self.sibling_came(&hash);
        }
        verdict
    }

    /// The genesis block is exempt from all checks: it is this one or another chain's. A peer that has nothing else
    /// gives it as its tip.
    fn genesis_came(&mut self, block: &UncheckedBlock, from: Option<PeerId>, tickets: Vec<Ticket>) -> Verdict {
        let ours = genesis_block(self.ledger.genesis());
        let mut expected = ours.to_unchecked();
        expected.history_root = block.history_root.and(expected.history_root);
        if *block == expected {
            self.taken(block, from, tickets, Imported::Known, ours.hash);
            return Verdict::Taken(Imported::Known);
        }
        self.refuse(block, from, tickets, &BlockError::Hash { expected: ours.hash, got: block.claimed_hash })
    }

    fn taken(
        &mut self,
        block: &UncheckedBlock,
        from: Option<PeerId>,
        mut tickets: Vec<Ticket>,
        imported: Imported,
        old_tip: BlockHash,
    ) {
        self.shown_by(from, block.claimed_hash);
        if let Some(state) = from.and_then(|peer| self.peers.get_mut(&peer)) {
            state.best_height = state.best_height.max(block.height);
            state.walk = 0;
        }
        tickets.extend(self.stop_waiting(block));
        match imported {
            Imported::Extended => {
                for txhash in &block.txhashes {
                    self.unconfirmed.remove(txhash);
                }
            }
            Imported::Reorganised { fork_height, abandoned, applied } => {
                self.note(format!(
                    "reorganised at height {fork_height}: {abandoned} blocks left, {applied} taken, tip {}",
                    self.ledger.tip().hash
                ));
                self.offer_abandoned(old_tip, fork_height);
            }
            Imported::Side => {
                // The next template may list it.
                self.mining.grown();
                self.mining.rival(block.claimed_hash);
                self.relay_side(block);
            }
            Imported::Known => {
                if block.claimed_hash != self.ledger.tip().hash {
                    self.mining.rival(block.claimed_hash);
                }
            }
        }
        let tip = self.ledger.tip().hash;
        for ticket in tickets {
            self.reply(Some(ticket), Ok(Reply::Tip(tip)));
        }
    }

    /// A peer is known to have this block: it is not sent there.
    fn shown_by(&mut self, from: Option<PeerId>, hash: BlockHash) {
        if self.is_planted("forget-seen") {
            return;
        }
        if let Some(state) = from.and_then(|peer| self.peers.get_mut(&peer)) {
            state.blocks.insert(hash);
        }
    }

    /// Refuses a block, and says why to whoever sent it and to the log.
    fn refuse(
        &mut self,
        block: &UncheckedBlock,
        from: Option<PeerId>,
        tickets: Vec<Ticket>,
        error: &BlockError,
    ) -> Verdict {
        let text = error.to_string();
        for ticket in tickets {
            self.reply(Some(ticket), Err((error.class(), text.clone())));
        }
        let sender = from.map_or_else(|| "here".to_owned(), |peer| peer.to_string());
        self.note_refusal(format!(
            "block {} at height {} from {sender} refused: {text}",
            block.claimed_hash, block.height
        ));
        if from.is_some() && error.class() == ErrorClass::Invalid {
            self.refused(text.clone());
        }
        if let (Some(peer), Some(fault)) = (from, error.fault()) {
            self.report(peer, fault, text);
        }
        Verdict::Refused { not_valid: matches!(error, BlockError::NotValid { .. }) }
    }

    /// Holds a block without its parent, and asks for that.
    fn hold(
        &mut self,
        block: UncheckedBlock,
        from: Option<PeerId>,
        tickets: Vec<Ticket>,
        parent: BlockHash,
    ) -> Verdict {
        // With tag 12 the ledger looked at its work and its signature; without it this is a mere claim.
        let checked = block.history_root.is_some();
        if checked {
            self.heard_block(&block);
        }
        let text = BlockError::UnknownParent { parent }.to_string();
        for ticket in tickets {
            self.reply(Some(ticket), Err((ErrorClass::NotYet, text.clone())));
        }
        let height = block.height;
        if let Some(state) = from.and_then(|peer| self.peers.get_mut(&peer)) {
            state.best_height = state.best_height.max(height);
        }
        self.orphans.insert(block, from, checked, self.now.mono_ms);
        self.seek(parent, height, from);
        Verdict::Orphan
    }

    /// Gets the ancestors of a held block of this height: near the tip by hash, otherwise by a session.
    fn seek(&mut self, parent: BlockHash, height: u64, from: Option<PeerId>) {
        let known = from.filter(|peer| self.peers.contains_key(peer));
        let Some(peer) = known.or_else(|| self.least_loaded(|_, _| true)) else { return };
        let near = height <= self.ledger.tip().height.saturating_add(NEAR_BLOCKS);
        let request = Request::Block(BlockQuery::Hash(self.orphans.missing_ancestor(parent)));
        let Some(state) = self.peers.get_mut(&peer) else { return };
        if near && state.is_asked(&request) {
            return;
        }
        if near && state.walk < MAX_WALK {
            state.walk += 1;
            if self.ask(peer, request) {
                return;
            }
        }
        self.start_session(peer, height);
    }
}

/// Whether a block is new and its miner's signature holds, so that its time may be looked at.
fn tells_time(result: &Result<Imported, BlockError>) -> bool {
    matches!(
        result,
        Ok(Imported::Extended | Imported::Reorganised { .. } | Imported::Side)
            | Err(BlockError::TooFarAhead { .. } | BlockError::MissingBodies { .. } | BlockError::MissingBlocks { .. })
    )
}
