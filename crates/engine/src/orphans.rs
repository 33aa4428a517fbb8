//! Blocks whose parent is not known yet, bounded by bytes and by peer.

use crate::event::PeerId;
use crate::limits::{MAX_CLAIMS_PER_PEER, MAX_ORPHAN_BYTES, MAX_ORPHANS_PER_PEER, ORPHAN_MS};
use blockhie_core::{BlockHash, UncheckedBlock};
use std::collections::{BTreeMap, BTreeSet};

/// Memory of a held block beside its lists, roughly.
const BLOCK_BYTES: usize = 512;

/// A held block.
#[derive(Debug)]
pub(crate) struct Orphan {
    pub(crate) block: UncheckedBlock,
    /// Whoever sent it; all senders without a listen address count as one.
    pub(crate) from: Option<PeerId>,
    /// Whether its hash, claimed work and signature were checked.
    checked: bool,
    since_ms: u64,
}

impl Orphan {
    fn bytes(&self) -> usize {
        BLOCK_BYTES + 32 * (self.block.txhashes.len() + self.block.siblings.len())
    }
}

/// The held blocks. One hash may be held several times: of what could not be checked nothing is believed, so that a
/// false message never stands in the way of an honest one.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    held: BTreeMap<u64, Orphan>,
    by_parent: BTreeSet<(BlockHash, u64)>,
    by_hash: BTreeSet<(BlockHash, u64)>,
    by_peer: BTreeMap<Option<PeerId>, Share>,
    bytes: usize,
    next: u64,
}

/// What one peer takes of the room.
#[derive(Debug, Default)]
struct Share {
    checked: BTreeSet<u64>,
    claims: BTreeSet<u64>,
    bytes: usize,
}

impl Orphans {
    /// Holds a block. If it is too much for its peer, this peer's oldest goes; if it is too much in all, the oldest of
    /// the peer that takes most.
    pub(crate) fn insert(&mut self, block: UncheckedBlock, from: Option<PeerId>, checked: bool, now_ms: u64) {
        let hash = block.claimed_hash;
        if self.ids(&hash).any(|id| self.held.get(&id).is_some_and(|held| held.checked || held.from == from)) {
            return;
        }
        let orphan = Orphan { block, from, checked, since_ms: now_ms };
        let (id, bytes) = (self.next, orphan.bytes());
        self.next += 1;
        self.by_parent.insert((orphan.block.previous, id));
        self.by_hash.insert((hash, id));
        let share = self.by_peer.entry(from).or_default();
        let (list, limit) =
            if checked { (&mut share.checked, MAX_ORPHANS_PER_PEER) } else { (&mut share.claims, MAX_CLAIMS_PER_PEER) };
        list.insert(id);
        let over = if list.len() > limit { list.first().copied() } else { None };
        share.bytes += bytes;
        self.bytes += bytes;
        self.held.insert(id, orphan);
        if let Some(oldest) = over {
            self.remove(oldest);
        }
        while self.bytes > MAX_ORPHAN_BYTES {
            let greedy = self.by_peer.values().max_by_key(|share| share.bytes);
            let Some(oldest) = greedy.and_then(|share| share.checked.union(&share.claims).min().copied()) else {
                break;
            };
            self.remove(oldest);
        }
    }

    fn ids(&self, hash: &BlockHash) -> impl Iterator<Item = u64> {
        self.by_hash.range((*hash, 0)..=(*hash, u64::MAX)).map(|(_, id)| *id)
    }

    /// Whether a block of this hash is held whose hash, work and signature were checked.
    pub(crate) fn holds_checked(&self, hash: &BlockHash) -> bool {
        self.ids(hash).any(|id| self.held.get(&id).is_some_and(|held| held.checked))
    }

    fn remove(&mut self, id: u64) -> Option<Orphan> {
        let orphan = self.held.remove(&id)?;
        self.by_parent.remove(&(orphan.block.previous, id));
        self.by_hash.remove(&(orphan.block.claimed_hash, id));
        self.bytes -= orphan.bytes();
        if let Some(share) = self.by_peer.get_mut(&orphan.from) {
            share.checked.remove(&id);
            share.claims.remove(&id);
            share.bytes -= orphan.bytes();
            if share.bytes == 0 {
                self.by_peer.remove(&orphan.from);
            }
        }
        Some(orphan)
    }

    /// Takes out what stands on this block.
    pub(crate) fn take_children(&mut self, parent: &BlockHash) -> Vec<Orphan> {
        let range = (*parent, 0)..=(*parent, u64::MAX);
        let ids: Vec<u64> = self.by_parent.range(range).map(|(_, id)| *id).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// The nearest ancestor of `hash` that is not held: what has to be asked for.
    pub(crate) fn missing_ancestor(&self, hash: BlockHash) -> BlockHash {
        let mut at = hash;
        // Hashes that were not checked may form a ring.
        for _ in 0..self.held.len() {
            // What was checked is believed before what was not.
            let held = self.ids(&at).filter_map(|id| self.held.get(&id)).max_by_key(|held| held.checked);
            let Some(orphan) = held else { break };
            at = orphan.block.previous;
        }
        at
    }

    /// Drops what is held for too long.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        while let Some((id, orphan)) = self.held.first_key_value()
            && orphan.since_ms.saturating_add(ORPHAN_MS) <= now_ms
        {
            let id = *id;
            self.remove(id);
        }
    }

    /// Drops what a banned peer sent.
    pub(crate) fn forget_peer(&mut self, peer: PeerId) {
        let Some(share) = self.by_peer.get(&Some(peer)) else { return };
        let ids: Vec<u64> = share.checked.union(&share.claims).copied().collect();
        for id in ids {
            self.remove(id);
        }
    }

    /// (blocks, bytes) held.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.held.len(), self.bytes)
    }
}

#[cfg(test)]
mod tests;
