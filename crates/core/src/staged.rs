//! What a turn has decided and not yet made durable: a layer over the store that reads see and one batch writes.

use crate::app::{Entries, State, StateRead, TxPosition};
use crate::block::Block;
use crate::bytes::{BlockHash, Hash32, TxHash};
use crate::store::{
    Batch, CarriedKey, HistoryNode, IndexRow, Meta, Op, PeerRow, Pruned, SideKey, StoreError, StoreRead, Undo,
};
use crate::tx::StoredTx;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Changes by column family; `None` removes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Staged {
    pub(crate) blocks: BTreeMap<BlockHash, Option<Block>>,
    pub(crate) index: BTreeMap<BlockHash, IndexRow>,
    pub(crate) heights: BTreeMap<u64, Option<BlockHash>>,
    pub(crate) history: BTreeMap<(u8, u64), Option<Hash32>>,
    pub(crate) txs: BTreeMap<TxHash, Option<StoredTx>>,
    pub(crate) positions: BTreeMap<TxHash, Option<TxPosition>>,
    pub(crate) state: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    pub(crate) undo: BTreeMap<BlockHash, Option<Undo>>,
    pub(crate) listed: BTreeMap<BlockHash, Option<u64>>,
    pub(crate) side: BTreeMap<SideKey, Option<u64>>,
    pub(crate) carried: BTreeMap<CarriedKey, bool>,
    pub(crate) pruned: Option<Pruned>,
    pub(crate) pending: BTreeMap<TxHash, Option<u64>>,
    pub(crate) peers: BTreeMap<String, Option<PeerRow>>,
    pub(crate) meta: Option<Meta>,
}

impl Staged {
    pub(crate) fn is_empty(&self) -> bool {
        self.meta.is_none()
            && self.blocks.is_empty()
            && self.index.is_empty()
            && self.txs.is_empty()
            && self.pending.is_empty()
            && self.peers.is_empty()
            && self.heights.is_empty()
            && self.side.is_empty()
            && self.pruned.is_none()
    }

    pub(crate) fn to_batch(&self) -> Batch {
        let mut batch: Batch = Vec::new();
        batch.extend(self.blocks.iter().map(|(hash, block)| block.clone().map_or(Op::DropBlock(*hash), Op::PutBlock)));
        batch.extend(self.index.iter().map(|(hash, row)| Op::PutIndex(*hash, row.clone())));
        batch.extend(self.heights.iter().map(|(height, hash)| Op::Height(*height, *hash)));
        batch.extend(self.history.iter().map(|((level, index), hash)| Op::HistoryNode(*level, *index, *hash)));
        batch.extend(self.txs.iter().map(|(hash, tx)| tx.clone().map_or(Op::DropTx(*hash), Op::PutTx)));
        batch.extend(self.positions.iter().map(|(hash, position)| Op::TxPosition(*hash, position.clone())));
        batch.extend(self.state.iter().map(|(key, value)| Op::State(key.clone(), value.clone())));
        batch.extend(self.undo.iter().map(|(hash, undo)| Op::Undo(*hash, undo.clone())));
        batch.extend(self.listed.iter().map(|(hash, height)| Op::Listed(*hash, *height)));
        batch.extend(self.side.iter().map(|(key, since)| Op::Side(*key, *since)));
        batch.extend(self.carried.iter().map(|(key, carried)| Op::Carried(*key, *carried)));
        batch.extend(self.pruned.map(Op::Pruned));
        batch.extend(self.pending.iter().map(|(hash, since)| Op::Pending(*hash, *since)));
        batch.extend(self.peers.iter().map(|(address, row)| Op::Peer(address.clone(), row.clone())));
        batch.extend(self.meta.iter().cloned().map(Op::Meta));
        batch
    }
}

/// The store as it will be once the staged changes are written. Pages, but for `side_page`, are those of the store
/// below: only fsck and opening read them, when nothing is staged.
pub(crate) struct View<'a> {
    pub(crate) staged: &'a Staged,
    pub(crate) base: Box<dyn StoreRead + 'a>,
}

macro_rules! layered {
    ($name:ident, $field:ident, $key:ty => $value:ty) => {
        fn $name(&self, key: $key) -> Result<Option<$value>, StoreError> {
            match self.staged.$field.get(key) {
                Some(value) => Ok(Some(value.clone())),
                None => self.base.$name(key),
            }
        }
    };
    (removable $name:ident, $field:ident, $key:ty => $value:ty) => {
        fn $name(&self, key: $key) -> Result<Option<$value>, StoreError> {
            match self.staged.$field.get(key) {
                Some(value) => Ok(value.clone()),
                None => self.base.$name(key),
            }
        }
    };
}

impl StoreRead for View<'_> {
    layered!(removable block, blocks, &BlockHash => Block);
    layered!(index, index, &BlockHash => IndexRow);
    layered!(removable tx, txs, &TxHash => StoredTx);
    layered!(removable tx_position, positions, &TxHash => TxPosition);
    layered!(removable undo, undo, &BlockHash => Undo);
    layered!(removable listed, listed, &BlockHash => u64);
    layered!(removable side, side, &SideKey => u64);
    layered!(removable pending_since, pending, &TxHash => u64);
    layered!(removable state_get, state, &[u8] => Vec<u8>);

    fn hash_at(&self, height: u64) -> Result<Option<BlockHash>, StoreError> {
        self.staged.heights.get(&height).map_or_else(|| self.base.hash_at(height), |hash| Ok(*hash))
    }
    fn history_node(&self, level: u8, index: u64) -> Result<Option<Hash32>, StoreError> {
        let staged = self.staged.history.get(&(level, index));
        staged.map_or_else(|| self.base.history_node(level, index), |hash| Ok(*hash))
    }
    fn state_range(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Entries, StoreError> {
        merged_range(&self.staged.state, start, end, limit, |limit| self.base.state_range(start, end, limit))
    }
    fn carriers(&self, txhash: &TxHash, limit: usize) -> Result<Vec<BlockHash>, StoreError> {
        let of = (*txhash, Hash32::ZERO)..=(*txhash, Hash32([0xff; 32]));
        let inside: BTreeMap<BlockHash, bool> =
            self.staged.carried.range(of).map(|((_, block), carried)| (*block, *carried)).collect();
        let below = self.base.carriers(txhash, limit.saturating_add(inside.len()))?;
        let below = below.into_iter().filter(|block| !inside.contains_key(block));
        let mut blocks: Vec<_> =
            below.chain(inside.iter().filter(|(_, carried)| **carried).map(|(block, _)| *block)).collect();
        blocks.sort_unstable();
        blocks.truncate(limit);
        Ok(blocks)
    }
    fn pruned(&self) -> Result<Pruned, StoreError> {
        self.staged.pruned.map_or_else(|| self.base.pruned(), Ok)
    }
    fn pending(&self, after: Option<&TxHash>, limit: usize) -> Result<Vec<(TxHash, u64)>, StoreError> {
        self.base.pending(after, limit)
    }
    fn peers(&self) -> Result<Vec<PeerRow>, StoreError> {
        self.base.peers()
    }
    fn meta(&self) -> Result<Meta, StoreError> {
        self.staged.meta.as_ref().map_or_else(|| self.base.meta(), |meta| Ok(meta.clone()))
    }
    fn index_page(&self, after: Option<&BlockHash>, limit: usize) -> Result<Vec<(BlockHash, IndexRow)>, StoreError> {
        self.base.index_page(after, limit)
    }
    fn heights_page(&self, after: Option<u64>, limit: usize) -> Result<Vec<(u64, BlockHash)>, StoreError> {
        self.base.heights_page(after, limit)
    }
    fn tx_positions_page(&self, after: Option<&TxHash>, limit: usize) -> Result<Vec<(TxHash, TxPosition)>, StoreError> {
        self.base.tx_positions_page(after, limit)
    }
    fn listed_page(&self, after: Option<&BlockHash>, limit: usize) -> Result<Vec<(BlockHash, u64)>, StoreError> {
        self.base.listed_page(after, limit)
    }
    fn side_page(&self, after: Option<&SideKey>, limit: usize) -> Result<Vec<(SideKey, u64)>, StoreError> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let inside: Vec<_> = self.staged.side.range((start, Bound::Unbounded)).collect();
        let below = self.base.side_page(after, limit.saturating_add(inside.len()))?;
        Ok(overlaid(below, inside, limit))
    }
    fn carried_page(&self, after: Option<&CarriedKey>, limit: usize) -> Result<Vec<CarriedKey>, StoreError> {
        self.base.carried_page(after, limit)
    }
    fn history_page(&self, after: Option<(u8, u64)>, limit: usize) -> Result<Vec<HistoryNode>, StoreError> {
        self.base.history_page(after, limit)
    }
}

/// The first `limit` entries of a range with changes laid over it. Of the layer below, `limit` and as many more as
/// there are changes are read: each change hides at most one of them.
fn merged_range(
    changes: &BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    start: &[u8],
    end: Option<&[u8]>,
    limit: usize,
    below: impl FnOnce(usize) -> Result<Entries, StoreError>,
) -> Result<Entries, StoreError> {
    let inside: Vec<_> = changes
        .range::<[u8], _>((Bound::Included(start), Bound::Unbounded))
        .take_while(|(key, _)| end.is_none_or(|end| key.as_slice() < end))
        .collect();
    Ok(overlaid(below(limit.saturating_add(inside.len()))?, inside, limit))
}

/// The first `limit` entries of `below` with `changes` laid over them.
fn overlaid<K: Ord + Clone, V: Clone>(below: Vec<(K, V)>, changes: Vec<(&K, &Option<V>)>, limit: usize) -> Vec<(K, V)> {
    let mut merged: BTreeMap<K, V> = below.into_iter().collect();
    for (key, value) in changes {
        match value {
            Some(value) => drop(merged.insert(key.clone(), value.clone())),
            None => drop(merged.remove(key)),
        }
    }
    merged.into_iter().take(limit).collect()
}

/// A [`StoreRead`]'s state, read only.
pub(crate) struct StateOf<'a>(pub(crate) &'a dyn StoreRead);

impl StateRead for StateOf<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.state_get(key)
    }
    fn range(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Entries, StoreError> {
        self.0.state_range(start, end, limit)
    }
}

/// The state while one block is applied: what its earlier transactions wrote, and what the present one is writing.
pub(crate) struct BlockState<'a> {
    base: &'a dyn StoreRead,
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    open: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<'a> BlockState<'a> {
    pub(crate) fn new(base: &'a dyn StoreRead) -> Self {
        Self { base, writes: BTreeMap::new(), open: BTreeMap::new() }
    }

    /// The present transaction took effect.
    pub(crate) fn keep(&mut self) {
        self.writes.append(&mut self.open);
    }

    /// The present transaction is void: whatever it wrote is dropped.
    pub(crate) fn discard(&mut self) {
        self.open.clear();
    }

    /// All writes, and what stood at their keys before.
    pub(crate) fn finish(self) -> Result<Changes, StoreError> {
        let before = |key: &Vec<u8>| Ok((key.clone(), self.base.state_get(key)?));
        let undo = self.writes.keys().map(before).collect::<Result<_, StoreError>>()?;
        Ok(Changes { writes: self.writes, undo })
    }
}

/// What a block changes in the state.
pub(crate) struct Changes {
    pub(crate) writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    pub(crate) undo: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl StateRead for BlockState<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.open.get(key).or_else(|| self.writes.get(key)) {
            Some(value) => Ok(value.clone()),
            None => self.base.state_get(key),
        }
    }
    fn range(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Entries, StoreError> {
        merged_range(&self.open, start, end, limit, |limit| {
            merged_range(&self.writes, start, end, limit, |limit| self.base.state_range(start, end, limit))
        })
    }
}

impl State for BlockState<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.open.insert(key.to_vec(), Some(value.to_vec()));
    }
    fn delete(&mut self, key: &[u8]) {
        self.open.insert(key.to_vec(), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merged_ranges_equal_a_plain_map(
            base in proptest::collection::btree_map(0u8..40, any::<u8>(), 0..20),
            changes in proptest::collection::btree_map(0u8..40, any::<Option<u8>>(), 0..20),
            start in 0u8..40, end in 0u8..50, limit in 0usize..12,
        ) {
            let mut model = base.clone();
            for (key, value) in &changes {
                match value {
                    Some(value) => drop(model.insert(*key, *value)),
                    None => drop(model.remove(key)),
                }
            }
            let expected: Vec<_> = model.into_iter().filter(|(key, _)| *key >= start && *key < end).take(limit)
                .map(|(key, value)| (vec![key], vec![value])).collect();
            let changes = changes.into_iter().map(|(key, value)| (vec![key], value.map(|value| vec![value]))).collect();
            let below = |limit| Ok(base.iter().filter(|(key, _)| **key >= start && **key < end).take(limit)
                .map(|(key, value)| (vec![*key], vec![*value])).collect());
            let got = merged_range(&changes, &[start], Some(&[end]), limit, below).unwrap();
            prop_assert_eq!(got, expected);
        }
    }
}
