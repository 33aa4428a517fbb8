//! Bounds: sizes, connections, requests at once, times, and the end.

use crate::fake::{HANGS, Node, transaction};
use blockhie_core::limits::MAX_RECEIPT_BYTES;
use blockhie_core::{ErrorClass, Hash32};
use blockhie_transport::limits::{MAX_ANSWER_BYTES, MAX_MESSAGE_BYTES};
use blockhie_transport::pb::synchronization_client::SynchronizationClient;
use blockhie_transport::pb::{self, v1};
use blockhie_transport::{ClientLimits, LedgerClient, Limits, PeerClient};
use bytes::Bytes;
use futures::StreamExt;
use prost::Message;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

fn short(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A transaction message of exactly `size` bytes.
fn sized(size: usize) -> pb::Transaction {
    let mut tx = pb::Transaction::from(&transaction(1));
    // Its length takes one byte up to 127 and three from 16,384 to 2^21.
    tx.body = Some(Bytes::from(vec![1; 20_000]));
    let rest = tx.encoded_len() - 20_000;
    tx.body = Some(Bytes::from(vec![1; size - rest]));
    assert_eq!(tx.encoded_len(), size);
    tx
}

#[tokio::test]
async fn messages_above_1_mib_are_refused_and_the_server_lives() {
    let node = Node::start(Limits::default()).await;
    let mut client = SynchronizationClient::new(node.channel().await).max_encoding_message_size(4 << 20);
    // At the limit it is read, and then judged by its fields.
    let status = client.transaction_to(sized(MAX_MESSAGE_BYTES)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    for size in [MAX_MESSAGE_BYTES + 1, 2_000_000] {
        let status = client.transaction_to(sized(size)).await.unwrap_err();
        assert_eq!(status.code(), Code::OutOfRange, "{size}: {status}");
    }
    assert_eq!(node.fake.calls(), 0);
    assert!(client.transaction_to(pb::Transaction::from(&transaction(1))).await.is_ok());
    node.stop().await.unwrap();
}

#[tokio::test]
async fn the_longest_receipt_passes_and_a_longer_answer_does_not() {
    let node = Node::start(Limits::default()).await;
    let client = LedgerClient::connect(&node.url()).await.unwrap();
    node.fake.receipt_bytes.store(MAX_RECEIPT_BYTES, Ordering::SeqCst);
    assert_eq!(client.receipt(Hash32::ZERO).await.unwrap().len(), MAX_RECEIPT_BYTES);
    node.fake.receipt_bytes.store(MAX_ANSWER_BYTES, Ordering::SeqCst);
    let mut patient = v1::ledger_client::LedgerClient::new(node.channel().await).max_decoding_message_size(16 << 20);
    let status = patient.receipt(v1::ReceiptRequest::from(Hash32::ZERO)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn connections_from_one_address_are_counted() {
    let node = Node::start(Limits { connections_per_address: 2, ..Limits::default() }).await;
    let first = PeerClient::connect(node.address).await.unwrap();
    let second = PeerClient::connect(node.address).await.unwrap();
    for client in [&first, &second] {
        assert!(client.exchange_nodes(&[]).await.is_ok());
    }
    // The third is accepted by the kernel and closed by the server.
    let third = async || PeerClient::connect(node.address).await?.exchange_nodes(&[]).await;
    assert_eq!(third().await.unwrap_err().class(), ErrorClass::Unavailable);
    drop(first);
    let begin = Instant::now();
    while third().await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(5), "the place of a closed connection is given back");
        tokio::time::sleep(short(10)).await;
    }
    assert!(second.exchange_nodes(&[]).await.is_ok());
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let node = Node::start(Limits { handshake_time: short(200), ..Limits::default() }).await;
    let begin = Instant::now();
    let mut silent = TcpStream::connect(node.address).await.unwrap();
    let mut slow = TcpStream::connect(node.address).await.unwrap();
    slow.write_all(b"PRI * HTTP/2.0").await.unwrap();
    let client = PeerClient::connect(node.address).await.unwrap();
    for stream in [&mut silent, &mut slow] {
        let mut answer = Vec::new();
        // Closed, with or without a last frame.
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.unwrap();
    }
    assert!(begin.elapsed() >= short(200));
    assert!(client.exchange_nodes(&[]).await.is_ok(), "a connection that spoke in time stays");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    let node = Node::start(Limits { request_time: short(200), ..Limits::default() }).await;
    let client = PeerClient::connect(node.address).await.unwrap();
    let begin = Instant::now();
    let error = client.transaction_to(&transaction(HANGS)).await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(5), "by the server, not by the client after 10 s");
    assert_eq!(error.class(), ErrorClass::Unavailable, "{error}");
    assert!(client.transaction_to(&transaction(1)).await.is_ok());
    // A watch stream outlives the time of a request.
    let ledger = LedgerClient::connect(&node.url()).await.unwrap();
    let mut tips = ledger.watch().await.unwrap();
    assert!(tips.next().await.unwrap().is_ok() && tips.next().await.unwrap().is_ok());
    assert!(tokio::time::timeout(short(500), tips.next()).await.is_err(), "still open");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn more_requests_than_allowed_are_refused_at_once() {
    let node = Node::start(Limits { requests: 1, drain_time: short(50), ..Limits::default() }).await;
    let client = PeerClient::connect(node.address).await.unwrap();
    let other = PeerClient::connect(node.address).await.unwrap();
    let hanging = tokio::spawn(async move { client.transaction_to(&transaction(HANGS)).await });
    let begin = Instant::now();
    loop {
        match other.exchange_nodes(&[]).await {
            Err(error) => {
                assert_eq!(error.class(), ErrorClass::Exhausted, "{error}");
                break;
            }
            Ok(_) => assert!(begin.elapsed() < Duration::from_secs(5), "the limit counts all connections together"),
        }
    }
    hanging.abort();
    let begin = Instant::now();
    while other.exchange_nodes(&[]).await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(5), "the place of a request that was given up is free again");
        tokio::time::sleep(short(10)).await;
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn streams_of_one_connection_are_counted() {
    let node = Node::start(Limits { streams_per_connection: 2, drain_time: short(50), ..Limits::default() }).await;
    let limits = ClientLimits { request_time: short(500), ..ClientLimits::default() };
    let client = PeerClient::connect_with(node.address, &limits).await.unwrap();
    assert!(client.exchange_nodes(&[]).await.is_ok(), "the settings of the server are known");
    let ledger = LedgerClient::connect(&node.url()).await.unwrap();
    let streams = [ledger.watch().await.unwrap(), ledger.watch().await.unwrap()];
    let third = tokio::time::timeout(short(300), ledger.tip()).await;
    assert!(third.is_err(), "the third waits until one of the two is closed");
    assert!(client.exchange_nodes(&[]).await.is_ok(), "another connection has its own");
    drop(streams);
    assert!(ledger.tip().await.is_ok());
    node.stop().await.unwrap();
}

#[tokio::test]
async fn shutdown_ends_streams_and_does_not_wait_for_ever() {
    let node = Node::start(Limits { drain_time: Duration::from_secs(30), ..Limits::default() }).await;
    let address = node.address;
    let ledger = LedgerClient::connect(&node.url()).await.unwrap();
    let tips = ledger.watch().await.unwrap();
    let begin = Instant::now();
    node.stop().await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(10), "an open stream does not hold it up");
    assert!(tips.all(|tip| futures::future::ready(tip.is_ok())).await, "the stream ended without an error");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens");

    let node = Node::start(Limits { drain_time: short(200), ..Limits::default() }).await;
    let client = PeerClient::connect(node.address).await.unwrap();
    let hanging = tokio::spawn(async move { client.transaction_to(&transaction(HANGS)).await });
    let probe = PeerClient::connect(node.address).await.unwrap();
    assert!(probe.exchange_nodes(&[]).await.is_ok());
    tokio::time::sleep(short(50)).await;
    let begin = Instant::now();
    node.stop().await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5), "a request that hangs does not hold it up");
    hanging.abort();
}
