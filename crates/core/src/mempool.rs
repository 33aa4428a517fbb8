//! Transactions that wait. The journal in the store has the same ones; this is the order in which they are picked.

use crate::bytes::TxHash;
use crate::crypto::PublicKey;
use crate::error::SubmitError;
use crate::limits::{MAX_MEMPOOL_BYTES, MAX_MEMPOOL_TRANSACTIONS, MEMPOOL_SENDER_SHARE};
use crate::tx::{Transaction, Verified};
use blockhie_packing::{WaitingPool, waiting_start};
use std::collections::{BTreeMap, BTreeSet};

struct Entry {
    tx: Transaction<Verified>,
    first_seen_ms: u64,
}

/// The waiting transactions. An acknowledged one is never dropped: what would be void where the chain stands now is
/// parked, out of the miner's sight, and looked at again after a reorganisation.
#[derive(Default)]
pub(crate) struct Mempool {
    entries: BTreeMap<TxHash, Entry>,
    pool: WaitingPool<TxHash>,
    parked: BTreeSet<TxHash>,
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
        if self.entries.len() >= limit {
            return Err(full(limit, "transactions", self.entries.len() + 1));
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
        *self.by_sender.entry(*tx.from()).or_default() += 1;
        self.bytes += tx.body().len() as u64;
        self.entries.insert(hash, Entry { tx, first_seen_ms });
        self.enlist(&hash);
    }

    pub(crate) fn remove(&mut self, hash: &TxHash) {
        let Some(entry) = self.entries.remove(hash) else { return };
        self.pool.remove(hash);
        self.parked.remove(hash);
        self.bytes -= entry.tx.body().len() as u64;
        if let Some(count) = self.by_sender.get_mut(entry.tx.from()) {
            *count -= 1;
            if *count == 0 {
                self.by_sender.remove(entry.tx.from());
            }
        }
    }

    pub(crate) fn park(&mut self, hash: &TxHash) {
        if self.pool.remove(hash) {
            self.parked.insert(*hash);
        }
    }

    /// The chain's past changed: what was parked may have become good.
    pub(crate) fn unpark_all(&mut self) {
        for hash in std::mem::take(&mut self.parked) {
            self.enlist(&hash);
        }
    }

    fn enlist(&mut self, hash: &TxHash) {
        let Some(entry) = self.entries.get(hash) else { return };
        let since_ms = waiting_start(entry.tx.time_ms(), entry.first_seen_ms);
        let bytes = u32::try_from(entry.tx.body().len()).expect("a verified body has at most 65,536 bytes");
        self.pool.insert(*hash, since_ms, bytes);
    }
}
