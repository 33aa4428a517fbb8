//! Two branches: which is followed, what comes back, and what is said of a final block that was left.

use super::*;

/// Two ledgers part, each commits its own, and meet again.
#[test]
fn a_heavier_branch_wins_and_abandoned_transactions_commit_again() {
    let (mut a, store) = open(&genesis(2));
    let (mut b, _) = open(&genesis(2));
    let (ours, both) = (tx(&a, 8, "ours"), tx(&a, 9, "both"));
    a.submit(ours.clone(), START + 1).unwrap();
    a.submit(both.clone(), START + 2).unwrap();
    b.submit(both.clone(), START + 3).unwrap();
    mine(&mut a, 1, START + 1_000);
    let branch: Vec<_> = (2..5).map(|i| mine(&mut b, 2, START + i * 1_000)).collect();
    let carried = bodies(std::slice::from_ref(&both));
    assert_eq!(a.import(branch[0].clone(), &carried, START + 9_000), Ok(Imported::Side));
    let expected = Imported::Reorganised { fork_height: 0, abandoned: 1, applied: 2 };
    assert_eq!(a.import(branch[1].clone(), &carried, START + 9_000), Ok(expected));
    assert_eq!(a.import(branch[2].clone(), &carried, START + 9_000), Ok(Imported::Extended));
    assert_eq!(a.import(branch[2].clone(), &carried, START + 9_000), Ok(Imported::Known));
    a.commit().unwrap();
    assert_eq!(a.tip().hash, b.tip().hash);
    assert_eq!(a.status(&ours.hash()).unwrap(), TxStatus::Pending { first_seen_ms: START + 1 });
    assert!(matches!(a.status(&both.hash()).unwrap(), TxStatus::Committed { height: 1, .. }));
    mine(&mut a, 1, START + 9_000);
    assert!(matches!(a.status(&ours.hash()).unwrap(), TxStatus::Committed { height: 4, .. }));
    let snapshot = store.snapshot();
    let report = crate::fsck::fsck(snapshot.as_ref(), Arc::new(TestWork), Arc::new(OpaqueApp)).unwrap();
    assert_eq!((report.differences, report.height, report.transactions), (0, 4, 2), "{:?}", report.described);
}

/// A heavier chain with a block that commits again what its ancestor committed.
#[test]
fn an_invalid_heavier_branch_moves_nothing_and_says_why() {
    let (mut a, _) = open(&genesis(2));
    let (mut b, _) = open(&genesis(2));
    let own = tx(&a, 8, "own");
    a.submit(own.clone(), START).unwrap();
    mine(&mut a, 1, START + 1_000);
    let twice = tx(&b, 9, "twice");
    b.submit(twice.clone(), START).unwrap();
    let first = mine(&mut b, 2, START + 1_000);
    let mut template = b.template(&request(2, START + 2_000)).unwrap();
    template.txhashes = vec![twice.hash()];
    template.header.tx_root = head(&template.txhashes);
    template.header.tx_count = 1;
    let bad = seal(&b, &template, 2);
    let carried = bodies(&[twice]);
    let before = (a.tip().clone(), a.mempool_len());
    assert_eq!(a.import(first, &carried, START + 9_000), Ok(Imported::Side));
    let error = a.import(bad.clone(), &carried, START + 9_000).unwrap_err();
    assert!(error.to_string().contains("committed at height 1"), "{error}");
    assert!(!error.misbehaviour() && error.class() == ErrorClass::Invalid);
    a.commit().unwrap();
    assert_eq!((a.tip().clone(), a.mempool_len()), before);
    assert!(matches!(a.status(&own.hash()).unwrap(), TxStatus::Committed { .. }));
    // it is remembered, and so is what stands on it
    assert!(matches!(a.import(bad, &carried, START + 9_000), Err(BlockError::NotValid { .. })));
}

#[test]
fn a_reorganisation_below_a_final_block_raises_the_alarm_and_stops_mining() {
    let (mut a, store) = open(&genesis(2));
    let (mut b, _) = open(&genesis(2));
    for (i, member) in [(1, 1), (2, 2), (3, 1)] {
        mine(&mut a, member, START + i * 1_000);
    }
    assert_eq!(a.tip().final_height, Some(2));
    let branch: Vec<_> = (1..5).map(|i| mine(&mut b, 2, START + i * 1_001)).collect();
    for block in branch {
        a.import(block, &BTreeMap::new(), START + 9_000).unwrap();
    }
    assert_eq!((a.tip().height, a.alarm()), (4, Some(2)));
    a.commit().unwrap();
    assert_eq!(a.template(&request(1, START + 9_000)), Err(TemplateError::Alarm { height: 2 }));
    drop(a);
    let mut a = Ledger::open(store, Arc::new(TestWork), Arc::new(OpaqueApp)).unwrap();
    assert_eq!(a.alarm(), Some(2));
    a.clear_alarm().unwrap();
    assert!(a.template(&request(1, START + 9_000)).is_ok());
}

/// The members' newest heights, read from the best chain itself.
fn walked(ledger: &Ledger) -> Vec<(PublicKey, u64)> {
    let mut newest = BTreeMap::new();
    for height in 1..=ledger.tip().height {
        newest.insert(ledger.block_at(height).unwrap().unwrap().miner().unwrap(), height);
    }
    newest.into_iter().collect()
}

#[test]
fn newest_heights_follow_the_chain_through_reorganisation_and_restart() {
    let genesis = genesis(3);
    let (mut ledger, store) = open(&genesis);
    let (mut other, _) = open(&genesis);
    let spaced = |ledger: &mut Ledger, members: &[u8]| -> Vec<UncheckedBlock> {
        let first = ledger.tip().height + 1;
        let times = (first..).map(|height| START + height * 1_000);
        members.iter().zip(times).map(|(member, time)| mine(ledger, *member, time)).collect()
    };
    for block in spaced(&mut ledger, &[3, 1]) {
        other.import(block, &BTreeMap::new(), START + 9_000).unwrap();
    }
    spaced(&mut ledger, &[3, 2]);
    assert_eq!(ledger.tip().last_seen, walked(&ledger));
    // Member 3 loses its newest block and has the older one again; member 2 never mined there.
    for block in spaced(&mut other, &[2, 1, 2]) {
        ledger.import(block, &BTreeMap::new(), START + 9_000).unwrap();
    }
    ledger.commit().unwrap();
    assert_eq!(ledger.tip().hash, other.tip().hash);
    assert_eq!(ledger.tip().last_seen, walked(&ledger));
    let tip = ledger.tip().clone();
    drop(ledger);
    let again = Ledger::open(store, Arc::new(TestWork), Arc::new(OpaqueApp)).unwrap();
    assert_eq!(*again.tip(), tip);
}
