//! Nodes whose store fails, whose port is taken, or whose neighbours misbehave.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]

mod common;

use blockhie_core::store::Batch;
use blockhie_core::{
    ErrorClass, Genesis, Hash32, MemoryStore, Signature, Store, StoreError, StoreRead, TxStatus, UncheckedBlock,
};
use blockhie_node::{Config, Node, NodeError};
use blockhie_transport::{ClientError, Hello, PeerClient};
use common::{builder, client, config, forge, genesis, private_ledger, record_of, start, until};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// A store whose disk can be full.
struct Flaky {
    inner: MemoryStore,
    full: AtomicBool,
}

impl Store for Flaky {
    fn snapshot(&self) -> Box<dyn StoreRead + '_> {
        self.inner.snapshot()
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Io { action: "commit", reason: "no space left".into(), hint: None });
        }
        self.inner.commit(batch)
    }
}

fn quiet(peers: &[&Node]) -> Config {
    Config { mine: false, ..config(peers) }
}

fn hello(genesis: &Genesis, listener: &Node, nonce: u64) -> Hello {
    let listen_port = listener.address().port();
    Hello { chain_id: genesis.chain_id(), height: 0, work: [0; 32], listen_port, nonce }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_write_nothing_more_is_taken_until_it_is_made_good() {
    let genesis = genesis(2);
    let store = Arc::new(Flaky { inner: MemoryStore::new(&genesis), full: AtomicBool::new(false) });
    let mut parts = builder(&genesis, 1, quiet(&[]));
    parts.store = store.clone();
    let node = parts.start().await.unwrap();
    let ledger = client(&node).await;
    store.full.store(true, Ordering::SeqCst);
    let staged = record_of(&genesis, 1, "staged");
    let error = node.submit(staged.clone()).await.unwrap_err();
    assert!(error.class == ErrorClass::Unavailable && error.message.contains("no space left"), "{}", error.message);
    for sender in 2..10 {
        let error = node.submit(record_of(&genesis, sender, "refused")).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Unavailable);
        assert!(error.message.contains("no space left") && error.message.contains("only serves"), "{}", error.message);
    }
    // it goes on serving
    assert_eq!(ledger.tip().await.unwrap().height, 0);
    store.full.store(false, Ordering::SeqCst);
    until("written by itself", async || {
        matches!(ledger.status(staged.hash()).await.unwrap(), TxStatus::Pending { .. })
    })
    .await;
    until("taking again", async || node.submit(record_of(&genesis, 10, "later")).await.is_ok()).await;
    assert_eq!(node.tip().pending, 2, "of what was refused nothing was kept");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_leaves_nothing_running() {
    let genesis = genesis(2);
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let metrics = Config { metrics: address.clone(), ..config(&[]) };
    let listen = Config { listen: address, ..config(&[]) };
    for (wanted, config) in [("--metrics", metrics), ("--listen", listen)] {
        let parts = builder(&genesis, 1, config);
        let store = parts.store.clone();
        let error = parts.start().await.err().unwrap();
        assert!(matches!(error, NodeError::Listen { option, .. } if option == wanted), "{error}");
        assert_eq!(Arc::strong_count(&store), 1, "a thread still holds the store");
    }
}

/// Programs of one machine share an address: what one of them sends is answered for what it is, and costs the others
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn on_loopback_every_message_gets_its_own_answer() {
    let genesis = genesis(2);
    let node = start(&genesis, 1, quiet(&[])).await;
    let other = start(&genesis, 2, quiet(&[&node])).await;
    until("connected", async || node.peers().iter().any(|peer| peer.connected)).await;
    let peer = PeerClient::connect(node.address()).await.unwrap();
    // it claims the other's port
    peer.hello(hello(&genesis, &other, 77)).await.unwrap();
    let good = forge(&mut private_ledger(&genesis), 2, Vec::new(), genesis.time_ms + 10);
    let bad = UncheckedBlock { signature: Some(Signature([1; 64])), ..good.clone() };
    for _ in 0..3 {
        let error = peer.block_to(&bad).await.unwrap_err();
        let ClientError::Status { class: ErrorClass::Invalid, message, .. } = &error else { panic!("{error}") };
        assert!(message.contains("signature"), "{message}");
    }
    assert_eq!(peer.block_to(&good).await.unwrap(), good.claimed_hash);
    assert!(node.peers().iter().any(|known| known.address == other.address() && known.connected));
    until("the other has it", async || other.tip().hash == good.claimed_hash).await;
    other.stop().await.unwrap();
    node.stop().await.unwrap();
}

/// Leads to `node`, and lets each connection wait before.
async fn slow_way_to(node: &Node, wait: Duration) -> u16 {
    let (listener, address) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), node.address());
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                let mut far = TcpStream::connect(address).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    port
}

/// A client that has just said where it listens pushes a block whose bodies only it has.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_fetched_from_a_sender_that_was_not_connected_yet() {
    let genesis = genesis(2);
    let (node, source) = (start(&genesis, 1, quiet(&[])).await, start(&genesis, 2, quiet(&[])).await);
    let hash = source.submit(record_of(&genesis, 7, "only there")).await.unwrap();
    let block = forge(&mut private_ledger(&genesis), 2, vec![hash], genesis.time_ms + 10);
    let peer = PeerClient::connect(node.address()).await.unwrap();
    let listen_port = slow_way_to(&source, Duration::from_millis(500)).await;
    peer.hello(Hello { listen_port, ..hello(&genesis, &source, 78) }).await.unwrap();
    assert_eq!(peer.block_to(&block).await.unwrap(), block.claimed_hash);
    source.stop().await.unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_of_another_chain_holds_no_place() {
    let (ours, mut theirs) = (genesis(2), genesis(2));
    theirs.nonce = Hash32([1; 32]);
    let foreign = start(&theirs, 1, quiet(&[])).await;
    let node = start(&ours, 1, quiet(&[])).await;
    let named = start(&ours, 2, quiet(&[&foreign])).await;
    let peer = PeerClient::connect(node.address()).await.unwrap();
    peer.exchange_nodes(&[foreign.address()]).await.unwrap();
    // It is called within a moment, unless that was too short to be seen, and then forgotten.
    let looked = std::time::Instant::now();
    while node.peers().is_empty() && looked.elapsed() < Duration::from_secs(2) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    until("forgotten", async || node.peers().is_empty()).await;
    // it is left alone for a while, too
    peer.exchange_nodes(&[foreign.address()]).await.unwrap();
    let told = std::time::Instant::now();
    while told.elapsed() < Duration::from_millis(500) {
        assert!(node.peers().is_empty());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(named.peers().len(), 1, "the operator's word stands");
    for node in [named, node, foreign] {
        node.stop().await.unwrap();
    }
}

/// What is refused before the engine sees it, by its form or its signature, is told of to the sender's score.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_messages_and_false_signatures_are_scored() {
    let genesis = genesis(2);
    let (node, other) = (start(&genesis, 1, quiet(&[])).await, start(&genesis, 2, quiet(&[])).await);
    let peer = PeerClient::connect(node.address()).await.unwrap();
    let mut elsewhere = genesis.clone();
    elsewhere.nonce = Hash32([9; 32]);
    let foreign = record_of(&elsewhere, 1, "x").into_unverified();
    assert!(peer.transaction_to(&foreign).await.is_err());
    assert!(!node.metrics().contains("blockhie_malformed_total"), "nobody is known behind this connection");
    peer.hello(hello(&genesis, &other, 79)).await.unwrap();
    assert!(peer.transaction_to(&foreign).await.is_err());
    let good = forge(&mut private_ledger(&genesis), 2, Vec::new(), genesis.time_ms + 10);
    let long = UncheckedBlock { siblings: vec![Hash32([1; 32]); 300], ..good };
    assert!(peer.block_to(&long).await.is_err());
    until("told", async || node.metrics().contains("blockhie_malformed_total 2")).await;
    other.stop().await.unwrap();
    node.stop().await.unwrap();
}
