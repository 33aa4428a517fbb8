//! A real node under attack while an honest client works. `cargo xtask hostile` runs these at full length, on an optimised
//! build, and holds the figures against their bounds; the ordinary tests are short and look only at what does not depend
//! on how busy the machine is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]
#![allow(clippy::print_stdout, reason = "the figures are what a person runs it for")]

mod attack;
#[path = "../common/mod.rs"]
mod common;
#[path = "../../../../crates/node/tests/evil/mod.rs"]
mod evil;
mod measure;
mod rows;

use attack::{Attack, Row};
use blockhie_core::{Genesis, SecretKey, Transaction, Unverified, sha256};
use blockhie_transport::LedgerClient;
use common::{Running, members};
use measure::{Seen, cpu_ms, honest, mib, p99, print, resident};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Memory that an attack may cost the node, bytes: unfinished requests in all (64 MiB), 100 connections with their
/// windows half full (100 MiB), and what the allocator keeps of both.
const MEMORY_BOUND: u64 = 192 << 20;
/// At full length the node is measured quiet and attacked by turns, so often: what else the machine does falls on both.
const ROUNDS: u64 = 3;

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn record(genesis: &Genesis, sender: &str, serial: u64) -> Transaction<Unverified> {
    let commitment = sha256(&[sender.as_bytes(), &serial.to_be_bytes()]);
    let payload = [&[0x0a, 0x20], commitment.as_bytes().as_slice()].concat();
    let secret = SecretKey::from_seed(sha256(&[sender.as_bytes()]).0);
    Transaction::sign(&genesis.chain_id(), &secret, now_ms(), 1, None, &payload).into_unverified()
}

async fn genesis_of(address: &str) -> Genesis {
    let client = LedgerClient::connect(address).await.unwrap();
    Genesis::from_bytes(&client.genesis().await.unwrap()).unwrap()
}

/// Seconds at full length, where somebody asked for that.
fn wanted() -> Option<u64> {
    std::env::var("BLOCKHIE_HOSTILE_SECONDS").ok().map(|text| text.parse().unwrap())
}

/// An honest client's calls, quiet and under attack.
async fn compare(row: Row) {
    let (rounds, quiet_s, attack_s) =
        wanted().map_or((1, 1, 4), |all| (ROUNDS, (all / 6).max(3), (all / ROUNDS).max(3)));
    let folder = tempfile::tempdir().unwrap();
    let dir = members(folder.path(), &["a"], "1000").remove(0).0;
    let node = Running::start(&dir, &[]);
    let (pid, genesis) = (node.child.id(), genesis_of(&node.address).await);
    let client = LedgerClient::connect(&node.address).await.unwrap();
    honest(&client, &genesis, "warm-up", pid, Duration::from_secs(1)).await;
    let before = resident(pid);
    let (mut quiet, mut busy, mut attacked) = (Seen::default(), Seen::default(), Seen::default());
    for round in 0..rounds {
        let measure = async |name: &str, seconds| {
            let cpu = cpu_ms(pid).0;
            let name = format!("{name} {round}");
            let mut seen = honest(&client, &genesis, &name, pid, Duration::from_secs(seconds)).await;
            (seen.node_ms, seen.seconds) = (cpu_ms(pid).0 - cpu, seconds);
            seen
        };
        let under = async |name: &str, seconds, at_door| {
            let attack = Attack::start(&node.address, seconds + 2, row, at_door);
            tokio::time::sleep(Duration::from_millis(500)).await;
            let cpu = cpu_ms(attack.0.id()).0;
            let mut seen = measure(name, seconds).await;
            seen.attackers_ms = cpu_ms(attack.0.id()).0 - cpu;
            seen
        };
        quiet.add(measure("quiet", quiet_s).await);
        if wanted().is_some() {
            busy.add(under("busy", quiet_s, true).await);
        }
        attacked.add(under("attacked", attack_s, false).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    println!(
        "{row:?}: {rounds} rounds of {quiet_s} s quiet, and as long with the attackers at another door, {attack_s} s attacked"
    );
    for (what, seen) in [("quiet", &mut quiet), ("at another door", &mut busy), ("attacked", &mut attacked)] {
        print(what, seen);
    }
    println!("memory: {} MiB before, {} at most, {} after", mib(before), mib(attacked.memory), mib(resident(pid)));
    for (name, ms) in cpu_ms(pid).1 {
        println!("threads {name}: {ms} ms in all");
    }
    assert!(attacked.memory < before.max(quiet.memory) + MEMORY_BOUND, "memory");
    assert!(attacked.failed == 0 && !attacked.acks.is_empty(), "the honest client is served");
    if wanted().is_some() {
        let (quiet, attacked) = (p99(&quiet.acks), p99(&attacked.acks));
        assert!(attacked < 2 * quiet, "p99 of an acknowledgement: expected below {}, got {attacked} us", 2 * quiet);
    }
    let (_, well) = node.terminate();
    assert!(well);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_hostile_connections() {
    compare(Row::All).await;
}

/// (P3) Five hundred half-open connections and floods of resets.
#[tokio::test(flavor = "multi_thread")]
async fn p3_half_open_connections_and_resets() {
    compare(Row::P3).await;
}

/// (P10) One key at ten times its rate.
#[tokio::test(flavor = "multi_thread")]
async fn p10_one_key_far_above_its_rate() {
    compare(Row::P10).await;
}

/// (P10) One key as fast as it is answered.
#[tokio::test(flavor = "multi_thread")]
async fn p10_one_key_as_fast_as_it_is_answered() {
    compare(Row::Flood).await;
}
