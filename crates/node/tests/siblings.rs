//! Two real nodes part and meet again: the stale branch is merged, and what it carried is proved offline.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]

mod common;

use blockhie_core::{BlockQuery, Ledger, MemoryStore, Receipt, Store, Trust, TxStatus, Verdict, fsck, verify_receipt};
use blockhie_node::NodeBuilder;
use blockhie_pow::ProofOfWork;
use common::{builder, client, config, genesis, is_final, now_ms, record, until};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_branch_is_merged_and_its_transactions_are_proved_offline() {
    let genesis = genesis(2).with_siblings();
    let mut nodes = Vec::new();
    for member in [1, 2] {
        // Each has a transaction of its own waiting before it mines its first block.
        let store = Arc::new(MemoryStore::new(&genesis));
        let made = NodeBuilder { store: store.clone(), ..builder(&genesis, member, config(&[])) };
        let tx = record(&genesis, &format!("of member {member}"));
        let hash = tx.hash();
        let mut ledger =
            Ledger::open(store.clone(), Arc::new(ProofOfWork::new(&genesis)), made.application.clone()).unwrap();
        ledger.submit(tx, now_ms()).unwrap();
        ledger.commit().unwrap();
        drop(ledger);
        nodes.push((made.application.clone(), made.start().await.unwrap(), store, hash));
    }
    let (one, two) = (client(&nodes[0].1).await, client(&nodes[1].1).await);
    until("both mined alone", async || nodes.iter().all(|node| node.1.tip().height >= 2)).await;
    nodes[0].1.add_peer(nodes[1].1.address());
    for node in &nodes {
        let hash = node.3;
        until("final on both", async || is_final(&one, hash).await && is_final(&two, hash).await).await;
    }
    // One of them came through a sibling, whichever branch lost.
    let mut through = Vec::new();
    for node in &nodes {
        let TxStatus::Committed { height, block, via_sibling, .. } = one.status(node.3).await.unwrap() else {
            panic!("expected it committed")
        };
        let listing = one.block(BlockQuery::Hash(block)).await.unwrap().unwrap();
        assert!(via_sibling.is_none_or(|sibling| listing.siblings.contains(&sibling)), "at height {height}");
        let receipt = Receipt::parse(two.receipt(node.3).await.unwrap().as_bytes()).unwrap();
        assert_eq!(receipt.sibling.is_some(), via_sibling.is_some());
        if let Some(sibling) = via_sibling {
            let stale = two.block(BlockQuery::Hash(sibling)).await.unwrap().unwrap();
            assert!(stale.txhashes.contains(&node.3), "stale blocks that are listed are served");
            through.push(receipt);
        }
    }
    assert_eq!(through.len(), 1);
    for (application, node, store, _) in nodes {
        node.stop().await.unwrap();
        let view = store.snapshot();
        let report = fsck::fsck(view.as_ref(), Arc::new(ProofOfWork::new(&genesis)), application).unwrap();
        assert_eq!(report.differences, 0, "{:#?}", report.described);
    }
    // Everything is stopped: the receipt alone proves it, and does not once a byte of the sibling is another.
    let trust = Trust { genesis: Some(&genesis), ..Trust::default() };
    let receipt = through.remove(0);
    let verification = verify_receipt(&receipt, &trust).unwrap();
    assert_eq!(verification.verdict, Verdict::Proved, "{:?}", verification.steps);
    let mut forged = receipt;
    forged.sibling.as_mut().unwrap().header.0[239] ^= 1;
    assert_eq!(verify_receipt(&forged, &trust).unwrap().verdict, Verdict::Refuted);
}
