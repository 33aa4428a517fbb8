//! A node on a disk that fills up. `cargo xtask fulldisk [N]` makes one of 64 MiB, mounts it, and runs this.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]

mod common;

use blockhie_transport::LedgerClient;
use common::load::{Load, chain_of, missing, submit_once};
use common::{PATIENCE, Running, emr_node, succeed, text};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The low-water mark of this node.
const LOW_WATER: u64 = 16 << 20;
/// Left free in odd rounds. In even ones nothing is: the node's own writes fail, too.
const LEFT: u64 = 12 << 20;
/// Between two looks at what a node does.
const LOOK: Duration = Duration::from_millis(50);

/// A member alone on its chain, with blocks every 300 ms and budgets that suit the disk. Its log is on the disk, too.
fn node_on(disk: &Path) -> PathBuf {
    let (genesis, key, dir) = (disk.join("genesis.toml"), disk.join("key"), disk.join("node"));
    let member = format!("a={}", blockhie_core::keyfile::generate(&key).unwrap().public());
    let made = ["genesis", "--name", "test", "--interval-ms", "300", "--out", text(&genesis), "--member", &member];
    succeed(&made);
    succeed(&["init", "--data-dir", text(&dir), "--genesis", text(&genesis), "--key", text(&key)]);
    let config = format!(
        "mine = true\nlow_water_bytes = {LOW_WATER}\n[store]\nblock_cache_bytes = 4194304\nwrite_buffer_bytes = 4194304\n\
         max_wal_bytes = 4194304\n"
    );
    std::fs::write(dir.join("config.toml"), config).unwrap();
    dir
}

fn start(dir: &Path) -> Running {
    let mut command = emr_node();
    command.args(["run", "--listen", "127.0.0.1:0", "--data-dir", text(dir)]);
    // So many lines that some cannot be written: that must end no thread.
    command.env("RUST_LOG", "debug");
    Running::spawn(command, &dir.join("log"))
}

/// Fills the disk until `left` bytes are free; with `None` to the brim, what is reserved for root included.
fn fill(ballast: &Path, left: Option<u64>) {
    let mut file = std::fs::File::create(ballast).unwrap();
    let block = vec![1; 64 << 10];
    while left.is_none_or(|left| blockhie_node::free_bytes(ballast).unwrap() > left) {
        if file.write_all(&block).is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a file system of 64 MiB for itself: cargo xtask fulldisk"]
async fn a_node_serves_on_a_full_disk_and_takes_again_when_freed() {
    let Some(disk) = std::env::var_os("BLOCKHIE_DISK").map(PathBuf::from) else { return };
    let fillings: u64 =
        std::env::var("BLOCKHIE_FILLINGS").map_or(3, |text| text.parse().expect("BLOCKHIE_FILLINGS: a number"));
    let (dir, ballast) = (node_on(&disk), disk.join("ballast"));
    let node = start(&dir);
    let chain = chain_of(&node.address).await;
    let client = LedgerClient::connect(&node.address).await.unwrap();
    let load = Arc::new(Load::default());
    let (mut longest, mut serial) = (Duration::ZERO, 0);
    for round in 0..fillings {
        for _ in 0..20 {
            serial += 1;
            load.note(submit_once(&client, &chain, 0, serial).await.unwrap());
        }
        fill(&ballast, (round % 2 == 1).then_some(LEFT));
        // It notices within a second or so; until then it may take what it can still make durable.
        let deadline = Instant::now() + PATIENCE;
        let refusal = loop {
            serial += 1;
            match submit_once(&client, &chain, 0, serial).await {
                Ok(hash) => load.note(hash),
                Err(error) => break error,
            }
            assert!(Instant::now() < deadline, "round {round}: it takes on a full disk");
            tokio::time::sleep(LOOK).await;
        };
        assert!(refusal.contains("expected at least") || refusal.contains("No space left"), "{refusal}");
        // It serves, and stands still.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let height = client.tip().await.unwrap().height;
        serial += 1;
        let refusal = submit_once(&client, &chain, 0, serial).await.unwrap_err();
        assert!(refusal.contains("disk nearly full: expected at least 16777216 bytes free, got "), "{refusal}");
        assert_eq!(missing(&node.address, &load.since(load.count().saturating_sub(20))).await, 0);
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(client.tip().await.unwrap().height, height, "round {round}: it mines on a full disk");
        // Freed, it takes and mines again by itself.
        std::fs::remove_file(&ballast).unwrap();
        let freed = Instant::now();
        loop {
            serial += 1;
            if let Ok(hash) = submit_once(&client, &chain, 0, serial).await {
                load.note(hash);
                break;
            }
            assert!(freed.elapsed() < PATIENCE, "round {round}: it does not take again");
            tokio::time::sleep(LOOK).await;
        }
        while client.tip().await.unwrap().height <= height {
            assert!(freed.elapsed() < PATIENCE, "round {round}: it does not mine again");
            tokio::time::sleep(LOOK).await;
        }
        longest = longest.max(freed.elapsed());
    }
    assert!(node.terminate().1);
    let report = succeed(&["fsck", "--data-dir", text(&dir)]);
    assert!(report.contains("differences  0"), "{report}");
    let node = start(&dir);
    assert_eq!(missing(&node.address, &load.since(0)).await, 0, "at the end");
    println!(
        "{fillings} times full, {} acknowledged, 0 missing, fsck 0 differences; it took and mined again",
        load.count()
    );
    println!("at most {} ms after the disk was freed", longest.as_millis());
}
