//! Eight members of one chain: six ordinary, one of them killed and coming back, one cut off and healed, and one that
//! lies. All honest ones end on the same tip and the same state. `cargo xtask fleet` runs it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]
#![allow(clippy::print_stdout, reason = "what happened is what a person runs it for")]

mod common;
#[path = "../../../crates/node/tests/evil/mod.rs"]
mod evil;

use blockhie_core::{Genesis, Hash32, SecretKey, Signature, Transaction, TxHash, TxStatus, sha256};
use blockhie_transport::LedgerClient;
use common::{PATIENCE, Running, members, succeed, text};
use evil::forge::Forge;
use evil::proxy::{Fault, Link};
use evil::{Evil, Liar, host};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "killed", "cut", "liar"];
/// Places of the special ones among [`NAMES`].
const KILLED: usize = 5;
const CUT: usize = 6;
const LIAR: usize = 7;

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Submits to these nodes in turn until told to stop; answers what was acknowledged.
async fn load(addresses: Vec<String>, genesis: Genesis, stop: Arc<AtomicBool>) -> Vec<TxHash> {
    let acknowledged = Mutex::new(Vec::new());
    for serial in 0u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let payload = [&[0x0a, 0x20], sha256(&[b"fleet", &serial.to_be_bytes()]).as_bytes().as_slice()].concat();
        let secret = SecretKey::from_seed(sha256(&[b"sender", &[u8::try_from(serial % 8).unwrap()]]).0);
        let tx = Transaction::sign(&genesis.chain_id(), &secret, now_ms(), 1, None, &payload).into_unverified();
        let at = usize::try_from(serial).unwrap() % addresses.len();
        if let Ok(client) = LedgerClient::connect(&addresses[at]).await
            && let Ok(hash) = client.submit(&tx).await
        {
            acknowledged.lock().unwrap().push(hash);
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    acknowledged.into_inner().unwrap()
}

/// The liar's work: whatever a member's key allows, and more.
async fn lie(liar: Arc<Liar>, genesis: Genesis, secret: SecretKey, targets: Vec<SocketAddr>, stop: Arc<AtomicBool>) {
    let mut forge = Forge::new(&genesis, secret);
    let withheld = forge.block(vec![Hash32([6; 32])], 10);
    // A long chain of its own: the spacing does not allow it, and its bodies do not exist.
    let mut chain = vec![withheld.clone()];
    chain.extend((0..60).map(|i| forge.block(vec![Hash32([i; 32])], 1_000)));
    *liar.script.chain.lock().unwrap() = chain.clone();
    *liar.script.gossip.lock().unwrap() = vec![liar.address];
    while !stop.load(Ordering::Relaxed) {
        for target in &targets {
            let Some(evil) = Evil::connect(host(8), *target).await else { continue };
            drop(evil.hello(&genesis, liar.address.port(), 666).await);
            let mut unsigned = chain[0].clone();
            unsigned.signature = Some(Signature([1; 64]));
            let pushes = [&chain[0], &chain[1], &chain[60], &unsigned];
            let all = futures::future::join_all(pushes.iter().map(|block| evil.push(block)));
            drop(tokio::time::timeout(Duration::from_millis(300), all).await);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn tip(address: &str) -> (u64, Hash32) {
    let tip = LedgerClient::connect(address).await.unwrap().tip().await.unwrap();
    (tip.height, tip.hash)
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + 2 * PATIENCE;
    while !done().await {
        assert!(Instant::now() < deadline, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A port that is free now.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn field(json: &str, name: &str) -> String {
    let rest = json.split_once(&format!("\"{name}\":")).unwrap_or_else(|| panic!("{name} in {json}")).1;
    rest.split([',', '}']).next().unwrap().trim().trim_matches('"').to_owned()
}

/// Turns something off in the configuration of a stopped node.
fn without(what: &str, dir: &Path) {
    let file = dir.join("config.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let line = format!("{what} = true");
    assert!(config.contains(&line), "{config}");
    std::fs::write(&file, config.replace(&line, &format!("{what} = false"))).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "most of a minute: cargo xtask fleet"]
async fn eight_members_agree_whatever_happens_to_two_and_whatever_one_says() {
    let begin = Instant::now();
    let step = |what: String| println!("[{:>5.1} s] {what}", begin.elapsed().as_secs_f64());
    let folder = tempfile::tempdir().unwrap();
    let made = members(folder.path(), &NAMES, "500");
    let mut nodes: Vec<Option<Running>> = Vec::new();
    let mut addresses: Vec<String> = Vec::new();
    for (dir, _) in &made[..CUT] {
        let peers: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let node = Running::start(dir, &peers);
        addresses.push(node.address.clone());
        nodes.push(Some(node));
    }
    let client = LedgerClient::connect(&addresses[0]).await.unwrap();
    let genesis = Genesis::from_bytes(&client.genesis().await.unwrap()).unwrap();
    // The one that will be cut off reaches the others, and they it, only by links.
    let cut = free_address();
    let mut links = Vec::new();
    for (n, address) in (1u8..).zip(&addresses) {
        links.push(Link::new(n, cut, address.parse().unwrap()).await);
    }
    without("discover", &made[CUT].0);
    let peers: Vec<String> = links.iter().map(|link| link.to_b.to_string()).collect();
    let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
    nodes.push(Some(Running::start_at(&made[CUT].0, &cut.to_string(), &peers)));
    addresses.push(cut.to_string());

    let (stop, liar) = (Arc::new(AtomicBool::new(false)), Arc::new(Liar::start(&genesis, host(8), 666).await));
    let targets: Vec<SocketAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let lies = tokio::spawn(lie(liar.clone(), genesis.clone(), made[LIAR].1.clone(), targets, stop.clone()));
    let work = tokio::spawn(load(addresses[..5].to_vec(), genesis.clone(), stop.clone()));
    step("seven nodes run and the eighth member lies".into());
    until("blocks", async || tip(&addresses[CUT]).await.0 >= 5).await;

    links.iter().for_each(|link| link.both(Fault::BlackHole));
    nodes[KILLED].take().unwrap().kill();
    let (at_cut, at_rest) = (tip(&addresses[CUT]).await.0, tip(&addresses[0]).await.0);
    step(format!("one cut off at height {at_cut}, one killed at about {at_rest}"));
    until("the rest goes on", async || tip(&addresses[0]).await.0 >= at_rest + 8).await;
    let behind = tip(&addresses[CUT]).await.0;
    assert!(behind <= at_cut + 2, "cut off it cannot have gone on: {behind}");
    let others: Vec<&str> = addresses[..KILLED].iter().map(String::as_str).collect();
    let back = Running::start(&made[KILLED].0, &others);
    addresses[KILLED] = back.address.clone();
    nodes[KILLED] = Some(back);
    links.iter().for_each(|link| link.both(Fault::None));
    step(format!("the rest is at {}; the killed one is back, the cut one healed", tip(&addresses[0]).await.0));
    let goal = tip(&addresses[0]).await.0 + 6;
    until("all are there", async || {
        let mut all = true;
        for address in &addresses {
            all &= tip(address).await.0 >= goal;
        }
        all
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    let acknowledged = work.await.unwrap();
    lies.await.unwrap();
    assert!(acknowledged.len() > 20 && liar.calls() > 0);
    for address in &addresses {
        let client = LedgerClient::connect(address).await.unwrap();
        until("committed everywhere", async || {
            for hash in &acknowledged {
                if !matches!(client.status(*hash).await, Ok(TxStatus::Committed { void: None, .. })) {
                    return false;
                }
            }
            true
        })
        .await;
    }
    step(format!("{} acknowledged transactions are committed at all seven", acknowledged.len()));
    settle(&made[..LIAR], nodes).await;
}

/// Stops all, lets them agree without mining, and compares what they hold.
async fn settle(made: &[(std::path::PathBuf, SecretKey)], nodes: Vec<Option<Running>>) {
    for node in nodes.into_iter().flatten() {
        assert!(node.terminate().1);
    }
    let mut nodes: Vec<Running> = Vec::new();
    for (dir, _) in made {
        without("mine", dir);
        let peers: Vec<&str> = nodes.iter().map(|node| node.address.as_str()).collect();
        let node = Running::start(dir, &peers);
        nodes.push(node);
    }
    let mut tips = Vec::new();
    until("one tip", async || {
        tips.clear();
        for node in &nodes {
            tips.push(tip(&node.address).await);
        }
        tips.iter().all(|tip| *tip == tips[0])
    })
    .await;
    println!("all seven are at {} {}", tips[0].0, tips[0].1);
    for node in nodes {
        assert!(node.terminate().1);
    }
    let mut states = Vec::new();
    for (dir, _) in made {
        let report = succeed(&["fsck", "--data-dir", text(dir), "--json"]);
        states.push(field(&report, "state_hash"));
    }
    assert!(states.iter().all(|state| *state == states[0]), "{states:?}");
    println!("state hash {} at all, fsck finds nothing", states[0]);
}
