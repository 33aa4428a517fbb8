//! A small durable map for a gateway's own records: the index of its vault, its outbox, its idempotency keys.

use crate::config::StoreConfig;
use crate::errors::rocks;
use crate::failpoint;
use crate::marker::{self, KEY_VALUE, State};
use crate::rocks::{begin, open_database, write_synced};
use blockhie_core::StoreError;
use rocksdb::{BottommostLevelCompaction, CompactOptions, DB, Direction, IteratorMode, ReadOptions, WriteBatch};
use std::path::{Path, PathBuf};

/// A key, and what it is set to; `None` removes it.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Bytes to bytes, ordered by key, in a folder. One process has it open at a time; any of its threads may use it.
///
/// The meaning and the version of a value are its user's.
pub struct KeyValue {
    db: DB,
    path: PathBuf,
}

impl std::fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyValue").field("path", &self.path).finish_non_exhaustive()
    }
}

impl KeyValue {
    /// Opens the map in `path`, or makes it where there is nothing, with [`StoreConfig::small`].
    ///
    /// # Errors
    /// [`StoreError::NotAStore`] when something else is there, [`StoreError::Version`], [`StoreError::Locked`],
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let config = StoreConfig::small();
        let new = matches!(marker::look(path, KEY_VALUE)?, State::Nothing | State::Making);
        if new {
            begin("create a map", path, KEY_VALUE)?;
            failpoint::reach("map.marked");
        } else {
            marker::expect_ready(path, KEY_VALUE)?;
        }
        let db = open_database(path, &config, &[], new)?;
        if new {
            failpoint::reach("map.made");
            marker::write(path, KEY_VALUE, State::Ready)?;
        }
        Ok(Self { db, path: path.to_owned() })
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get(key).map_err(|error| rocks("read", &self.path, error))
    }

    /// Applies all changes atomically and returns when they are durable. Of two on one key the later stands.
    ///
    /// # Errors
    /// [`StoreError::Io`]; then nothing was applied.
    pub fn put_all(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        write_synced(&self.db, &self.path, batch)
    }

    /// Takes what these keys held before they were removed or set anew out of the store's own files: RocksDB leaves old
    /// values in its log and tables until something makes it write those anew. What the medium does with freed blocks
    /// is beyond it.
    ///
    /// # Errors
    /// [`StoreError::Io`]; calling again finishes it.
    pub fn scrub(&self, keys: &[&[u8]]) -> Result<(), StoreError> {
        // The log that holds the old values goes once what it covers is in tables.
        self.db.flush().map_err(|error| rocks("flush", &self.path, error))?;
        failpoint::reach("map.flushed");
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        for key in keys {
            let end = [key, [0].as_slice()].concat();
            self.db.compact_range_opt(Some(*key), Some(end.as_slice()), &options);
        }
        Ok(())
    }

    /// At most `limit` entries with start ≤ key (and key < end, if given), ascending. All are of one moment.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub fn range(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        if end.is_some_and(|end| end <= start) {
            return Ok(Vec::new());
        }
        let mut options = ReadOptions::default();
        if let Some(end) = end {
            options.set_iterate_upper_bound(end);
        }
        let entries = self.db.iterator_opt(IteratorMode::From(start, Direction::Forward), options).take(limit);
        let entries = entries.map(|entry| entry.map(|(key, value)| (key.into_vec(), value.into_vec())));
        entries.collect::<Result<_, _>>().map_err(|error| rocks("read", &self.path, error))
    }
}
