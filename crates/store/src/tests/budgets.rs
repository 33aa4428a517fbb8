//! Memory stays within what the configuration says, whatever is written and read.

use super::*;
use blockhie_core::SecretKey;
use blockhie_core::tx::StoredTx;
use bytes::Bytes;

/// Beside the cache: readers of tables, and what a batch takes until the write buffers are flushed.
const SLACK: u64 = 2 << 20;

fn big_tx(i: u64) -> StoredTx {
    // does not compress
    let body: Vec<u8> = (0..1_024).flat_map(|j| hash(i << 16 | j).0).collect();
    let from = SecretKey::from_seed([3; 32]).public();
    StoredTx { time_ms: i, tx_type: 1, from, to: None, body: Bytes::from(body), hash: hash(i) }
}

#[test]
fn memory_stays_within_the_budgets() {
    let folder = tempfile::tempdir().unwrap();
    let store = create(&folder.path().join("ledger"));
    let config = StoreConfig::small();
    let bound = config.block_cache_bytes + config.write_buffer_bytes + SLACK;
    let part = |name: &str| {
        let parts = store.memory();
        parts.iter().find(|(part, _)| *part == name).map(|(_, bytes)| *bytes).expect("this part is measured")
    };
    let mut most = 0;
    let mut look = || {
        let held = part("block_cache") + part("table_readers");
        assert!(held <= bound, "{held} of {bound}: {:?}", store.memory());
        assert!(part("memtables") <= config.write_buffer_bytes + SLACK, "{:?}", store.memory());
        most = most.max(held);
    };
    // twice the budgets
    let count = 2 * bound / (32 << 10);
    for first in (0..count).step_by(32) {
        store.commit((first..first + 32).map(|i| Op::PutTx(big_tx(i))).collect()).unwrap();
        look();
    }
    let view = store.snapshot();
    for i in 0..count {
        assert_eq!(view.tx(&hash(i)).unwrap().expect("it was written").time_ms, i);
        look();
    }
    assert!(most > bound / 2, "the cache is used: {most} of {bound}");
}
