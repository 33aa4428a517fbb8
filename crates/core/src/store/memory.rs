//! A store in memory: for tests, for embedders who keep nothing, and as the model of the real one.

use super::{
    Batch, BlobStore, CarriedKey, HistoryNode, IndexRow, Meta, Op, PeerRow, Pruned, SideKey, Store, StoreError,
    StoreRead, Undo,
};
use crate::app::{Entries, TxPosition};
use crate::block::Block;
use crate::bytes::{BlockHash, Hash32, TxHash};
use crate::genesis::Genesis;
use crate::tx::StoredTx;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

/// The column families as ordered maps.
#[derive(Debug, Clone)]
struct Tables {
    blocks: BTreeMap<BlockHash, Block>,
    index: BTreeMap<BlockHash, IndexRow>,
    heights: BTreeMap<u64, BlockHash>,
    history: BTreeMap<(u8, u64), Hash32>,
    txs: BTreeMap<TxHash, StoredTx>,
    positions: BTreeMap<TxHash, TxPosition>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    undo: BTreeMap<BlockHash, Undo>,
    listed: BTreeMap<BlockHash, u64>,
    side: BTreeMap<SideKey, u64>,
    carried: BTreeMap<CarriedKey, ()>,
    pruned: Pruned,
    pending: BTreeMap<TxHash, u64>,
    peers: BTreeMap<String, PeerRow>,
    meta: Meta,
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

fn page<K: Ord + Clone, V: Clone>(map: &BTreeMap<K, V>, after: Option<&K>, limit: usize) -> Vec<(K, V)> {
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    map.range((start, Bound::Unbounded)).take(limit).map(|(k, v)| (k.clone(), v.clone())).collect()
}

impl Tables {
    fn apply(&mut self, op: Op) {
        match op {
            Op::PutBlock(block) => drop(self.blocks.insert(block.hash, block)),
            Op::DropBlock(hash) => drop(self.blocks.remove(&hash)),
            Op::PutIndex(hash, row) => drop(self.index.insert(hash, row)),
            Op::Height(height, hash) => set(&mut self.heights, height, hash),
            Op::HistoryNode(level, index, hash) => set(&mut self.history, (level, index), hash),
            Op::PutTx(tx) => drop(self.txs.insert(tx.hash, tx)),
            Op::DropTx(hash) => drop(self.txs.remove(&hash)),
            Op::TxPosition(hash, position) => set(&mut self.positions, hash, position),
            Op::State(key, value) => set(&mut self.state, key, value),
            Op::Undo(hash, undo) => set(&mut self.undo, hash, undo),
            Op::Listed(hash, height) => set(&mut self.listed, hash, height),
            Op::Side(key, since) => set(&mut self.side, key, since),
            Op::Carried(key, carried) => set(&mut self.carried, key, carried.then_some(())),
            Op::Pruned(pruned) => self.pruned = pruned,
            Op::Pending(hash, since) => set(&mut self.pending, hash, since),
            Op::Peer(address, row) => set(&mut self.peers, address, row),
            Op::Meta(meta) => self.meta = meta,
        }
    }
}

/// A [`Store`] that lives as long as the process. A snapshot shares the tables until the next commit copies them.
pub struct MemoryStore {
    tables: Mutex<Arc<Tables>>,
}

impl MemoryStore {
    /// An empty store for the chain of `genesis`.
    #[must_use]
    pub fn new(genesis: &Genesis) -> Self {
        let tables = Tables {
            blocks: BTreeMap::new(),
            index: BTreeMap::new(),
            heights: BTreeMap::new(),
            history: BTreeMap::new(),
            txs: BTreeMap::new(),
            positions: BTreeMap::new(),
            state: BTreeMap::new(),
            undo: BTreeMap::new(),
            listed: BTreeMap::new(),
            side: BTreeMap::new(),
            carried: BTreeMap::new(),
            pruned: Pruned::default(),
            pending: BTreeMap::new(),
            peers: BTreeMap::new(),
            meta: Meta::new(genesis),
        };
        Self { tables: Mutex::new(Arc::new(tables)) }
    }
}

impl Store for MemoryStore {
    fn snapshot(&self) -> Box<dyn StoreRead + '_> {
        // Nothing panics while the lock is held, so a poisoned one still guards whole tables.
        Box::new(MemorySnapshot(self.tables.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let tables = Arc::make_mut(&mut tables);
        for op in batch {
            tables.apply(op);
        }
        Ok(())
    }
}

struct MemorySnapshot(Arc<Tables>);

impl StoreRead for MemorySnapshot {
    fn block(&self, hash: &BlockHash) -> Result<Option<Block>, StoreError> {
        Ok(self.0.blocks.get(hash).cloned())
    }
    fn index(&self, hash: &BlockHash) -> Result<Option<IndexRow>, StoreError> {
        Ok(self.0.index.get(hash).cloned())
    }
    fn hash_at(&self, height: u64) -> Result<Option<BlockHash>, StoreError> {
        Ok(self.0.heights.get(&height).copied())
    }
    fn history_node(&self, level: u8, index: u64) -> Result<Option<Hash32>, StoreError> {
        Ok(self.0.history.get(&(level, index)).copied())
    }
    fn tx(&self, hash: &TxHash) -> Result<Option<StoredTx>, StoreError> {
        Ok(self.0.txs.get(hash).cloned())
    }
    fn tx_position(&self, hash: &TxHash) -> Result<Option<TxPosition>, StoreError> {
        Ok(self.0.positions.get(hash).cloned())
    }
    fn state_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.state.get(key).cloned())
    }
    fn state_range(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Entries, StoreError> {
        let entries = self.0.state.range::<[u8], _>((Bound::Included(start), Bound::Unbounded));
        let inside = entries.take_while(|(key, _)| end.is_none_or(|end| key.as_slice() < end));
        Ok(inside.take(limit).map(|(k, v)| (k.clone(), v.clone())).collect())
    }
    fn undo(&self, hash: &BlockHash) -> Result<Option<Undo>, StoreError> {
        Ok(self.0.undo.get(hash).cloned())
    }
    fn listed(&self, hash: &BlockHash) -> Result<Option<u64>, StoreError> {
        Ok(self.0.listed.get(hash).copied())
    }
    fn side(&self, key: &SideKey) -> Result<Option<u64>, StoreError> {
        Ok(self.0.side.get(key).copied())
    }
    fn carriers(&self, txhash: &TxHash, limit: usize) -> Result<Vec<BlockHash>, StoreError> {
        let of = (*txhash, Hash32::ZERO)..=(*txhash, Hash32([0xff; 32]));
        Ok(self.0.carried.range(of).take(limit).map(|((_, block), ())| *block).collect())
    }
    fn pruned(&self) -> Result<Pruned, StoreError> {
        Ok(self.0.pruned)
    }
    fn pending_since(&self, hash: &TxHash) -> Result<Option<u64>, StoreError> {
        Ok(self.0.pending.get(hash).copied())
    }
    fn pending(&self, after: Option<&TxHash>, limit: usize) -> Result<Vec<(TxHash, u64)>, StoreError> {
        Ok(page(&self.0.pending, after, limit))
    }
    fn peers(&self) -> Result<Vec<PeerRow>, StoreError> {
        Ok(self.0.peers.values().cloned().collect())
    }
    fn meta(&self) -> Result<Meta, StoreError> {
        Ok(self.0.meta.clone())
    }
    fn index_page(&self, after: Option<&BlockHash>, limit: usize) -> Result<Vec<(BlockHash, IndexRow)>, StoreError> {
        Ok(page(&self.0.index, after, limit))
    }
    fn heights_page(&self, after: Option<u64>, limit: usize) -> Result<Vec<(u64, BlockHash)>, StoreError> {
        Ok(page(&self.0.heights, after.as_ref(), limit))
    }
    fn tx_positions_page(&self, after: Option<&TxHash>, limit: usize) -> Result<Vec<(TxHash, TxPosition)>, StoreError> {
        Ok(page(&self.0.positions, after, limit))
    }
    fn listed_page(&self, after: Option<&BlockHash>, limit: usize) -> Result<Vec<(BlockHash, u64)>, StoreError> {
        Ok(page(&self.0.listed, after, limit))
    }
    fn side_page(&self, after: Option<&SideKey>, limit: usize) -> Result<Vec<(SideKey, u64)>, StoreError> {
        Ok(page(&self.0.side, after, limit))
    }
    fn carried_page(&self, after: Option<&CarriedKey>, limit: usize) -> Result<Vec<CarriedKey>, StoreError> {
        Ok(page(&self.0.carried, after, limit).into_iter().map(|(key, ())| key).collect())
    }
    fn history_page(&self, after: Option<(u8, u64)>, limit: usize) -> Result<Vec<HistoryNode>, StoreError> {
        Ok(page(&self.0.history, after.as_ref(), limit))
    }
}

/// A [`BlobStore`] in memory.
#[derive(Debug, Default)]
pub struct MemoryBlobs {
    blobs: Mutex<BTreeMap<Hash32, Bytes>>,
}

impl BlobStore for MemoryBlobs {
    fn put(&self, address: &Hash32, bytes: &[u8]) -> Result<(), StoreError> {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        blobs.insert(*address, Bytes::copy_from_slice(bytes));
        Ok(())
    }
    fn get(&self, address: &Hash32) -> Result<Option<Bytes>, StoreError> {
        Ok(self.blobs.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned())
    }
    fn delete(&self, address: &Hash32) -> Result<(), StoreError> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner).remove(address);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;

    #[test]
    fn conforms() {
        conformance::run_store(&|| Box::new(MemoryStore::new(&conformance::genesis())));
        conformance::run_blobs(&MemoryBlobs::default());
    }
}
