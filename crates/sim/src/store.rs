//! A store that fails when it is told to, over one in memory that stands for what is on the disk.
//!
//! A batch is in the memory store if and only if it is durable. A node that crashes loses its engine and keeps this.

use crate::planted::Bug;
use crate::rng::Rng;
use blockhie_core::app::{Entries, TxPosition};
use blockhie_core::store::{Batch, CarriedKey, HistoryNode, IndexRow, Meta, Op, PeerRow, Pruned, SideKey, Undo};
use blockhie_core::tx::StoredTx;
use blockhie_core::{Block, BlockHash, Genesis, Hash32, MemoryStore, Store, StoreError, StoreRead, TxHash};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Batches that the planted disk holds back before they are really written.
const UNSYNCED: usize = 3;

/// What goes wrong at present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreFaults {
    /// Commits that fail, in a million.
    pub commit_ppm: u32,
    /// Reads that fail, in a million.
    pub read_ppm: u32,
}

#[derive(Debug)]
struct State {
    faults: StoreFaults,
    rng: Rng,
    /// Every batch, where the planted bug needs to forget some.
    log: Option<Vec<Batch>>,
}

/// See the module.
pub struct FaultyStore {
    durable: MemoryStore,
    genesis: Genesis,
    state: Mutex<State>,
    bug: Option<Bug>,
}

impl FaultyStore {
    /// An empty store.
    #[must_use]
    pub fn new(genesis: &Genesis, rng: Rng, bug: Option<Bug>) -> Self {
        let log = bug.is_some_and(Bug::needs_log).then(Vec::new);
        let state = Mutex::new(State { faults: StoreFaults::default(), rng, log });
        Self { durable: MemoryStore::new(genesis), genesis: genesis.clone(), state, bug }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: StoreFaults) {
        self.state().faults = faults;
    }

    /// What is durable, whatever goes wrong with the medium.
    #[must_use]
    pub fn durable(&self) -> &dyn Store {
        &self.durable
    }

    /// What a crash leaves, where a planted bug made it forget something that was said to be written.
    #[must_use]
    pub fn after_crash(&self) -> Option<Self> {
        let state = self.state();
        let mut log = state.log.clone()?;
        match self.bug {
            Some(Bug::AckBeforeSync) => log.truncate(log.len().saturating_sub(UNSYNCED).max(1)),
            Some(Bug::TornBatch) => {
                if let Some(last) = log.last_mut().filter(|last| last.len() > 1) {
                    last.truncate(last.len() / 2);
                }
            }
            _ => {}
        }
        let fresh = Self::new(&self.genesis, state.rng.clone(), self.bug);
        for batch in &log {
            // A store in memory takes everything.
            drop(fresh.durable.commit(batch.clone()));
        }
        fresh.state().log = Some(log);
        Some(fresh)
    }

    /// The batch as the planted bug writes it.
    fn spoil(&self, batch: Batch) -> Batch {
        let Some(bug) = self.bug else { return batch };
        let leaves_a_branch = batch.iter().any(|op| matches!(op, Op::TxPosition(_, None)));
        let keep = |op: &Op| match (bug, op) {
            (Bug::DropIndexRow, Op::PutIndex(hash, row)) => row.height == 0 || hash.0[31] % 8 != 0,
            (Bug::JournalNotRemoved, Op::Pending(_, None)) => false,
            (Bug::ForgetAbandoned, Op::Pending(_, Some(_))) => !leaves_a_branch,
            (Bug::LosesListed, Op::Listed(_, Some(_))) | (Bug::PruneForgetsMark, Op::Pruned(_)) => false,
            _ => true,
        };
        let change = |op| match (bug, op) {
            (Bug::LoseFirstSeen, Op::TxPosition(hash, Some(position))) => {
                Op::TxPosition(hash, Some(TxPosition { first_seen_ms: None, ..position }))
            }
            (Bug::WrongHistoryNode, Op::HistoryNode(1, index, Some(hash))) if index % 2 == 1 => {
                Op::HistoryNode(1, index, Some(Hash32(hash.0.map(|byte| byte ^ 1))))
            }
            (_, op) => op,
        };
        batch.into_iter().filter(keep).map(change).collect()
    }
}

fn failed(action: &'static str) -> StoreError {
    StoreError::Io { action, reason: "simulated: the medium failed".into(), hint: None }
}

impl Store for FaultyStore {
    fn snapshot(&self) -> Box<dyn StoreRead + '_> {
        let inner = self.durable.snapshot();
        if self.bug.is_none() && self.state().faults.read_ppm == 0 {
            return inner;
        }
        Box::new(FaultySnapshot { inner, store: self })
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        {
            let mut state = self.state();
            let ppm = state.faults.commit_ppm;
            if ppm > 0 && state.rng.chance(ppm) {
                return Err(failed("commit"));
            }
        }
        let batch = self.spoil(batch);
        if let Some(log) = &mut self.state().log {
            log.push(batch.clone());
        }
        self.durable.commit(batch)
    }
}

struct FaultySnapshot<'a> {
    inner: Box<dyn StoreRead + 'a>,
    store: &'a FaultyStore,
}

impl FaultySnapshot<'_> {
    fn read<T>(&self, value: Result<T, StoreError>) -> Result<T, StoreError> {
        let mut state = self.store.state();
        let ppm = state.faults.read_ppm;
        if ppm > 0 && state.rng.chance(ppm) {
            return Err(failed("read"));
        }
        value
    }
}

macro_rules! reads {
    ($($name:ident($($arg:ident: $type:ty),*) -> $value:ty;)*) => {
        $(fn $name(&self, $($arg: $type),*) -> Result<$value, StoreError> {
            self.read(self.inner.$name($($arg),*))
        })*
    };
}

impl StoreRead for FaultySnapshot<'_> {
    reads! {
        index(hash: &BlockHash) -> Option<IndexRow>;
        hash_at(height: u64) -> Option<BlockHash>;
        history_node(level: u8, index: u64) -> Option<Hash32>;
        tx(hash: &TxHash) -> Option<StoredTx>;
        tx_position(hash: &TxHash) -> Option<TxPosition>;
        state_get(key: &[u8]) -> Option<Vec<u8>>;
        state_range(start: &[u8], end: Option<&[u8]>, limit: usize) -> Entries;
        listed(hash: &BlockHash) -> Option<u64>;
        side(key: &SideKey) -> Option<u64>;
        carriers(txhash: &TxHash, limit: usize) -> Vec<BlockHash>;
        pruned() -> Pruned;
        pending_since(hash: &TxHash) -> Option<u64>;
        pending(after: Option<&TxHash>, limit: usize) -> Vec<(TxHash, u64)>;
        peers() -> Vec<PeerRow>;
        meta() -> Meta;
        index_page(after: Option<&BlockHash>, limit: usize) -> Vec<(BlockHash, IndexRow)>;
        heights_page(after: Option<u64>, limit: usize) -> Vec<(u64, BlockHash)>;
        tx_positions_page(after: Option<&TxHash>, limit: usize) -> Vec<(TxHash, TxPosition)>;
        listed_page(after: Option<&BlockHash>, limit: usize) -> Vec<(BlockHash, u64)>;
        side_page(after: Option<&SideKey>, limit: usize) -> Vec<(SideKey, u64)>;
        carried_page(after: Option<&CarriedKey>, limit: usize) -> Vec<CarriedKey>;
        history_page(after: Option<(u8, u64)>, limit: usize) -> Vec<HistoryNode>;
    }

    fn block(&self, hash: &BlockHash) -> Result<Option<Block>, StoreError> {
        let mut block = self.read(self.inner.block(hash))?;
        if self.store.bug == Some(Bug::SiblingOrder)
            && let Some(block) = &mut block
        {
            block.siblings.reverse();
        }
        Ok(block)
    }

    fn undo(&self, hash: &BlockHash) -> Result<Option<Undo>, StoreError> {
        let mut undo = self.read(self.inner.undo(hash))?;
        if self.store.bug == Some(Bug::SkipUndoEntry)
            && let Some(undo) = &mut undo
        {
            undo.state.pop();
        }
        if self.store.bug == Some(Bug::UndoForgetsSiblings)
            && let Some(undo) = &mut undo
        {
            let own = |hash: &TxHash| !matches!(self.inner.tx_position(hash), Ok(Some(at)) if at.via_sibling.is_some());
            undo.transactions.retain(own);
        }
        Ok(undo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockhie_core::store::conformance;

    fn store(bug: Option<Bug>) -> FaultyStore {
        FaultyStore::new(&conformance::genesis(), Rng::stream(1, "store"), bug)
    }

    #[test]
    fn conforms() {
        conformance::run_store(&|| Box::new(store(None)));
    }

    #[test]
    fn a_failed_commit_leaves_nothing_and_reads_fail_when_told() {
        let store = store(None);
        store.set_faults(StoreFaults { commit_ppm: 1_000_000, read_ppm: 0 });
        assert!(store.commit(vec![Op::Pending(Hash32([1; 32]), Some(5))]).is_err());
        assert_eq!(store.snapshot().pending_since(&Hash32([1; 32])), Ok(None));
        store.set_faults(StoreFaults { commit_ppm: 0, read_ppm: 1_000_000 });
        store.commit(vec![Op::Pending(Hash32([1; 32]), Some(5))]).unwrap();
        assert!(store.snapshot().pending_since(&Hash32([1; 32])).is_err());
        assert_eq!(store.durable().snapshot().pending_since(&Hash32([1; 32])), Ok(Some(5)));
    }

    #[test]
    fn the_planted_disk_forgets() {
        let store = store(Some(Bug::AckBeforeSync));
        for i in 0..6 {
            store.commit(vec![Op::Pending(Hash32([i; 32]), Some(5))]).unwrap();
        }
        let left = store.after_crash().unwrap();
        assert_eq!(left.snapshot().pending(None, 10).unwrap().len(), 3);
    }
}
