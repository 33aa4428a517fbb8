//! EVIL: hostile clients and servers that speak the frozen contract with raw messages, or raw bytes where even that is
//! too polite. They come from loopback addresses of their own, as if from other machines.

// Each test binary uses its part of this module.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, reason = "only tests call it")]

pub mod forge;
pub mod proxy;

use blockhie_core::{Genesis, Transaction, UncheckedBlock, Unverified};
use blockhie_transport::codec::BoundedCodec;
use blockhie_transport::pb::discovery_server::{Discovery, DiscoveryServer};
use blockhie_transport::pb::synchronization_server::{Synchronization, SynchronizationServer};
use blockhie_transport::{Hello, pb};
use bytes::Bytes;
use futures::StreamExt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

/// The n-th attacker's address.
pub fn host(n: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 66, 0, n.max(1)))
}

/// A TCP connection from one address of this machine to another.
pub async fn dial(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

/// A hostile client.
#[derive(Clone)]
pub struct Evil {
    channel: Channel,
}

impl Evil {
    pub async fn connect(from: IpAddr, to: SocketAddr) -> Option<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{to}")).unwrap().local_address(Some(from));
        Some(Self { channel: endpoint.connect_timeout(Duration::from_secs(3)).connect().await.ok()? })
    }

    /// Any message to any method.
    pub async fn call<M, R>(&self, path: &'static str, message: M) -> Result<R, Status>
    where
        M: prost::Message + 'static,
        R: prost::Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.channel.clone()).max_encoding_message_size(1 << 30);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = BoundedCodec::<M, R>::default();
        Ok(grpc.unary(Request::new(message), PathAndQuery::from_static(path), codec).await?.into_inner())
    }

    /// To a method that answers a value.
    pub async fn send<M: prost::Message + 'static>(&self, path: &'static str, message: M) -> Result<Bytes, Status> {
        let answer: pb::Message = self.call(path, message).await?;
        Ok(answer.value.unwrap_or_default())
    }

    pub async fn hello(&self, genesis: &Genesis, listen_port: u16, nonce: u64) -> Result<Bytes, Status> {
        let hello = Hello { chain_id: genesis.chain_id(), height: u64::MAX, work: [0xff; 32], listen_port, nonce };
        self.send("/Discovery/Hello", pb::Message::from(hello)).await
    }

    pub async fn gossip(&self, addresses: &[SocketAddr]) -> Result<pb::Node, Status> {
        self.call("/Discovery/ExchangeNode", pb::Node::from(addresses)).await
    }

    pub async fn push(&self, block: &UncheckedBlock) -> Result<Bytes, Status> {
        self.send("/Synchronization/BlockTo", pb::Block::from(block)).await
    }

    pub async fn submit(&self, tx: &Transaction<Unverified>) -> Result<Bytes, Status> {
        self.send("/Synchronization/TransactionTo", pb::Transaction::from(tx)).await
    }

    /// A request that sends so many bytes and never ends. Answers how the server ended it.
    pub async fn endless(&self, bytes: usize) -> Status {
        let message = pb::Message { value: Some(Bytes::from(vec![1; bytes])) };
        let stream = futures::stream::iter([message]).chain(futures::stream::pending());
        let mut grpc = Grpc::new(self.channel.clone()).max_encoding_message_size(1 << 30);
        if let Err(error) = grpc.ready().await {
            return Status::unavailable(error.to_string());
        }
        let codec = BoundedCodec::<pb::Message, pb::Message>::default();
        let path = PathAndQuery::from_static("/Discovery/Hello");
        match grpc.client_streaming(Request::new(stream), path, codec).await {
            Ok(_) => Status::ok("answered"),
            Err(status) => status,
        }
    }
}

/// A hostile server: says Hello, gossips what it is told to, serves a false chain, and keeps bodies for itself.
#[derive(Default)]
pub struct Script {
    pub gossip: Mutex<Vec<SocketAddr>>,
    /// From height 1 on; the last is its tip.
    pub chain: Mutex<Vec<UncheckedBlock>>,
    /// Calls of any kind.
    pub calls: AtomicUsize,
}

/// A running [`Script`].
pub struct Liar {
    pub address: SocketAddr,
    pub script: Arc<Script>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Door {
    script: Arc<Script>,
    hello: Hello,
}

impl Liar {
    /// Serves at any free port of this address.
    pub async fn start(genesis: &Genesis, ip: IpAddr, nonce: u64) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(ip, 0)).unwrap();
        let listener = socket.listen(64).unwrap();
        let address = listener.local_addr().unwrap();
        let hello = Hello {
            chain_id: genesis.chain_id(),
            height: 1 << 40,
            work: [0x7f; 32],
            listen_port: address.port(),
            nonce,
        };
        let script = Arc::new(Script::default());
        let door = || Door { script: script.clone(), hello };
        let server = Server::builder()
            .add_service(DiscoveryServer::new(door()))
            .add_service(SynchronizationServer::new(door()))
            .serve_with_incoming(TcpIncoming::from(listener));
        let task = tokio::spawn(async move { drop(server.await) });
        Self { address, script, task }
    }

    pub fn calls(&self) -> usize {
        self.script.calls.load(Ordering::SeqCst)
    }
}

impl Door {
    fn count(&self) {
        self.script.calls.fetch_add(1, Ordering::SeqCst);
    }
}

#[tonic::async_trait]
impl Discovery for Door {
    async fn hello(&self, _: Request<pb::Message>) -> Result<Response<pb::Message>, Status> {
        self.count();
        Ok(Response::new(self.hello.into()))
    }

    async fn exchange_node(&self, _: Request<pb::Node>) -> Result<Response<pb::Node>, Status> {
        self.count();
        let gossip = self.script.gossip.lock().unwrap().clone();
        Ok(Response::new(pb::Node::from(&gossip[..])))
    }
}

#[tonic::async_trait]
impl Synchronization for Door {
    async fn block_from(&self, request: Request<pb::Message>) -> Result<Response<pb::Block>, Status> {
        self.count();
        let asked = request.into_inner().value.unwrap_or_default();
        let chain = self.script.chain.lock().unwrap();
        let found = match asked.len() {
            0 => chain.last(),
            8 => {
                let height = u64::from_be_bytes(asked[..].try_into().unwrap());
                chain.iter().find(|block| block.height == height)
            }
            _ => chain.iter().find(|block| block.claimed_hash.as_bytes()[..] == asked[..]),
        };
        found.map(|block| Response::new(pb::Block::from(block))).ok_or_else(|| Status::not_found("none"))
    }

    async fn block_to(&self, _: Request<pb::Block>) -> Result<Response<pb::Message>, Status> {
        self.count();
        Ok(Response::new(pb::Message { value: Some(Bytes::from_static(&[0; 32])) }))
    }

    async fn exchange_block(&self, _: Request<pb::Block>) -> Result<Response<pb::Block>, Status> {
        Err(Status::not_found("none"))
    }

    async fn transaction_to(&self, request: Request<pb::Transaction>) -> Result<Response<pb::Message>, Status> {
        self.count();
        Ok(Response::new(pb::Message { value: request.into_inner().txhash }))
    }

    /// Announced and never served: the answer does not come.
    async fn transaction_from(&self, _: Request<pb::Message>) -> Result<Response<pb::Transaction>, Status> {
        self.count();
        futures::future::pending().await
    }
}
