//! The attackers, a process of their own: the binary of these tests, started again.

use super::{genesis_of, now_ms, record};
use crate::evil::forge::Forge;
use crate::evil::{Evil, dial, host};
use blockhie_core::{Genesis, Hash32, SecretKey, Signature, UncheckedBlock};
use blockhie_node::config::DEFAULT_SENDER_RATE;
use blockhie_transport::pb;
use bytes::Bytes;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the attackers do, and how many they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    /// A hundred of eight kinds.
    All,
    /// Five hundred half-open connections, and a hundred that reset what they ask.
    P3,
    /// One key at ten times its rate.
    P10,
    /// One key as fast as it is answered.
    Flood,
}

impl Row {
    const NAMES: [(Self, &str); 4] = [(Self::All, "all"), (Self::P3, "p3"), (Self::P10, "p10"), (Self::Flood, "flood")];

    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(row, _)| *row)
    }

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(row, _)| *row == self).map_or("", |(_, name)| *name)
    }

    /// The kind of each attacker.
    fn kinds(self) -> Vec<u8> {
        match self {
            Self::All => (1..=100).map(|n| n % 8).collect(),
            // Several to a host: the numbers of the hosts go round.
            Self::P3 => [vec![0; 500], vec![5; 100]].concat(),
            Self::P10 => vec![8; 4],
            Self::Flood => vec![9; 4],
        }
    }
}

/// A running attack. Ends with it.
pub(crate) struct Attack(pub(crate) Child);

impl Attack {
    /// Attacks the node, or a door that closes every connection.
    pub(crate) fn start(node: &str, seconds: u64, row: Row, at_door: bool) -> Self {
        // The attackers would have machines of their own: here they get what the node and the client leave.
        // Where a core is set aside for them they have that one, and no other.
        let mut command = match std::env::var("BLOCKHIE_EVIL_CORE") {
            Ok(core) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", &core]);
                command
            }
            Err(_) => {
                let mut command = Command::new("nice");
                command.args(["-n", "19"]);
                command
            }
        };
        command.arg(std::env::current_exe().unwrap());
        command.args(["--exact", "attack::attack", "--ignored", "--nocapture"]);
        command.env("BLOCKHIE_EVIL_TARGET", node).env("BLOCKHIE_EVIL_SECONDS", seconds.to_string());
        command.env("BLOCKHIE_EVIL_ROW", row.name());
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

/// Closes every connection.
async fn door() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    address
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the tests of this binary"]
async fn attack() {
    let Ok(target) = std::env::var("BLOCKHIE_EVIL_TARGET") else { return };
    let seconds: u64 = std::env::var("BLOCKHIE_EVIL_SECONDS").unwrap().parse().unwrap();
    let row = std::env::var("BLOCKHIE_EVIL_ROW").ok().and_then(|name| Row::of(&name)).unwrap();
    let genesis = genesis_of(&target).await;
    let to: SocketAddr =
        if std::env::var("BLOCKHIE_EVIL_DOOR").is_ok() { door().await } else { target.parse().unwrap() };
    let end = Instant::now() + Duration::from_secs(seconds);
    // All of one kind, for whoever wants to know what costs.
    let only: Option<u8> = std::env::var("BLOCKHIE_EVIL_ONLY").ok().and_then(|text| text.parse().ok());
    let run = |(at, kind): (usize, u8)| {
        let (genesis, n) = (genesis.clone(), u8::try_from(at % 100 + 1).unwrap());
        tokio::spawn(async move {
            while Instant::now() < end {
                match only.unwrap_or(kind) {
                    0 => half_open(n, to).await,
                    1 => slow_loris(n, to).await,
                    2 => oversize(n, to).await,
                    3 => bad_blocks(n, to, &genesis).await,
                    4 => spam(n, to, &genesis).await,
                    5 => resets(n, to, &genesis).await,
                    6 => orphans(n, to, &genesis).await,
                    7 => gossip(n, to, &genesis).await,
                    8 => one_key(n, to, &genesis, Some(ONE_KEY_PACE)).await,
                    _ => one_key(n, to, &genesis, None).await,
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
    };
    for task in row.kinds().into_iter().enumerate().map(run).collect::<Vec<_>>() {
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

/// Thirty-two records at a time, so far apart that four attackers send at ten times what one sender may.
const ONE_KEY_PACE: Duration = Duration::from_millis(4 * 32 * 1_000 / (10 * DEFAULT_SENDER_RATE as u64));

/// Records of one sender by a client's own call, each lot `pace` after the one before, or as soon as that is answered.
async fn one_key(n: u8, to: SocketAddr, genesis: &Genesis, pace: Option<Duration>) {
    let Ok(client) = blockhie_transport::LedgerClient::connect(&to.to_string()).await else { return };
    for round in 0..20u64 {
        let begin = tokio::time::Instant::now();
        let all: Vec<_> = (0..32)
            .map(|i| record(genesis, "one key", now_ms() * 1_000_000 + u64::from(n) * 1_000 + round * 32 + i))
            .collect();
        drop(futures::future::join_all(all.iter().map(|tx| client.submit(tx))).await);
        tokio::time::sleep_until(begin + pace.unwrap_or_default()).await;
    }
}
