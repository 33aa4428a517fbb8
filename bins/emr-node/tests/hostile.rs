//! A hundred hostile connections against a real node while an honest client works. `cargo xtask hostile --seconds 60`
//! runs it for a minute and holds the figures against their bounds; the ordinary test is short and looks only at what
//! does not depend on how busy the machine is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]
#![allow(clippy::print_stdout, reason = "the figures are what a person runs it for")]

mod common;
#[path = "../../../crates/node/tests/evil/mod.rs"]
mod evil;

use blockhie_core::{Genesis, Hash32, SecretKey, Signature, Transaction, UncheckedBlock, Unverified, sha256};
use blockhie_transport::{LedgerClient, pb};
use bytes::Bytes;
use common::{Running, members};
use evil::forge::Forge;
use evil::{Evil, dial, host};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Hostile connections.
const CONNECTIONS: u8 = 100;
/// Memory that the attack may cost the node, bytes: unfinished requests in all (64 MiB), 100 connections with their
/// windows half full (100 MiB), and what the allocator keeps of both.
const MEMORY_BOUND: u64 = 192 << 20;
/// The honest client's pace.
const PACE: Duration = Duration::from_millis(20);

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn record(genesis: &Genesis, sender: &str, serial: u64) -> Transaction<Unverified> {
    let commitment = sha256(&[sender.as_bytes(), &serial.to_be_bytes()]);
    let payload = [&[0x0a, 0x20], commitment.as_bytes().as_slice()].concat();
    let secret = SecretKey::from_seed(sha256(&[sender.as_bytes()]).0);
    Transaction::sign(&genesis.chain_id(), &secret, now_ms(), 1, None, &payload).into_unverified()
}

fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1_024
}

/// What the honest client saw: microseconds of each call, ascending, and the largest memory of the node.
struct Seen {
    acks: Vec<u128>,
    tips: Vec<u128>,
    failed: usize,
    memory: u64,
}

fn percentile(sorted: &[u128], part: usize) -> u128 {
    sorted.get(sorted.len().saturating_sub(1) * part / 100).copied().unwrap_or_default()
}

fn p99(sorted: &[u128]) -> u128 {
    percentile(sorted, 99)
}

async fn honest(client: &LedgerClient, genesis: &Genesis, name: &str, pid: u32, time: Duration) -> Seen {
    let (begin, mut serial) = (Instant::now(), 0);
    let mut seen = Seen { acks: Vec::new(), tips: Vec::new(), failed: 0, memory: resident(pid) };
    while begin.elapsed() < time {
        let tx = record(genesis, name, serial);
        let called = Instant::now();
        match client.submit(&tx).await {
            Ok(_) => seen.acks.push(called.elapsed().as_micros()),
            Err(_) => seen.failed += 1,
        }
        let called = Instant::now();
        match client.tip().await {
            Ok(_) => seen.tips.push(called.elapsed().as_micros()),
            Err(_) => seen.failed += 1,
        }
        serial += 1;
        seen.memory = seen.memory.max(resident(pid));
        tokio::time::sleep(PACE).await;
    }
    seen.acks.sort_unstable();
    seen.tips.sort_unstable();
    seen
}

async fn genesis_of(address: &str) -> Genesis {
    let client = LedgerClient::connect(address).await.unwrap();
    Genesis::from_bytes(&client.genesis().await.unwrap()).unwrap()
}

/// CPU time of a process so far, ms, and the same of each of its threads by name, those of one pool together.
fn cpu_ms(pid: u32) -> (u64, BTreeMap<String, u64>) {
    // The clock of /proc has 100 ticks a second on every Linux that we know of.
    let of = |path: &Path| {
        let text = std::fs::read_to_string(path).ok()?;
        let (head, rest) = text.rsplit_once(')')?;
        let name = head.split_once('(')?.1.trim_end_matches(|c: char| c == '-' || c.is_ascii_digit()).to_owned();
        let mut fields = rest.split_whitespace().skip(11);
        let ticks: [u64; 2] = [fields.next()?.parse().ok()?, fields.next()?.parse().ok()?];
        Some((name, 10 * (ticks[0] + ticks[1])))
    };
    let mut threads = BTreeMap::new();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        if let Some((name, ms)) = of(&thread.path().join("stat")) {
            *threads.entry(name).or_default() += ms;
        }
    }
    (of(Path::new(&format!("/proc/{pid}/stat"))).map_or(0, |(_, ms)| ms), threads)
}

/// The attackers' process. Ends with it.
struct Attack(Child);

impl Attack {
    /// Attacks `target` if it is given, and otherwise a door that closes every connection.
    fn start(node: &str, seconds: u64, at_door: bool) -> Self {
        // The attackers would have machines of their own: here they get what the node and the client leave.
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "attack", "--ignored", "--nocapture"]);
        command.env("BLOCKHIE_EVIL_TARGET", node).env("BLOCKHIE_EVIL_SECONDS", seconds.to_string());
        if at_door {
            command.env("BLOCKHIE_EVIL_DOOR", "1");
        }
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn print(what: &str, seen: &Seen, seconds: u64, cpu: [u64; 2]) {
    for (name, calls) in [("ack", &seen.acks), ("tip", &seen.tips)] {
        let [half, most, p99] = [50, 90, 99].map(|part| percentile(calls, part));
        println!("{what}: {name} p50 {half}, p90 {most}, p99 {p99} us of {} calls", calls.len());
    }
    let share = |ms: u64| ms / (10 * seconds);
    println!("{what}: {} failed; node {} %, attackers {} % of a core", seen.failed, share(cpu[0]), share(cpu[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_hostile_connections() {
    let wanted: Option<u64> = std::env::var("BLOCKHIE_HOSTILE_SECONDS").ok().map(|text| text.parse().unwrap());
    let (quiet, attacked) = wanted.map_or((1, 4), |seconds| ((seconds / 3).max(5), seconds));
    let folder = tempfile::tempdir().unwrap();
    let dir = members(folder.path(), &["a"], "1000").remove(0).0;
    let node = Running::start(&dir, &[]);
    let (pid, genesis) = (node.child.id(), genesis_of(&node.address).await);
    let client = LedgerClient::connect(&node.address).await.unwrap();
    honest(&client, &genesis, "warm-up", pid, Duration::from_secs(1)).await;
    let before = resident(pid);
    let cpu = cpu_ms(pid).0;
    let calm = honest(&client, &genesis, "quiet", pid, Duration::from_secs(quiet)).await;
    print("quiet", &calm, quiet, [cpu_ms(pid).0 - cpu, 0]);
    if wanted.is_some() {
        let (cpu, attack) = (cpu_ms(pid).0, Attack::start(&node.address, quiet + 1, true));
        tokio::time::sleep(Duration::from_millis(500)).await;
        let busy = honest(&client, &genesis, "busy", pid, Duration::from_secs(quiet)).await;
        print("attackers at another door", &busy, quiet, [cpu_ms(pid).0 - cpu, cpu_ms(attack.0.id()).0]);
    }
    let (cpu, attack) = (cpu_ms(pid), Attack::start(&node.address, attacked + 1, false));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let rough = honest(&client, &genesis, "attacked", pid, Duration::from_secs(attacked)).await;
    let after_cpu = cpu_ms(pid);
    print("attacked", &rough, attacked, [after_cpu.0 - cpu.0, cpu_ms(attack.0.id()).0]);
    for (name, ms) in &after_cpu.1 {
        println!("attacked: threads {name}: {} ms", ms - cpu.1.get(name).copied().unwrap_or_default());
    }
    drop(attack);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = resident(pid);
    let mib = |bytes: u64| bytes >> 20;
    println!("{CONNECTIONS} hostile connections for {attacked} s");
    println!("memory: {} MiB before, {} at most, {} after", mib(before), mib(rough.memory), mib(after));
    assert!(rough.memory < before.max(calm.memory) + MEMORY_BOUND, "memory");
    assert!(rough.failed == 0 && !rough.acks.is_empty(), "the honest client is served");
    if wanted.is_some() {
        let (quiet, attacked) = (p99(&calm.acks), p99(&rough.acks));
        assert!(attacked < 2 * quiet, "p99 of an acknowledgement: expected below {}, got {attacked} us", 2 * quiet);
    }
    let (_, well) = node.terminate();
    assert!(well);
}

/// Closes every connection.
async fn door() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    address
}

/// The attackers, a process of their own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the test above"]
async fn attack() {
    let Ok(target) = std::env::var("BLOCKHIE_EVIL_TARGET") else { return };
    let seconds: u64 = std::env::var("BLOCKHIE_EVIL_SECONDS").unwrap().parse().unwrap();
    let genesis = genesis_of(&target).await;
    let to: SocketAddr =
        if std::env::var("BLOCKHIE_EVIL_DOOR").is_ok() { door().await } else { target.parse().unwrap() };
    let end = Instant::now() + Duration::from_secs(seconds + 1);
    // All of one kind, for whoever wants to know what costs.
    let only: Option<u8> = std::env::var("BLOCKHIE_EVIL_ONLY").ok().and_then(|text| text.parse().ok());
    let run = |n: u8| {
        let genesis = genesis.clone();
        tokio::spawn(async move {
            while Instant::now() < end {
                match only.unwrap_or(n % 8) {
                    0 => half_open(n, to).await,
                    1 => slow_loris(n, to).await,
                    2 => oversize(n, to).await,
                    3 => bad_blocks(n, to, &genesis).await,
                    4 => spam(n, to, &genesis).await,
                    5 => resets(n, to, &genesis).await,
                    6 => orphans(n, to, &genesis).await,
                    _ => gossip(n, to, &genesis).await,
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
    };
    for task in (1..=CONNECTIONS).map(run).collect::<Vec<_>>() {
        drop(task.await);
    }
}

/// Says nothing, or half of the first words, until it is cut off.
async fn half_open(n: u8, to: SocketAddr) {
    let Ok(mut stream) = dial(host(n), to).await else { return };
    drop(stream.write_all(&b"PRI * HTTP/2.0\r\n\r\nSM"[..usize::from(n) % 20]).await);
    drop(tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut Vec::new())).await);
}

/// Thirty-two requests that send something and never end.
async fn slow_loris(n: u8, to: SocketAddr) {
    let Some(evil) = Evil::connect(host(n), to).await else { return };
    let all = futures::future::join_all((0..32).map(|_| evil.endless(120_000)));
    drop(tokio::time::timeout(Duration::from_secs(12), all).await);
}

async fn oversize(n: u8, to: SocketAddr) {
    let Some(evil) = Evil::connect(host(n), to).await else { return };
    for _ in 0..20 {
        let million = pb::Block { txshash: vec![Bytes::from_static(&[7; 32]); 60_000], ..Default::default() };
        drop(tokio::time::timeout(Duration::from_secs(5), evil.send("/Synchronization/BlockTo", million)).await);
    }
}

async fn bad_blocks(n: u8, to: SocketAddr, genesis: &Genesis) {
    let Some(evil) = Evil::connect(host(n), to).await else { return };
    let good = Forge::new(genesis, SecretKey::from_seed([n; 32])).block(vec![Hash32([1; 32])], 10);
    for round in 0..20u64 {
        let blocks: Vec<UncheckedBlock> = (0..32u64)
            .map(|i| {
                let mut block = good.clone();
                match i % 4 {
                    0 => {}
                    1 => block.nonce ^= round * 32 + i,
                    2 => block.signature = Some(Signature([2; 64])),
                    _ => block.target ^= 1,
                }
                block
            })
            .collect();
        let all = futures::future::join_all(blocks.iter().map(|block| evil.push(block)));
        drop(tokio::time::timeout(Duration::from_secs(12), all).await);
    }
}

/// Good transactions of one key, far above its share, and as many with false signatures.
async fn spam(n: u8, to: SocketAddr, genesis: &Genesis) {
    let Some(evil) = Evil::connect(host(n), to).await else { return };
    let mut elsewhere = genesis.clone();
    elsewhere.nonce = Hash32([9; 32]);
    let name = format!("spammer {n}");
    for round in 0..20u64 {
        let good = (0..8).map(|i| record(genesis, &name, now_ms() * 1_000 + round * 8 + i));
        let bad = (0..8).map(|i| record(&elsewhere, &name, round * 8 + i));
        let all: Vec<_> = good.chain(bad).collect();
        let sent = futures::future::join_all(all.iter().map(|tx| evil.submit(tx)));
        drop(tokio::time::timeout(Duration::from_secs(12), sent).await);
    }
}

/// Requests that are reset as soon as they are sent.
async fn resets(n: u8, to: SocketAddr, genesis: &Genesis) {
    let Some(evil) = Evil::connect(host(n), to).await else { return };
    for _ in 0..100 {
        let all = futures::future::join_all((0..16).map(|_| evil.hello(genesis, 0, 7)));
        drop(tokio::time::timeout(Duration::from_micros(300), all).await);
    }
}

async fn orphans(n: u8, to: SocketAddr, genesis: &Genesis) {
    let Some(evil) = Evil::connect(host(n), to).await else { return };
    drop(evil.hello(genesis, 9_999, u64::from(n)).await);
    let mut block = Forge::new(genesis, SecretKey::from_seed([n; 32])).block(Vec::new(), 10);
    block.history_root = None;
    for round in 0..50u64 {
        block.previous = Hash32([u8::try_from(round).unwrap(); 32]);
        let all = futures::future::join_all((0..16).map(|_| evil.push(&block)));
        drop(tokio::time::timeout(Duration::from_secs(12), all).await);
    }
}

/// Claims to be a peer, over and over, and tells of others that are none.
async fn gossip(n: u8, to: SocketAddr, genesis: &Genesis) {
    let Some(evil) = Evil::connect(host(n), to).await else { return };
    let others: Vec<SocketAddr> = (0..64).map(|i| SocketAddr::new(host(n), 20_000 + i)).collect();
    for nonce in 0..50 {
        drop(evil.hello(genesis, 20_000 + u16::from(n), nonce).await);
        drop(evil.gossip(&others).await);
        drop(evil.send("/Synchronization/BlockFrom", pb::Message::default()).await);
    }
}
