//! The search for a nonce.
//!
//! Ceiling: SHA-256's compression of one block from the same state, without counting and comparing.

mod common;

use blockhie_benches::{Comparison, criterion, timed};
use blockhie_core::{CompactTarget, Hash32, Header};
use blockhie_pow::seal;
use sha2::block_api::compress256;
use std::hint::black_box;
use std::time::Duration;

/// Nonces in one call, none of which answers.
const TRIES: u64 = 1 << 15;

fn main() {
    let mut criterion = criterion(Duration::from_secs(1));
    let mut group = Comparison::new(&mut criterion, "nonce");
    let chain = common::genesis().chain_id();
    let header = Header {
        previous: Hash32([1; 32]),
        tx_root: Hash32([2; 32]),
        history_root: Hash32([3; 32]),
        siblings_root: Hash32([4; 32]),
        miner: common::member(0).public().into(),
        height: 6,
        time_ms: common::START_MS,
        tx_count: 8,
        target: CompactTarget::LEAST,
        nonce: 0,
    };
    let mut next = 0u64;
    let ours = group.ours("seal", "hashes", TRIES, {
        timed(|| {
            let found = seal(&header, &chain, next, TRIES);
            assert_eq!(found, None, "nobody finds the hardest target");
            next = next.wrapping_add(TRIES);
        })
    });
    let (midstate, tail) = ([0x6a09_e667; 8], [[0x5a; 64]]);
    group.ceiling(&ours, "compression", {
        timed(|| {
            for _ in 0..TRIES {
                let mut state = midstate;
                compress256(&mut state, black_box(&tail));
                black_box(state);
            }
        })
    });
    group.finish();
    criterion.final_summary();
}
