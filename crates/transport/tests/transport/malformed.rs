//! Messages that break the contract get INVALID_ARGUMENT with expected and got, and never reach the service.

use crate::fake::{Node, block, hello, transaction};
use blockhie_transport::Limits;
use blockhie_transport::codec::BoundedCodec;
use blockhie_transport::limits::MAX_MESSAGE_FIELDS;
use blockhie_transport::pb::{self, v1};
use bytes::Bytes;
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// Sends any message to any method.
async fn send<M: Message + 'static>(channel: &Channel, path: &'static str, message: M) -> Result<pb::Message, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec = BoundedCodec::<M, pb::Message>::default();
    let answer = grpc.unary(Request::new(message), PathAndQuery::from_static(path), codec).await?;
    Ok(answer.into_inner())
}

async fn refused<M: Message + 'static>(node: &Node, channel: &Channel, path: &'static str, bad: Vec<M>) {
    for (i, message) in bad.into_iter().enumerate() {
        let status = send(channel, path, message).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{path} {i}: {status}");
        let text = status.message();
        assert!(text.contains(": expected ") && text.contains(", got "), "{path} {i}: {text}");
        assert_eq!(node.fake.calls(), 0, "{path} {i} reached the service");
    }
}

fn value(bytes: Vec<u8>) -> pb::Message {
    pb::Message { value: Some(Bytes::from(bytes)) }
}

/// `good` with one field changed, for each change.
fn changed<M: Clone>(good: &M, changes: &[fn(&mut M)]) -> Vec<M> {
    let change = |change: &fn(&mut M)| {
        let mut message = good.clone();
        change(&mut message);
        message
    };
    changes.iter().map(change).collect()
}

#[tokio::test]
async fn messages_of_discovery() {
    let node = Node::start(Limits::default()).await;
    let channel = node.channel().await;
    let good = hello().to_bytes().to_vec();
    let hellos = vec![
        pb::Message::default(),
        value(vec![]),
        value(good[..82].to_vec()),
        value([&good[..], &[0]].concat()),
        value([&[2], &good[1..]].concat()),
    ];
    let count = hellos.len();
    refused(&node, &channel, "/Discovery/Hello", hellos).await;
    assert_eq!(node.fake.refused.lock().unwrap().len(), count, "the service is told of each");

    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    let nodes = vec![
        pb::Node::default(),
        pb::Node { number: None, ipport: vec![text("127.0.0.1:1")] },
        pb::Node { number: Some(2), ipport: vec![text("127.0.0.1:1")] },
        pb::Node { number: Some(-1), ipport: vec![] },
        pb::Node { number: Some(1), ipport: vec![text("nowhere")] },
        pb::Node { number: Some(1), ipport: vec![text("localhost:80")] },
        pb::Node { number: Some(65), ipport: vec![text("127.0.0.1:1"); 65] },
    ];
    refused(&node, &channel, "/Discovery/ExchangeNode", nodes).await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn questions() {
    let node = Node::start(Limits::default()).await;
    let channel = node.channel().await;
    let of_len = |len: usize| value(vec![0; len]);
    let mut bad: Vec<_> = [1, 5, 7, 9, 31, 33].map(of_len).to_vec();
    bad.push(pb::Message::default());
    refused(&node, &channel, "/Synchronization/BlockFrom", bad).await;
    let mut bad: Vec<_> = [0, 31, 33].map(of_len).to_vec();
    bad.push(pb::Message::default());
    refused(&node, &channel, "/Synchronization/TransactionFrom", bad).await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn transactions() {
    let node = Node::start(Limits::default()).await;
    let channel = node.channel().await;
    let good = pb::Transaction::from(&transaction(1));
    let mut bad = changed(
        &good,
        &[
            |tx| tx.unixtime = None,
            |tx| tx.body = None,
            |tx| tx.txhash = None,
            |tx| tx.r#type = None,
            |tx| tx.txfrom = None,
            |tx| tx.unixtime = Some(Bytes::from_static(&[0; 7])),
            |tx| tx.txhash = Some(Bytes::from_static(&[0; 33])),
            |tx| tx.txfrom = Some(Bytes::from_static(&[0; 31])),
            |tx| tx.txfrom = Some(Bytes::from_static(&[0; 32])),
            |tx| tx.txfrom = Some(Bytes::from_static(&[0xff; 32])),
            |tx| tx.txto = Some(Bytes::new()),
            |tx| tx.txto = Some(Bytes::from_static(&[0; 32])),
            |tx| tx.body = Some(Bytes::from_static(&[0; 65_537])),
        ],
    );
    bad.push(pb::Transaction::default());
    let submits = bad.iter().cloned().map(|tx| v1::SubmitRequest { transaction: Some(tx) }).collect();
    refused(&node, &channel, "/Synchronization/TransactionTo", bad).await;
    refused(&node, &channel, "/blockhie.v1.Ledger/Submit", submits).await;
    refused(&node, &channel, "/blockhie.v1.Ledger/Submit", vec![v1::SubmitRequest::default()]).await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn blocks() {
    let node = Node::start(Limits::default()).await;
    let channel = node.channel().await;
    let mut bad = changed(
        &pb::Block::from(&block(1)),
        &[
            |block| block.height = None,
            |block| block.unixtime = None,
            |block| block.previoushash = None,
            |block| block.blockhash = None,
            |block| block.difficulty = None,
            |block| block.answer = None,
            |block| block.miner = None,
            |block| block.number = None,
            |block| block.number = Some(-1),
            |block| block.number = Some(2),
            |block| block.txshash[1] = Bytes::from_static(&[0; 31]),
            |block| block.siblinghash[0] = Bytes::new(),
            |block| block.siblinghash = vec![Bytes::from_static(&[0; 32]); 256],
            |block| block.minersignature = Some(Bytes::from_static(&[0; 63])),
            |block| block.historyroot = Some(Bytes::new()),
            |block| block.difficulty = Some(Bytes::from_static(&[0; 3])),
            |block| {
                block.txshash = vec![Bytes::from_static(&[0; 32]); 4_001];
                block.number = Some(4_001);
            },
        ],
    );
    bad.push(pb::Block::default());
    refused(&node, &channel, "/Synchronization/BlockTo", bad.clone()).await;
    refused(&node, &channel, "/Synchronization/ExchangeBlock", bad).await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn questions_of_clients() {
    let node = Node::start(Limits::default()).await;
    let channel = node.channel().await;
    let short = || Bytes::from_static(&[0; 31]);
    refused(&node, &channel, "/blockhie.v1.Ledger/Status", vec![v1::StatusRequest { txhash: short() }]).await;
    refused(&node, &channel, "/blockhie.v1.Ledger/Receipt", vec![v1::ReceiptRequest::default()]).await;
    refused(&node, &channel, "/blockhie.v1.Ledger/Transaction", vec![v1::TransactionRequest::default()]).await;
    let hash = v1::block_request::Which::Hash(short());
    let bad = vec![v1::BlockRequest::default(), v1::BlockRequest { which: Some(hash) }];
    refused(&node, &channel, "/blockhie.v1.Ledger/Block", bad).await;
    let ranges = [0, 129, u32::MAX].map(|limit| v1::HeadersRequest { from_height: 0, limit });
    refused(&node, &channel, "/blockhie.v1.Ledger/Headers", ranges.to_vec()).await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn bytes_that_are_no_message_and_floods_of_fields() {
    let node = Node::start(Limits::default()).await;
    let channel = node.channel().await;
    // A number where the method's message has bytes.
    let other = vec![pb::Node { number: Some(1), ipport: vec![] }];
    refused(&node, &channel, "/Synchronization/TransactionTo", other).await;
    let flood = pb::Block { txshash: vec![Bytes::new(); MAX_MESSAGE_FIELDS + 1], ..Default::default() };
    refused(&node, &channel, "/Synchronization/BlockTo", vec![flood]).await;
    node.stop().await.unwrap();
}
