//! Bounded collections, oldest out first.

use blockhie_core::{Transaction, TxHash, Verified};
use std::collections::BTreeMap;

/// Memory of a cached transaction beside its body, roughly.
const ENTRY_BYTES: usize = 256;

/// A set of at most `limit` keys.
#[derive(Debug, Clone)]
pub(crate) struct SeenCache<K> {
    limit: usize,
    keys: BTreeMap<K, u64>,
    order: BTreeMap<u64, K>,
    next: u64,
}

impl<K: Ord + Copy> SeenCache<K> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, keys: BTreeMap::new(), order: BTreeMap::new(), next: 0 }
    }

    /// Whether the key is new.
    pub(crate) fn insert(&mut self, key: K) -> bool {
        if self.keys.contains_key(&key) {
            return false;
        }
        self.keys.insert(key, self.next);
        self.order.insert(self.next, key);
        self.next += 1;
        if self.keys.len() > self.limit
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.keys.remove(&oldest);
        }
        true
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(at) = self.keys.remove(key) {
            self.order.remove(&at);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.keys.clear();
        self.order.clear();
    }

    /// Oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &K> {
        self.order.values()
    }
}

/// Transactions of at most `limit` bytes.
#[derive(Debug)]
pub(crate) struct BodyPool {
    limit: usize,
    bytes: usize,
    bodies: BTreeMap<TxHash, (u64, Transaction<Verified>)>,
    order: BTreeMap<u64, TxHash>,
    next: u64,
}

impl BodyPool {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, bodies: BTreeMap::new(), order: BTreeMap::new(), next: 0 }
    }

    fn cost(tx: &Transaction<Verified>) -> usize {
        tx.body().len() + ENTRY_BYTES
    }

    pub(crate) fn insert(&mut self, tx: Transaction<Verified>) {
        let hash = tx.hash();
        if self.bodies.contains_key(&hash) {
            return;
        }
        self.bytes += Self::cost(&tx);
        self.bodies.insert(hash, (self.next, tx));
        self.order.insert(self.next, hash);
        self.next += 1;
        while self.bytes > self.limit
            && let Some((_, oldest)) = self.order.first_key_value()
        {
            let oldest = *oldest;
            self.remove(&oldest);
        }
    }

    pub(crate) fn get(&self, hash: &TxHash) -> Option<&Transaction<Verified>> {
        self.bodies.get(hash).map(|(_, tx)| tx)
    }

    pub(crate) fn remove(&mut self, hash: &TxHash) {
        if let Some((at, tx)) = self.bodies.remove(hash) {
            self.order.remove(&at);
            self.bytes -= Self::cost(&tx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockhie_core::{Hash32, SecretKey};

    #[test]
    fn the_oldest_goes_first() {
        let mut seen = SeenCache::new(2);
        assert!(seen.insert(1) && seen.insert(2) && !seen.insert(1));
        seen.insert(3);
        assert_eq!(seen.iter().copied().collect::<Vec<_>>(), [2, 3]);
        seen.remove(&2);
        seen.insert(4);
        assert_eq!(seen.iter().copied().collect::<Vec<_>>(), [3, 4]);
        seen.clear();
        assert!(seen.insert(3));
    }

    #[test]
    fn bodies_stay_within_their_bytes() {
        let secret = SecretKey::from_seed([1; 32]);
        let tx = |time_ms| Transaction::sign(&Hash32::ZERO, &secret, time_ms, 1, None, &[0; 1_000]);
        let one = BodyPool::cost(&tx(0));
        let mut pool = BodyPool::new(3 * one);
        for time_ms in [0, 1, 1, 2, 3] {
            pool.insert(tx(time_ms));
        }
        assert_eq!((pool.bytes, pool.bodies.len(), pool.order.len()), (3 * one, 3, 3));
        assert!(pool.get(&tx(0).hash()).is_none() && pool.get(&tx(3).hash()).is_some());
        pool.remove(&tx(3).hash());
        pool.remove(&tx(3).hash());
        assert_eq!((pool.bytes, pool.order.len()), (2 * one, 2));
    }
}
