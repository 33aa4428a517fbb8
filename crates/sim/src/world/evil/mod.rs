//! Byzantine nodes. Each follows the chain with a real engine, so that its lies are near the truth, and beside that
//! does what it can: in what it finds, what it relays, what it answers, and in deeds of its own.

mod bulk;
mod deeds;
mod forge;
mod siblings;

use super::network::Message;
use super::node::Command;
use super::{Coming, World};
use crate::app::{MARK, RELEASE, ROW};
use blockhie_core::{BlockHash, Hash32, Signature, Store, Template, TxHash, UncheckedBlock, UncheckedHeader};
use blockhie_engine::{AskError, Event, Request};
use bulk::Bulk;
pub(in crate::world) use forge::{Draft, Parent};
use std::sync::Arc;

/// Mean ms between two deeds.
const DEED_EVERY_MS: u64 = 1_500;

/// How it answers questions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Serves {
    #[default]
    Honestly,
    Nothing,
    NoBodies,
    OldTips,
    Wrong,
    Unreadable,
}

/// What a byzantine node has in mind.
#[derive(Debug, Default)]
pub(crate) struct Private {
    serves: Serves,
    blocks: Vec<UncheckedBlock>,
    tip: Option<Parent>,
    /// Blocks after which it shows them.
    until: usize,
    /// Height at which its branch leaves the chain, and whether a block of it listed the honest ones.
    fork: u64,
    merged: bool,
    /// Siblings that a block of its lists and nobody else has.
    withheld: Vec<UncheckedBlock>,
    bulk: Bulk,
    /// Headers of a chain that has no blocks.
    phantom: Vec<UncheckedHeader>,
}

impl World {
    pub(super) fn first_deed(&mut self, node: usize) {
        let wait = self.streams.evil.exponential_ms(DEED_EVERY_MS);
        self.after(wait, Coming::Evil(node));
    }

    /// Some of the other nodes, at least one.
    fn some(&mut self, node: usize) -> Vec<usize> {
        let others: Vec<usize> = (0..self.nodes.len()).filter(|other| *other != node).collect();
        let some: Vec<usize> = others.iter().copied().filter(|_| self.streams.evil.chance(600_000)).collect();
        if some.is_empty() { vec![*self.streams.evil.pick(&others)] } else { some }
    }

    /// Pushes a block to some.
    fn throw(&mut self, node: usize, block: UncheckedBlock) {
        let block = Arc::new(block);
        for to in self.some(node) {
            self.send(node, to, Message::Block(block.clone()));
        }
    }

    /// It found a block: work that it may spend as it likes.
    pub(super) fn found_badly(&mut self, node: usize, template: Template) {
        self.tally.evil += 1;
        match self.streams.evil.below(10) {
            0..=2 => {
                if let Some(block) = self.seal(node, template) {
                    self.command(node, Command::Event(Event::Mined { block }));
                }
            }
            3 | 4 => self.equivocate(node, template),
            5 => self.show_with_bad_signature_first(node, template),
            6 | 7 => self.withhold_a_body(node),
            _ => self.work_in_private(node),
        }
    }

    /// Two different blocks at one height.
    fn equivocate(&mut self, node: usize, template: Template) {
        let mut other = template.clone();
        other.header.time_ms += 1;
        let (Some(one), Some(other)) = (self.seal(node, template), self.seal(node, other)) else { return };
        self.command(node, Command::Event(Event::Mined { block: one.clone() }));
        let (one, other) = (Arc::new(one), Arc::new(other));
        for to in (0..self.nodes.len()).filter(|to| *to != node) {
            let which = if self.streams.evil.chance(500_000) { &one } else { &other };
            self.send(node, to, Message::Block(which.clone()));
        }
    }

    /// First a false signature around a good block, then the good block.
    fn show_with_bad_signature_first(&mut self, node: usize, template: Template) {
        let Some(block) = self.seal(node, template) else { return };
        let bad = with_bad_signature(&block);
        for to in (0..self.nodes.len()).filter(|to| *to != node) {
            if let Some(bad) = &bad {
                self.send(node, to, Message::Block(Arc::new(bad.clone())));
            }
        }
        self.command(node, Command::Event(Event::Mined { block }));
    }

    /// A block with a transaction that it serves to few or to nobody.
    fn withhold_a_body(&mut self, node: usize) {
        let Some(parent) = self.parent(node, 0) else { return };
        // What releases a key that nobody claimed is void: honest miners never pick it.
        let tx_type = *self.streams.evil.pick(&[ROW, RELEASE]);
        let tx = self.own_transaction(node, tx_type, &[MARK, 7]);
        let hash = tx.hash();
        if self.streams.evil.chance(700_000) {
            self.nodes[node].hidden.insert(hash, tx.into_unverified());
        }
        let draft = Draft { txhashes: vec![hash], ..Draft::default() };
        if let Some(block) = self.forge(node, &parent, draft) {
            self.throw(node, block);
        }
    }

    /// A branch that it shows only when it is long enough.
    fn work_in_private(&mut self, node: usize) {
        if self.nodes[node].private.tip.is_none() {
            let depth = self.streams.evil.below(4);
            let until = 1 + self.streams.evil.index(4);
            let parent = self.parent(node, depth);
            let private = &mut self.nodes[node].private;
            private.fork = parent.as_ref().map_or(0, |parent| parent.row.height);
            (private.tip, private.until, private.merged) = (parent, until, false);
        }
        let Some(parent) = self.nodes[node].private.tip.clone() else { return };
        let time_ms = self.true_wall_ms().max(parent.row.time_ms + 1);
        let siblings = self.merges_the_honest_chain(node, &parent, time_ms);
        let draft = Draft { honest_spacing: true, siblings, time_ms: Some(time_ms), ..Draft::default() };
        if let Some(block) = self.forge(node, &parent, draft) {
            let next = self.child(&parent, &block);
            let private = &mut self.nodes[node].private;
            private.tip = next;
            private.blocks.push(block);
        } else {
            self.nodes[node].private.until = 0;
        }
        if self.nodes[node].private.blocks.len() >= self.nodes[node].private.until {
            let private = &mut self.nodes[node].private;
            private.tip = None;
            for block in std::mem::take(&mut private.blocks) {
                self.command(node, Command::Event(Event::Mined { block: block.clone() }));
                self.throw(node, block);
            }
        }
    }

    /// Once in a private branch: what the honest chain has above the fork.
    fn merges_the_honest_chain(&mut self, node: usize, parent: &Parent, time_ms: u64) -> Vec<BlockHash> {
        if self.nodes[node].private.merged || !self.streams.evil.chance(500_000) {
            return Vec::new();
        }
        let fork = self.nodes[node].private.fork;
        let list = self.honest_siblings(node, fork, parent.row.height + 1, time_ms);
        self.nodes[node].private.merged = !list.is_empty();
        list
    }

    /// It passes a block on, or not, or spoiled.
    pub(super) fn relay_badly(&mut self, node: usize, to: usize, block: &Arc<UncheckedBlock>) {
        match self.streams.evil.below(10) {
            0 | 1 => {
                if let Some(bad) = with_bad_signature(block) {
                    self.send(node, to, Message::Block(Arc::new(bad)));
                }
            }
            2 => {
                let bad = UncheckedBlock { history_root: Some(Hash32([1; 32])), ..(**block).clone() };
                self.send(node, to, Message::Block(Arc::new(bad)));
            }
            3 => {}
            4 => {
                // Its list is not what its header says.
                let mut bad = (**block).clone();
                if bad.txhashes.pop().is_none() {
                    bad.txhashes.extend(self.waiting_somewhere());
                }
                self.send(node, to, Message::Block(Arc::new(bad)));
            }
            _ => self.send(node, to, Message::Block(block.clone())),
        }
    }

    /// It answers a question, or not, or wrongly.
    pub(super) fn answer_badly(&mut self, node: usize, _asker: usize, request: Request) -> Option<Message> {
        if let Request::Tx(hash) = request
            && let Some(tx) = self.nodes[node].hidden.get(&hash)
        {
            let tx = tx.clone();
            return self.streams.evil.chance(700_000).then_some(Message::GotTx { hash, tx: Some(tx) });
        }
        let honest = self.answer_honestly(node, request);
        match (self.nodes[node].private.serves, request) {
            (Serves::Honestly, _) => Some(honest),
            (Serves::Nothing, _) => None,
            (Serves::NoBodies, Request::Tx(hash)) => Some(Message::GotTx { hash, tx: None }),
            (Serves::OldTips, Request::Block(query @ blockhie_core::BlockQuery::Tip)) => {
                let depth = self.streams.evil.below(20);
                let parent = self.parent(node, depth)?;
                let block = self.nodes[node].store.snapshot().block(&parent.hash).ok().flatten()?;
                Some(Message::GotBlock { query, block: Some(Arc::new(block.to_unchecked())) })
            }
            (Serves::Wrong, Request::Block(query)) => {
                let wrong = self.answer_honestly(node, Request::Block(blockhie_core::BlockQuery::Height(1)));
                match wrong {
                    Message::GotBlock { block, .. } => Some(Message::GotBlock { query, block }),
                    _ => None,
                }
            }
            (Serves::Wrong, Request::Tx(hash)) => {
                let other: Option<TxHash> = self.verified.keys().next().copied();
                let tx = other.and_then(|other| Some(self.verified.get(&other)?.0.clone()));
                Some(Message::GotTx { hash, tx })
            }
            (Serves::Unreadable, _) => {
                let error = AskError::Malformed("simulated: an answer that cannot be read".into());
                Some(Message::Failed { request, error })
            }
            (Serves::NoBodies | Serves::OldTips, _) => Some(honest),
        }
    }
}

/// The same block with a signature that does not hold; `None` where nobody signs.
fn with_bad_signature(block: &UncheckedBlock) -> Option<UncheckedBlock> {
    let mut signature: Signature = block.signature?;
    signature.0[5] ^= 1;
    Some(UncheckedBlock { signature: Some(signature), ..block.clone() })
}
