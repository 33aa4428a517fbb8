//! Opening a ledger reads as many rows whatever the length of its chain. (`crates/node/tests/startup.rs` takes the time.)

use super::*;
use crate::columns::reads;
use blockhie_core::consensus::{Consensus, ParentContext, WorkError};
use blockhie_core::{BlockHash, CompactTarget, Header, Ledger, OpaqueApp, U256};
use std::sync::Arc;

/// A short chain and a long one.
const LENGTHS: [u64; 2] = [1_000, 50_000];
/// Heights in one batch.
const BATCH: u64 = 2_000;
/// What opening may read: the tip, `meta` some times, the mark of pruning, the journal of the mempool.
const MOST: u64 = 32;

/// Opening asks nothing of it.
pub(super) struct NoRule;

impl Consensus for NoRule {
    fn required_target(&self, _: &ParentContext) -> CompactTarget {
        CompactTarget::MOST
    }
    fn next_lag(&self, _: &ParentContext, _: u64) -> i128 {
        0
    }
    fn check(&self, _: &Header, _: &BlockHash) -> Result<(), WorkError> {
        Ok(())
    }
    fn work(&self, target: CompactTarget) -> U256 {
        target.work()
    }
}

/// What each block leaves: rows of every column family that grows with the chain, but for the bodies of blocks.
fn write_chain(path: &Path, length: u64) {
    let store = create(path);
    for first in (1..=length).step_by(usize::try_from(BATCH).unwrap()) {
        let mut batch = Vec::new();
        let last = length.min(first + BATCH - 1);
        for i in first..=last {
            let row = IndexRow {
                parent: hash(i - 1),
                height: i,
                time_ms: i,
                work: hash(0),
                lag_ms: 0,
                miner: hash(0),
                peaks: Default::default(),
                judgement: Judgement::Valid,
            };
            batch.extend([Op::PutIndex(hash(i), row), Op::Height(i, Some(hash(i)))]);
            batch.push(Op::HistoryNode(1, i, Some(hash(i))));
            batch.push(Op::State(i.to_be_bytes().to_vec(), Some(hash(i).0.to_vec())));
            batch.push(Op::Undo(hash(i), Some(Default::default())));
            batch.push(Op::Side((i, hash(i + length)), Some(i)));
            batch.push(Op::Carried((hash(i), hash(i + length)), true));
        }
        let mut meta = store.snapshot().meta().unwrap();
        meta.tip = Some(hash(last));
        batch.push(Op::Meta(meta));
        store.commit(batch).unwrap();
    }
}

#[test]
fn opening_reads_as_many_rows_whatever_the_length() {
    let folder = tempfile::tempdir().unwrap();
    let counts = LENGTHS.map(|length| {
        let path = folder.path().join(length.to_string());
        write_chain(&path, length);
        reads::take();
        let store = Arc::new(open(&path).unwrap());
        let ledger = Ledger::open(store.clone(), Arc::new(NoRule), Arc::new(OpaqueApp)).unwrap();
        let count = reads::take();
        assert_eq!(ledger.tip().height, length);
        // and it does count
        store.snapshot().heights_page(None, usize::MAX).unwrap();
        assert!(reads::take() >= length);
        count
    });
    println!("{LENGTHS:?} blocks: {counts:?} rows");
    assert!(counts[0] == counts[1] && counts[1] <= MOST, "{counts:?}");
}
