//! What several tests need.
#![allow(dead_code, reason = "each test uses a part of it")]

use blockhie_packing::{PackingContext, WaitingPool};

/// A fixed stream of numbers (SplitMix64), so that failures repeat.
pub(crate) struct Stream(pub(crate) u64);

impl Stream {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, at most 2^32.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("bounds are small")
    }
}

/// No limit but the count, node 1 of 8, at 10,000 ms.
pub(crate) fn context(capacity: usize) -> PackingContext {
    PackingContext {
        capacity,
        bytes: usize::MAX,
        node_index: 1,
        node_count: 8,
        parent: [0; 32],
        now_ms: 10_000,
        seed: 0,
    }
}

/// Items 0, 1, … of one byte that began to wait at these times.
pub(crate) fn pool_of(starts: &[u64]) -> WaitingPool<u64> {
    let mut pool = WaitingPool::new();
    for (id, &since_ms) in (0..).zip(starts) {
        pool.insert(id, since_ms, 1);
    }
    pool
}
