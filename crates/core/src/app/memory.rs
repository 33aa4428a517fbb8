//! An application's state in memory.

use crate::app::{State, StateRead};
use crate::store::StoreError;
use std::collections::BTreeMap;

/// An ordered byte map without a ledger around it, to try an application by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryState {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryState {
    /// All entries, ascending by key.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }
}

impl StateRead for MemoryState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.entries.get(key).cloned())
    }

    fn range(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let entries = self.entries.range(start.to_vec()..);
        let inside = entries.take_while(|(key, _)| end.is_none_or(|end| key.as_slice() < end));
        Ok(inside.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl State for MemoryState {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.entries.insert(key.to_vec(), value.to_vec());
    }

    fn delete(&mut self, key: &[u8]) {
        self.entries.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_half_open_and_bounded() {
        let mut state = MemoryState::default();
        for key in [b"a", b"b", b"c", b"d"] {
            state.put(key, b"x");
        }
        state.delete(b"c");
        assert_eq!(state.get(b"c"), Ok(None));
        let keys = |start: &[u8], end: Option<&[u8]>, limit| -> Vec<Vec<u8>> {
            state.range(start, end, limit).unwrap().into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(keys(b"b", None, 9), [b"b", b"d"]);
        assert_eq!(keys(b"a", Some(b"d"), 9), [b"a", b"b"]);
        assert_eq!(keys(b"a", None, 1), [b"a"]);
        assert_eq!(keys(b"d", Some(b"a"), 9), [b""; 0]);
        assert_eq!(state.iter().count(), 3);
    }
}
