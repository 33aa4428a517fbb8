//! A node that prunes among others: what it answers, that nobody blames it, and that joiners find the bodies elsewhere.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]

mod common;

use blockhie_core::limits::MIN_PRUNE_DEPTH;
use blockhie_core::{BlockQuery, ErrorClass, Genesis, Ledger, OpaqueApp, Transaction, TxStatus, Verified};
use blockhie_node::{Config, Node};
use blockhie_pow::ProofOfWork;
use blockhie_store::{RocksStore, StoreConfig};
use blockhie_transport::{ClientError, PeerClient};
use common::{INTERVAL_MS, builder, client, config, forge, genesis, now_ms, record_of, secret, until};
use std::path::Path;
use std::sync::Arc;

/// Blocks deep enough to be pruned. Each has a record of ours and one of others.
const DEEP: u64 = 30;
const LENGTH: u64 = MIN_PRUNE_DEPTH + DEEP;
/// Whose bodies the pruning node keeps.
const OURS: u8 = 201;
const OTHERS: u8 = 202;

/// A chain of two members, as it lies in a folder.
fn write_chain(path: &Path) -> (Genesis, Vec<Transaction<Verified>>) {
    let mut genesis = genesis(2);
    genesis.time_ms = now_ms() - (LENGTH + 10) * u64::from(INTERVAL_MS);
    let store = Arc::new(RocksStore::create(path, &genesis, &StoreConfig::default()).unwrap());
    let mut ledger = Ledger::open(store, Arc::new(ProofOfWork::new(&genesis)), Arc::new(OpaqueApp)).unwrap();
    let mut all = Vec::new();
    for height in 1..=LENGTH {
        // The deep ones, and one near the tip.
        let some = if height <= DEEP || height == LENGTH - 5 { vec![OURS, OTHERS] } else { vec![] };
        let txs: Vec<_> =
            some.into_iter().map(|sender| record_of(&genesis, sender, &format!("{sender} {height}"))).collect();
        let bodies = txs.iter().map(|tx| (tx.hash(), tx.clone())).collect();
        let member = 1 + u8::try_from(height % 2).unwrap();
        let time_ms = genesis.time_ms + height * u64::from(INTERVAL_MS);
        let block = forge(&mut ledger, member, txs.iter().map(Transaction::hash).collect(), time_ms);
        ledger.import(block, &bodies, time_ms).unwrap();
        if height.is_multiple_of(100) {
            ledger.commit().unwrap();
        }
        all.extend(txs);
    }
    ledger.commit().unwrap();
    (genesis, all)
}

async fn start_from(path: &Path, genesis: &Genesis, config: Config) -> Node {
    let mut builder = builder(genesis, 1, Config { mine: false, ..config });
    builder.store = Arc::new(RocksStore::open(path, Some(&genesis.chain_id()), &StoreConfig::default()).unwrap());
    builder.start().await.unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Its block at the tip, and every body, are at `node`.
async fn has_all(node: &Node, all: &[Transaction<Verified>]) -> bool {
    let client = client(node).await;
    for tx in all {
        if client.transaction(tx.hash()).await.unwrap().is_none() {
            return false;
        }
    }
    true
}

/// What `node` holds against the node at this address.
async fn score(node: &Node, of: &Node) -> u32 {
    let peers = client(node).await.peers().await.unwrap();
    let row = peers.iter().find(|peer| peer.address == of.address()).expect("a named peer");
    assert!(!row.banned && row.left_alone.is_none(), "{row:?}");
    row.score
}

#[tokio::test(flavor = "multi_thread")]
async fn joiners_get_the_bodies_of_others_and_blame_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let [all_path, pruned_path] = ["all", "pruned"].map(|name| folder.path().join(name));
    let (genesis, txs) = write_chain(&all_path);
    copy(&all_path, &pruned_path);
    let archive = start_from(&all_path, &genesis, config(&[])).await;
    let keep = vec![secret(OURS).public().to_string()];
    let prune = Config { prune_below_depth: MIN_PRUNE_DEPTH, prune_keep_senders: keep, ..config(&[]) };
    let pruned = start_from(&pruned_path, &genesis, prune).await;
    let (whole, asked) = (client(&archive).await, client(&pruned).await);
    until("pruned", async || asked.tip().await.unwrap().pruned_below == DEEP).await;
    assert_eq!(whole.tip().await.unwrap().pruned_below, 0);
    let metrics = pruned.metrics();
    assert!(metrics.contains(&format!("blockhie_pruned_height {DEEP}")), "{metrics}");
    assert!(metrics.contains(&format!("blockhie_pruned_bodies_total {}", DEEP - 1)), "{metrics}");

    // What it says of what it has pruned, and of what it keeps.
    let peer = PeerClient::connect(pruned.address()).await.unwrap();
    for (at, tx) in txs.iter().enumerate() {
        let (hash, height) = (tx.hash(), at as u64 / 2 + 1);
        let gone = height < DEEP && *tx.from() == secret(OTHERS).public();
        assert!(matches!(asked.status(hash).await.unwrap(), TxStatus::Committed { is_final: true, .. }));
        assert_eq!(asked.transaction(hash).await.unwrap().is_none(), gone);
        assert_eq!(peer.transaction_from(hash).await.unwrap().is_none(), gone);
        match asked.receipt(hash).await {
            Ok(receipt) => assert!(!gone && receipt == whole.receipt(hash).await.unwrap()),
            Err(ClientError::Status { class, message, .. }) => {
                assert!(gone && class == ErrorClass::NotFound && message.contains("pruned the bodies below 30"));
            }
            Err(error) => panic!("{error}"),
        }
    }
    let block = asked.block(BlockQuery::Height(5)).await.unwrap().unwrap();
    assert_eq!(block.txhashes.len(), 2);

    // Whoever joins gets all of it, by either contract.
    for frozen_contract_only in [false, true] {
        let quiet = Config { mine: false, frozen_contract_only, ..config(&[&pruned, &archive]) };
        let joiner = common::start(&genesis, 1, quiet).await;
        until("caught up", async || joiner.tip().hash == archive.tip().hash).await;
        assert!(has_all(&joiner, &txs).await);
        assert_eq!((score(&joiner, &pruned).await, joiner.metrics().contains("blockhie_bans_total")), (0, false));
        joiner.stop().await.unwrap();
    }
    // One that knows nobody else stands before the first body, until it meets one that has it.
    let alone = common::start(&genesis, 1, Config { mine: false, discover: false, ..config(&[&pruned]) }).await;
    until("asked", async || alone.metrics().contains("blockhie_fetches_total{kind=\"blocks\"}")).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!((alone.tip().height, score(&alone, &pruned).await), (0, 0));
    assert_ne!(alone.sync().reason, "synced");
    alone.add_peer(archive.address());
    until("caught up", async || alone.tip().hash == archive.tip().hash).await;

    for node in [alone, archive, pruned] {
        node.stop().await.unwrap();
    }
    let store = RocksStore::open(&pruned_path, None, &StoreConfig::default()).unwrap();
    let view = blockhie_core::Store::snapshot(&store);
    let pow = Arc::new(ProofOfWork::new(&genesis));
    let report = blockhie_core::fsck::fsck(view.as_ref(), pow, Arc::new(OpaqueApp)).unwrap();
    assert_eq!((report.differences, report.pruned_below, report.bodies_pruned), (0, DEEP, DEEP - 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_chain_is_not_pruned() {
    let mut open = genesis(0);
    open.members = Vec::new();
    let result = builder(&open, 1, Config { prune_below_depth: MIN_PRUNE_DEPTH, ..config(&[]) }).start().await;
    let Err(error) = result else { panic!("expected a refusal") };
    assert!(error.to_string().contains("prune_below_depth: expected 0 on an open chain"), "{error}");
}
