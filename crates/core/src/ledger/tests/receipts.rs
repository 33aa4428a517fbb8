//! Receipts that say more than they show.

use super::*;
use crate::block::block_sign_bytes;
use crate::error::FormError;
use crate::limits::{MAX_RECEIPT_BYTES, MAX_RUN_HEADERS};
use crate::receipt::{HeaderBytes, SignedHeader};

#[test]
fn a_receipt_is_bounded_before_it_is_looked_into() {
    let (mut ledger, _) = open(&genesis(2));
    let tx = tx(&ledger, 9, "x");
    ledger.submit(tx.clone(), START).unwrap();
    mine(&mut ledger, 1, START + 1_000);
    mine(&mut ledger, 2, START + 2_000);
    let receipt = ledger.receipt(&tx.hash()).unwrap();
    let parse = |receipt: &Receipt| Receipt::parse(receipt.to_json().as_bytes());
    assert_eq!(parse(&receipt).as_ref(), Ok(&receipt));
    let mut long = receipt.clone();
    long.run = vec![receipt.block.clone(); MAX_RUN_HEADERS];
    assert!(long.to_json().len() < MAX_RECEIPT_BYTES && parse(&long).is_ok());
    long.run.push(receipt.block.clone());
    let error = parse(&long).unwrap_err();
    assert!(matches!(&error, FormError::Shape { reason, .. } if reason.contains("at most 1024")), "{error}");
    let mut large = receipt.clone();
    large.transaction.0 = vec![0; MAX_RECEIPT_BYTES / 2];
    let got = large.to_json().len();
    assert_eq!(parse(&large), Err(FormError::Length { what: "receipt", limit: MAX_RECEIPT_BYTES, got }));
    // Integers that some readers of JSON would round.
    let mut rounded = receipt;
    rounded.index = (1 << 53) - 1;
    assert!(parse(&rounded).is_ok());
    rounded.index += 1;
    let error = parse(&rounded).unwrap_err();
    assert!(error.to_string().contains("an integer below 2^53"), "{error}");
}

/// Only the earliest time of a member says by when it had built on a block.
#[test]
fn a_member_counts_once_for_a_quorum_and_by_its_first_header() {
    let genesis = genesis(2);
    let (mut ledger, _) = open(&genesis);
    let tx = tx(&ledger, 9, "x");
    ledger.submit(tx.clone(), START).unwrap();
    for (member, after_ms) in [(1, 1_000), (2, 2_000), (2, 3_000), (1, 4_000)] {
        mine(&mut ledger, member, START + after_ms);
    }
    let mut receipt = ledger.receipt(&tx.hash()).unwrap();
    assert_eq!(receipt.run.len(), 1);
    for height in [3, 4] {
        let block = ledger.block_at(height).unwrap().unwrap();
        let header = HeaderBytes(block.header.preimage(ledger.chain_id()));
        receipt.run.push(SignedHeader { header, signature: block.signature });
    }
    let trust = Trust { genesis: Some(&genesis), ..Trust::default() };
    let found = verify_receipt(&receipt, &trust).unwrap();
    assert_eq!((found.verdict, found.proved_time_ms), (Verdict::Proved, Some(START + 2_000)));
    assert_eq!(found.members, ["member 1", "member 2"]);
}

/// Whoever is no member may sign what he likes: it is refuted, and not merely "not final".
#[test]
fn a_block_of_a_stranger_is_refuted() {
    let genesis = genesis(2);
    let (mut ledger, _) = open(&genesis);
    let tx = tx(&ledger, 9, "x");
    ledger.submit(tx.clone(), START).unwrap();
    mine(&mut ledger, 1, START + 1_000);
    let receipt = ledger.receipt(&tx.hash()).unwrap();
    let trust = Trust { genesis: Some(&genesis), ..Trust::default() };
    for (member, verdict) in [(2, Verdict::NotFinal), (9, Verdict::Refuted)] {
        let mut header = ledger.block_at(1).unwrap().unwrap().header;
        header.miner = secret(member).public().into();
        let chain = ledger.chain_id();
        let signature = Some(secret(member).sign(&block_sign_bytes(chain, &header.hash(chain))));
        let block = SignedHeader { header: HeaderBytes(header.preimage(chain)), signature };
        let found = verify_receipt(&Receipt { block, ..receipt.clone() }, &trust).unwrap();
        assert_eq!(found.verdict, verdict, "{:?}", found.steps);
        let says = found.steps.last().unwrap().detail.contains("expected a member as miner");
        assert_eq!(says, verdict == Verdict::Refuted, "{:?}", found.steps);
    }
}
