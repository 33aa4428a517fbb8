//! What is kept, what is dropped, and how what was dropped comes back.

use super::*;
use crate::limits::{KEEP_STALE_BLOCKS, MAX_BLOCK_TRANSACTIONS};

fn has_body(store: &MemoryStore, tx: &Transaction<Verified>) -> bool {
    store.snapshot().tx(&tx.hash()).unwrap().is_some()
}

#[test]
fn stale_blocks_go_and_what_is_listed_stays() {
    let genesis = merging(2, 4, 1);
    let (mut ledger, store) = open(&genesis);
    let maker = Maker::new(&genesis);
    let mut stale: Vec<_> = (0..40).map(|i| maker.child(&maker.root, 2, 500 + i, &[], &[])).collect();
    stale.sort_by_key(|made| made.hash);
    mine(&mut ledger, 1, START + 1_000);
    for made in &stale {
        assert_eq!(give(&mut ledger, made, &[]), Ok(Imported::Side));
    }
    // Three of them are merged before they are too old.
    for i in 2..=KEEP_STALE_BLOCKS {
        mine(&mut ledger, 1, START + i * 1_000);
    }
    let listed = store.snapshot().listed_page(None, 99).unwrap();
    assert_eq!(listed.len(), 3);
    assert_eq!(store.snapshot().side_page(None, 99).unwrap().len(), 37, "all are kept for {KEEP_STALE_BLOCKS} blocks");
    for i in 1..=3 {
        mine(&mut ledger, 1, START + (KEEP_STALE_BLOCKS + i) * 1_000);
    }
    assert_eq!(store.snapshot().side_page(None, 99).unwrap(), [], "a few at each block");
    for made in &stale {
        let merged = listed.iter().any(|(hash, _)| *hash == made.hash);
        assert_eq!(store.snapshot().block(&made.hash).unwrap().is_some(), merged);
        assert_eq!(ledger.knows_block(&made.hash).unwrap(), merged);
        assert!(store.snapshot().index(&made.hash).unwrap().is_some(), "an index row is kept for ever");
        assert_eq!(ledger.time_of(&made.hash).unwrap(), Some(made.time_ms), "and with it what it says of the time");
    }
    assert_clean(&store);
    // One that is sent again is taken again, and its child needs it.
    let gone = stale.iter().find(|made| !ledger.knows_block(&made.hash).unwrap()).unwrap();
    let child = maker.child(gone, 2, 1_000, &[], &[]);
    assert!(matches!(give(&mut ledger, &child, &[]), Err(BlockError::UnknownParent { .. })));
    assert_eq!(give(&mut ledger, gone, &[]), Ok(Imported::Side));
    assert_eq!(give(&mut ledger, gone, &[]), Ok(Imported::Known));
    assert_eq!(give(&mut ledger, &child, &[]), Ok(Imported::Side));
    assert_clean(&store);
}

#[test]
fn a_heavier_branch_names_what_was_dropped_of_it() {
    let genesis = merging(2, 4, 1);
    let (mut ledger, store) = open(&genesis);
    let maker = Maker::new(&genesis);
    let mut branch = vec![maker.root.clone()];
    // A branch that is always two blocks behind.
    let most = KEEP_STALE_BLOCKS + 50;
    for i in 1..=most {
        mine(&mut ledger, 1, START + i * 1_000);
        if i > 2 {
            branch.push(maker.child(branch.last().unwrap(), 2, 900, &[], &[]));
            assert_eq!(give(&mut ledger, branch.last().unwrap(), &[]), Ok(Imported::Side));
        }
    }
    let dropped: Vec<_> = branch[1..].iter().filter(|made| !ledger.knows_block(&made.hash).unwrap()).cloned().collect();
    assert!(!dropped.is_empty() && dropped.len() <= 60, "{}", dropped.len());
    for _ in 0..2 {
        branch.push(maker.child(branch.last().unwrap(), 2, 900, &[], &[]));
        assert_eq!(give(&mut ledger, branch.last().unwrap(), &[]), Ok(Imported::Side));
    }
    branch.push(maker.child(branch.last().unwrap(), 2, 900, &[], &[]));
    let heavy = branch.last().unwrap();
    let missing = dropped.iter().map(|made| made.hash).collect();
    assert_eq!(give(&mut ledger, heavy, &[]), Err(BlockError::MissingBlocks { missing }));
    for made in &dropped {
        assert_eq!(give(&mut ledger, made, &[]), Ok(Imported::Side));
    }
    let expected = Imported::Reorganised { fork_height: 0, abandoned: most, applied: most + 1 };
    assert_eq!(give(&mut ledger, heavy, &[]), Ok(expected));
    assert_clean(&store);
}

#[test]
fn the_bodies_of_dropped_blocks_go_with_the_last_that_needs_them() {
    let genesis = merging(2, 4, 0);
    let (mut ledger, store) = open(&genesis);
    let maker = Maker::new(&genesis);
    let [alone, both, waits, committed] = ["a 1", "a 2", "a 3", "a 4"].map(|text| tx(&ledger, 9, text));
    ledger.submit(waits.clone(), START).unwrap();
    ledger.submit(committed.clone(), START).unwrap();
    ledger.commit().unwrap();
    let first = maker.child(&maker.root, 2, 500, &[&alone, &both, &waits, &committed], &[]);
    let second = maker.child(&maker.root, 2, 501, &[&both], &[]);
    // The best chain commits only one of them.
    let own = maker.child(&maker.root, 1, 1_000, &[&committed], &[]);
    assert_eq!(give(&mut ledger, &own, &[]), Ok(Imported::Extended));
    assert_eq!(give(&mut ledger, &first, &[&alone, &both]), Ok(Imported::Side));
    let mut last = own;
    let mut step = |ledger: &mut Ledger| {
        last = maker.child(&last, 1, 1_000, &[], &[]);
        let imported = ledger.import(last.block.clone(), &BTreeMap::new(), LATE * 2).unwrap();
        assert_eq!(imported, Imported::Extended);
        ledger.commit().unwrap();
    };
    (0..3).for_each(|_| step(&mut ledger));
    assert_eq!(give(&mut ledger, &second, &[]), Ok(Imported::Side));
    assert_clean(&store);
    let held = |made: &Made| store.snapshot().block(&made.hash).unwrap().is_some();
    let bodies = || [&alone, &both, &waits, &committed].map(|tx| has_body(&store, tx));
    (3..KEEP_STALE_BLOCKS).for_each(|_| step(&mut ledger));
    assert_eq!((held(&first), held(&second), bodies()), (false, true, [false, true, true, true]));
    assert_clean(&store);
    // A restart in between changes nothing: what is carried is in the store.
    drop(ledger);
    let mut ledger = Ledger::open(store.clone(), Arc::new(TestWork), Arc::new(OpaqueApp)).unwrap();
    (0..3).for_each(|_| step(&mut ledger));
    assert_eq!((held(&second), bodies()), (false, [false, false, true, true]));
    assert_eq!(store.snapshot().carried_page(None, 9).unwrap(), []);
    assert_clean(&store);
    assert_eq!(give(&mut ledger, &second, &[&both]), Ok(Imported::Side), "it is taken again when it comes again");
    assert_clean(&store);
}

/// Full blocks beside the chain, each with bodies of its own, are let go a few at a time.
#[test]
fn each_tip_looks_at_a_bounded_number_of_bodies_of_dropped_blocks() {
    let mut genesis = merging(2, 4, 0);
    genesis.max_transactions = MAX_BLOCK_TRANSACTIONS;
    let (mut ledger, store) = open(&genesis);
    let maker = Maker::new(&genesis);
    let full = usize::try_from(MAX_BLOCK_TRANSACTIONS).unwrap();
    let all: Vec<_> = (0..full).map(|i| tx(&ledger, 9, &format!("a {i}"))).collect();
    let all: Vec<_> = all.iter().collect();
    let half = full / 2;
    let mut last = maker.child(&maker.root, 1, 1_000, &[], &[]);
    assert_eq!(give(&mut ledger, &last, &[]), Ok(Imported::Extended));
    // Two halves fit into one look, and the third does not.
    for (at, carried) in [&all[..half], &all[half..], &all[..half]].into_iter().enumerate() {
        let stale = maker.child(&maker.root, 2, 500 + at as u64, carried, &[]);
        assert_eq!(give(&mut ledger, &stale, carried), Ok(Imported::Side));
    }
    let left = || store.snapshot().side_page(None, 9).unwrap().len();
    let mut counts = Vec::new();
    for _ in 0..KEEP_STALE_BLOCKS + 2 {
        last = maker.child(&last, 1, 1_000, &[], &[]);
        ledger.import(last.block.clone(), &BTreeMap::new(), LATE * 2).unwrap();
        ledger.commit().unwrap();
        if counts.last() != Some(&left()) {
            counts.push(left());
        }
    }
    assert_eq!(counts, [3, 1, 0]);
    assert_eq!(all.iter().filter(|tx| has_body(&store, tx)).count(), 0);
    assert_eq!(store.snapshot().carried_page(None, 9).unwrap(), []);
}
