//! Clients against nodes that are not there, do not answer, or answer wrongly.

use crate::fake::hello;
use blockhie_core::ErrorClass;
use blockhie_transport::limits::MAX_MESSAGE_FIELDS;
use blockhie_transport::pb;
use blockhie_transport::pb::discovery_server::{Discovery, DiscoveryServer};
use blockhie_transport::{ClientError, ClientLimits, LedgerClient, PeerClient};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn nobody_there() {
    let (closed, address) = listener().await;
    drop(closed);
    let error = PeerClient::connect(address).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert!(error.to_string().starts_with(&address.to_string()), "{error}");
    assert_eq!((error.class(), error.misbehaviour()), (ErrorClass::Unavailable, false));
}

#[tokio::test]
async fn no_answer() {
    let (_silent, address) = listener().await;
    let limits = ClientLimits { request_time: Duration::from_millis(200), ..ClientLimits::default() };
    let client = PeerClient::connect_with(address, &limits).await.unwrap();
    let begin = Instant::now();
    let error = client.hello(hello()).await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(3));
    assert_eq!(error.to_string(), format!("{address}: no answer: nothing within 200 ms"));
}

#[tokio::test]
async fn texts_that_are_no_address() {
    for text in ["", "http://", "not an address", "https://127.0.0.1:1", "ftp://127.0.0.1:1", "127.0.0.1:x"] {
        let error = LedgerClient::connect(text).await.unwrap_err();
        assert!(matches!(error, ClientError::Address { .. }), "{text:?}: {error}");
    }
}

/// Speaks gRPC and breaks the contract.
struct Wrong;

#[tonic::async_trait]
impl Discovery for Wrong {
    async fn hello(&self, _: Request<pb::Message>) -> Result<Response<pb::Message>, Status> {
        Ok(Response::new(pb::Message { value: Some(Bytes::from_static(b"short")) }))
    }
    async fn exchange_node(&self, _: Request<pb::Node>) -> Result<Response<pb::Node>, Status> {
        let ipport = vec![Bytes::new(); MAX_MESSAGE_FIELDS + 1];
        Ok(Response::new(pb::Node { number: Some(1), ipport }))
    }
}

#[tokio::test]
async fn answers_that_break_the_contract() {
    let (listener, address) = listener().await;
    let router = Server::builder().add_service(DiscoveryServer::new(Wrong));
    let server = tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
    let client = PeerClient::connect(address).await.unwrap();
    let error = client.hello(hello()).await.unwrap_err();
    let text = format!("{address}: answer breaks the contract: hello: expected 83 bytes, got 5 bytes");
    assert_eq!((error.to_string(), error.misbehaviour()), (text, true));
    let error = client.exchange_nodes(&[]).await.unwrap_err();
    assert!(matches!(error, ClientError::BadAnswer { .. }), "{error}");
    assert!(error.to_string().ends_with("expected at most 4500 fields, got more"), "the codec refused it: {error}");
    server.abort();
}
