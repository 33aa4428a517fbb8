//! Rows of the threat page that are about what a node of its own takes: memory, processor, disk.

use super::measure::{cpu_ms, mib, resident};
use super::{genesis_of, wanted};
use crate::common::{Running, members};
use crate::evil::forge::Forge;
use crate::evil::{Evil, host};
use blockhie_core::{Hash32, SecretKey, Signature, UncheckedBlock};
use blockhie_transport::{LedgerClient, PeerClient, pb};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A node of one member that does not mine, and that member's key.
fn idle_node(folder: &Path) -> (Running, SecretKey) {
    let (dir, secret) = members(folder, &["a"], "1000").remove(0);
    let config = dir.join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("mine = true", "mine = false")).unwrap();
    (Running::start(&dir, &[]), secret)
}

/// Notes the largest memory of a process until it is told to stop.
fn watch_memory(pid: u32) -> (Arc<AtomicBool>, std::thread::JoinHandle<u64>) {
    let stop = Arc::new(AtomicBool::new(false));
    let until = stop.clone();
    let thread = std::thread::spawn(move || {
        let mut most = resident(pid);
        while !until.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(2));
            most = most.max(resident(pid));
        }
        most
    });
    (stop, thread)
}

/// (P1) Messages of 2 and 100 MiB and lists of a million hashes cost a node of its own less than 16 MiB, and no time.
#[tokio::test(flavor = "multi_thread")]
async fn p1_oversized_messages_cost_a_node_less_than_16_mib() {
    let rounds = if wanted().is_some() { 20 } else { 2 };
    let folder = tempfile::tempdir().unwrap();
    let (node, _) = idle_node(folder.path());
    let (pid, genesis) = (node.child.id(), genesis_of(&node.address).await);
    let to = node.address.parse().unwrap();
    let million = pb::Block { txshash: vec![Bytes::from_static(&[7; 32]); 1_000_000], ..Default::default() };
    let messages = [2usize, 100].map(|mib| pb::Message { value: Some(Bytes::from(vec![1; mib << 20])) });
    let before = resident(pid);
    let (stop, most) = watch_memory(pid);
    for n in 0..rounds {
        let evil = Evil::connect(host(n + 1), to).await.unwrap();
        evil.hello(&genesis, 0, 5).await.unwrap();
        assert!(evil.send("/Synchronization/BlockTo", million.clone()).await.is_err());
        for message in &messages {
            assert!(evil.send("/Synchronization/BlockFrom", message.clone()).await.is_err());
        }
    }
    stop.store(true, Ordering::Relaxed);
    let grown = most.join().unwrap().saturating_sub(before);
    println!("p1: {rounds} rounds of 2 MiB, 100 MiB and a million hashes: {} KiB more at most", grown >> 10);
    assert!(grown < 16 << 20, "{} MiB more", mib(grown));
    assert!(LedgerClient::connect(&node.address).await.unwrap().tip().await.is_ok());
}

/// Bytes that a process read by `read` and had written to the disk.
fn io(pid: u32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap();
    (field("rchar:"), field("write_bytes:"))
}

/// (P4) Bad blocks as fast as a hundred hosts send them: nothing is written, nothing is read from the disk, and what a
/// host may go on sending takes little of a processor.
#[tokio::test(flavor = "multi_thread")]
async fn p4_bad_blocks_cost_a_node_no_disk_and_little_processor() {
    let time = Duration::from_secs(wanted().unwrap_or(3).min(30));
    let folder = tempfile::tempdir().unwrap();
    let (node, secret) = idle_node(folder.path());
    let (pid, genesis) = (node.child.id(), genesis_of(&node.address).await);
    let to = node.address.parse().unwrap();
    let good = Forge::new(&genesis, secret).block(Vec::new(), 10);
    let sent = Arc::new(AtomicU64::new(0));
    let judged = Arc::new(AtomicU64::new(0));
    let (begin, before, cpu) = (Instant::now(), io(pid), cpu_ms(pid).0);
    let flood = |n: u8| {
        let (good, sent, judged) = (good.clone(), sent.clone(), judged.clone());
        tokio::spawn(async move {
            while begin.elapsed() < time {
                let Some(evil) = Evil::connect(host(n), to).await else {
                    // Cut off.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                for round in 0..100u64 {
                    let bad = |i: u64| spoil(&good, round * 32 + i);
                    let blocks: Vec<UncheckedBlock> = (0..32).map(bad).collect();
                    let all = futures::future::join_all(blocks.iter().map(|block| evil.push(block)));
                    let Ok(answers) = tokio::time::timeout(time.saturating_sub(begin.elapsed()), all).await else {
                        break;
                    };
                    let invalid = answers.iter().filter(|answer| {
                        answer.as_ref().is_err_and(|status| status.code() == tonic::Code::InvalidArgument)
                    });
                    judged.fetch_add(invalid.count() as u64, Ordering::Relaxed);
                    sent.fetch_add(answers.len() as u64, Ordering::Relaxed);
                }
            }
        })
    };
    for task in (1..=100).map(flood).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let (after, cpu) = (io(pid), cpu_ms(pid).0 - cpu);
    let (sent, judged) = (sent.load(Ordering::Relaxed), judged.load(Ordering::Relaxed));
    let (read, written) = (after.0 - before.0, after.1 - before.1);
    println!(
        "p4: {sent} bad blocks in {} s, {judged} of them looked at: {cpu} ms of processor, {read} bytes read, {written} written",
        time.as_secs()
    );
    assert!(judged > 500 && written < 256 << 10, "the log alone: {written} bytes");
    // Each wakeup of the runtime reads 8 bytes; a block of a table file has 4 KiB.
    assert!(read / judged < 2_048, "{read} bytes read for {judged}");
    let honest = PeerClient::connect(to).await.unwrap();
    assert_eq!(honest.block_to(&good).await.unwrap(), good.claimed_hash, "and the hash is not condemned");
}

/// The n-th way in which a good block is wrong.
fn spoil(good: &UncheckedBlock, n: u64) -> UncheckedBlock {
    let mut block = good.clone();
    match n % 5 {
        0 => block.nonce ^= n + 1,
        1 => block.signature = Some(Signature([3; 64])),
        2 => block.target ^= 1,
        3 => block.claimed_hash = Hash32([9; 32]),
        _ => block.height = 2 + n,
    }
    block
}
