//! The typed column families: each name is bound here, once, to the types of its keys and values.
//!
//! `docs/store.md` has a line for each. Keys sort as bytes, so integers are big-endian.

use crate::codec;
use crate::errors;
use blockhie_core::store::{CarriedKey, IndexRow, Meta, PeerRow, Pruned, SideKey, Undo};
use blockhie_core::tx::StoredTx;
use blockhie_core::{Block, BlockHash, Hash32, StoreError, TxHash, app::TxPosition};
use bytes::Bytes;
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, ReadOptions, Snapshot, WriteBatch};
use serde::{Serialize, de::DeserializeOwned};
use std::marker::PhantomData;
use std::path::Path;

/// hash → header, transactions, siblings, signature.
pub(crate) const BLOCKS: Column<BlockHash, Block> = Column::new("blocks");
/// hash → the row that every sound block has for ever.
pub(crate) const INDEX: Column<BlockHash, IndexRow> = Column::new("index");
/// height → hash, best chain.
pub(crate) const HEIGHTS: Column<u64, BlockHash> = Column::new("heights");
/// (level ≥ 1, index) → hash of a whole inner node, best chain.
pub(crate) const HISTORY_NODES: Column<(u8, u64), Hash32> = Column::new("history_nodes");
/// hash → transaction.
pub(crate) const TXS: Column<TxHash, StoredTx> = Column::new("txs");
/// hash → where it is committed, best chain.
pub(crate) const TX_POSITIONS: Column<TxHash, TxPosition> = Column::new("tx_positions");
/// The application's own keys and values.
pub(crate) const STATE: Column<Vec<u8>, Bytes> = Column::new("state");
/// block → what it changed.
pub(crate) const UNDO: Column<BlockHash, Undo> = Column::new("undo");
/// sibling → height of the block that lists it, best chain.
pub(crate) const LISTED: Column<BlockHash, u64> = Column::new("listed");
/// (height, hash) of a block kept beside the best chain → height of the tip when it came to stand there.
pub(crate) const SIDE: Column<SideKey, u64> = Column::new("side");
/// (txhash, hash) of a transaction and a block of `side` that carries it.
pub(crate) const CARRIED: Column<CarriedKey, ()> = Column::new("carried");
/// How far bodies are pruned.
pub(crate) const PRUNED: Column<Only, Pruned> = Column::new("pruned");
/// txhash → first seen in ms: the journal of the mempool.
pub(crate) const PENDING: Column<TxHash, u64> = Column::new("pending");
/// address → peer.
pub(crate) const PEERS: Column<String, PeerRow> = Column::new("peers");
/// The single values.
pub(crate) const META: Column<Only, Meta> = Column::new("meta");

/// All names, in the order of `docs/store.md`.
pub(crate) const NAMES: [&str; 15] = [
    BLOCKS.name,
    INDEX.name,
    HEIGHTS.name,
    HISTORY_NODES.name,
    TXS.name,
    TX_POSITIONS.name,
    STATE.name,
    UNDO.name,
    LISTED.name,
    SIDE.name,
    CARRIED.name,
    PRUNED.name,
    PENDING.name,
    PEERS.name,
    META.name,
];

/// Those that the first version did not have, and the version that brought them.
pub(crate) const SINCE: [(&str, u32); 4] = [(LISTED.name, 2), (SIDE.name, 2), (CARRIED.name, 3), (PRUNED.name, 3)];

/// Reads every entry of every column family once: each checksum, key and value. Answers how many there are.
pub(crate) fn check_all(view: &View<'_>) -> Result<u64, StoreError> {
    Ok(BLOCKS.check(view)?
        + INDEX.check(view)?
        + HEIGHTS.check(view)?
        + HISTORY_NODES.check(view)?
        + TXS.check(view)?
        + TX_POSITIONS.check(view)?
        + STATE.check(view)?
        + UNDO.check(view)?
        + LISTED.check(view)?
        + SIDE.check(view)?
        + CARRIED.check(view)?
        + PRUNED.check(view)?
        + PENDING.check(view)?
        + PEERS.check(view)?
        + META.check(view)?)
}

/// A database as it was at one moment.
pub(crate) struct View<'a> {
    pub(crate) db: &'a DB,
    pub(crate) path: &'a Path,
    pub(crate) snapshot: Snapshot<'a>,
}

impl<'a> View<'a> {
    pub(crate) fn new(db: &'a DB, path: &'a Path) -> Self {
        Self { db, path, snapshot: db.snapshot() }
    }
}

/// How often rows were asked for and read, for the test that opening does not grow with the chain.
pub(crate) mod reads {
    #[cfg(test)]
    thread_local! {
        static READS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    }

    /// By this thread since the last call.
    #[cfg(test)]
    pub(crate) fn take() -> u64 {
        READS.take()
    }

    #[cfg(test)]
    pub(super) fn count(rows: u64) {
        READS.set(READS.get() + rows);
    }

    #[cfg(not(test))]
    #[inline(always)]
    pub(super) const fn count(_: u64) {}
}

/// The key of a column family with one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Only;

/// A key, in bytes that sort as it does.
pub(crate) trait Key: Sized {
    fn to_bytes(&self) -> Vec<u8>;
    /// `None` when these are not the bytes of such a key.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

impl Key for Hash32 {
    fn to_bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_slice(bytes).ok()
    }
}

impl Key for u64 {
    fn to_bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

impl Key for (u8, u64) {
    fn to_bytes(&self) -> Vec<u8> {
        [&[self.0], self.1.to_be_bytes().as_slice()].concat()
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first()?;
        Some((*first, u64::from_bytes(rest)?))
    }
}

impl Key for (u64, Hash32) {
    fn to_bytes(&self) -> Vec<u8> {
        [self.0.to_be_bytes().as_slice(), &self.1.0].concat()
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (height, hash) = bytes.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*height), Hash32::from_slice(hash).ok()?))
    }
}

impl Key for (Hash32, Hash32) {
    fn to_bytes(&self) -> Vec<u8> {
        [self.0.0, self.1.0].concat()
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (txhash, block) = bytes.split_at_checked(32)?;
        Some((Hash32::from_slice(txhash).ok()?, Hash32::from_slice(block).ok()?))
    }
}

impl Key for Vec<u8> {
    fn to_bytes(&self) -> Vec<u8> {
        self.clone()
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(bytes.to_vec())
    }
}

impl Key for String {
    fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_utf8(bytes.to_vec()).ok()
    }
}

impl Key for Only {
    fn to_bytes(&self) -> Vec<u8> {
        b"meta".to_vec()
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes == b"meta").then_some(Self)
    }
}

/// A column family: its name and the types it holds.
pub(crate) struct Column<K, V> {
    pub(crate) name: &'static str,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Key, V: Serialize + DeserializeOwned> Column<K, V> {
    const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    fn family<'a>(&self, db: &'a DB) -> &'a ColumnFamily {
        db.cf_handle(self.name).expect("a store is opened with every name in NAMES, and none is dropped")
    }

    /// Adds a write to a batch.
    pub(crate) fn put(&self, db: &DB, batch: &mut WriteBatch, key: &K, value: &V) -> Result<(), StoreError> {
        let key = key.to_bytes();
        let value = codec::encode(value).map_err(|error| StoreError::Io {
            action: "encode a value",
            reason: format!("{}: expected {}, got {error}", self.entry(&key), error.expected()),
            hint: None,
        })?;
        batch.put_cf(self.family(db), key, value);
        Ok(())
    }

    /// Adds a write, or for `None` a removal, to a batch.
    pub(crate) fn set(&self, db: &DB, batch: &mut WriteBatch, key: &K, value: Option<&V>) -> Result<(), StoreError> {
        match value {
            Some(value) => self.put(db, batch, key, value),
            None => {
                batch.delete_cf(self.family(db), key.to_bytes());
                Ok(())
            }
        }
    }

    /// One value.
    pub(crate) fn get(&self, view: &View<'_>, key: &K) -> Result<Option<V>, StoreError> {
        reads::count(1);
        let key = key.to_bytes();
        let found = view.snapshot.get_pinned_cf(self.family(view.db), &key);
        match found.map_err(|error| errors::rocks("read", view.path, error))? {
            Some(bytes) => self.value(&key, &bytes).map(Some),
            None => Ok(None),
        }
    }

    /// At most `limit` entries with key > `after`, ascending.
    pub(crate) fn page(&self, view: &View<'_>, after: Option<&K>, limit: usize) -> Result<Vec<(K, V)>, StoreError> {
        // The least byte string above `after` is `after` with a zero byte.
        let start = after.map_or(Vec::new(), |key| [key.to_bytes().as_slice(), &[0]].concat());
        self.range(view, &start, None, limit)
    }

    /// At most `limit` entries with start ≤ key (and key < end, if given), ascending.
    pub(crate) fn range(
        &self,
        view: &View<'_>,
        start: &[u8],
        end: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(K, V)>, StoreError> {
        reads::count(1);
        let mut entries = Vec::new();
        if end.is_some_and(|end| end <= start) {
            return Ok(entries);
        }
        let mut options = ReadOptions::default();
        if let Some(end) = end {
            options.set_iterate_upper_bound(end);
        }
        let mode = IteratorMode::From(start, Direction::Forward);
        for entry in view.snapshot.iterator_cf_opt(self.family(view.db), options, mode).take(limit) {
            let (key, value) = entry.map_err(|error| errors::rocks("read", view.path, error))?;
            reads::count(1);
            entries.push((self.key(&key)?, self.value(&key, &value)?));
        }
        Ok(entries)
    }

    /// The highest key.
    pub(crate) fn last(&self, view: &View<'_>) -> Result<Option<K>, StoreError> {
        reads::count(1);
        let mut entries = view.snapshot.iterator_cf(self.family(view.db), IteratorMode::End);
        match entries.next().transpose().map_err(|error| errors::rocks("read", view.path, error))? {
            Some((key, _)) => self.key(&key).map(Some),
            None => Ok(None),
        }
    }

    fn check(&self, view: &View<'_>) -> Result<u64, StoreError> {
        let mut options = ReadOptions::default();
        options.fill_cache(false); // one pass over everything would only drive out what is in use
        let mut entries = 0;
        for entry in view.snapshot.iterator_cf_opt(self.family(view.db), options, IteratorMode::Start) {
            let (key, value) = entry.map_err(|error| errors::rocks("read", view.path, error))?;
            self.key(&key)?;
            self.value(&key, &value)?;
            entries += 1;
        }
        Ok(entries)
    }

    /// An entry's name for people.
    pub(crate) fn entry(&self, key: &[u8]) -> String {
        format!("{}/{}", self.name, hex::encode(key))
    }

    fn key(&self, bytes: &[u8]) -> Result<K, StoreError> {
        K::from_bytes(bytes).ok_or_else(|| StoreError::Corrupt {
            what: self.entry(bytes),
            expected: "a key of this column family".into(),
            got: format!("{} bytes", bytes.len()),
        })
    }

    fn value(&self, key: &[u8], bytes: &[u8]) -> Result<V, StoreError> {
        codec::decode(bytes).map_err(|error| StoreError::Corrupt {
            what: self.entry(key),
            expected: error.expected(),
            got: error.to_string(),
        })
    }
}
