//! What a byzantine node does with siblings: lists that no rule allows, lists of what nobody has, floods beside the chain.

use super::super::World;
use super::forge::{Draft, Parent};
use crate::app::{MARK, ROW};
use blockhie_core::{BlockHash, Hash32, TxHash, UncheckedBlock};

/// Sound blocks beside the chain in one go; two of one miner and height are passed on, and two fit into a list.
const FLOOD: u64 = 8;
/// Blocks of the own chain looked at for one that lists siblings.
const LOOK_BACK: u64 = 12;

impl World {
    /// One of the deeds.
    pub(super) fn sibling_deed(&mut self, node: usize) {
        match self.streams.evil.below(12) {
            0 => self.lists_unknown(node),
            1 => self.withholds_a_sibling(node),
            2 => self.lists_out_of_the_window(node),
            3 => self.lists_one_twice(node),
            4 => self.lists_an_ancestor(node),
            5 => self.lists_what_is_listed(node),
            6 => self.lists_a_child_first(node),
            7 => self.lists_three_of_one_miner(node),
            8 => self.lists_too_many(node),
            9 => self.repeats_what_a_sibling_carries(node),
            10 => self.lists_an_unsound_one(node),
            _ => self.floods_beside(node),
        }
    }

    fn limit(&self) -> usize {
        self.setup.genesis.sibling_limit.into()
    }

    /// A block on its tip, with these siblings, which no honest node may ever have on its best chain. With L too small
    /// for the list it is malformed, and nobody may keep it.
    fn lists_badly(&mut self, node: usize, siblings: Vec<BlockHash>, txhashes: Vec<TxHash>) {
        let Some(parent) = self.parent(node, 0).filter(|parent| self.may_mine(node, parent)) else { return };
        let too_many = siblings.len() > self.limit();
        let Some(block) = self.forge(node, &parent, Draft { siblings, txhashes, ..Draft::default() }) else { return };
        if too_many {
            self.poison.insert(block.claimed_hash, "more siblings than the limit");
        } else {
            self.never_best.insert(block.claimed_hash);
        }
        self.throw(node, block);
    }

    /// A sound block beside the chain, on the ancestor so far below the tip of its chain. It carries what `txhashes` say.
    fn beside(&mut self, node: usize, depth: u64, txhashes: Vec<TxHash>) -> Option<(Parent, UncheckedBlock)> {
        let parent = self.parent(node, depth)?;
        let draft = Draft { honest_spacing: true, txhashes, time_ms: self.time_beside(&parent), ..Draft::default() };
        let block = self.forge(node, &parent, draft)?;
        Some((parent, block))
    }

    /// Back-dated in half of the cases, otherwise now.
    fn time_beside(&mut self, parent: &Parent) -> Option<u64> {
        self.streams.evil.chance(500_000).then_some(parent.row.time_ms + 1)
    }

    fn own_row(&mut self, node: usize) -> TxHash {
        let tx = self.own_transaction(node, ROW, &[MARK, 8]);
        let hash = tx.hash();
        self.nodes[node].hidden.insert(hash, tx.into_unverified());
        hash
    }

    fn lists_unknown(&mut self, node: usize) {
        let many = 1 + self.streams.evil.index(self.limit().max(1));
        let unknown = (0..many).map(|_| Hash32(self.streams.evil.bytes())).collect();
        self.lists_badly(node, unknown, Vec::new());
    }

    /// A good block that lists a good sibling, which it shows later or never.
    fn withholds_a_sibling(&mut self, node: usize) {
        let txhash = self.own_row(node);
        let Some((_, sibling)) = self.beside(node, 1, vec![txhash]) else { return };
        let Some(parent) = self.parent(node, 0).filter(|parent| self.may_mine(node, parent)) else { return };
        let time_ms = Some(sibling.time_ms.max(parent.row.time_ms) + 1);
        let siblings = vec![sibling.claimed_hash];
        if let Some(block) = self.forge(node, &parent, Draft { siblings, time_ms, ..Draft::default() }) {
            if self.limit() == 0 {
                self.poison.insert(block.claimed_hash, "siblings where there are none");
            }
            self.throw(node, block);
        }
        self.nodes[node].private.withheld.push(sibling);
    }

    fn lists_out_of_the_window(&mut self, node: usize) {
        let depth = u64::from(self.setup.genesis.sibling_window) + 1 + self.streams.evil.below(3);
        let Some((parent, sibling)) = self.beside(node, depth, Vec::new()) else { return };
        let tip = self.parent(node, 0).map_or(0, |tip| tip.row.height);
        // Near the genesis block it may be inside.
        if parent.row.height + u64::from(self.setup.genesis.sibling_window) < tip + 1 {
            let hash = sibling.claimed_hash;
            self.throw(node, sibling);
            self.lists_badly(node, vec![hash], Vec::new());
        }
    }

    fn lists_one_twice(&mut self, node: usize) {
        let Some((_, sibling)) = self.beside(node, 1, Vec::new()) else { return };
        let twice = vec![sibling.claimed_hash; 2];
        self.throw(node, sibling);
        self.poisoned(node, "one sibling twice", |_| Draft { siblings: twice, ..Draft::default() });
    }

    fn lists_an_ancestor(&mut self, node: usize) {
        let depth = self.streams.evil.below(4);
        let Some(ancestor) = self.parent(node, depth).filter(|ancestor| ancestor.row.height > 0) else { return };
        self.lists_badly(node, vec![ancestor.hash], Vec::new());
    }

    /// A sibling that an ancestor lists already.
    fn lists_what_is_listed(&mut self, node: usize) {
        let listed = (0..LOOK_BACK).find_map(|depth| {
            let ancestor = self.parent(node, depth)?;
            let view = self.nodes[node].store.durable().snapshot();
            view.block(&ancestor.hash).ok()??.siblings.first().copied()
        });
        if let Some(hash) = listed {
            self.lists_badly(node, vec![hash], Vec::new());
        }
    }

    fn lists_a_child_first(&mut self, node: usize) {
        if self.setup.genesis.spacing > 0 {
            // It may not mine twice in succession.
            return;
        }
        let Some((parent, sibling)) = self.beside(node, 2, Vec::new()) else { return };
        let Some(on) = self.child(&parent, &sibling) else { return };
        let Some(child) = self.forge(node, &on, Draft::default()) else { return };
        let siblings = vec![child.claimed_hash, sibling.claimed_hash];
        self.throw(node, sibling);
        self.throw(node, child);
        self.lists_badly(node, siblings, Vec::new());
    }

    fn lists_three_of_one_miner(&mut self, node: usize) {
        let three: Vec<UncheckedBlock> = (0..3).filter_map(|_| Some(self.beside_with_row(node)?.1)).collect();
        let siblings: Vec<BlockHash> = three.iter().map(|block| block.claimed_hash).collect();
        if siblings.len() < 3 {
            return;
        }
        for block in three {
            self.throw(node, block);
        }
        self.lists_badly(node, siblings, Vec::new());
    }

    /// With a transaction of its own, so that no two are alike.
    fn beside_with_row(&mut self, node: usize) -> Option<(Parent, UncheckedBlock)> {
        let txhash = self.own_row(node);
        self.beside(node, 1, vec![txhash])
    }

    fn lists_too_many(&mut self, node: usize) {
        let many = self.limit() + 1;
        let unknown = (0..many).map(|_| Hash32(self.streams.evil.bytes())).collect();
        self.lists_badly(node, unknown, Vec::new());
    }

    fn repeats_what_a_sibling_carries(&mut self, node: usize) {
        let txhash = self.own_row(node);
        let Some((_, sibling)) = self.beside(node, 1, vec![txhash]) else { return };
        let hash = sibling.claimed_hash;
        self.throw(node, sibling);
        self.lists_badly(node, vec![hash], vec![txhash]);
    }

    /// A sibling whose body breaks a rule: nobody may keep it, so nobody can follow the block that lists it.
    fn lists_an_unsound_one(&mut self, node: usize) {
        let tx = self.own_transaction(node, ROW, &[0]);
        let txhash = tx.hash();
        self.poison.insert(txhash, "a payload that no rule allows");
        self.nodes[node].hidden.insert(txhash, tx.into_unverified());
        let Some((_, sibling)) = self.beside(node, 1, vec![txhash]) else { return };
        let hash = sibling.claimed_hash;
        self.poison.insert(hash, "an invalid body");
        self.throw(node, sibling);
        self.lists_badly(node, vec![hash], Vec::new());
    }

    /// Sound blocks of one member, more than anybody will list.
    fn floods_beside(&mut self, node: usize) {
        for _ in 0..FLOOD {
            if let Some((_, block)) = self.beside_with_row(node) {
                self.throw(node, block);
            }
        }
    }

    /// What it withheld is shown, or kept for good.
    pub(super) fn shows_withheld(&mut self, node: usize) {
        let withheld = std::mem::take(&mut self.nodes[node].private.withheld);
        for block in withheld {
            if self.streams.evil.chance(600_000) {
                self.throw(node, block);
            }
        }
    }

    /// Blocks of the honest chain that a private branch from `fork` on may list in a block at this height: it takes all
    /// that is committed, and no weight.
    pub(super) fn honest_siblings(&mut self, node: usize, fork: u64, height: u64, time_ms: u64) -> Vec<BlockHash> {
        let view = self.nodes[node].store.durable().snapshot();
        let lowest = height.saturating_sub(self.setup.genesis.sibling_window.into());
        if fork < lowest {
            return Vec::new();
        }
        let (mut list, mut miners) = (Vec::new(), Vec::new());
        for at in fork + 1..=height {
            let Some(hash) = view.hash_at(at).ok().flatten() else { break };
            let Some(row) = view.index(&hash).ok().flatten() else { break };
            let of_miner = miners.iter().filter(|miner| **miner == row.miner).count();
            if list.len() >= self.limit() || of_miner >= 2 || row.time_ms >= time_ms {
                break;
            }
            list.push(hash);
            miners.push(row.miner);
        }
        list
    }
}
