//! What a merge commits, in what order, and what undoing it gives back.

use super::*;

#[test]
fn siblings_commit_first_in_listed_order_and_twice_is_skipped() {
    let genesis = merging(4, 16, 8);
    let (mut ledger, store) = open(&genesis);
    let maker = Maker::new(&genesis);
    let [t1, t2, t3, t4, t5] = ["1", "2", "3", "4", "5"].map(|text| tx(&ledger, 9, text));
    let all = [&t1, &t2, &t3, &t4, &t5];
    let a1 = maker.child(&maker.root, 1, 1_000, &[&t1], &[]);
    let b1 = maker.child(&maker.root, 2, 1_000, &[&t3, &t1, &t2], &[]);
    let c1 = maker.child(&maker.root, 3, 1_000, &[&t2, &t4], &[]);
    for made in [&a1, &b1, &c1] {
        give(&mut ledger, made, &all).unwrap();
    }
    // c1 before b1: t2 comes through c1, and t1 was committed by an ancestor.
    let merge = maker.child(&a1, 1, 1_000, &[&t5], &[&c1, &b1]);
    assert_eq!(give(&mut ledger, &merge, &all), Ok(Imported::Extended));
    assert_eq!(committed_at(&ledger, &t1), Some((1, 0, None)));
    let through = [(&t2, 0, Some(c1.hash)), (&t4, 1, Some(c1.hash)), (&t3, 2, Some(b1.hash)), (&t5, 3, None)];
    for (tx, index, via) in through {
        assert_eq!(committed_at(&ledger, tx), Some((2, index, via)));
    }
    let TxStatus::Committed { height: 2, block, time_ms, .. } = ledger.status(&t3.hash()).unwrap() else {
        panic!("expected it committed")
    };
    assert_eq!((block, time_ms), (merge.hash, merge.time_ms), "time and position are those of the merging block");
    let waits = query::waits::waits(store.snapshot().as_ref(), 1, 100, LATE).unwrap();
    assert_eq!(waits.blocks[0].count(), 4, "those through siblings are among the waits");
    assert_clean(&store);
}

#[test]
fn the_own_list_repeats_neither_ancestors_nor_siblings() {
    let genesis = merging(4, 16, 8);
    let (mut ledger, _) = open(&genesis);
    let maker = Maker::new(&genesis);
    let [t1, t2] = ["1", "2"].map(|text| tx(&ledger, 9, text));
    let a1 = maker.child(&maker.root, 1, 1_000, &[], &[]);
    let b1 = maker.child(&maker.root, 2, 1_000, &[&t1, &t2], &[]);
    give(&mut ledger, &a1, &[]).unwrap();
    give(&mut ledger, &b1, &[&t1, &t2]).unwrap();
    let bad = maker.child(&a1, 1, 1_000, &[&t1], &[&b1]);
    let error = give(&mut ledger, &bad, &[]).unwrap_err();
    assert!(error.to_string().contains("none that its siblings carry"), "{error}");
    assert!(matches!(error, BlockError::NotValid { rule: "own transactions", .. }) && !error.misbehaviour());
    let merge = maker.child(&a1, 1, 1_001, &[], &[&b1]);
    assert_eq!(give(&mut ledger, &merge, &[]), Ok(Imported::Extended));
    let bad = maker.child(&merge, 1, 1_000, &[&t2], &[]);
    let error = give(&mut ledger, &bad, &[]).unwrap_err();
    assert!(error.to_string().contains("committed at height 2"), "committed through a sibling: {error}");
}

#[test]
fn what_a_merge_committed_waits_again_when_it_is_abandoned() {
    let genesis = merging(4, 16, 8);
    let (mut ledger, store) = open(&genesis);
    let maker = Maker::new(&genesis);
    let [own, through, twice] = ["own", "through", "twice"].map(|text| tx(&ledger, 9, text));
    ledger.submit(through.clone(), START + 5).unwrap();
    ledger.submit(own.clone(), START + 6).unwrap();
    let a1 = maker.child(&maker.root, 1, 1_000, &[], &[]);
    let b1 = maker.child(&maker.root, 2, 1_000, &[&through, &twice], &[]);
    give(&mut ledger, &a1, &[]).unwrap();
    give(&mut ledger, &b1, &[&twice]).unwrap();
    let merge = maker.child(&a1, 1, 1_000, &[&own], &[&b1]);
    assert_eq!(give(&mut ledger, &merge, &[]), Ok(Imported::Extended));
    assert_eq!((ledger.mempool_len(), committed_at(&ledger, &through).unwrap().2), (0, Some(b1.hash)));
    // Another branch without any of it wins.
    let c1 = maker.child(&maker.root, 3, 1_500, &[], &[]);
    let c2 = maker.child(&c1, 3, 1_000, &[&twice], &[]);
    let c3 = maker.child(&c2, 3, 1_000, &[], &[]);
    assert_eq!(give(&mut ledger, &c1, &[]), Ok(Imported::Side));
    assert_eq!(give(&mut ledger, &c2, &[]), Ok(Imported::Side));
    let expected = Imported::Reorganised { fork_height: 0, abandoned: 2, applied: 3 };
    assert_eq!(give(&mut ledger, &c3, &[]), Ok(expected));
    assert_eq!(ledger.status(&through.hash()).unwrap(), TxStatus::Pending { first_seen_ms: START + 5 });
    assert_eq!(ledger.status(&own.hash()).unwrap(), TxStatus::Pending { first_seen_ms: START + 6 });
    assert_eq!(committed_at(&ledger, &twice), Some((2, 0, None)));
    assert_eq!((ledger.mempool_len(), store.snapshot().listed(&b1.hash).unwrap()), (2, None));
    assert_clean(&store);
    // The next template merges the whole of it: the abandoned merge lists b1 too, so that comes first.
    let template = ledger.template(&request(4, c3.time_ms + 1_000)).unwrap();
    assert_eq!(template.siblings.len(), 3);
    assert!(template.txhashes.is_empty(), "the siblings carry all that waits");
    let sealed = seal(&ledger, &template, 4);
    assert_eq!(ledger.import(sealed, &BTreeMap::new(), LATE), Ok(Imported::Extended));
    ledger.commit().unwrap();
    assert_eq!((ledger.mempool_len(), committed_at(&ledger, &through).unwrap().2), (0, Some(b1.hash)));
    assert_eq!(committed_at(&ledger, &own).unwrap().2, Some(merge.hash));
    assert_clean(&store);
}

#[test]
fn a_template_lists_what_is_due_and_packs_only_the_rest() {
    let genesis = merging(4, 2, 3);
    let (mut ledger, store) = open(&genesis);
    let maker = Maker::new(&genesis);
    let [carried, free] = ["carried", "free"].map(|text| tx(&ledger, 9, text));
    ledger.submit(carried.clone(), START).unwrap();
    ledger.submit(free.clone(), START).unwrap();
    let a1 = maker.child(&maker.root, 1, 1_000, &[], &[]);
    let a2 = maker.child(&a1, 1, 1_000, &[], &[]);
    let old = maker.child(&maker.root, 2, 1_000, &[], &[]);
    let side = [2, 3, 4].map(|member| maker.child(&a1, member, 1_000, &[&carried], &[]));
    // Not before its time.
    let future = maker.child(&a1, 4, 50_000, &[], &[]);
    for made in [&a1, &a2, &old, &future].into_iter().chain(&side) {
        give(&mut ledger, made, &[]).unwrap();
    }
    let mut expected: Vec<_> = side.iter().map(|made| made.hash).collect();
    expected.sort_unstable();
    let template = ledger.template(&request(1, START + 3_000)).unwrap();
    assert_eq!((template.siblings, template.txhashes), (expected.clone(), vec![free.hash()]));
    assert_eq!(ledger.mempool_len(), 2, "what is hidden for a moment is still there");
    mine(&mut ledger, 1, START + 3_000);
    assert_eq!(ledger.template(&request(1, START + 4_000)).unwrap().siblings, []);
    assert_eq!(ledger.mempool_len(), 0);
    assert_clean(&store);
    let future_due = ledger.template(&request(1, START + 60_000)).unwrap();
    assert_eq!(future_due.siblings, [], "it has left the window meanwhile: it forks at height 1, and 4 - 2 is 2");
}

#[test]
fn templates_of_nodes_that_hold_the_same_agree_whatever_the_order_of_arrival() {
    let genesis = merging(5, 16, 4);
    let maker = Maker::new(&genesis);
    let a1 = maker.child(&maker.root, 1, 1_000, &[], &[]);
    let a2 = maker.child(&a1, 1, 1_000, &[], &[]);
    let b1 = maker.child(&maker.root, 2, 1_000, &[], &[]);
    let b2 = maker.child(&b1, 3, 1_000, &[], &[]);
    let c2 = maker.child(&a1, 4, 900, &[], &[]);
    let d2 = maker.child(&b1, 5, 800, &[], &[]);
    let mut lists = Vec::new();
    for order in [[&a1, &a2, &b1, &b2, &c2, &d2], [&a1, &a2, &c2, &b1, &d2, &b2]] {
        let (mut ledger, _) = open(&genesis);
        for made in order {
            give(&mut ledger, made, &[]).unwrap();
        }
        lists.push(ledger.template(&request(1, START + 5_000)).unwrap().siblings);
    }
    assert_eq!(lists[0], lists[1]);
    assert_eq!((lists[0].len(), lists[0][0]), (4, b1.hash), "the parent first, then all of height 2");
}

#[test]
fn fsck_sees_what_is_wrong_with_listed_and_side() {
    use crate::store::Op;
    let genesis = merging(3, 16, 8);
    let (mut ledger, store) = open(&genesis);
    let maker = Maker::new(&genesis);
    let a1 = maker.child(&maker.root, 1, 1_000, &[], &[]);
    let [b1, c1] = [2, 3].map(|member| maker.child(&maker.root, member, 1_000, &[], &[]));
    for made in [&a1, &b1, &c1] {
        give(&mut ledger, made, &[]).unwrap();
    }
    give(&mut ledger, &maker.child(&a1, 1, 1_000, &[], &[&b1]), &[]).unwrap();
    assert_clean(&store);
    let damages: [(&str, Op, Op); 6] = [
        ("listed", Op::Listed(b1.hash, None), Op::Listed(b1.hash, Some(2))),
        ("listed", Op::Listed(b1.hash, Some(1)), Op::Listed(b1.hash, Some(2))),
        ("listed", Op::Listed(c1.hash, Some(2)), Op::Listed(c1.hash, None)),
        ("side 1", Op::Side((1, b1.hash), Some(1)), Op::Side((1, b1.hash), None)),
        ("side 2", Op::Side((2, c1.hash), Some(1)), Op::Side((2, c1.hash), None)),
        (
            "expected the sibling",
            Op::DropBlock(b1.hash),
            Op::PutBlock(store.snapshot().block(&b1.hash).unwrap().unwrap()),
        ),
    ];
    for (text, damage, repair) in damages {
        store.commit(vec![damage]).unwrap();
        let report = crate::fsck::fsck(store.snapshot().as_ref(), Arc::new(TestWork), Arc::new(OpaqueApp)).unwrap();
        assert!(report.described.iter().any(|line| line.contains(text)), "{text}: {:#?}", report.described);
        store.commit(vec![repair]).unwrap();
        assert_clean(&store);
    }
}
