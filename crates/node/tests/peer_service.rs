//! Catching up over `blockhie.v1.Peer`, beside nodes of the frozen contract alone, and what a node says of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]

mod common;

use blockhie_core::{BlockHash, BlockQuery, Genesis, TxHash};
use blockhie_node::{Config, Node};
use blockhie_transport::PeerClient;
use common::{builder, client, config, genesis, is_committed, record, start, until};

/// Two members with some blocks and transactions. `frozen`: the first speaks the frozen contract alone.
async fn two(frozen: bool) -> (Genesis, Node, Node, Vec<TxHash>) {
    let genesis = genesis(2);
    let first = start(&genesis, 1, Config { frozen_contract_only: frozen, ..config(&[]) }).await;
    let second = start(&genesis, 2, config(&[&first])).await;
    let mut hashes = Vec::new();
    for n in 0..60 {
        hashes.push(first.submit(record(&genesis, &format!("record {n}"))).await.unwrap());
        if n % 20 == 0 {
            let height = second.tip().height;
            until("a block", async || second.tip().height > height).await;
        }
    }
    until("thirty blocks", async || second.tip().height >= 30 && first.tip().height >= 30).await;
    (genesis, first, second, hashes)
}

async fn has_all(node: &Node, hashes: &[TxHash]) -> bool {
    let client = client(node).await;
    for hash in hashes {
        if !is_committed(&client, *hash).await {
            return false;
        }
    }
    true
}

async fn block_at_25(node: &Node) -> BlockHash {
    let client = PeerClient::connect(node.address()).await.unwrap();
    client.block_from(BlockQuery::Height(25)).await.unwrap().unwrap().claimed_hash
}

fn fetches(node: &Node, kind: &str) -> bool {
    node.metrics().contains(&format!("blockhie_fetches_total{{kind=\"{kind}\"}}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_joiner_behind_two_nodes_catches_up_headers_first() {
    let (genesis, first, second, hashes) = two(false).await;
    let late = start(&genesis, 1, Config { mine: false, ..config(&[&first, &second]) }).await;
    until("caught up", async || late.tip().height >= 30).await;
    assert!(has_all(&late, &hashes).await);
    assert_eq!(block_at_25(&late).await, block_at_25(&first).await);
    assert!(fetches(&late, "headers") && fetches(&late, "blocks"));
    // It goes on with them.
    let height = late.tip().height;
    until("more blocks", async || late.tip().height > height + 3).await;
    for node in [first, second, late] {
        node.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_the_frozen_contract_alone_serve_and_are_served() {
    let (genesis, frozen, second, hashes) = two(true).await;
    let quiet = |peers: &[&Node]| Config { mine: false, ..config(peers) };
    let mixed = start(&genesis, 1, quiet(&[&frozen, &second])).await;
    let by_contract = start(&genesis, 1, quiet(&[&frozen])).await;
    let late = start(&genesis, 1, Config { frozen_contract_only: true, ..quiet(&[&second]) }).await;
    for node in [&mixed, &by_contract, &late] {
        until("caught up", async || node.tip().height >= 30).await;
        assert!(has_all(node, &hashes).await);
        assert_eq!(block_at_25(node).await, block_at_25(&frozen).await);
        let height = node.tip().height;
        until("more blocks", async || node.tip().height > height + 3).await;
    }
    assert!(!fetches(&late, "headers"));
    for node in [frozen, second, mixed, by_contract, late] {
        node.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_says_why_nothing_advances() {
    let genesis = genesis(2);
    let first = start(&genesis, 1, config(&[])).await;
    until("alone", async || first.sync().reason == "no_peers").await;
    let second = start(&genesis, 2, Config { mine: false, ..config(&[&first]) }).await;
    until("synced", async || second.sync().reason == "synced").await;
    let told = client(&second).await.sync().await.unwrap();
    assert_eq!(told.reason, "synced");
    let metrics = second.metrics();
    assert!(metrics.contains("blockhie_sync_state{reason=\"synced\"} 1"), "{metrics}");
    assert!(metrics.contains("blockhie_sync_state{reason=\"disk_full\"} 0"), "{metrics}");

    // A disk without room is named before anything else.
    let folder = tempfile::tempdir().unwrap();
    let mut full = builder(&genesis, 2, Config { mine: false, low_water_bytes: u64::MAX, ..config(&[&first]) });
    full.data_dir = Some(folder.path().to_owned());
    let full = full.start().await.unwrap();
    until("full", async || full.sync().reason == "disk_full").await;
    assert!(full.sync().text.contains("bytes free"), "{}", full.sync().text);
    for node in [first, second, full] {
        node.stop().await.unwrap();
    }
}
