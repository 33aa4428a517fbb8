use super::*;
use blockhie_core::Hash32;
use proptest::prelude::*;

fn block(hash: u64, previous: u64, transactions: usize) -> UncheckedBlock {
    let bytes = |n: u64| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        Hash32(bytes)
    };
    UncheckedBlock {
        height: hash,
        time_ms: 0,
        previous: bytes(previous),
        claimed_hash: bytes(hash),
        target: 0,
        nonce: 0,
        txhashes: vec![Hash32::ZERO; transactions],
        miner: Hash32::ZERO,
        siblings: Vec::new(),
        signature: None,
        history_root: None,
    }
}

fn peer(n: u16) -> Option<PeerId> {
    Some(PeerId::from(([127, 0, 0, 1], n)))
}

#[test]
fn claims_are_eight_a_peer_and_checked_blocks_more() {
    let mut orphans = Orphans::default();
    for i in 0..1_000 {
        orphans.insert(block(i, 5_000 + i, 0), peer(1), false, 0);
        orphans.insert(block(10_000 + i, 20_000 + i, 0), peer(1), true, 0);
    }
    assert_eq!(orphans.size().0, MAX_CLAIMS_PER_PEER + MAX_ORPHANS_PER_PEER);
    orphans.insert(block(1, 2, 0), peer(2), false, 0);
    assert_eq!(orphans.size().0, MAX_CLAIMS_PER_PEER + MAX_ORPHANS_PER_PEER + 1);
    orphans.forget_peer(peer(1).unwrap());
    assert_eq!(orphans.size().0, 1);
}

#[test]
fn many_peers_together_stay_within_the_bytes_and_the_greedy_one_pays() {
    let mut orphans = Orphans::default();
    orphans.insert(block(1, 2, 0), peer(1), false, 0);
    for n in 2..100 {
        for i in 0..40 {
            orphans.insert(block(u64::from(n) * 1_000 + i, 9, 4_000), peer(n), true, 0);
        }
    }
    assert!(orphans.size().1 <= MAX_ORPHAN_BYTES);
    assert!(orphans.size().1 > MAX_ORPHAN_BYTES / 2);
    assert_eq!(orphans.take_children(&block(1, 2, 0).previous).len(), 1);
}

#[test]
fn a_false_claim_does_not_hide_the_honest_block() {
    let mut orphans = Orphans::default();
    orphans.insert(block(7, 6, 3), peer(1), false, 0);
    orphans.insert(block(7, 6, 0), peer(2), true, 0);
    // A second copy of what was checked adds nothing.
    orphans.insert(block(7, 6, 0), peer(3), true, 0);
    assert_eq!(orphans.take_children(&block(7, 6, 0).previous).len(), 2);
    assert_eq!(orphans.size(), (0, 0));
}

#[test]
fn the_missing_ancestor_is_found_and_rings_end() {
    let mut orphans = Orphans::default();
    for i in 2..10 {
        orphans.insert(block(i, i - 1, 0), None, true, 0);
    }
    assert_eq!(orphans.missing_ancestor(block(9, 8, 0).claimed_hash), block(1, 0, 0).claimed_hash);
    orphans.insert(block(1, 9, 0), None, false, 0);
    orphans.missing_ancestor(block(9, 8, 0).claimed_hash);
    orphans.expire(ORPHAN_MS - 1);
    assert_eq!(orphans.size().0, 9);
    orphans.expire(ORPHAN_MS);
    assert_eq!(orphans.size(), (0, 0));
}

proptest! {
    #[test]
    fn the_books_balance(steps in proptest::collection::vec((0u64..30, 0u64..30, 0u16..4, any::<bool>(), 0u8..4), 0..200)) {
        let mut orphans = Orphans::default();
        for (i, (hash, previous, from, checked, kind)) in steps.into_iter().enumerate() {
            match kind {
                0 => drop(orphans.take_children(&block(0, previous, 0).previous)),
                1 => orphans.expire(i as u64 + ORPHAN_MS / 2),
                _ => orphans.insert(block(hash, previous, 3), peer(from), checked, i as u64),
            }
            let bytes: usize = orphans.held.values().map(Orphan::bytes).sum();
            prop_assert_eq!(bytes, orphans.bytes);
            prop_assert_eq!(orphans.by_peer.values().map(|share| share.bytes).sum::<usize>(), bytes);
            prop_assert_eq!(orphans.by_parent.len(), orphans.held.len());
            prop_assert_eq!(orphans.by_hash.len(), orphans.held.len());
        }
    }
}
