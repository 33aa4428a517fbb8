//! Real nodes among hostile clients, hostile servers and bad lines. Each test names the row of the threat page.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]
#![allow(clippy::print_stdout, reason = "the figures of the long form are what a person runs it for")]

mod common;
mod evil;

use blockhie_core::{Genesis, Hash32, MemoryStore, Signature, Transaction, UncheckedBlock, Unverified};
use blockhie_node::{Config, Node};
use blockhie_transport::{PeerClient, pb};
use bytes::Bytes;
use common::{builder, client, config, genesis, is_committed, record_of, secret, start, until};
use evil::forge::Forge;
use evil::proxy::{Fault, Link};
use evil::{Evil, Liar, host};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;

fn quiet(peers: &[&Node]) -> Config {
    Config { mine: false, ..config(peers) }
}

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1_024
}

/// A counter of the metrics page; 0 when it was never counted.
fn counter(node: &Node, name: &str) -> u64 {
    let text = node.metrics();
    let line = text.lines().find(|line| line.starts_with(name) && line.as_bytes().get(name.len()) == Some(&b' '));
    line.map_or(0, |line| line[name.len() + 1..].parse().unwrap())
}

/// (P1) 2 and 100 MiB, and a million hashes: little memory, no work, and the node goes on.
#[tokio::test(flavor = "multi_thread")]
async fn p1_oversized_messages_cost_nothing() {
    let genesis = genesis(2);
    let node = start(&genesis, 1, quiet(&[])).await;
    let evil = Evil::connect(host(1), node.address()).await.unwrap();
    evil.hello(&genesis, 0, 5).await.unwrap();
    let million = pb::Block { txshash: vec![Bytes::from_static(&[7; 32]); 1_000_000], ..Default::default() };
    let large = pb::Message { value: Some(Bytes::from(vec![1; 2 << 20])) };
    let huge = pb::Message { value: Some(Bytes::from(vec![1; 100 << 20])) };
    // What this side needs to send them is there before the measurement.
    drop(evil.send("/Synchronization/BlockFrom", huge.clone()).await);
    let before = resident();
    for _ in 0..5 {
        let status = evil.send("/Synchronization/BlockTo", million.clone()).await.unwrap_err();
        assert_ne!(status.code(), Code::Ok);
        assert!(evil.send("/Synchronization/BlockFrom", large.clone()).await.is_err());
        assert!(evil.send("/Synchronization/BlockFrom", huge.clone()).await.is_err());
    }
    // The sender's own copies are the larger part of what may have grown.
    let grown = resident().saturating_sub(before);
    assert!(grown < 200 << 20, "{grown} bytes more");
    assert_eq!(client(&node).await.tip().await.unwrap().height, 0);
    node.stop().await.unwrap();
}

/// (P1) A claimed length alone ends the request, before anything is allocated for it.
#[tokio::test(flavor = "multi_thread")]
async fn p1_a_claimed_length_is_refused_by_its_prefix() {
    let genesis = genesis(2);
    let node = start(&genesis, 1, quiet(&[])).await;
    let before = resident();
    let evil = Evil::connect(host(2), node.address()).await.unwrap();
    evil.hello(&genesis, 0, 5).await.unwrap();
    let begin = Instant::now();
    for _ in 0..30 {
        // The stream stays open: only the prefix and a part of the message came.
        assert_eq!(evil.endless(2 << 20).await.code(), Code::OutOfRange);
    }
    assert!(begin.elapsed() < Duration::from_secs(8), "by its first bytes, not after a time");
    let mut more = 0;
    while evil.endless(2 << 20).await.code() == Code::OutOfRange {
        more += 1;
        assert!(more < 20, "after some thirty nothing more of it is read");
    }
    assert!(resident().saturating_sub(before) < 64 << 20);
    node.stop().await.unwrap();
}

/// (P3) Hundreds of connections that say nothing, or half of something, do not keep out an honest client.
#[tokio::test(flavor = "multi_thread")]
async fn p3_half_open_connections_keep_nobody_out() {
    let genesis = genesis(2);
    let node = start(&genesis, 1, quiet(&[])).await;
    let mut held = Vec::new();
    for n in 0..250u8 {
        for _ in 0..2 {
            let mut stream = evil::dial(host(n), node.address()).await.unwrap();
            if n % 2 == 0 {
                stream.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
            }
            held.push(stream);
        }
    }
    let honest = client(&node).await;
    for _ in 0..50 {
        let begin = Instant::now();
        honest.tip().await.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(1));
    }
    // All of them are closed when the time for a handshake is over.
    let closed = async {
        for stream in &mut held {
            let mut rest = Vec::new();
            drop(stream.read_to_end(&mut rest).await);
        }
    };
    tokio::time::timeout(Duration::from_secs(8), closed).await.unwrap();
    node.stop().await.unwrap();
}

/// (P4) Bad blocks, each wrong in its own way: nothing is written, and after some they are not even looked at.
#[tokio::test(flavor = "multi_thread")]
async fn p4_floods_of_bad_blocks_write_nothing() {
    let genesis = genesis(2);
    let node = start(&genesis, 1, quiet(&[])).await;
    let good = Forge::new(&genesis, secret(2)).block(Vec::new(), 10);
    let bad = |i: u64| {
        let mut block = good.clone();
        match i % 5 {
            0 => block.nonce ^= i + 1,
            1 => block.signature = Some(Signature([3; 64])),
            2 => block.target ^= 1,
            3 => block.claimed_hash = Hash32([9; 32]),
            _ => block.height = 2 + i,
        }
        block
    };
    let turns_before = counter(&node, "blockhie_commit_seconds_count");
    let mut floods = Vec::new();
    for n in 0..8u8 {
        let evil = Evil::connect(host(20 + n), node.address()).await.unwrap();
        let blocks: Vec<UncheckedBlock> = (0..500).map(bad).collect();
        floods.push(tokio::spawn(async move {
            let mut answers = [0; 2];
            let pushes = blocks.iter().map(|block| evil.push(block));
            for answer in futures::future::join_all(pushes).await {
                let status = answer.unwrap_err();
                answers[usize::from(status.code() != Code::InvalidArgument)] += 1;
            }
            answers
        }));
    }
    let (mut judged, mut unread) = (0, 0);
    for flood in floods {
        let [invalid, other] = flood.await.unwrap();
        judged += invalid;
        unread += other;
    }
    assert!((8..8 * 400).contains(&judged), "{judged} were looked at, {unread} not");
    assert_eq!(counter(&node, "blockhie_commit_seconds_count"), turns_before, "nothing was written");
    assert_eq!(node.tip().height, 0);
    let honest = PeerClient::connect(node.address()).await.unwrap();
    assert_eq!(honest.block_to(&good).await.unwrap(), good.claimed_hash, "and the hash is not condemned");
    node.stop().await.unwrap();
}

/// (P8) Peers that gossip only themselves do not take the places of those who were here before a restart.
#[tokio::test(flavor = "multi_thread")]
async fn p8_restarts_among_liars_find_the_honest_again() {
    let genesis = genesis(2);
    let first = start(&genesis, 1, quiet(&[])).await;
    let mut honest = Vec::new();
    for _ in 0..3 {
        honest.push(start(&genesis, 1, quiet(&[&first])).await);
    }
    honest.push(first);
    let places: Vec<SocketAddr> = honest.iter().map(Node::address).collect();
    let store = Arc::new(MemoryStore::new(&genesis));
    let run = async |peers: &[&Node]| {
        let mut parts = builder(&genesis, 1, quiet(peers));
        parts.store = store.clone();
        parts.start().await.unwrap()
    };
    let connected = |node: &Node| {
        let peers = node.peers();
        places.iter().filter(|place| peers.iter().any(|peer| peer.connected && peer.address == **place)).count()
    };
    // Before the attack it meets them by one that is named.
    let victim = run(&[&honest[3]]).await;
    until("all are met", async || connected(&victim) == 4).await;
    until("and remembered", async || !blockhie_core::Store::snapshot(&*store).peers().unwrap().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    victim.stop().await.unwrap();

    // Two hundred and a hundred for whoever has time: `cargo xtask hostile --row p8`.
    let long = std::env::var("BLOCKHIE_RESTARTS").ok().map(|text| text.parse::<u32>().unwrap());
    let (count, restarts) = long.map_or((40, 4), |restarts| (200, restarts));
    let mut liars = Vec::new();
    for n in 0..count {
        liars.push(Liar::start(&genesis, host(50 + n), 1_000 + u64::from(n)).await);
    }
    let all: Vec<SocketAddr> = liars.iter().map(|liar| liar.address).collect();
    let mut fewest = usize::MAX;
    for liar in &liars {
        *liar.script.gossip.lock().unwrap() = all.clone();
    }
    for restart in 0..restarts {
        let victim = run(&[]).await;
        for (n, liar) in (0u8..).zip(&liars) {
            let Some(evil) = Evil::connect(host(50 + n), victim.address()).await else { continue };
            drop(evil.hello(&genesis, liar.address.port(), 1_000 + u64::from(n)).await);
            // A message has 64 addresses at most.
            drop(evil.gossip(all.chunks(64).nth(usize::from(n) / 64).unwrap()).await);
        }
        until("two of the honest", async || connected(&victim) >= 2).await;
        fewest = fewest.min(connected(&victim));
        assert!(victim.peers().len() <= 32, "restart {restart}: {}", victim.peers().len());
        victim.stop().await.unwrap();
    }
    println!("p8: {count} liars, {restarts} restarts: {fewest} honest peers connected at least");
    for node in honest {
        node.stop().await.unwrap();
    }
}

/// (P9) Addresses inside are not called, whoever announces them: nobody comes to a door that only gossip names.
#[tokio::test(flavor = "multi_thread")]
async fn p9_announced_doors_of_other_services_are_not_knocked_at() {
    let genesis = genesis(2);
    let node = start(&genesis, 1, quiet(&[])).await;
    // Not a node: something that must see no more than one attempt of a handshake, and nothing of the chain's.
    let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let evil = Evil::connect(host(3), node.address()).await.unwrap();
    let inside = ["169.254.169.254:8080", "[::ffff:169.254.169.254]:8080", "127.0.0.1:22", "0.0.0.0:9999"];
    let mut told: Vec<SocketAddr> = inside.iter().map(|text| text.parse().unwrap()).collect();
    told.push(door.local_addr().unwrap());
    evil.gossip(&told).await.unwrap();
    let (mut stream, _) = tokio::time::timeout(Duration::from_secs(5), door.accept()).await.unwrap().unwrap();
    let mut first = vec![0; 24];
    stream.read_exact(&mut first).await.unwrap();
    assert!(first.starts_with(b"PRI * HTTP/2.0"), "a handshake, and nothing before it");
    drop(stream);
    let named = node.peers();
    assert!(named.iter().all(|peer| peer.address == door.local_addr().unwrap()), "{named:?}");
    // A flood of exchanges is answered a few times.
    let answers = futures::future::join_all((0..40).map(|_| evil.gossip(&told))).await;
    let refused = answers.iter().filter(|answer| answer.is_err()).count();
    assert!(refused > 15, "{refused}");
    node.stop().await.unwrap();
}

/// (P10) One key at many times the load uses up its own bucket; others go on.
#[tokio::test(flavor = "multi_thread")]
async fn p10_one_sender_does_not_shut_out_others() {
    let genesis = genesis(2);
    let node = start(&genesis, 1, Config { sender_rate: 5, ..quiet(&[]) }).await;
    let spam: Vec<_> = (0..120).map(|i| record_of(&genesis, 9, &format!("spam {i}")).into_unverified()).collect();
    let evil = Evil::connect(host(4), node.address()).await.unwrap();
    let (ledger, begun) = (client(&node).await, Instant::now());
    let flood = tokio::spawn(async move {
        let answers = futures::future::join_all(spam.iter().map(|tx| evil.submit(tx))).await;
        answers.iter().filter(|answer| answer.is_ok()).count()
    });
    for i in 0..20 {
        let begin = Instant::now();
        ledger.submit(&record_of(&genesis, 10 + i, "honest").into_unverified()).await.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(2));
    }
    let taken = flood.await.unwrap();
    let back = 5 * (usize::try_from(begun.elapsed().as_secs()).unwrap() + 1);
    assert!((50..=50 + back).contains(&taken), "{taken}: ten seconds' worth, and what came back meanwhile");
    assert!(node.tip().pending <= 20 + taken);
    let again = record_of(&genesis, 11, "once").into_unverified();
    for _ in 0..200 {
        assert!(ledger.submit(&again).await.is_ok(), "what is known is answered, and costs no token");
    }
    node.stop().await.unwrap();
}

fn of_chain(genesis: &Genesis, nonce: u8) -> Genesis {
    let mut other = genesis.clone();
    other.nonce = Hash32([nonce; 32]);
    other
}

/// (P11) Everything of one chain, handed in on another of the same members: accepted 0 times.
#[tokio::test(flavor = "multi_thread")]
async fn p11_nothing_is_accepted_on_another_chain() {
    let ours = genesis(2);
    let theirs = of_chain(&ours, 77);
    let node = start(&ours, 1, quiet(&[])).await;
    let evil = Evil::connect(host(5), node.address()).await.unwrap();
    assert_eq!(evil.hello(&theirs, 0, 4).await.unwrap_err().code(), Code::FailedPrecondition);
    let foreign = record_of(&theirs, 1, "there");
    let mut accepted = usize::from(evil.submit(&foreign.clone().into_unverified()).await.is_ok());
    // The same signature under this chain's hash.
    let own = record_of(&ours, 1, "there");
    let relabelled: Transaction<Unverified> = Transaction::new(
        foreign.time_ms(),
        foreign.tx_type(),
        *foreign.from(),
        None,
        foreign.body().clone(),
        Transaction::<Unverified>::from_bytes(&foreign.to_bytes(), &ours.chain_id()).unwrap().hash(),
    );
    accepted += usize::from(evil.submit(&relabelled).await.is_ok());
    let mut forge = Forge::new(&theirs, secret(2));
    for _ in 0..3 {
        accepted += usize::from(evil.push(&forge.block(Vec::new(), 10)).await.is_ok());
    }
    let own_block = Forge::new(&ours, secret(2)).block(Vec::new(), 10);
    let mut lent = own_block.clone();
    lent.signature = Forge::new(&theirs, secret(2)).block(Vec::new(), 10).signature;
    accepted += usize::from(evil.push(&lent).await.is_ok());
    assert_eq!((accepted, node.tip().height, node.tip().pending), (0, 0, 0));
    // And what is this chain's is taken once, however often it comes.
    let own = own.into_unverified();
    for _ in 0..5 {
        evil.submit(&own).await.unwrap();
        evil.push(&own_block).await.unwrap();
    }
    assert_eq!((node.tip().height, node.tip().pending), (1, 1));
    node.stop().await.unwrap();
}

/// (P12) Orphans and announced blocks whose bodies never come: bounded, and the honest chain grows meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn p12_orphans_and_withheld_bodies_do_not_stop_the_chain() {
    let genesis = genesis(3);
    let nodes = [start(&genesis, 1, config(&[])).await];
    let second = start(&genesis, 2, config(&[&nodes[0]])).await;
    let liar = Liar::start(&genesis, host(6), 99).await;
    let evil = Evil::connect(host(6), nodes[0].address()).await.unwrap();
    evil.hello(&genesis, liar.address.port(), 99).await.unwrap();
    let mut forge = Forge::new(&genesis, secret(3));
    let withheld = forge.block(vec![Hash32([5; 32])], 10);
    let child = forge.block(Vec::new(), 10);
    *liar.script.chain.lock().unwrap() = vec![withheld.clone(), child.clone()];
    let attack = tokio::spawn(async move {
        for i in 0..300u64 {
            let orphan = UncheckedBlock { previous: Hash32([1; 32]), history_root: None, nonce: i, ..child.clone() };
            drop(tokio::time::timeout(Duration::from_millis(20), evil.push(&orphan)).await);
            drop(tokio::time::timeout(Duration::from_millis(5), evil.push(&withheld)).await);
        }
    });
    let honest = client(&nodes[0]).await;
    let hash = second.submit(record_of(&genesis, 50, "through it all")).await.unwrap();
    until("committed", async || is_committed(&honest, hash).await).await;
    let height = nodes[0].tip().height;
    until("it grows", async || nodes[0].tip().height > height + 2).await;
    attack.abort();
    second.stop().await.unwrap();
    let [first] = nodes;
    first.stop().await.unwrap();
}

/// PROXY: an honest pair on a line that flips bits, swallows bytes and half closes agrees again when that is over.
#[tokio::test(flavor = "multi_thread")]
async fn an_honest_pair_on_a_bad_line_agrees_once_it_is_healed() {
    let genesis = genesis(2);
    let first = start(&genesis, 1, config(&[])).await;
    let second = start(&genesis, 2, config(&[])).await;
    let link = Link::new(1, first.address(), second.address()).await;
    first.add_peer(link.to_b);
    second.add_peer(link.to_a);
    let agree = async || first.tip().hash == second.tip().hash && first.tip().height > 2;
    until("agreed at first", agree).await;
    for fault in [Fault::Jitter(60), Fault::Flip(997), Fault::Reset, Fault::BlackHole] {
        link.both(fault);
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    link.set(Fault::HalfOpen, Fault::None);
    let during = first.submit(record_of(&genesis, 30, "meanwhile")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    link.both(Fault::None);
    let other = client(&second).await;
    until("committed over there", async || is_committed(&other, during).await).await;
    until("agreed again", agree).await;
    assert!(second.peers().iter().all(|peer| peer.address == link.to_a), "nobody went round the line");
    first.stop().await.unwrap();
    second.stop().await.unwrap();
}
