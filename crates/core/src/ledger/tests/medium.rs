//! A medium that fails a read half-way through a step.

use super::*;
use crate::app::{Entries, TxPosition};
use crate::block::Block;
use crate::store::{Batch, CarriedKey, HistoryNode, PeerRow, Pruned, SideKey, Undo};
use crate::tx::StoredTx;
use std::sync::atomic::{AtomicU64, Ordering};

/// Fails the n-th read from now on, once; 0: none.
struct Failing {
    inner: MemoryStore,
    fails_at: AtomicU64,
}

struct View<'a>(Box<dyn StoreRead + 'a>, &'a AtomicU64);

impl View<'_> {
    fn read<T>(&self, value: Result<T, StoreError>) -> Result<T, StoreError> {
        let before = self.1.load(Ordering::Relaxed);
        self.1.store(before.saturating_sub(1), Ordering::Relaxed);
        if before == 1 {
            Err(StoreError::Io { action: "read", reason: "bad sector".into(), hint: None })
        } else {
            value
        }
    }
}

macro_rules! reads {
    ($($name:ident($($arg:ident: $type:ty),*) -> $value:ty;)*) => {
        $(fn $name(&self, $($arg: $type),*) -> Result<$value, StoreError> { self.read(self.0.$name($($arg),*)) })*
    };
}

impl StoreRead for View<'_> {
    reads! {
        block(hash: &BlockHash) -> Option<Block>;
        index(hash: &BlockHash) -> Option<IndexRow>;
        hash_at(height: u64) -> Option<BlockHash>;
        history_node(level: u8, index: u64) -> Option<Hash32>;
        tx(hash: &TxHash) -> Option<StoredTx>;
        tx_position(hash: &TxHash) -> Option<TxPosition>;
        state_get(key: &[u8]) -> Option<Vec<u8>>;
        state_range(start: &[u8], end: Option<&[u8]>, limit: usize) -> Entries;
        undo(hash: &BlockHash) -> Option<Undo>;
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
}

impl Store for Failing {
    fn snapshot(&self) -> Box<dyn StoreRead + '_> {
        Box::new(View(self.inner.snapshot(), &self.fails_at))
    }
    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.inner.commit(batch)
    }
}

fn open_failing(genesis: &Genesis) -> (Ledger, Arc<Failing>) {
    let store = Arc::new(Failing { inner: MemoryStore::new(genesis), fails_at: AtomicU64::new(0) });
    (Ledger::open(store.clone(), Arc::new(TestWork), Arc::new(OpaqueApp)).unwrap(), store)
}

/// Imports `blocks` with the n-th read of the last one failing, for every n: a good block is never judged for it, and
/// is taken when it comes again.
fn every_read_fails_once(
    genesis: &Genesis,
    before: &[UncheckedBlock],
    last: &UncheckedBlock,
    all: &BTreeMap<TxHash, Transaction<Verified>>,
) {
    for n in 1..1_000 {
        let (mut ledger, store) = open_failing(genesis);
        for block in before {
            ledger.import(block.clone(), all, START + 9_000).unwrap();
            ledger.commit().unwrap();
        }
        store.fails_at.store(n, Ordering::Relaxed);
        let result = ledger.import(last.clone(), all, START + 9_000);
        let failed = store.fails_at.swap(0, Ordering::Relaxed) == 0;
        ledger.commit().unwrap();
        if !failed {
            assert!(n > 9 && result.is_ok(), "read {n}: {result:?}");
            return;
        }
        if let Err(error) = result {
            assert!(matches!(error, BlockError::Store(_)), "read {n}: {error}");
            let again = ledger.import(last.clone(), all, START + 9_000);
            assert!(matches!(again, Ok(Imported::Extended | Imported::Reorganised { .. })), "read {n}: {again:?}");
            ledger.commit().unwrap();
        }
        assert_eq!(ledger.tip().hash, last.claimed_hash, "read {n}");
        let view = store.inner.snapshot();
        let report = crate::fsck::fsck(view.as_ref(), Arc::new(TestWork), Arc::new(OpaqueApp)).unwrap();
        assert_eq!(report.differences, 0, "read {n}: {:?}", report.described);
    }
    panic!("it never got through");
}

#[test]
fn a_failed_read_condemns_no_block_that_extends_the_chain() {
    let genesis = genesis(2);
    let (mut other, _) = open(&genesis);
    let first = mine(&mut other, 1, START + 1_000);
    let txs = [tx(&other, 9, "one"), tx(&other, 8, "two")];
    for tx in &txs {
        other.submit(tx.clone(), START).unwrap();
    }
    let second = mine(&mut other, 2, START + 2_000);
    assert_eq!(second.txhashes.len(), 2);
    every_read_fails_once(&genesis, &[first], &second, &bodies(&txs));
}

#[test]
fn a_failed_read_condemns_no_branch_that_wins() {
    let genesis = genesis(2);
    let (mut left, _) = open(&genesis);
    let (mut right, _) = open(&genesis);
    let txs = [tx(&left, 9, "one"), tx(&left, 8, "two")];
    left.submit(txs[0].clone(), START).unwrap();
    right.submit(txs[0].clone(), START).unwrap();
    right.submit(txs[1].clone(), START).unwrap();
    let own = mine(&mut left, 1, START + 1_000);
    let branch = [mine(&mut right, 2, START + 1_001), mine(&mut right, 1, START + 2_000)];
    every_read_fails_once(&genesis, &[own, branch[0].clone()], &branch[1], &bodies(&txs));
}
