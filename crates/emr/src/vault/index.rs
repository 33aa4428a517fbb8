//! The seam to where the vault keeps its entries.

use blockhie_core::StoreError;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// One change: a key, and its value or `None` to remove it.
pub type IndexChange = (Vec<u8>, Option<Vec<u8>>);
/// Keys and values, ascending by key.
pub type IndexEntries = Vec<(Vec<u8>, Vec<u8>)>;

/// A small ordered, durable map. All keys of the vault start with `vault/`; the rest is its owner's.
pub trait VaultIndex: Send + Sync {
    /// The value of `key`.
    ///
    /// # Errors
    /// As every method here: [`StoreError`] of the medium.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Applies all of it atomically, in order, and returns when it is durable.
    ///
    /// # Errors
    /// [`StoreError`].
    fn put_all(&self, changes: Vec<IndexChange>) -> Result<(), StoreError>;

    /// At most `limit` entries with start ≤ key < end, ascending.
    ///
    /// # Errors
    /// [`StoreError`].
    fn range(&self, start: &[u8], end: &[u8], limit: usize) -> Result<IndexEntries, StoreError>;

    /// Takes what these keys held before they were removed out of the medium, as far as it can be reached: an erased
    /// key must not be left in a log or a table.
    ///
    /// # Errors
    /// [`StoreError`]; calling again finishes it.
    fn scrub(&self, keys: &[&[u8]]) -> Result<(), StoreError>;
}

/// In memory, for tests and demonstrations.
#[derive(Debug, Default)]
pub struct MemoryIndex {
    entries: RwLock<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl MemoryIndex {
    /// Every entry, to look for what must not be there.
    #[must_use]
    pub fn dump(&self) -> IndexEntries {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl VaultIndex for MemoryIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.entries.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn put_all(&self, changes: Vec<IndexChange>) -> Result<(), StoreError> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in changes {
            match value {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            };
        }
        Ok(())
    }

    fn range(&self, start: &[u8], end: &[u8], limit: usize) -> Result<IndexEntries, StoreError> {
        if start >= end {
            return Ok(vec![]);
        }
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let inside = entries.range(start.to_vec()..end.to_vec()).take(limit);
        Ok(inside.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// Nothing is left of a value that was replaced.
    fn scrub(&self, _: &[&[u8]]) -> Result<(), StoreError> {
        Ok(())
    }
}
