//! Reading: a RocksDB snapshot behind the core's trait.

use crate::columns::{
    BLOCKS, CARRIED, Column, HEIGHTS, HISTORY_NODES, INDEX, Key, LISTED, META, Only, PEERS, PENDING, PRUNED, SIDE,
    STATE, TX_POSITIONS, TXS, UNDO, View,
};
use blockhie_core::app::TxPosition;
use blockhie_core::store::{CarriedKey, IndexRow, Meta, PeerRow, Pruned, SideKey, Undo};
use blockhie_core::tx::StoredTx;
use blockhie_core::{Block, BlockHash, Hash32, StoreError, StoreRead, TxHash};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Display;

/// A value that carries its own key must stand under it.
fn at_home<K: Key + Display + PartialEq, V: Serialize + DeserializeOwned>(
    column: &Column<K, V>,
    key: &K,
    value: Option<V>,
    own: impl Fn(&V) -> &K,
) -> Result<Option<V>, StoreError> {
    match value {
        Some(value) if own(&value) != key => Err(StoreError::Corrupt {
            what: column.entry(&key.to_bytes()),
            expected: key.to_string(),
            got: own(&value).to_string(),
        }),
        value => Ok(value),
    }
}

impl StoreRead for View<'_> {
    fn block(&self, hash: &BlockHash) -> Result<Option<Block>, StoreError> {
        at_home(&BLOCKS, hash, BLOCKS.get(self, hash)?, |block| &block.hash)
    }
    fn index(&self, hash: &BlockHash) -> Result<Option<IndexRow>, StoreError> {
        INDEX.get(self, hash)
    }
    fn hash_at(&self, height: u64) -> Result<Option<BlockHash>, StoreError> {
        HEIGHTS.get(self, &height)
    }
    fn history_node(&self, level: u8, index: u64) -> Result<Option<Hash32>, StoreError> {
        HISTORY_NODES.get(self, &(level, index))
    }
    fn tx(&self, hash: &TxHash) -> Result<Option<StoredTx>, StoreError> {
        at_home(&TXS, hash, TXS.get(self, hash)?, |tx| &tx.hash)
    }
    fn tx_position(&self, hash: &TxHash) -> Result<Option<TxPosition>, StoreError> {
        TX_POSITIONS.get(self, hash)
    }
    fn state_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(STATE.get(self, &key.to_vec())?.map(Into::into))
    }
    fn state_range(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let entries = STATE.range(self, start, end, limit)?;
        Ok(entries.into_iter().map(|(key, value)| (key, value.into())).collect())
    }
    fn undo(&self, hash: &BlockHash) -> Result<Option<Undo>, StoreError> {
        UNDO.get(self, hash)
    }
    fn listed(&self, hash: &BlockHash) -> Result<Option<u64>, StoreError> {
        LISTED.get(self, hash)
    }
    fn side(&self, key: &SideKey) -> Result<Option<u64>, StoreError> {
        SIDE.get(self, key)
    }
    fn carriers(&self, txhash: &TxHash, limit: usize) -> Result<Vec<BlockHash>, StoreError> {
        // The least byte string above all 64 bytes that begin with the hash.
        let end = [txhash.0.as_slice(), &[0xff; 32], &[0]].concat();
        let entries = CARRIED.range(self, &txhash.0, Some(&end), limit)?;
        Ok(entries.into_iter().map(|((_, block), ())| block).collect())
    }
    fn pruned(&self) -> Result<Pruned, StoreError> {
        Ok(PRUNED.get(self, &Only)?.unwrap_or_default())
    }
    fn pending_since(&self, hash: &TxHash) -> Result<Option<u64>, StoreError> {
        PENDING.get(self, hash)
    }
    fn pending(&self, after: Option<&TxHash>, limit: usize) -> Result<Vec<(TxHash, u64)>, StoreError> {
        PENDING.page(self, after, limit)
    }
    fn peers(&self) -> Result<Vec<PeerRow>, StoreError> {
        Ok(PEERS.page(self, None, usize::MAX)?.into_iter().map(|(_, peer)| peer).collect())
    }
    fn meta(&self) -> Result<Meta, StoreError> {
        META.get(self, &Only)?.ok_or_else(|| StoreError::Corrupt {
            what: META.entry(&Only.to_bytes()),
            expected: "an entry".into(),
            got: "none".into(),
        })
    }
    fn index_page(&self, after: Option<&BlockHash>, limit: usize) -> Result<Vec<(BlockHash, IndexRow)>, StoreError> {
        INDEX.page(self, after, limit)
    }
    fn heights_page(&self, after: Option<u64>, limit: usize) -> Result<Vec<(u64, BlockHash)>, StoreError> {
        HEIGHTS.page(self, after.as_ref(), limit)
    }
    fn tx_positions_page(&self, after: Option<&TxHash>, limit: usize) -> Result<Vec<(TxHash, TxPosition)>, StoreError> {
        TX_POSITIONS.page(self, after, limit)
    }
    fn listed_page(&self, after: Option<&BlockHash>, limit: usize) -> Result<Vec<(BlockHash, u64)>, StoreError> {
        LISTED.page(self, after, limit)
    }
    fn side_page(&self, after: Option<&SideKey>, limit: usize) -> Result<Vec<(SideKey, u64)>, StoreError> {
        SIDE.page(self, after, limit)
    }
    fn carried_page(&self, after: Option<&CarriedKey>, limit: usize) -> Result<Vec<CarriedKey>, StoreError> {
        Ok(CARRIED.page(self, after, limit)?.into_iter().map(|(key, ())| key).collect())
    }
    fn history_page(&self, after: Option<(u8, u64)>, limit: usize) -> Result<Vec<((u8, u64), Hash32)>, StoreError> {
        HISTORY_NODES.page(self, after.as_ref(), limit)
    }
}
