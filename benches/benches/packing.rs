//! The exact k-th largest m-subset sum, from a slice and from the pool that stays sorted.
//!
//! Ceilings: of the slice a quickselect of the m longest waits and their sum; of the pool reading the m oldest entries.

use blockhie_benches::{Comparison, criterion, timed, timed_with};
use blockhie_core::{TxHash, sha256};
use blockhie_packing::{WaitingPool, kth_subset_exact};
use std::time::Duration;

const NOW_MS: u64 = 10_000_000;
const SIZES: [(usize, &str); 2] = [(100_000, "1e5"), (1_000_000, "1e6")];
const PLACES: [usize; 2] = [1_000, 4_000];
const RANKS: [usize; 3] = [1, 8, 1_000];

fn main() {
    let mut criterion = criterion(Duration::from_millis(400));
    let mut slice = Comparison::new(&mut criterion, "packing_slice");
    for (n, size) in SIZES {
        let waits: Vec<u64> = (0..n).map(|i| NOW_MS - since_ms(&id(i))).collect();
        each_case(|m, k| {
            let case = format!("n={size} m={m} k={k}");
            let ours = slice.ours(&case, "selections", 1, timed(|| kth_subset_exact(&waits, m, k)));
            slice.ceiling(&ours, "quickselect", timed_with(|| waits.clone(), |mut copy| longest(&mut copy, m)));
        });
    }
    slice.finish();

    let mut sorted = Comparison::new(&mut criterion, "packing_pool");
    for (n, size) in SIZES {
        let mut pool = WaitingPool::new();
        for id in (0..n).map(id) {
            pool.insert(id, since_ms(&id), 99);
        }
        each_case(|m, k| {
            let case = format!("n={size} m={m} k={k}");
            let ours = sorted.ours(&case, "selections", 1, timed(|| pool.kth(NOW_MS, m, k)));
            sorted.ceiling(&ours, "read of the oldest m", timed(|| oldest(&pool, m)));
        });
    }
    sorted.finish();
    criterion.final_summary();
}

fn each_case(mut run: impl FnMut(usize, usize)) {
    for m in PLACES {
        for k in RANKS {
            run(m, k);
        }
    }
}

fn id(index: usize) -> TxHash {
    sha256(&[&index.to_be_bytes()])
}

/// Starts in no order of insertion, spread over 10,000 s.
fn since_ms(id: &TxHash) -> u64 {
    let bytes = id.0.first_chunk().expect("a hash has 32 bytes");
    u64::from_be_bytes(*bytes) % NOW_MS
}

fn longest(waits: &mut [u64], m: usize) -> u128 {
    let (first, last, _) = waits.select_nth_unstable_by(m - 1, |a, b| b.cmp(a));
    first.iter().copied().map(u128::from).sum::<u128>() + u128::from(*last)
}

fn oldest(pool: &WaitingPool<TxHash>, m: usize) -> (Vec<TxHash>, u128) {
    let (mut ids, mut sum) = (Vec::with_capacity(m), 0);
    for entry in pool.iter().take(m) {
        ids.push(*entry.id);
        sum += u128::from(NOW_MS - entry.since_ms);
    }
    (ids, sum)
}
