//! Jobs and stops.

use super::*;
use crate::config::MAX_HASH_RATE;
use blockhie_core::{CompactTarget, Hash32, Header};
use std::sync::mpsc;

fn template(target: CompactTarget) -> Template {
    let zero = Hash32::ZERO;
    let header = Header {
        previous: zero,
        tx_root: zero,
        history_root: zero,
        siblings_root: zero,
        miner: zero,
        height: 1,
        time_ms: 1,
        tx_count: 0,
        target,
        nonce: 0,
    };
    Template { header, txhashes: Vec::new(), siblings: Vec::new() }
}

/// At the highest rate a slice is 86 million hashes, which takes seconds.
#[test]
fn a_new_job_and_a_stop_are_seen_soon_at_any_rate() {
    let (sender, found) = mpsc::channel();
    let config = MinerConfig { chain: Hash32([1; 32]), signer: None, hash_rate: MAX_HASH_RATE, threads: 1 };
    let miner = Miner::start(config, move |block| drop(sender.send(block))).unwrap();
    let soon = Duration::from_secs(1);
    miner.mine(template(CompactTarget::LEAST));
    std::thread::sleep(Duration::from_millis(100));
    miner.mine(template(CompactTarget::MOST));
    assert!(found.recv_timeout(soon).is_ok(), "the new job");
    miner.mine(template(CompactTarget::LEAST));
    std::thread::sleep(Duration::from_millis(100));
    let stopped = Instant::now();
    drop(miner);
    assert!(stopped.elapsed() < soon, "{:?}", stopped.elapsed());
}

/// 2^24 a second are 335,544 tries a slice, more than one look at the job.
#[test]
fn no_nonce_is_left_out_between_two_looks() {
    // About one in 2^17 hashes meets it; a chain on which the first that does lies several looks away.
    let template = template(CompactTarget::new(0x1e7f_ffff).unwrap());
    let first = |chain: &Hash32| blockhie_pow::seal(&template.header, chain, 0, u64::MAX).unwrap();
    let chain = (0..=255).map(|byte| Hash32([byte; 32])).find(|chain| first(chain) > 3 * MAX_TRIES).unwrap();
    let (sender, found) = mpsc::channel();
    let config = MinerConfig { chain, signer: None, hash_rate: 1 << 24, threads: 1 };
    let miner = Miner::start(config, move |block| drop(sender.send(block))).unwrap();
    miner.mine(template.clone());
    assert_eq!(found.recv_timeout(Duration::from_secs(20)).unwrap().nonce, first(&chain));
}
