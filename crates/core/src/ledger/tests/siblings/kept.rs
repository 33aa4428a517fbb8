//! What is kept, what is dropped, and how what was dropped comes back.

use super::*;
use crate::limits::KEEP_STALE_BLOCKS;

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
