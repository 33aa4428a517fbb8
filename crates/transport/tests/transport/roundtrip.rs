//! Every method, there and back.

use crate::fake::{CHAIN, HEIGHT, Node, block, header_row, hello, peer_infos, tip, transaction, waits};
use blockhie_core::{BlockQuery, ErrorClass, Hash32, TxStatus};
use blockhie_transport::{ClientError, Hello, LedgerClient, Limits, PeerClient, ServiceError};
use futures::StreamExt;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

#[tokio::test]
async fn every_method_of_the_frozen_contract() {
    let node = Node::start(Limits::default()).await;
    let client = PeerClient::connect(node.address).await.unwrap();

    assert_eq!(client.hello(hello()).await.unwrap(), Hello { nonce: 13, ..hello() });
    let other = client.hello(Hello { chain_id: Hash32::ZERO, ..hello() }).await.unwrap_err();
    let message = format!("hello chain: expected {CHAIN}, got {}", Hash32::ZERO);
    let address = node.address.to_string();
    assert_eq!(other, ClientError::Status { address, class: ErrorClass::NotYet, message });

    let nodes: Vec<SocketAddr> = ["127.0.0.1:1", "[::1]:2"].map(|text| text.parse().unwrap()).to_vec();
    assert_eq!(client.exchange_nodes(&nodes).await.unwrap(), [nodes[1], nodes[0]]);
    assert_eq!(client.exchange_nodes(&[]).await.unwrap(), []);
    assert_eq!(client.exchange_nodes(&[nodes[0]; 70]).await.unwrap().len(), 64);

    for (query, expected) in [
        (BlockQuery::Tip, Some(block(HEIGHT))),
        (BlockQuery::Height(0), Some(block(0))),
        (BlockQuery::Height(u64::MAX), None),
        (BlockQuery::Hash(Hash32([4; 32])), Some(block(4))),
        (BlockQuery::Hash(Hash32([99; 32])), None),
    ] {
        assert_eq!(client.block_from(query).await.unwrap(), expected, "{query:?}");
    }
    assert_eq!(client.block_to(&block(4)).await.unwrap(), Hash32([4; 32]));
    let answer = client.exchange_block(&block(4)).await.unwrap();
    assert_eq!((answer.nonce, answer.height), (7, 4));

    let tx = transaction(1);
    assert_eq!(client.transaction_to(&tx).await.unwrap(), tx.hash());
    assert_eq!(client.transaction_from(tx.hash()).await.unwrap(), Some(tx));
    assert_eq!(client.transaction_from(Hash32::ZERO).await.unwrap(), None);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn every_method_for_clients() {
    let node = Node::start(Limits::default()).await;
    let client = LedgerClient::connect(&node.url()).await.unwrap();

    let tx = transaction(1);
    assert_eq!(client.submit(&tx).await.unwrap(), tx.hash());
    assert_eq!(client.transaction(tx.hash()).await.unwrap(), Some(tx));
    assert_eq!(client.transaction(Hash32::ZERO).await.unwrap(), None);
    assert_eq!(client.status(Hash32([0; 32])).await.unwrap(), TxStatus::Unknown);
    assert_eq!(client.status(Hash32([1; 32])).await.unwrap(), TxStatus::Pending { first_seen_ms: 4 });
    let TxStatus::Committed { void, quorum: 2, .. } = client.status(Hash32([2; 32])).await.unwrap() else {
        panic!("committed");
    };
    assert_eq!(void.as_deref(), Some("known"));

    assert_eq!(client.tip().await.unwrap(), tip());
    assert_eq!(client.headers(0, 3).await.unwrap(), [header_row(0), header_row(1), header_row(2)]);
    assert_eq!(client.headers(HEIGHT + 1, 128).await.unwrap(), []);
    assert_eq!(client.block(BlockQuery::Tip).await.unwrap(), Some(block(HEIGHT)));
    assert_eq!(client.block(BlockQuery::Height(HEIGHT + 1)).await.unwrap(), None);
    assert_eq!(client.waits(512).await.unwrap(), waits(512));
    for blocks in [0, 513] {
        assert_eq!(client.waits(blocks).await.unwrap_err().class(), ErrorClass::Invalid);
    }
    assert_eq!(client.peers().await.unwrap(), peer_infos());
    let sync = client.sync().await.unwrap();
    assert_eq!((sync.reason.as_str(), sync.text.as_str(), sync.lasting.as_secs()), ("bodies", "block 7", 9));
    assert_eq!(client.genesis().await.unwrap(), b"genesis");
    node.fake.receipt_bytes.store(9, Ordering::SeqCst);
    assert_eq!(client.receipt(Hash32::ZERO).await.unwrap(), "rrrrrrrrr");

    let tips = client.watch().await.unwrap().take(2).map(|tip| tip.unwrap().height).collect::<Vec<_>>().await;
    assert_eq!(tips, [HEIGHT, HEIGHT + 1]);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn errors_keep_their_class_and_text() {
    use ErrorClass::{Exhausted, Internal, Invalid, NotYet, Unavailable};
    let node = Node::start(Limits::default()).await;
    let peer = PeerClient::connect(node.address).await.unwrap();
    let client = LedgerClient::connect(&node.address.to_string()).await.unwrap();
    for class in [Invalid, NotYet, Exhausted, Unavailable, Internal] {
        let message = format!("{class:?}: expected this, got that");
        *node.fake.error.lock().unwrap() = Some(ServiceError::new(class, message.clone()));
        let expected = ClientError::Status { address: node.address.to_string(), class, message };
        assert_eq!(peer.block_to(&block(1)).await.unwrap_err(), expected);
        assert_eq!(peer.transaction_from(Hash32::ZERO).await.unwrap_err(), expected);
        assert_eq!(client.submit(&transaction(1)).await.unwrap_err(), expected);
        assert_eq!(client.watch().await.err(), Some(expected));
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn health_and_reflection_answer() {
    let node = Node::start(Limits::default()).await;
    let mut health = HealthClient::new(node.channel().await);
    for service in ["", "Discovery", "Synchronization", "blockhie.v1.Ledger", "blockhie.v1.Peer"] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }

    let mut reflection = ServerReflectionClient::new(node.channel().await);
    let mut ask = async |request: MessageRequest| {
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
        let mut answers =
            reflection.server_reflection_info(futures::stream::iter([request])).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap().message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(list) = ask(MessageRequest::ListServices(String::new())).await else {
        panic!("a list of services");
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for name in ["Discovery", "Synchronization", "blockhie.v1.Ledger", "blockhie.v1.Peer", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|known| known == name), "{name} in {names:?}");
    }
    for symbol in ["Synchronization.BlockTo", "Block", "blockhie.v1.TipResponse"] {
        let answer = ask(MessageRequest::FileContainingSymbol(symbol.into())).await;
        assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{symbol}: {answer:?}");
    }
    node.stop().await.unwrap();
}
