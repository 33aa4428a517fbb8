//! kill -9 of a node under load, again and again: nothing acknowledged is missing afterwards, `fsck` finds nothing, and
//! both nodes agree. `cargo xtask kill9 50` runs it fifty times.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]

mod common;

use blockhie_core::{ChainId, SecretKey, Transaction, TxHash, TxStatus, sha256};
use blockhie_transport::LedgerClient;
use common::{PATIENCE, Running, succeed, text, two_members};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Acknowledgements in each round at least, before the kill.
const ENOUGH: usize = 20;
/// Submissions under way at once.
const IN_FLIGHT: u64 = 16;

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn record(chain: &ChainId, sender: u64, serial: u64) -> Transaction<blockhie_core::Unverified> {
    let commitment = sha256(&[&sender.to_be_bytes(), &serial.to_be_bytes(), &now_ms().to_be_bytes()]);
    let payload = [&[0x0a, 0x20], commitment.as_bytes().as_slice()].concat();
    let secret = SecretKey::from_seed(sha256(&[b"sender", &sender.to_be_bytes()]).0);
    Transaction::sign(chain, &secret, now_ms(), 1, None, &payload).into_unverified()
}

#[derive(Default)]
struct Load {
    acknowledged: Mutex<Vec<TxHash>>,
    refused: AtomicU64,
}

/// Submits one after the other until the node is gone.
async fn submit(load: Arc<Load>, address: String, chain: ChainId, sender: u64) {
    let Ok(client) = LedgerClient::connect(&address).await else { return };
    for serial in 0.. {
        let tx = record(&chain, sender, serial);
        match client.submit(&tx).await {
            Ok(hash) => load.acknowledged.lock().unwrap().push(hash),
            Err(_) => {
                load.refused.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn missing(address: &str, hashes: &[TxHash]) -> usize {
    let client = LedgerClient::connect(address).await.unwrap();
    let mut missing = 0;
    for hash in hashes {
        missing += usize::from(client.status(*hash).await.unwrap() == TxStatus::Unknown);
    }
    missing
}

/// Both nodes have committed everything.
async fn all_committed(addresses: &[&str], hashes: &[TxHash]) {
    let deadline = tokio::time::Instant::now() + 2 * PATIENCE;
    for address in addresses {
        let client = LedgerClient::connect(address).await.unwrap();
        for hash in hashes {
            while !matches!(client.status(*hash).await.unwrap(), TxStatus::Committed { void: None, .. }) {
                assert!(tokio::time::Instant::now() < deadline, "{hash} is not committed on {address}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn agree(a: &str, b: &str) {
    let (a, b) = (LedgerClient::connect(a).await.unwrap(), LedgerClient::connect(b).await.unwrap());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while a.tip().await.unwrap().hash != b.tip().await.unwrap().hash {
        assert!(tokio::time::Instant::now() < deadline, "the nodes do not agree");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let kills: u64 = std::env::var("BLOCKHIE_KILLS").map_or(3, |text| text.parse().expect("BLOCKHIE_KILLS: a number"));
    let root = tempfile::tempdir().unwrap();
    let [a, b] = two_members(root.path());
    let steady = Running::start(&b, &[]);
    let genesis = LedgerClient::connect(&steady.address).await.unwrap().genesis().await.unwrap();
    let chain = blockhie_core::Genesis::from_bytes(&genesis).unwrap().chain_id();
    let load = Arc::new(Load::default());
    let mut victim = Running::start(&a, &[&steady.address]);
    for round in 0..kills {
        let tasks: Vec<_> = (0..IN_FLIGHT)
            .map(|task| tokio::spawn(submit(load.clone(), victim.address.clone(), chain, round * IN_FLIGHT + task)))
            .collect();
        let before = load.acknowledged.lock().unwrap().len();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while load.acknowledged.lock().unwrap().len() < before + ENOUGH {
            assert!(tokio::time::Instant::now() < deadline, "round {round}: the load does not get through");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Up to 650 ms more, other each time: before, in and after blocks and syncs.
        tokio::time::sleep(Duration::from_millis((round * 137) % 650)).await;
        victim.kill();
        for task in tasks {
            task.await.unwrap();
        }
        if round % 5 == 4 {
            // and once more in the middle of coming back
            let half = common::emr_node()
                .args(["run", "--listen", "127.0.0.1:0", "--data-dir", text(&a)])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn();
            let mut half = half.unwrap();
            tokio::time::sleep(Duration::from_millis(5 + (round * 7) % 60)).await;
            half.kill().unwrap();
            half.wait().unwrap();
        }
        victim = Running::start(&a, &[&steady.address]);
        let since = load.acknowledged.lock().unwrap()[before..].to_vec();
        assert_eq!(missing(&victim.address, &since).await, 0, "after kill {}", round + 1);
    }
    let acknowledged = load.acknowledged.lock().unwrap().clone();
    assert!(load.refused.load(Ordering::Relaxed) >= kills, "each kill met submissions under way");
    all_committed(&[&victim.address, &steady.address], &acknowledged).await;
    agree(&victim.address, &steady.address).await;
    for node in [victim, steady] {
        let (took, well) = node.terminate();
        assert!(well && took < Duration::from_secs(10), "stopped in {took:?}, well: {well}");
    }
    for dir in [&a, &b] {
        let report = succeed(&["fsck", "--data-dir", text(dir)]);
        assert!(report.contains("differences  0"), "{report}");
    }
    println!("{kills} kills, {} acknowledged, 0 missing, fsck 0 differences on both", acknowledged.len());
}
