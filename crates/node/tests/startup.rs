//! Opening a ledger takes the same time whatever the length of its chain.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]

use blockhie_core::store::{IndexRow, Judgement, Op};
use blockhie_core::{ChainKind, CompactTarget, Genesis, Hash32, Ledger, OpaqueApp, Store, sha256};
use blockhie_pow::ProofOfWork;
use blockhie_store::{RocksStore, StoreConfig};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rows in one batch.
const BATCH: u64 = 2_000;
/// A short chain and a long one.
const LENGTHS: [u64; 2] = [1_000, 100_000];

fn genesis() -> Genesis {
    Genesis::with_defaults(ChainKind::Emr, "test", Hash32([7; 32]), 1, CompactTarget::MOST, Vec::new())
}

fn hash(height: u64) -> Hash32 {
    sha256(&[&height.to_be_bytes()])
}

/// The rows that each block leaves for ever, without what is in the blocks.
fn write_chain(path: &Path, length: u64) {
    let store = RocksStore::create(path, &genesis(), &StoreConfig::default()).unwrap();
    for first in (0..=length).step_by(usize::try_from(BATCH).unwrap()) {
        let mut batch = Vec::new();
        let last = length.min(first + BATCH - 1);
        for height in first..=last {
            let row = IndexRow {
                parent: hash(height.wrapping_sub(1)),
                height,
                time_ms: height,
                work: hash(0),
                lag_ms: 0,
                miner: hash(1),
                peaks: Default::default(),
                judgement: Judgement::Valid,
            };
            batch.extend([Op::PutIndex(hash(height), row), Op::Height(height, Some(hash(height)))]);
            batch.push(Op::State(height.to_be_bytes().to_vec(), Some(hash(height).0.to_vec())));
        }
        let mut meta = store.snapshot().meta().unwrap();
        meta.tip = Some(hash(last));
        batch.push(Op::Meta(meta));
        store.commit(batch).unwrap();
    }
    drop(store);
    // the log that is left goes into tables once: a restart after a crash reads at most `max_wal_bytes` of it
    open(path, length);
}

fn open(path: &Path, length: u64) -> Duration {
    let started = Instant::now();
    let store = RocksStore::open(path, Some(&genesis().chain_id()), &StoreConfig::default()).unwrap();
    let ledger = Ledger::open(Arc::new(store), Arc::new(ProofOfWork::new(&genesis())), Arc::new(OpaqueApp)).unwrap();
    let took = started.elapsed();
    assert_eq!(ledger.tip().height, length);
    took
}

#[test]
fn opening_takes_the_same_time_whatever_the_length() {
    let folder = tempfile::tempdir().unwrap();
    let times = LENGTHS.map(|length| {
        let path = folder.path().join(length.to_string());
        write_chain(&path, length);
        (0..5).map(|_| open(&path, length)).min().unwrap()
    });
    println!("{LENGTHS:?} blocks: {times:?}");
    let [short, long] = times;
    // a hundred times the blocks; what reads them all takes a second and more
    assert!(long < 3 * short + Duration::from_millis(50), "{short:?} and {long:?}");
}
