//! Scenarios with real nodes, real gRPC and real proof of work, in one process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]

mod common;

use blockhie_core::query::waits::{BlockWaits, Waits};
use blockhie_core::{
    BlockHash, BlockQuery, Consensus, ErrorClass, Genesis, Header, ParentContext, Receipt, Template, Trust,
    UncheckedBlock, Verdict, genesis_block, merkle, verify_receipt,
};
use blockhie_node::{Config, Node, NodeError};
use blockhie_pow::ProofOfWork;
use blockhie_transport::{ClientError, LedgerClient, PeerClient};
use common::{
    builder, client, config, forge, genesis, is_committed, is_final, now_ms, private_ledger, record, record_of, sealed,
    start, until,
};
use std::collections::BTreeMap;

#[tokio::test(flavor = "multi_thread")]
async fn two_members_commit_prove_and_stop() {
    let genesis = genesis(2);
    let first = start(&genesis, 1, config(&[])).await;
    let second = start(&genesis, 2, config(&[&first])).await;
    let (one, two) = (client(&first).await, client(&second).await);
    let tx = record(&genesis, "a record");
    let hash = one.submit(&tx.clone().into_unverified()).await.unwrap();
    assert_eq!(one.submit(&tx.into_unverified()).await.unwrap(), hash, "again is no error");
    until("final on both", async || is_final(&one, hash).await && is_final(&two, hash).await).await;
    let receipt = Receipt::parse(two.receipt(hash).await.unwrap().as_bytes()).unwrap();
    first.stop().await.unwrap();
    second.stop().await.unwrap();
    // everything is stopped: the receipt alone proves it
    let trust = Trust { genesis: Some(&genesis), ..Trust::default() };
    let verification = verify_receipt(&receipt, &trust).unwrap();
    assert_eq!(verification.verdict, Verdict::Proved, "{:?}", verification.steps);
    assert_eq!(verification.members.len(), 2);
}

/// Waits are measured where the transaction was seen before its block, and claimed where it came with it.
#[tokio::test(flavor = "multi_thread")]
async fn waits_and_peers_are_told() {
    let genesis = genesis(2);
    let first = start(&genesis, 1, config(&[])).await;
    let one = client(&first).await;
    let hash = one.submit(&record(&genesis, "waits").into_unverified()).await.unwrap();
    until("committed", async || is_committed(&one, hash).await).await;
    let second = start(&genesis, 2, Config { mine: false, ..config(&[&first]) }).await;
    let two = client(&second).await;
    until("caught up", async || is_committed(&two, hash).await).await;
    let (measured, claimed) = (one.waits(512).await.unwrap(), two.waits(512).await.unwrap());
    let count = |waits: &Waits| {
        let of = |get: &dyn Fn(&BlockWaits) -> usize| waits.blocks.iter().map(get).sum::<usize>();
        (of(&|block| block.measured_ms.len()), of(&|block| block.claimed_ms.len()))
    };
    assert_eq!((count(&measured), count(&claimed)), ((1, 0), (0, 1)));
    assert!(measured.blocks.iter().flat_map(|block| &block.measured_ms).all(|wait| *wait < 60_000));
    assert_eq!((measured.pending, measured.now_ms.abs_diff(now_ms()) < 60_000), (0, true));
    let peer_of = async |client: &LedgerClient, node: &Node| {
        let peers = client.peers().await.unwrap();
        peers.into_iter().find(|peer| peer.address == node.address() && peer.connected && peer.incoming)
    };
    until("both ways", async || peer_of(&one, &second).await.is_some() && peer_of(&two, &first).await.is_some()).await;
    let peer = peer_of(&two, &first).await.unwrap();
    assert!(peer.named && peer.work.is_some() && peer.score == 0 && !peer.banned && peer.left_alone.is_none());
    assert!(!peer_of(&one, &second).await.unwrap().named, "nobody named it");
    first.stop().await.unwrap();
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_node_catches_up_and_agrees() {
    let genesis = genesis(2);
    let first = start(&genesis, 1, config(&[])).await;
    let hash = first.submit(record(&genesis, "early")).await.unwrap();
    until("thirty blocks", async || first.tip().height >= 30).await;
    let late = start(&genesis, 2, Config { mine: false, ..config(&[&first]) }).await;
    let late_client = client(&late).await;
    until("caught up", async || late.tip().height >= 30 && is_committed(&late_client, hash).await).await;
    let at = |node: &Node| client_block(node.address());
    assert_eq!(at(&first).await, at(&late).await);
    assert!(late.metrics().contains("blockhie_tips_total"));
    first.stop().await.unwrap();
    late.stop().await.unwrap();
}

async fn client_block(address: std::net::SocketAddr) -> UncheckedBlock {
    PeerClient::connect(address).await.unwrap().block_from(BlockQuery::Height(25)).await.unwrap().unwrap()
}

/// A node that mined alone is shown a heavier valid chain: it moves over, and what it abandoned commits again.
#[tokio::test(flavor = "multi_thread")]
async fn a_heavier_valid_past_is_taken_and_abandoned_transactions_commit_again() {
    let genesis = genesis(2);
    let rewriter = start(&genesis, 2, Config { hash_rate: 8 * common::HASH_RATE, ..config(&[]) }).await;
    until("a long past", async || rewriter.tip().height >= 40).await;
    let victim = start(&genesis, 1, config(&[])).await;
    let ledger = client(&victim).await;
    let hash = victim.submit(record(&genesis, "abandoned")).await.unwrap();
    until("committed alone", async || is_committed(&ledger, hash).await).await;
    let alone = victim.tip().height;
    let before = ledger.block(BlockQuery::Height(1)).await.unwrap().unwrap().claimed_hash;
    assert!(rewriter.tip().work > victim.tip().work);
    victim.add_peer(rewriter.address());
    until("moved over", async || {
        let first = ledger.block(BlockQuery::Height(1)).await.unwrap().unwrap().claimed_hash;
        first != before && victim.tip().height >= alone
    })
    .await;
    until("committed again", async || is_committed(&ledger, hash).await).await;
    let other = client(&rewriter).await;
    until("and on the other", async || is_committed(&other, hash).await).await;
    victim.stop().await.unwrap();
    rewriter.stop().await.unwrap();
}

/// Offered an invalid heavier chain, the node does not move and says why.
#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_heavier_past_moves_nothing_and_is_named() {
    let genesis = genesis(2);
    let victim = start(&genesis, 1, Config { mine: false, ..config(&[]) }).await;
    let peer = PeerClient::connect(victim.address()).await.unwrap();
    let tx = record(&genesis, "twice");
    peer.transaction_to(&tx.clone().into_unverified()).await.unwrap();
    let mut private = private_ledger(&genesis);
    let bodies = BTreeMap::from([(tx.hash(), tx.clone())]);
    let mut time_ms = genesis.time_ms + 10;
    let good = forge(&mut private, 2, vec![tx.hash()], time_ms);
    private.import(good.clone(), &bodies, now_ms()).unwrap();
    peer.block_to(&good).await.unwrap();
    let tip = victim.tip();
    assert_eq!(tip.height, 1);
    time_ms += 10;
    let bad = forge(&mut private, 2, vec![tx.hash()], time_ms);
    let error = peer.block_to(&bad).await.unwrap_err();
    let ClientError::Status { class: ErrorClass::Invalid, message, .. } = &error else { panic!("{error}") };
    assert!(message.contains("committed at height 1") && message.contains("expected"), "{message}");
    assert_eq!(victim.tip(), tip);
    // A descendant of it, with more work still and nothing else wrong, does not move it either.
    let child = child_of(&genesis, &[&good, &bad]);
    let error = peer.block_to(&child).await.unwrap_err();
    let ClientError::Status { class: ErrorClass::Invalid, message, .. } = &error else { panic!("{error}") };
    assert!(message.contains("not valid") && message.contains("ancestors"), "{message}");
    assert_eq!(victim.tip(), tip);
    assert_eq!(peer.block_from(BlockQuery::Tip).await.unwrap().unwrap().claimed_hash, good.claimed_hash);
    victim.stop().await.unwrap();
}

/// A block with its own work and signature on top of these, which begin at height 1. No ledger would make it.
fn child_of(genesis: &Genesis, chain: &[&UncheckedBlock]) -> UncheckedBlock {
    let pow = ProofOfWork::new(genesis);
    let mut parent = ParentContext { height: 0, time_ms: genesis.time_ms, lag_ms: 0 };
    let mut hashes: Vec<BlockHash> = vec![genesis_block(genesis).hash];
    for block in chain {
        let lag_ms = pow.next_lag(&parent, block.time_ms);
        parent = ParentContext { height: block.height, time_ms: block.time_ms, lag_ms };
        hashes.push(block.claimed_hash);
    }
    let header = Header {
        previous: *hashes.last().unwrap(),
        tx_root: merkle::head(&[]),
        history_root: merkle::head(&hashes),
        siblings_root: merkle::head(&[]),
        miner: chain[0].miner,
        height: parent.height + 1,
        time_ms: parent.time_ms + 10,
        tx_count: 0,
        target: pow.required_target(&parent),
        nonce: 0,
    };
    sealed(Template { header, txhashes: Vec::new(), siblings: Vec::new() }, &genesis.chain_id(), 2)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why() {
    let genesis = genesis(2);
    let node = start(&genesis, 1, Config { mine: false, ..config(&[]) }).await;
    let taken = Config { listen: node.address().to_string(), mine: false, ..config(&[]) };
    let error = builder(&genesis, 2, taken).start().await.err().unwrap();
    assert!(matches!(error, NodeError::Listen { .. }) && error.to_string().contains("--listen"), "{error}");
    let error = builder(&genesis, 9, config(&[])).start().await.err().unwrap();
    assert!(error.to_string().contains("expected the key of a member"), "{error}");
    let mut keyless = builder(&genesis, 1, config(&[]));
    keyless.key = None;
    assert!(matches!(keyless.start().await.err().unwrap(), NodeError::Miner { .. }));
    let lost = Config { mine: false, peers: vec!["no such host:1".into()], ..config(&[]) };
    assert!(matches!(builder(&genesis, 1, lost).start().await.err().unwrap(), NodeError::Peer { .. }));
    // a peer that is not there does not keep a node from running
    let alone = Config { mine: false, peers: vec!["127.0.0.1:1".into()], ..config(&[]) };
    let patient = builder(&genesis, 1, alone).start().await.unwrap();
    assert!(!patient.peers()[0].connected);
    patient.stop().await.unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mempool_and_a_full_disk_refuse_by_name() {
    let genesis = genesis(2);
    let small = Config { mine: false, mempool_transactions: 4, ..config(&[]) };
    let node = start(&genesis, 1, small).await;
    let ledger = client(&node).await;
    let refusal = async |sender, text| {
        let error = ledger.submit(&record_of(&genesis, sender, text).into_unverified()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Exhausted);
        error.to_string()
    };
    // one sender has a quarter
    node.submit(record_of(&genesis, 201, "0")).await.unwrap();
    let share = refusal(201, "1").await;
    assert!(share.contains("at most 1 transactions of one sender, got 2"), "{share}");
    // all together have four
    let mut taken = Vec::new();
    for sender in 202..=204 {
        taken.push(node.submit(record_of(&genesis, sender, "0")).await.unwrap());
    }
    let total = refusal(205, "0").await;
    assert!(total.contains("at most 4 transactions, got 5"), "{total}");
    for hash in taken {
        assert!(ledger.transaction(hash).await.unwrap().is_some(), "what was taken is kept");
    }
    node.stop().await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let mut full = builder(&genesis, 1, Config { low_water_bytes: u64::MAX, ..config(&[]) });
    full.data_dir = Some(folder.path().to_owned());
    let node = full.start().await.unwrap();
    let error = node.submit(record(&genesis, "2")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unavailable);
    assert!(error.message.contains("expected at least"), "{}", error.message);
    // it goes on serving, and mines nothing
    assert_eq!(client(&node).await.tip().await.unwrap().height, 0);
    node.stop().await.unwrap();
}
