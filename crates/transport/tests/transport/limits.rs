//! Bounds: sizes, connections, requests at once, times, and the end.

use crate::fake::{HANGS, Node, transaction};
use blockhie_core::limits::MAX_RECEIPT_BYTES;
use blockhie_core::{ErrorClass, Hash32};
use blockhie_transport::codec::BoundedCodec;
use blockhie_transport::limits::{
    DEBT_PAUSE, EXHAUSTED_PAUSE, MAX_ANSWER_BYTES, MAX_IN_DEBT, MAX_MESSAGE_BYTES, NODE_EXHAUSTED_PAUSE,
};
use blockhie_transport::pb::synchronization_client::SynchronizationClient;
use blockhie_transport::pb::{self, v1};
use blockhie_transport::{ClientLimits, LedgerClient, Limits, PeerClient, Rate, ServiceError};
use bytes::Bytes;
use futures::StreamExt;
use prost::Message;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

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
    let told = node.fake.refused.lock().unwrap().clone();
    let oversize = told.iter().filter(|text| text.starts_with("message: expected at most 1048576 bytes")).count();
    assert_eq!(oversize, 2, "whoever sends them is scored: {told:?}");
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
    tokio::time::sleep(short(200)).await;
    assert!(other.exchange_nodes(&[]).await.is_ok(), "who has none gets a place all the same");
    let second = other.clone();
    let hanging_too = tokio::spawn(async move { second.transaction_to(&transaction(HANGS)).await });
    loop {
        let asked = Instant::now();
        match other.exchange_nodes(&[]).await {
            Err(error) => {
                assert_eq!(error.class(), ErrorClass::Exhausted, "{error}");
                assert!(asked.elapsed() >= NODE_EXHAUSTED_PAUSE, "who asks for too much is told late");
                break;
            }
            Ok(_) => assert!(begin.elapsed() < Duration::from_secs(5), "the limit counts all connections together"),
        }
    }
    hanging_too.abort();
    hanging.abort();
    let begin = Instant::now();
    while other.exchange_nodes(&[]).await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(5), "the place of a request that was given up is free again");
        tokio::time::sleep(short(10)).await;
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn who_asks_for_too_much_is_told_late_unless_the_node_knows_it() {
    let node = Node::start(Limits::default()).await;
    let (peer, client) =
        (PeerClient::connect(node.address).await.unwrap(), LedgerClient::connect(&node.url()).await.unwrap());
    *node.fake.error.lock().unwrap() = Some(ServiceError::new(ErrorClass::Exhausted, "enough"));
    let peer_waits = async || {
        let asked = Instant::now();
        assert_eq!(peer.transaction_to(&transaction(1)).await.unwrap_err().class(), ErrorClass::Exhausted);
        asked.elapsed()
    };
    assert!(peer_waits().await >= NODE_EXHAUSTED_PAUSE);
    node.fake.known.store(true, Ordering::SeqCst);
    assert!(peer_waits().await.min(peer_waits().await) < NODE_EXHAUSTED_PAUSE, "one of two, on a busy machine");
    let asked = Instant::now();
    assert_eq!(client.submit(&transaction(1)).await.unwrap_err().class(), ErrorClass::Exhausted);
    assert!(asked.elapsed() >= EXHAUSTED_PAUSE);
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

/// A request to `path` that sends these bytes and does not end.
async fn unfinished(channel: Channel, path: &'static str, bytes: usize) -> Status {
    let message = pb::Message { value: Some(Bytes::from(vec![1; bytes])) };
    let endless = futures::stream::iter([message]).chain(futures::stream::pending());
    let mut grpc = Grpc::new(channel).max_encoding_message_size(4 << 20);
    grpc.ready().await.unwrap();
    let codec = BoundedCodec::<pb::Message, pb::Message>::default();
    grpc.client_streaming(Request::new(endless), PathAndQuery::from_static(path), codec).await.unwrap_err()
}

const HELLO: &str = "/Discovery/Hello";

#[tokio::test]
async fn a_request_that_is_never_finished_takes_no_place_and_ends_in_time() {
    let node = Node::start(Limits { requests: 1, request_time: short(1_500), ..Limits::default() }).await;
    let channel = node.channel().await;
    let begin = Instant::now();
    let endless: Vec<_> = (0..20).map(|_| tokio::spawn(unfinished(channel.clone(), HELLO, 10))).collect();
    tokio::time::sleep(short(200)).await;
    let client = PeerClient::connect(node.address).await.unwrap();
    for _ in 0..20 {
        assert!(client.exchange_nodes(&[]).await.is_ok());
    }
    for request in endless {
        let status = request.await.unwrap();
        assert!(matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded), "{status}");
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "by the server");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn bytes_of_unfinished_requests_are_bounded_for_a_connection_and_in_all() {
    let limits = Limits {
        bytes_per_connection: 500_000,
        bytes: 600_000,
        bytes_reserved: 50_000,
        request_time: Duration::from_secs(6),
        ..Limits::default()
    };
    let node = Node::start(limits).await;
    let (greedy, other) = (node.channel().await, node.channel().await);
    let first = tokio::spawn(unfinished(greedy.clone(), HELLO, 400_000));
    tokio::time::sleep(short(200)).await;
    let begin = Instant::now();
    assert_eq!(unfinished(greedy, HELLO, 200_000).await.code(), Code::ResourceExhausted);
    assert_eq!(unfinished(other.clone(), HELLO, 250_000).await.code(), Code::ResourceExhausted, "in all");
    assert!(begin.elapsed() < Duration::from_secs(5), "each a pause later, and not when its time is over");
    let small = tokio::spawn(unfinished(other, HELLO, 20_000));
    tokio::time::sleep(short(200)).await;
    assert!(!first.is_finished() && !small.is_finished(), "what keeps within its bounds is waited for");
    let client = PeerClient::connect(node.address).await.unwrap();
    assert!(client.transaction_to(&transaction(1)).await.is_ok());
    node.stop().await.unwrap();
}

#[tokio::test]
async fn who_sends_what_is_refused_is_answered_late_and_then_cut_off() {
    let limits = Limits { conduct: Rate { burst: 80, per_second: 0 }, ..Limits::default() };
    let node = Node::start(limits).await;
    let channel = node.channel().await;
    let mut client = SynchronizationClient::new(channel.clone());
    let honest = PeerClient::connect(node.address).await.unwrap();
    for _ in 0..10 {
        let status = client.block_from(pb::Message::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    let begin = Instant::now();
    let status = client.block_from(pb::Message::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(begin.elapsed() >= DEBT_PAUSE, "late");
    // Of those that come all the same the first are answered, and then the connection ends.
    let flood = (0..MAX_IN_DEBT + 8).map(|_| {
        let mut client = client.clone();
        async move { client.block_from(pb::Message::default()).await.unwrap_err() }
    });
    let answers = futures::future::join_all(flood).await;
    let cut = answers.iter().filter(|status| status.code() != Code::ResourceExhausted).count();
    assert!(cut > 0 && cut < 60, "{cut} of {}", answers.len());
    assert!(honest.exchange_nodes(&[]).await.is_ok(), "another connection has its own");
    let refused = node.fake.refused.lock().unwrap().len();
    assert!(refused <= 10, "nobody looked at the rest, got {refused}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn requests_that_are_reset_before_their_answer_are_held_against_the_connection() {
    let limits = Limits { conduct: Rate { burst: 100, per_second: 1 }, ..Limits::default() };
    let node = Node::start(limits).await;
    let client = PeerClient::connect(node.address).await.unwrap();
    for resets in 0.. {
        let reset = tokio::time::timeout(short(5), client.transaction_to(&transaction(HANGS))).await;
        if let Ok(answer) = reset {
            panic!("{answer:?}");
        }
        if let Err(error) = client.exchange_nodes(&[]).await {
            assert_eq!(error.class(), ErrorClass::Exhausted, "{error}");
            break;
        }
        assert!(resets < 100, "after fifty it is answered late");
    }
    node.stop().await.unwrap();
}
