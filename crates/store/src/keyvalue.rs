//! A small durable map for a gateway's own records: the index of its vault, its outbox, its idempotency keys.

use crate::config::{StoreConfig, options};
use crate::errors::rocks;
use crate::failpoint;
use crate::manifest::{self, Manifest, Noted};
use crate::marker::{self, KEY_VALUE, State};
use crate::rocks::{begin, open_families, write_synced};
use blockhie_core::StoreError;
use rocksdb::{
    BottommostLevelCompaction, CompactOptions, DB, DEFAULT_COLUMN_FAMILY_NAME, Direction, IteratorMode, ReadOptions,
    WriteBatch,
};
use std::path::{Path, PathBuf};

/// The family of what the map keeps about itself: none of its user's keys meets it.
const OWN: &str = "own";

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
    manifest: Noted,
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
        let new = matches!(marker::look(path, KEY_VALUE)?, State::Nothing | State::Making);
        if new {
            begin("create a map", path, KEY_VALUE)?;
            failpoint::reach("map.marked");
        } else {
            marker::expect_ready(path, KEY_VALUE)?;
        }
        let current = new || marker::version(path)? == KEY_VALUE.version;
        let mut options = options(&StoreConfig::small(), new)?;
        options.create_missing_column_families(new || !current);
        let found = Manifest::of(path);
        let map = Self { db: open_families(&options, path, &[OWN])?, path: path.to_owned(), manifest: Noted::new(OWN) };
        manifest::check(&map.db, OWN, path, found)?;
        // What opening wrote; a map that is only read from now on has it in the log, too.
        map.put_all(Vec::new())?;
        if new {
            failpoint::reach("map.made");
        }
        if new || !current {
            marker::write(path, KEY_VALUE, State::Ready)?;
        }
        Ok(map)
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
        let manifest = self.manifest.add(&self.db, &self.path, &mut batch);
        write_synced(&self.db, &self.path, batch)?;
        self.manifest.remember(manifest);
        Ok(())
    }

    /// Takes what these keys held before they were removed or set anew out of the store's own files: RocksDB leaves old
    /// values in its log and tables until something makes it write those anew. What the medium does with freed blocks
    /// is beyond it.
    ///
    /// # Errors
    /// [`StoreError::Io`]; calling again finishes it.
    pub fn scrub(&self, keys: &[&[u8]]) -> Result<(), StoreError> {
        // The log that holds the old values goes once all that it covers is in tables.
        for name in [DEFAULT_COLUMN_FAMILY_NAME, OWN] {
            let family = self.db.cf_handle(name).expect("opened with these families");
            self.db.flush_cf(family).map_err(|error| rocks("flush", &self.path, error))?;
        }
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
