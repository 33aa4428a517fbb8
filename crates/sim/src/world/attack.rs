//! Attackers of the scenarios in [`crate::attacks`]: nodes with honest engines that do one thing to the blocks they find.

use super::evil::{Draft, Parent};
use super::network::Message;
use super::node::Command;
use super::{Coming, World};
use crate::rng::scale;
use blockhie_core::{Hash32, PublicKey, SecretKey, Template, UncheckedBlock};
use blockhie_engine::Event;
use std::sync::Arc;

/// Kept of the future limit, so that delays do not make a block too early.
const MARGIN_MS: u64 = 500;

/// What an attacker does with the blocks that it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// As far ahead as others take it.
    Future,
    /// One ms after the parent.
    Past,
    /// The one and the other in turn.
    Zigzag,
    /// With each block one beside the chain, dated one ms after its parent.
    BackDated,
}

/// How the holder of some members' keys mines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// It works on a branch of its own and shows it late (Eyal, Sirer 2014). Otherwise as it should.
    pub withholds: bool,
    /// The hash rate of all keys works for one that may mine now. Otherwise that of a key which may not stands idle, as
    /// an honest member's does.
    pub pools: bool,
}

/// Such a holder. Its engine follows the public chain.
pub(crate) struct Selfish {
    node: usize,
    keys: Vec<SecretKey>,
    holder: Holder,
    hashes_per_s: u64,
    /// The longest branch that it withheld.
    pub(crate) longest: u64,
    /// The branch that is not public, or public and not yet won, ascending.
    branch: Vec<(UncheckedBlock, Parent)>,
    /// Of these, shown.
    shown: usize,
    /// The public chain has reached the branch's height.
    race: bool,
    height: u64,
}

impl World {
    /// The hash rate of a node from now on.
    pub(crate) fn set_rate(&mut self, node: usize, hashes_per_s: u64) {
        self.nodes[node].miner.rate = hashes_per_s;
        self.rate_changed(node);
    }

    /// What a node does with the blocks it finds.
    pub(crate) fn set_strategy(&mut self, node: usize, strategy: Strategy) {
        self.strategies.insert(node, strategy);
    }

    pub(super) fn found_as(&mut self, node: usize, mut template: Template, strategy: Strategy) {
        let least_ms = self.parent(node, 0).map_or(0, |parent| parent.row.time_ms + 1);
        let most_ms = self.true_wall_ms() + self.setup.genesis.future_limit_ms() - MARGIN_MS;
        let time_ms = match strategy {
            Strategy::Future => most_ms,
            Strategy::Past => least_ms,
            Strategy::Zigzag if template.header.height.is_multiple_of(2) => most_ms,
            Strategy::Zigzag => least_ms,
            Strategy::BackDated => template.header.time_ms,
        };
        template.header.time_ms = time_ms.max(least_ms);
        if let Some(block) = self.seal(node, template) {
            self.command(node, Command::Event(Event::Mined { block }));
        }
        if strategy == Strategy::BackDated {
            self.back_dated(node);
        }
    }

    fn back_dated(&mut self, node: usize) {
        let depth = 1 + self.streams.evil.below(u64::from(self.setup.genesis.sibling_window).max(1));
        let Some(parent) = self.parent(node, depth) else { return };
        let draft = Draft { honest_spacing: true, time_ms: Some(parent.row.time_ms + 1), ..Draft::default() };
        if let Some(block) = self.forge(node, &parent, draft) {
            self.show(node, &block);
        }
    }

    /// To all others, and to its own engine.
    fn show(&mut self, node: usize, block: &UncheckedBlock) {
        self.command(node, Command::Event(Event::Mined { block: block.clone() }));
        let block = Arc::new(block.clone());
        for to in (0..self.nodes.len()).filter(|to| *to != node) {
            self.send(node, to, Message::Block(block.clone()));
        }
    }

    /// A node mines in this way from now on, with these keys and this hash rate.
    pub(crate) fn start_selfish(&mut self, node: usize, keys: Vec<SecretKey>, hashes_per_s: u64, holder: Holder) {
        self.set_rate(node, 0);
        let height = self.height_of(node);
        let (branch, shown, race) = (Vec::new(), 0, false);
        self.selfish = Some(Selfish { node, keys, holder, hashes_per_s, longest: 0, branch, shown, race, height });
        self.next_selfish_find();
    }

    /// Height of a node's tip.
    pub(crate) fn height_of(&self, node: usize) -> u64 {
        self.nodes[node].running.as_ref().map_or(0, |running| running.tip.height)
    }

    fn next_selfish_find(&mut self) {
        let Some(selfish) = &self.selfish else { return };
        let rate = selfish.hashes_per_s;
        let Some(parent) = self.selfish_parent() else { return };
        let hashes = self.required_target(&parent).work().low_u64();
        let left = self.streams.mining.exponential();
        self.after(scale(left, (hashes * 1_000 / rate.max(1)).max(1)), Coming::Selfish);
    }

    fn selfish_parent(&self) -> Option<Parent> {
        let selfish = self.selfish.as_ref()?;
        selfish.branch.last().map(|(_, parent)| parent.clone()).or_else(|| self.parent(selfish.node, 0))
    }

    /// Those of its keys that the spacing rule lets mine on this parent.
    fn selfish_keys(&self, parent: &Parent) -> Vec<SecretKey> {
        let Some(selfish) = &self.selfish else { return Vec::new() };
        let spacing = usize::from(self.setup.genesis.spacing);
        let private = selfish.branch.iter().rev().map(|(block, _)| block.miner);
        let mut miners: Vec<Hash32> = private.take(spacing).collect();
        let view = self.nodes[selfish.node].store.durable().snapshot();
        let below = selfish.branch.first().map_or(parent.hash, |(block, _)| block.previous);
        let mut at = view.index(&below).ok().flatten();
        while let Some(row) = at.filter(|row| row.height > 0 && miners.len() < spacing) {
            miners.push(row.miner);
            at = view.index(&row.parent).ok().flatten();
        }
        selfish.keys.iter().filter(|key| !miners.contains(&key.public().into())).cloned().collect()
    }

    /// It finds a block.
    pub(super) fn selfish_found(&mut self) {
        self.next_selfish_find();
        let Some(parent) = self.selfish_parent() else { return };
        let keys = self.selfish_keys(&parent);
        let (Some(key), Some(selfish)) = (keys.first().cloned(), &self.selfish) else { return };
        let (node, holder, all) = (selfish.node, selfish.holder, selfish.keys.len() as u64);
        if !holder.pools && self.streams.mining.below(all) >= keys.len() as u64 {
            return;
        }
        let draft = Draft { secret: Some(key), ..Draft::default() };
        let Some(block) = self.forge(node, &parent, draft) else { return };
        let Some(next) = self.child(&parent, &block) else { return };
        let Some(selfish) = &mut self.selfish else { return };
        selfish.branch.push((block, next));
        selfish.longest = selfish.longest.max(selfish.branch.len() as u64);
        if selfish.race || !holder.withholds {
            self.selfish_shows(usize::MAX);
        }
    }

    /// Shows its branch up to so many blocks.
    fn selfish_shows(&mut self, up_to: usize) {
        let Some(selfish) = &mut self.selfish else { return };
        let node = selfish.node;
        let up_to = up_to.min(selfish.branch.len());
        let shown: Vec<UncheckedBlock> =
            selfish.branch.iter().take(up_to).skip(selfish.shown).map(|(block, _)| block.clone()).collect();
        selfish.shown = selfish.shown.max(up_to);
        for block in shown {
            self.show(node, &block);
        }
    }

    /// After a turn of its engine: the public chain may have grown.
    pub(super) fn selfish_looks(&mut self, node: usize) {
        let public = self.height_of(node);
        let tip = self.nodes[node].running.as_ref().map(|running| running.tip.hash);
        let Some(selfish) = self.selfish.as_mut().filter(|selfish| selfish.node == node && selfish.height != public)
        else {
            return;
        };
        selfish.height = public;
        let Some((first, last)) = selfish.branch.first().zip(selfish.branch.last()) else { return };
        let (base, own) = (first.0.height - 1, last.0.height);
        if tip == Some(last.0.claimed_hash) || own < public {
            // Won, or lost.
            selfish.branch.clear();
            (selfish.shown, selfish.race) = (0, false);
            return;
        }
        let caught_up = usize::try_from(public - base).unwrap_or(usize::MAX);
        selfish.race = own == public;
        let all = own <= public + 1;
        self.selfish_shows(if all { usize::MAX } else { caught_up });
    }
}

impl World {
    /// Blocks above this height on a node's best chain by one of these miners.
    pub(crate) fn mined_by(&self, node: usize, above: u64, keys: &[PublicKey]) -> u64 {
        let keys: Vec<Hash32> = keys.iter().map(|key| (*key).into()).collect();
        let view = self.nodes[node].store.durable().snapshot();
        let miner = |height| view.index(&view.hash_at(height).ok()??).ok()?.map(|row| row.miner);
        (above + 1..=self.height_of(node)).filter_map(miner).filter(|miner| keys.contains(miner)).count() as u64
    }

    /// Siblings that a node's best chain lists.
    pub(crate) fn listed_at(&self, node: usize) -> u64 {
        let view = self.nodes[node].store.durable().snapshot();
        view.listed_page(None, usize::MAX).map_or(0, |listed| listed.len() as u64)
    }

    /// Nothing gets to a node or from it.
    pub(crate) fn cut_off(&mut self, node: usize) {
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.net.cut.extend([(node, other), (other, node)]);
        }
    }

    /// Everything gets everywhere.
    pub(crate) fn join_again(&mut self) {
        self.net.cut.clear();
    }

    /// Whoever died is started.
    pub(crate) fn start_all(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.start(node));
    }
}
