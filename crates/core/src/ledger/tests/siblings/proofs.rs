//! Receipts of transactions that came through a sibling.

use super::*;

fn merged() -> (Genesis, Receipt) {
    let genesis = merging(3, 16, 8);
    let (mut ledger, _) = open(&genesis);
    let maker = Maker::new(&genesis);
    let txs: Vec<_> = (0..5).map(|i| tx(&ledger, 9, &format!("record {i}"))).collect();
    let a1 = maker.child(&maker.root, 1, 1_000, &[], &[]);
    let b1 = maker.child(&maker.root, 2, 1_000, &txs.iter().collect::<Vec<_>>(), &[]);
    let c1 = maker.child(&maker.root, 3, 1_000, &[], &[]);
    give(&mut ledger, &a1, &[]).unwrap();
    give(&mut ledger, &b1, &txs.iter().collect::<Vec<_>>()).unwrap();
    give(&mut ledger, &c1, &[]).unwrap();
    let merge = maker.child(&a1, 1, 1_000, &[], &[&c1, &b1]);
    give(&mut ledger, &merge, &[]).unwrap();
    let early = ledger.receipt(&txs[3].hash()).unwrap();
    let trust = Trust { genesis: Some(&genesis), ..Trust::default() };
    assert_eq!(verify_receipt(&early, &trust).unwrap().verdict, Verdict::NotFinal);
    mine(&mut ledger, 2, START + 3_000);
    mine(&mut ledger, 3, START + 4_000);
    let receipt = ledger.receipt(&txs[3].hash()).unwrap();
    (genesis, receipt)
}

#[test]
fn a_receipt_through_a_sibling_is_proved_by_the_block_that_lists_it() {
    let (genesis, receipt) = merged();
    let proof = receipt.sibling.clone().expect("it came through a sibling");
    assert_eq!((receipt.index, proof.index, proof.size), (3, 1, 2));
    let back = Receipt::parse(receipt.to_json().as_bytes()).unwrap();
    assert_eq!(back, receipt);
    let trust = Trust { genesis: Some(&genesis), ..Trust::default() };
    let found = verify_receipt(&back, &trust).unwrap();
    assert_eq!((found.verdict, found.height, found.proved_time_ms), (Verdict::Proved, 2, Some(START + 4_000)));
    assert!(found.steps.iter().any(|step| step.name == "sibling" && step.holds == Some(true)), "{:?}", found.steps);
}

#[test]
fn every_changed_byte_of_it_is_refused() {
    let (genesis, receipt) = merged();
    let trust = Trust { genesis: Some(&genesis), ..Trust::default() };
    let text = receipt.to_json().into_bytes();
    let mut accepted = Vec::new();
    for at in 0..text.len() {
        let mut changed = text.clone();
        // Another hex digit, so that the form holds wherever it can.
        changed[at] = match changed[at] {
            b'0'..=b'8' | b'a'..=b'e' => changed[at] + 1,
            b'9' => b'8',
            b'f' => b'e',
            other => other ^ 1,
        };
        let Ok(parsed) = Receipt::parse(&changed) else { continue };
        if verify_receipt(&parsed, &trust).unwrap().verdict != Verdict::Refuted {
            accepted.push(String::from_utf8_lossy(&changed[at.saturating_sub(12)..=at]).into_owned());
        }
    }
    assert_eq!(accepted, Vec::<String>::new());
}

#[test]
fn another_siblings_header_or_no_sibling_at_all_proves_nothing() {
    let (genesis, receipt) = merged();
    let trust = Trust { genesis: Some(&genesis), ..Trust::default() };
    let mut without = receipt.clone();
    without.sibling = None;
    assert_eq!(verify_receipt(&without, &trust).unwrap().verdict, Verdict::Refuted);
    // The committing block in the place of the sibling, and the sibling in that of the block.
    let mut swapped = receipt.clone();
    let proof = swapped.sibling.as_mut().unwrap();
    std::mem::swap(&mut proof.header, &mut swapped.block.header);
    assert_eq!(verify_receipt(&swapped, &trust).unwrap().verdict, Verdict::Refuted);
    let mut first = receipt;
    first.sibling.as_mut().unwrap().index = 0;
    assert_eq!(verify_receipt(&first, &trust).unwrap().verdict, Verdict::Refuted);
}
