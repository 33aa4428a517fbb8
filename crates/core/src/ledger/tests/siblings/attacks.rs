//! The attacks of `docs/adr/0022-siblings.md`, each against the rule that bounds it.

use super::*;

#[test]
fn a_withheld_sibling_does_not_stop_the_honest_chain() {
    let genesis = merging(4, 16, 8);
    let (mut ledger, store) = open(&genesis);
    let maker = Maker::new(&genesis);
    let hidden = maker.child(&maker.root, 4, 500, &[], &[]);
    let holding = maker.child(&maker.root, 4, 1_000, &[], &[&hidden]);
    assert!(matches!(give(&mut ledger, &holding, &[]), Err(BlockError::MissingBlocks { .. })));
    // The honest go on where they were, and merge the block whose sibling nobody has: it is sound.
    let first = mine(&mut ledger, 1, START + 2_000);
    assert_eq!((ledger.tip().height, first.siblings), (1, vec![holding.hash]));
    mine(&mut ledger, 2, START + 3_000);
    assert_clean(&store);
    // Shown at last it changes nothing, and is merged as well.
    assert_eq!(give(&mut ledger, &hidden, &[]), Ok(Imported::Side));
    assert_eq!(mine(&mut ledger, 3, START + 4_000).siblings, [hidden.hash]);
    assert_clean(&store);
}

#[test]
fn a_private_chain_gains_no_weight_by_merging_the_honest_one() {
    let genesis = merging(4, 16, 8);
    let (mut ledger, store) = open(&genesis);
    let maker = Maker::new(&genesis);
    let mut honest = vec![maker.root.clone()];
    for member in [1, 2, 3] {
        let next = maker.child(honest.last().unwrap(), member, 1_000, &[], &[]);
        assert_eq!(give(&mut ledger, &next, &[]), Ok(Imported::Extended));
        honest.push(next);
    }
    let p1 = maker.child(&maker.root, 4, 1_500, &[], &[&honest[1]]);
    let p2 = maker.child(&p1, 4, 1_500, &[], &[&honest[2]]);
    let p3 = maker.child(&p2, 4, 1_500, &[], &[&honest[3]]);
    // It has the work of six blocks in it, and counts three: equal, so the first stays.
    for made in [&p1, &p2, &p3] {
        assert_eq!(give(&mut ledger, made, &[]), Ok(Imported::Side));
    }
    let row = store.snapshot().index(&p3.hash).unwrap().unwrap();
    assert_eq!(row.work_u256(), ledger.tip().work);
    assert_eq!(ledger.tip().hash, honest[3].hash);
    let next = mine(&mut ledger, 1, START + 9_000);
    assert_eq!((ledger.tip().height, next.siblings), (4, vec![p1.hash, p2.hash]), "two of one miner, the lowest first");
}

#[test]
fn a_flood_by_one_member_takes_two_places_of_a_block() {
    let genesis = merging(4, 16, 8);
    let (mut ledger, store) = open(&genesis);
    let maker = Maker::new(&genesis);
    let a1 = maker.child(&maker.root, 1, 1_000, &[], &[]);
    give(&mut ledger, &a1, &[]).unwrap();
    for i in 0..100 {
        assert_eq!(give(&mut ledger, &maker.child(&maker.root, 4, 1 + i, &[], &[]), &[]), Ok(Imported::Side));
    }
    let honest = maker.child(&maker.root, 3, 900, &[], &[]);
    give(&mut ledger, &honest, &[]).unwrap();
    let next = mine(&mut ledger, 2, START + 2_000);
    assert_eq!(next.siblings.len(), 3);
    assert!(next.siblings.contains(&honest.hash), "it shuts nobody out");
    // 16 blocks later nothing of the flood is young enough.
    for i in 0..20 {
        mine(&mut ledger, 2, START + 3_000 + i);
    }
    let merged = store.snapshot().listed_page(None, 999).unwrap().len();
    assert!(merged <= 1 + 2 * 16, "{merged}");
    assert_eq!(mine(&mut ledger, 2, START + 4_000).siblings, []);
    assert_clean(&store);
}

#[test]
fn a_back_dated_sibling_buys_no_earlier_time() {
    let genesis = merging(2, 16, 8);
    let (mut ledger, _) = open(&genesis);
    let maker = Maker::new(&genesis);
    let tx = tx(&ledger, 9, "dated");
    for i in 1..4 {
        mine(&mut ledger, 1, START + i * 1_000);
    }
    // One ms after the genesis, it says.
    let dated = maker.child(&maker.root, 2, 1, &[&tx], &[]);
    assert_eq!(give(&mut ledger, &dated, &[&tx]), Ok(Imported::Side));
    mine(&mut ledger, 1, START + 4_000);
    mine(&mut ledger, 2, START + 5_000);
    let TxStatus::Committed { height: 4, time_ms, .. } = ledger.status(&tx.hash()).unwrap() else {
        panic!("expected it committed")
    };
    assert_eq!(time_ms, START + 4_000);
    let trust = Trust { genesis: Some(&genesis), ..Trust::default() };
    let proof = verify_receipt(&ledger.receipt(&tx.hash()).unwrap(), &trust).unwrap();
    assert_eq!((proof.verdict, proof.proved_time_ms), (Verdict::Proved, Some(START + 5_000)));
}

#[test]
fn a_block_with_full_siblings_fits_and_a_genesis_that_allows_more_is_refused() {
    let mut genesis = merging(9, 16, 8);
    genesis.max_transactions = 40;
    let (mut ledger, store) = open(&genesis);
    let maker = Maker::new(&genesis);
    let txs: Vec<_> = (0..360).map(|i| tx(&ledger, 9, &i.to_string())).collect();
    let lists: Vec<Vec<&Transaction<Verified>>> = txs.chunks(40).map(|chunk| chunk.iter().collect()).collect();
    let first = maker.child(&maker.root, 9, 1_000, &[], &[]);
    give(&mut ledger, &first, &[]).unwrap();
    let side: Vec<_> = (0..8u8).map(|i| maker.child(&maker.root, 1 + i, 1_000, &lists[usize::from(i)], &[])).collect();
    for (made, list) in side.iter().zip(&lists) {
        assert_eq!(give(&mut ledger, made, list), Ok(Imported::Side));
    }
    let merge = maker.child(&first, 9, 1_000, &lists[8], &side.iter().collect::<Vec<_>>());
    assert_eq!(give(&mut ledger, &merge, &lists[8]), Ok(Imported::Extended));
    assert_eq!(store.snapshot().undo(&merge.hash).unwrap().unwrap().transactions.len(), 360);
    assert_clean(&store);
    // 9 times 4,000 is within the bound; a chain that could commit more at once is refused when it is opened.
    let open = |limit, most| {
        let mut genesis = merging(2, 16, limit);
        genesis.max_transactions = most;
        Ledger::open(Arc::new(MemoryStore::new(&genesis)), Arc::new(TestWork), Arc::new(OpaqueApp)).map(drop)
    };
    assert_eq!(open(8, 4_000), Ok(()));
    let error = open(10, 4_000).unwrap_err();
    assert!(error.to_string().contains("expected (L + 1)·m of at most 40000, got 44000"), "{error}");
}
