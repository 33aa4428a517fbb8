//! What a byzantine node does of its own accord. What no honest node may ever keep is noted in `poison`.

use super::super::World;
use super::super::network::Message;
use super::Serves;
use super::bulk::Bulk;
use super::forge::{Draft, Parent};
use crate::app::{MARK, ROW};
use crate::setup::Work;
use blockhie_core::{
    BlockHash, CompactTarget, Hash32, SecretKey, Transaction, TxHash, UncheckedBlock, Unverified, genesis_block,
};
use std::sync::Arc;

/// Transactions or orphans in one go.
const FLOOD: u64 = 20;
/// A time that no run reaches.
const FAR_MS: u64 = 3_600_000;

impl World {
    pub(in crate::world) fn deed(&mut self, node: usize) {
        if self.quiet {
            return;
        }
        self.first_deed(node);
        if self.nodes[node].running.is_none() {
            return;
        }
        self.tally.evil += 1;
        self.shows_withheld(node);
        match self.streams.evil.below(28) {
            0 => self.wrong_target(node),
            1 => self.no_work(node),
            2 => self.equal_time(node),
            3 => self.far_ahead(node),
            4 => self.spacing(node),
            5 => self.twice_in_a_list(node),
            6 => self.committed_already(node),
            7 => self.invalid_body(node),
            8 => self.too_many(node),
            9 => self.absurd_numbers(node),
            10 => self.bad_transactions(node),
            11 => self.foreign(node),
            12 => self.replay(node),
            13 => self.spam(node),
            14 => self.orphans(node),
            15 => self.stale_sibling(node),
            16..=21 => self.sibling_deed(node),
            22 => self.announces_nothing(node),
            23 | 24 => self.lure(node),
            _ => {
                let all = [
                    Serves::Honestly,
                    Serves::Nothing,
                    Serves::NoBodies,
                    Serves::OldTips,
                    Serves::Wrong,
                    Serves::Unreadable,
                ];
                self.nodes[node].private.serves = *self.streams.evil.pick(&all);
                self.nodes[node].private.bulk = *self.streams.evil.pick(&Bulk::ALL);
            }
        }
    }

    /// Forges on the tip, notes that nobody may take it, and pushes it.
    pub(super) fn poisoned(&mut self, node: usize, why: &'static str, draft: impl FnOnce(&Parent) -> Draft) {
        let Some(parent) = self.parent(node, 0) else { return };
        let draft = draft(&parent);
        if let Some(block) = self.forge(node, &parent, draft) {
            self.poison.insert(block.claimed_hash, why);
            self.throw(node, block);
        }
    }

    fn wrong_target(&mut self, node: usize) {
        let harder = self.streams.evil.chance(500_000);
        let consensus = self.consensus.clone();
        self.poisoned(node, "wrong target", |parent| {
            let row = &parent.row;
            let context = blockhie_core::ParentContext { height: row.height, time_ms: row.time_ms, lag_ms: row.lag_ms };
            let right = consensus.required_target(&context).to_u256();
            let half = CompactTarget::from_u256(right / 2);
            let double = CompactTarget::from_u256(right.checked_mul(2.into()).unwrap_or(right));
            let target = if harder || double.to_u256() <= right { half } else { double };
            Draft { target: Some(target), ..Draft::default() }
        });
    }

    fn no_work(&mut self, node: usize) {
        if self.setup.work == Work::Proof {
            self.poisoned(node, "no work", |_| Draft { without_work: true, ..Draft::default() });
        }
    }

    fn equal_time(&mut self, node: usize) {
        let Some(parent) = self.parent(node, 0).filter(|parent| self.may_mine(node, parent)) else { return };
        self.poisoned(node, "time not above its parent's", |_| Draft {
            time_ms: Some(parent.row.time_ms),
            ..Draft::default()
        });
    }

    fn far_ahead(&mut self, node: usize) {
        let time_ms = self.true_wall_ms() + FAR_MS;
        self.poisoned(node, "an hour ahead", |_| Draft { time_ms: Some(time_ms), ..Draft::default() });
    }

    /// On the nearest of its own blocks.
    fn spacing(&mut self, node: usize) {
        let own: Hash32 = self.setup.nodes[node].public.into();
        if self.setup.genesis.spacing == 0 {
            return;
        }
        let parents = (0..20).filter_map(|depth| self.parent(node, depth));
        let Some(parent) = parents.into_iter().find(|parent| parent.row.miner == own) else { return };
        if let Some(block) = self.forge(node, &parent, Draft::default()) {
            self.poison.insert(block.claimed_hash, "spacing");
            self.throw(node, block);
        }
    }

    fn twice_in_a_list(&mut self, node: usize) {
        let Some(hash) = self.verified.keys().next().copied() else { return };
        self.poisoned(node, "one transaction twice", |_| Draft { txhashes: vec![hash, hash], ..Draft::default() });
    }

    /// A block that commits what an ancestor committed, and one on top of it.
    fn committed_already(&mut self, node: usize) {
        let Some(parent) = self.parent(node, 0).filter(|parent| self.may_mine(node, parent)) else { return };
        let Some(hash) = self.committed_below(node, &parent) else { return };
        let Some(block) = self.forge(node, &parent, Draft { txhashes: vec![hash], ..Draft::default() }) else { return };
        self.never_best.insert(block.claimed_hash);
        self.throw(node, block);
    }

    fn committed_below(&self, node: usize, parent: &Parent) -> Option<TxHash> {
        let view = self.nodes[node].store.durable().snapshot();
        let first = parent.row.height.saturating_sub(10);
        let hashes = (first..=parent.row.height).filter_map(|height| view.hash_at(height).ok().flatten());
        hashes
            .filter_map(|hash: BlockHash| view.block(&hash).ok().flatten())
            .find_map(|block| block.txhashes.first().copied())
    }

    /// A signed transaction that breaks a stateless rule, in a block and by itself.
    fn invalid_body(&mut self, node: usize) {
        let Some(parent) = self.parent(node, 0).filter(|parent| self.may_mine(node, parent)) else { return };
        let tx = self.own_transaction(node, ROW, &[0]);
        let hash = tx.hash();
        self.poison.insert(hash, "a payload that no rule allows");
        self.nodes[node].hidden.insert(hash, tx.clone().into_unverified());
        if self.streams.evil.chance(300_000) {
            for to in self.some(node) {
                self.send(node, to, Message::Tx(tx.clone().into_unverified()));
            }
        }
        if let Some(block) = self.forge(node, &parent, Draft { txhashes: vec![hash], ..Draft::default() }) {
            self.poison.insert(block.claimed_hash, "an invalid body");
            self.throw(node, block);
        }
    }

    fn too_many(&mut self, node: usize) {
        let many = self.setup.genesis.max_transactions + 1;
        let hashes: Vec<TxHash> = (0..many).map(|_| Hash32(self.streams.evil.bytes())).collect();
        self.poisoned(node, "too many transactions", |_| Draft { txhashes: hashes, ..Draft::default() });
    }

    fn absurd_numbers(&mut self, node: usize) {
        let height = *self.streams.evil.pick(&[0, u64::MAX, u64::MAX - 1, 2]);
        let time_ms = *self.streams.evil.pick(&[0, u64::MAX, 1 << 53]);
        self.poisoned(node, "absurd numbers", |_| Draft {
            height: Some(height),
            time_ms: Some(time_ms),
            ..Draft::default()
        });
    }

    /// Signatures that do not hold, and hashes that are not the hash.
    fn bad_transactions(&mut self, node: usize) {
        let chain = self.setup.genesis.chain_id();
        let tx = self.own_transaction(node, ROW, &[MARK, 1]);
        let mut bytes = tx.to_bytes();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let Ok(forged) = Transaction::<Unverified>::from_bytes(&bytes, &chain) else { return };
        self.poison.insert(forged.hash(), "a signature that does not hold");
        let body = tx.body().clone();
        let false_hash = Hash32(self.streams.evil.bytes());
        self.poison.insert(false_hash, "a false hash");
        let misnamed = Transaction::<Unverified>::new(tx.time_ms(), ROW, *tx.from(), None, body, false_hash);
        for to in self.some(node) {
            self.send(node, to, Message::Tx(forged.clone()));
            self.send(node, to, Message::Tx(misnamed.clone()));
        }
    }

    /// Things of another chain.
    fn foreign(&mut self, node: usize) {
        let mut other = self.setup.genesis.clone();
        other.nonce = Hash32(self.streams.evil.bytes());
        let secret = SecretKey::from_seed(self.streams.evil.bytes());
        let tx = Transaction::sign(&other.chain_id(), &secret, self.true_wall_ms(), ROW, None, &[MARK, 1]);
        let ours = Transaction::<Unverified>::from_bytes(&tx.to_bytes(), &self.setup.genesis.chain_id());
        self.poison.insert(tx.hash(), "another chain's transaction");
        let mut all = vec![tx.into_unverified()];
        if let Ok(ours) = ours {
            self.poison.insert(ours.hash(), "another chain's signature");
            all.push(ours);
        }
        let block = genesis_block(&other).to_unchecked();
        self.poison.insert(block.claimed_hash, "another chain's genesis");
        for to in self.some(node) {
            for tx in &all {
                self.send(node, to, Message::Tx(tx.clone()));
            }
            self.send(node, to, Message::Block(Arc::new(block.clone())));
        }
    }

    /// Old blocks and old transactions, which are known.
    fn replay(&mut self, node: usize) {
        let depth = self.streams.evil.below(12);
        let block = self.parent(node, depth).and_then(|parent| {
            let view = self.nodes[node].store.durable().snapshot();
            view.block(&parent.hash).ok().flatten()
        });
        if let Some(block) = block {
            for hash in &block.txhashes {
                if let Some((tx, _)) = self.verified.get(hash).cloned() {
                    for to in self.some(node) {
                        self.send(node, to, Message::Tx(tx.clone()));
                    }
                }
            }
            self.throw(node, block.to_unchecked());
        }
    }

    /// Good transactions, many of them.
    fn spam(&mut self, node: usize) {
        for _ in 0..FLOOD {
            let tx = self.own_transaction(node, ROW, &[MARK, 9]).into_unverified();
            for to in self.some(node) {
                self.send(node, to, Message::Tx(tx.clone()));
            }
        }
    }

    /// Blocks whose parents nobody has.
    fn orphans(&mut self, node: usize) {
        let Some(parent) = self.parent(node, 0) else { return };
        for _ in 0..FLOOD {
            let unknown = Parent { hash: Hash32(self.streams.evil.bytes()), row: parent.row.clone() };
            let Some(mut block) = self.forge(node, &unknown, Draft::default()) else { continue };
            self.poison.insert(block.claimed_hash, "a parent that nobody has");
            if self.streams.evil.chance(300_000) {
                block = UncheckedBlock { history_root: None, ..block };
            }
            self.throw(node, block);
        }
    }

    /// A sound block beside the chain; it costs little without work, so it comes seldom.
    fn stale_sibling(&mut self, node: usize) {
        let depth = 1 + self.streams.evil.below(3);
        let Some(parent) = self.parent(node, depth) else { return };
        let draft = Draft { honest_spacing: true, ..Draft::default() };
        if let Some(block) = self.forge(node, &parent, draft) {
            self.throw(node, block);
        }
    }
}
