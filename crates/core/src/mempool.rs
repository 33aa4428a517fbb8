//! Transactions that wait. The journal in the store has the same ones; this is the order in which they are picked.

use crate::bytes::TxHash;
use crate::crypto::PublicKey;
use crate::error::SubmitError;
use crate::limits::{
    MAX_MEMPOOL_BYTES, MAX_MEMPOOL_TRANSACTIONS, MAX_PARKED_BYTES, MAX_PARKED_TRANSACTIONS, MEMPOOL_SENDER_SHARE,
};
use crate::tx::{Transaction, Verified};
use blockhie_packing::{WaitingPool, waiting_start};
use std::collections::{BTreeMap, VecDeque};

struct Entry {
    tx: Transaction<Verified>,
    first_seen_ms: u64,
    parked: bool,
}

impl Entry {
    fn bytes(&self) -> u64 {
        self.tx.body().len() as u64
    }

    fn length(&self) -> u32 {
        u32::try_from(self.tx.body().len()).expect("a verified body has at most 65,536 bytes")
    }

    fn since_ms(&self) -> u64 {
        waiting_start(self.tx.time_ms(), self.first_seen_ms)
    }
}

/// The waiting transactions. What would be void where the chain stands now is parked: out of the miner's sight and
/// outside the bounds of the rest, tried again in turn, and let go only when there are too many of its kind.
#[derive(Default)]
pub(crate) struct Mempool {
    entries: BTreeMap<TxHash, Entry>,
    /// Those that are not parked.
    pool: WaitingPool<TxHash>,
    /// The parked ones, the longest untried first; also some that were committed since.
    parked: VecDeque<TxHash>,
    parked_count: usize,
    parked_bytes: u64,
    /// How many of each sender, and the bytes of all, that are not parked.
    by_sender: BTreeMap<PublicKey, usize>,
    bytes: u64,
    limit: Option<usize>,
}

impl Mempool {
    /// A smaller bound than [`MAX_MEMPOOL_TRANSACTIONS`].
    pub(crate) fn set_limit(&mut self, transactions: usize) {
        self.limit = Some(transactions.min(MAX_MEMPOOL_TRANSACTIONS));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, hash: &TxHash) -> Option<&Transaction<Verified>> {
        self.entries.get(hash).map(|entry| &entry.tx)
    }

    /// What a policy may pick from.
    pub(crate) fn pool(&self) -> &WaitingPool<TxHash> {
        &self.pool
    }

    /// Whether there is room for one more of this sender and size. Only new submissions ask: what the journal or an
    /// abandoned block brings was acknowledged before.
    pub(crate) fn check_room(&self, tx: &Transaction<Verified>) -> Result<(), SubmitError> {
        let limit = self.limit.unwrap_or(MAX_MEMPOOL_TRANSACTIONS);
        let full = |limit: usize, unit, got: usize| SubmitError::Full { limit: limit as u64, unit, got: got as u64 };
        let waiting = self.entries.len() - self.parked_count;
        if waiting >= limit {
            return Err(full(limit, "transactions", waiting + 1));
        }
        let bytes = self.bytes + tx.body().len() as u64;
        if bytes > MAX_MEMPOOL_BYTES {
            return Err(SubmitError::Full { limit: MAX_MEMPOOL_BYTES, unit: "bytes", got: bytes });
        }
        let share = (limit / MEMPOOL_SENDER_SHARE).max(1);
        let held = self.by_sender.get(tx.from()).copied().unwrap_or(0);
        if held >= share {
            return Err(full(share, "transactions of one sender", held + 1));
        }
        Ok(())
    }

    pub(crate) fn insert(&mut self, tx: Transaction<Verified>, first_seen_ms: u64) {
        let hash = tx.hash();
        if self.entries.contains_key(&hash) {
            return;
        }
        self.entries.insert(hash, Entry { tx, first_seen_ms, parked: false });
        self.enlist(&hash);
    }

    pub(crate) fn remove(&mut self, hash: &TxHash) {
        self.withdraw(hash);
        if let Some(entry) = self.entries.remove(hash)
            && entry.parked
        {
            self.parked_count -= 1;
            self.parked_bytes -= entry.bytes();
        }
    }

    /// Takes it out of the miner's sight. If too many are parked now, those longest untried are let go; their hashes
    /// are returned.
    pub(crate) fn park(&mut self, hash: &TxHash) -> Vec<TxHash> {
        self.withdraw(hash);
        if let Some(entry) = self.entries.get_mut(hash)
            && !entry.parked
        {
            entry.parked = true;
            self.parked_count += 1;
            self.parked_bytes += entry.bytes();
            self.parked.push_back(*hash);
        }
        let mut dropped = Vec::new();
        while self.parked_count > MAX_PARKED_TRANSACTIONS || self.parked_bytes > MAX_PARKED_BYTES {
            let Some(oldest) = self.parked.pop_front() else { break };
            if self.is_parked(&oldest) {
                self.remove(&oldest);
                dropped.push(oldest);
            }
        }
        dropped
    }

    /// Shows up to `count` parked ones to the miner again, those longest untried first: the chain moved on, and they
    /// may have become good.
    pub(crate) fn unpark(&mut self, count: usize) {
        let mut left = count;
        while left > 0
            && let Some(hash) = self.parked.pop_front()
        {
            let Some(entry) = self.entries.get_mut(&hash).filter(|entry| entry.parked) else { continue };
            entry.parked = false;
            self.parked_count -= 1;
            self.parked_bytes -= entry.bytes();
            self.enlist(&hash);
            left -= 1;
        }
    }

    /// Takes these out of the miner's sight for a moment, those that it sees; answers which. [`Mempool::show`] ends it.
    pub(crate) fn hide(&mut self, hashes: impl Iterator<Item = TxHash>) -> Vec<TxHash> {
        let pool = &mut self.pool;
        hashes.filter(|hash| pool.remove(hash)).collect()
    }

    /// Shows again what was hidden.
    pub(crate) fn show(&mut self, hidden: &[TxHash]) {
        for hash in hidden {
            if let Some(entry) = self.entries.get(hash) {
                self.pool.insert(*hash, entry.since_ms(), entry.length());
            }
        }
    }

    fn is_parked(&self, hash: &TxHash) -> bool {
        self.entries.get(hash).is_some_and(|entry| entry.parked)
    }

    fn enlist(&mut self, hash: &TxHash) {
        let Some(entry) = self.entries.get(hash) else { return };
        self.pool.insert(*hash, entry.since_ms(), entry.length());
        self.bytes += entry.bytes();
        *self.by_sender.entry(*entry.tx.from()).or_default() += 1;
    }

    /// Out of the pool, if it is there.
    fn withdraw(&mut self, hash: &TxHash) {
        if !self.pool.remove(hash) {
            return;
        }
        let Some(entry) = self.entries.get(hash) else { return };
        self.bytes -= entry.bytes();
        if let Some(count) = self.by_sender.get_mut(entry.tx.from()) {
            *count -= 1;
            if *count == 0 {
                self.by_sender.remove(entry.tx.from());
            }
        }
    }
}
