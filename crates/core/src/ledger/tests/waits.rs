//! Waiting times as they are told to clients.

use super::*;
use crate::query::waits::waits;

/// A transaction that claims this time.
fn claiming(ledger: &Ledger, text: &str, claimed_ms: u64) -> Transaction<Verified> {
    Transaction::sign(ledger.chain_id(), &secret(9), claimed_ms, 1, None, text.as_bytes())
}

#[test]
fn measured_where_seen_before_and_claimed_where_not() {
    let genesis = genesis(2);
    let (mut a, store_a) = open(&genesis);
    let (mut b, store_b) = open(&genesis);
    // Seen at +5,000: a claim within two seconds counts, an older one is cut to two seconds, a later one to first seen.
    let claims = [START + 4_000, START, START + 6_000];
    let mut bodies = BTreeMap::new();
    for (at, claimed) in claims.into_iter().enumerate() {
        let tx = claiming(&a, &format!("tx {at}"), claimed);
        bodies.insert(tx.hash(), tx.clone());
        a.submit(tx, START + 5_000).unwrap();
    }
    a.commit().unwrap();
    let before = waits(store_a.snapshot().as_ref(), 8, 100, START + 9_000).unwrap();
    assert_eq!((before.pending, before.blocks.len(), before.blocks[0].count()), (3, 1, 0));
    let mut so_far = before.pending_ms.clone();
    so_far.sort_unstable();
    assert_eq!(so_far, [4_000, 5_000, 6_000]);

    let block = mine(&mut a, 1, START + 10_000);
    a.commit().unwrap();
    let after = waits(store_a.snapshot().as_ref(), 8, 100, START + 11_000).unwrap();
    assert_eq!((after.pending, after.pending_ms.len(), after.now_ms), (0, 0, START + 11_000));
    assert_eq!(after.blocks.iter().map(|block| block.height).collect::<Vec<_>>(), [0, 1]);
    let mut measured = after.blocks[1].measured_ms.clone();
    measured.sort_unstable();
    assert_eq!((measured, after.blocks[1].claimed_ms.len()), (vec![5_000, 6_000, 7_000], 0));

    // The other node gets them with the block: nothing but claims, and one flatters itself.
    b.import(block, &bodies, START + 10_000).unwrap();
    b.commit().unwrap();
    let told = waits(store_b.snapshot().as_ref(), 1, 100, START + 11_000).unwrap();
    assert_eq!((told.blocks.len(), told.blocks[0].height, told.blocks[0].measured_ms.len()), (1, 1, 0));
    let mut claimed = told.blocks[0].claimed_ms.clone();
    claimed.sort_unstable();
    assert_eq!(claimed, [4_000, 6_000, 10_000]);
    assert_eq!(told.blocks[0].time_ms, START + 10_000);
}

#[test]
fn an_answer_is_bounded_by_transactions_as_well() {
    let (mut ledger, store) = open(&genesis(2));
    for block in 0..4u64 {
        let now_ms = START + 1_000 * (block + 1);
        for at in 0..2 {
            ledger.submit(claiming(&ledger, &format!("{block} {at}"), now_ms), now_ms).unwrap();
        }
        mine(&mut ledger, if block % 2 == 0 { 1 } else { 2 }, now_ms + 500);
    }
    ledger.submit(claiming(&ledger, "waits", START), START).unwrap();
    ledger.submit(claiming(&ledger, "waits too", START), START).unwrap();
    ledger.commit().unwrap();
    let heights = |blocks, most| {
        let told = waits(store.snapshot().as_ref(), blocks, most, START).unwrap();
        (told.blocks.iter().map(|block| block.height).collect::<Vec<_>>(), told.pending, told.pending_ms.len())
    };
    assert_eq!(heights(2, 100), (vec![3, 4], 2, 2));
    assert_eq!(heights(9, 4), (vec![3, 4], 2, 2));
    assert_eq!(heights(9, 1), (vec![4], 2, 1));
    assert_eq!(heights(9, 100), (vec![0, 1, 2, 3, 4], 2, 2));
}
