//! Each listing rule, broken once.

use super::*;

/// A ledger with the chain root → a1 → a2 (its tip), and of the same height b1 → b2 beside.
struct Scene {
    genesis: Genesis,
    ledger: Ledger,
    store: Arc<MemoryStore>,
    maker: Maker,
    a: [Made; 2],
    b: [Made; 2],
}

fn scene(window: u8, limit: u8) -> Scene {
    let genesis = merging(4, window, limit);
    let (mut ledger, store) = open(&genesis);
    let maker = Maker::new(&genesis);
    let a1 = maker.child(&maker.root, 1, 1_000, &[], &[]);
    let a2 = maker.child(&a1, 1, 1_000, &[], &[]);
    let b1 = maker.child(&maker.root, 2, 1_000, &[], &[]);
    let b2 = maker.child(&b1, 2, 1_000, &[], &[]);
    for (made, expected) in
        [(&a1, Imported::Extended), (&a2, Imported::Extended), (&b1, Imported::Side), (&b2, Imported::Side)]
    {
        assert_eq!(give(&mut ledger, made, &[]), Ok(expected));
    }
    Scene { genesis, ledger, store, maker, a: [a1, a2], b: [b1, b2] }
}

/// Offers the block; it has to be sound, not valid, nobody's fault, and say `text`.
#[track_caller]
fn refused(scene: &mut Scene, made: &Made, text: &str) {
    let tip = scene.ledger.tip().clone();
    let error = give(&mut scene.ledger, made, &[]).unwrap_err();
    assert!(matches!(error, BlockError::NotValid { rule: "siblings", .. }), "{error}");
    assert!(!error.misbehaviour() && error.to_string().contains(text), "{error}");
    assert_eq!(*scene.ledger.tip(), tip);
    let row = scene.store.snapshot().index(&made.hash).unwrap().expect("kept: it is sound");
    assert_eq!(row.judgement, Judgement::NotValid);
    assert!(scene.ledger.knows_block(&made.hash).unwrap());
    assert_clean(&scene.store);
}

#[test]
fn a_whole_stale_branch_may_be_listed_in_order() {
    let mut scene = scene(16, 8);
    let c = scene.maker.child(&scene.a[1], 3, 1_000, &[], &[&scene.b[0], &scene.b[1]]);
    assert_eq!(give(&mut scene.ledger, &c, &[]), Ok(Imported::Extended));
    for b in &scene.b {
        assert_eq!(scene.store.snapshot().listed(&b.hash).unwrap(), Some(3));
    }
    assert_eq!(scene.store.snapshot().side_page(None, 9).unwrap(), []);
    assert_clean(&scene.store);
}

#[test]
fn a_parent_may_be_listed_by_an_ancestor() {
    let mut scene = scene(16, 8);
    let c = scene.maker.child(&scene.a[1], 3, 1_000, &[], &[&scene.b[0]]);
    let d = scene.maker.child(&c, 3, 1_000, &[], &[&scene.b[1]]);
    assert_eq!(give(&mut scene.ledger, &c, &[]), Ok(Imported::Extended));
    assert_eq!(give(&mut scene.ledger, &d, &[]), Ok(Imported::Extended));
    assert_clean(&scene.store);
}

#[test]
fn no_parent_no_sibling() {
    let mut scene = scene(16, 8);
    let orphaned = scene.maker.child(&scene.a[1], 3, 1_000, &[], &[&scene.b[1]]);
    refused(&mut scene, &orphaned, "a parent that is an ancestor, listed by one, or earlier in the list");
    let behind = scene.maker.child(&scene.a[1], 3, 1_001, &[], &[&scene.b[1], &scene.b[0]]);
    refused(&mut scene, &behind, "a parent that is an ancestor");
}

#[test]
fn no_ancestor() {
    let mut scene = scene(16, 8);
    let bad = scene.maker.child(&scene.a[1], 3, 1_000, &[], &[&scene.a[0]]);
    refused(&mut scene, &bad, "expected no ancestor");
    let root = scene.maker.root.clone();
    let bad = scene.maker.child(&scene.a[1], 3, 1_000, &[], &[&root]);
    refused(&mut scene, &bad, "expected no ancestor");
}

#[test]
fn none_twice_by_an_ancestor_or_in_one_list() {
    let mut scene = scene(16, 8);
    let c = scene.maker.child(&scene.a[1], 3, 1_000, &[], &[&scene.b[0]]);
    give(&mut scene.ledger, &c, &[]).unwrap();
    let bad = scene.maker.child(&c, 3, 1_000, &[], &[&scene.b[0]]);
    refused(&mut scene, &bad, "none that an ancestor lists");
    // In one list it shows from the list alone: unsound, and the sender is to blame.
    let bad = scene.maker.child(&c, 3, 1_000, &[], &[&scene.b[1], &scene.b[1]]);
    let error = give(&mut scene.ledger, &bad, &[]).unwrap_err();
    assert!(matches!(error, BlockError::Unsound { rule: "siblinghash", .. }) && error.misbehaviour(), "{error}");
}

#[test]
fn not_higher_and_not_as_late() {
    let mut scene = scene(16, 8);
    // A heavier branch that is not valid stays beside, so that there is one higher than the block itself.
    let bad_b3 = scene.maker.child(&scene.b[1], 4, 500, &[], &[&scene.b[0]]);
    refused(&mut scene, &bad_b3, "expected no ancestor");
    let on_bad = scene.maker.child(&bad_b3, 4, 500, &[], &[]);
    assert!(matches!(give(&mut scene.ledger, &on_bad, &[]), Err(BlockError::NotValid { rule: "ancestors", .. })));
    let too_high = scene.maker.child(&scene.a[1], 3, 9_000, &[], &[&scene.b[0], &scene.b[1], &bad_b3, &on_bad]);
    refused(&mut scene, &too_high, "a height of at most 3");
    // Of its own height is not too high: b1, b2 and the child that is not valid are merged.
    let same = scene.maker.child(&scene.a[1], 3, 501, &[], &[&scene.b[0], &scene.b[1], &bad_b3]);
    let early = scene.maker.child(&scene.a[1], 3, 500, &[], &[&scene.b[0], &scene.b[1], &bad_b3]);
    refused(&mut scene, &early, "a time below");
    assert_eq!(give(&mut scene.ledger, &same, &[]), Ok(Imported::Extended));
    assert_clean(&scene.store);
}

#[test]
fn at_most_two_of_one_miner() {
    let mut scene = scene(16, 8);
    let third = scene.maker.child(&scene.a[0], 2, 500, &[], &[]);
    assert_eq!(give(&mut scene.ledger, &third, &[]), Ok(Imported::Side));
    let bad = scene.maker.child(&scene.a[1], 3, 1_000, &[], &[&scene.b[0], &scene.b[1], &third]);
    refused(&mut scene, &bad, "at most 2 of one miner");
    let good = scene.maker.child(&scene.a[1], 3, 1_000, &[], &[&scene.b[0], &third]);
    assert_eq!(give(&mut scene.ledger, &good, &[]), Ok(Imported::Extended));
}

#[test]
fn at_most_l() {
    let mut scene = scene(16, 1);
    let bad = scene.maker.child(&scene.a[1], 3, 1_000, &[], &[&scene.b[0], &scene.b[1]]);
    let error = give(&mut scene.ledger, &bad, &[]).unwrap_err();
    assert_eq!(error, BlockError::TooMany { field: "siblinghash", limit: 1, got: 2 });
    assert!(error.misbehaviour() && !scene.ledger.knows_block(&bad.hash).unwrap());
    let (mut without, _) = open(&merging(4, 0, 0));
    let maker = Maker::new(without.genesis());
    let bad = maker.child(&maker.root, 1, 1_000, &[], &[&maker.root]);
    let error = give(&mut without, &bad, &[]).unwrap_err();
    assert_eq!(error, BlockError::TooMany { field: "siblinghash", limit: 0, got: 1 });
}

#[test]
fn the_branch_leaves_the_chain_at_most_w_below() {
    let mut scene = scene(2, 8);
    // At height 3 a branch from the root (height 0) is too old for W = 2, one from height 1 is not.
    let old = scene.maker.child(&scene.a[1], 3, 1_000, &[], &[&scene.b[0]]);
    refused(&mut scene, &old, "a branch that leaves this chain at height 1 or above");
    let young = scene.maker.child(&scene.a[0], 2, 500, &[], &[]);
    give(&mut scene.ledger, &young, &[]).unwrap();
    let good = scene.maker.child(&scene.a[1], 3, 1_000, &[], &[&young]);
    assert_eq!(give(&mut scene.ledger, &good, &[]), Ok(Imported::Extended));
    // The fork point is that of the whole branch, not of the sibling's own parent.
    let b3 = scene.maker.child(&scene.b[1], 4, 100, &[], &[]);
    give(&mut scene.ledger, &b3, &[]).unwrap();
    let late = scene.maker.child(&good, 3, 1_000, &[], &[&b3]);
    refused(&mut scene, &late, "leaves this chain at height 2 or above");
    // And the genesis counts: with a window that reaches below it, everything from it on is young enough.
    let mut wide = self::scene(3, 8);
    let c = wide.maker.child(&wide.a[1], 3, 1_000, &[], &[&wide.b[0], &wide.b[1]]);
    assert_eq!(give(&mut wide.ledger, &c, &[]), Ok(Imported::Extended));
}

#[test]
fn a_sibling_that_is_not_here_is_not_yet_and_never_a_fault() {
    let mut scene = scene(16, 8);
    let hidden = scene.maker.child(&scene.a[1], 4, 500, &[], &[]);
    let block = scene.maker.child(&scene.a[1], 3, 1_000, &[], &[&scene.b[0], &hidden]);
    for _ in 0..2 {
        let error = give(&mut scene.ledger, &block, &[]).unwrap_err();
        assert_eq!(error, BlockError::MissingBlocks { missing: vec![hidden.hash] });
        assert!(error.class() == ErrorClass::NotYet && !error.misbehaviour());
    }
    assert_eq!(scene.ledger.tip().hash, scene.a[1].hash);
    // What stands on it waits for the same.
    let child = scene.maker.child(&block, 3, 1_000, &[], &[]);
    let error = give(&mut scene.ledger, &child, &[]).unwrap_err();
    assert_eq!(error, BlockError::MissingBlocks { missing: vec![hidden.hash] });
    assert_clean(&scene.store);
    // A restart forgets nothing of it. The missing one is heavier than the old tip, and becomes the tip for a moment.
    drop(scene.ledger);
    let mut ledger = Ledger::open(scene.store.clone(), Arc::new(TestWork), Arc::new(OpaqueApp)).unwrap();
    assert_eq!(give(&mut ledger, &hidden, &[]), Ok(Imported::Extended));
    let expected = Imported::Reorganised { fork_height: 2, abandoned: 1, applied: 2 };
    assert_eq!(give(&mut ledger, &child, &[]), Ok(expected));
    assert_eq!(give(&mut ledger, &block, &[]), Ok(Imported::Known));
    assert_clean(&scene.store);
    assert_eq!(scene.genesis.sibling_limit, 8);
}

#[test]
fn a_siblings_own_list_only_has_to_match_its_root() {
    let mut scene = scene(16, 8);
    let hidden = scene.maker.child(&scene.a[0], 4, 500, &[], &[]);
    // It lists what nobody has, and breaks the rules besides: sound all the same.
    let odd = scene.maker.child(&scene.a[0], 3, 600, &[], &[&hidden, &scene.a[0]]);
    assert_eq!(give(&mut scene.ledger, &odd, &[]), Ok(Imported::Side));
    let block = scene.maker.child(&scene.a[1], 3, 1_000, &[], &[&odd]);
    assert_eq!(give(&mut scene.ledger, &block, &[]), Ok(Imported::Extended));
    assert_clean(&scene.store);
    // But the root has to match.
    let mut forged = odd.block.clone();
    forged.siblings.pop();
    assert!(matches!(scene.ledger.import(forged, &BTreeMap::new(), LATE), Err(BlockError::Hash { .. })));
}
