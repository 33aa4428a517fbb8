//! kill -9 of a node under load, again and again, and in the middle of coming back: nothing acknowledged is missing
//! afterwards, `fsck` finds nothing, and both nodes agree. `cargo xtask kill9 300` runs it three hundred times.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]

mod common;

use blockhie_core::{TxHash, TxStatus};
use blockhie_transport::LedgerClient;
use common::load::{Dice, Load, chain_of, missing, percentile};
use common::{PATIENCE, Running, emr_node, succeed, text, two_members};
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Acknowledgements in each round at least, before the kill.
const ENOUGH: usize = 20;
/// Submissions under way at once.
const IN_FLIGHT: u64 = 16;
/// Between two submissions of one sender: what is acknowledged must also fit into the blocks.
const PAUSE: Duration = Duration::from_millis(20);
/// After [`ENOUGH`] the kill comes within this time, ms: before, in and after blocks and syncs.
const KILL_WITHIN_MS: u64 = 450;
/// How often a node that comes back is killed, until one kill meets it before it is ready.
const TRIES_COMING_BACK: u32 = 5;

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

/// Starts a node that was killed under load, and kills it again after `delay`. Answers whether that was before it said
/// that it is ready: then it was reading its store.
async fn kill_coming_back(dir: &Path, delay: Duration) -> bool {
    let mut half = emr_node()
        .args(["run", "--listen", "127.0.0.1:0", "--data-dir", text(dir)])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    tokio::time::sleep(delay).await;
    half.kill().unwrap();
    half.wait().unwrap();
    let mut said = String::new();
    half.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    said.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let kills: u64 = std::env::var("BLOCKHIE_KILLS").map_or(3, |text| text.parse().expect("BLOCKHIE_KILLS: a number"));
    let root = tempfile::tempdir().unwrap();
    let [a, b] = two_members(root.path());
    let steady = Running::start(&b, &[]);
    let chain = chain_of(&steady.address).await;
    let load = Arc::new(Load::default());
    let mut dice = Dice(kills);
    let started = Instant::now();
    let mut victim = Running::start(&a, &[&steady.address]);
    let mut restarts = vec![started.elapsed()];
    let mut coming_back = 0;
    for round in 0..kills {
        let senders = round * IN_FLIGHT..(round + 1) * IN_FLIGHT;
        let before = load.count();
        let tasks = load.begin(&victim.address, chain, senders, PAUSE);
        load.reaches(before + ENOUGH).await;
        tokio::time::sleep(Duration::from_millis(dice.below(KILL_WITHIN_MS))).await;
        victim.kill();
        for task in tasks {
            task.await.unwrap();
        }
        if round % 3 == 2 {
            let usual = u64::try_from(percentile(&restarts, 50).as_millis()).unwrap();
            // One that was ready sooner than usual is killed again.
            for _ in 0..TRIES_COMING_BACK {
                let delay = Duration::from_millis(dice.below(usual));
                if kill_coming_back(&a, delay).await {
                    coming_back += 1;
                    break;
                }
            }
        }
        let started = Instant::now();
        victim = Running::start(&a, &[&steady.address]);
        restarts.push(started.elapsed());
        assert_eq!(missing(&victim.address, &load.since(before)).await, 0, "after kill {}", round + 1);
        if round % 50 == 49 {
            println!("{} kills, {} acknowledged", round + 1, load.count());
        }
    }
    let acknowledged = load.since(0);
    assert!(load.refused.load(Ordering::Relaxed) >= kills, "each kill met submissions under way");
    assert!(coming_back * 10 >= kills, "{coming_back} kills of a node coming back, expected a tenth of {kills}");
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
    let (count, p50, p99) = (acknowledged.len(), percentile(&restarts, 50), percentile(&restarts, 99));
    println!("{kills} kills under load, {coming_back} more of a node coming back; {count} acknowledged, 0 missing");
    println!("fsck 0 differences on both; restart p50 {} ms, p99 {} ms", p50.as_millis(), p99.as_millis());
}
