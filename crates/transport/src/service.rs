//! What a node has to answer: two object-safe traits that the server calls with checked values only.

use crate::bulk::BulkService;
use crate::convert::ConversionError;
use crate::error::ServiceError;
use crate::hello::Hello;
use blockhie_core::block::PREIMAGE_LEN;
use blockhie_core::query::waits::Waits;
use blockhie_core::{BlockHash, BlockQuery, Signature, Tip, Transaction, TxHash, TxStatus, UncheckedBlock, Unverified};
use blockhie_core::{ErrorClass, U256};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A result that is awaited.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, ServiceError>>;

/// The frozen contract. `remote` is the address of the connection, not the one the peer listens at.
pub trait PeerService: Send + Sync + 'static {
    /// `Discovery.Hello`: another chain is [`NotYet`](blockhie_core::ErrorClass::NotYet).
    fn hello(&self, remote: SocketAddr, hello: Hello) -> Answer<'_, Hello>;
    /// `Discovery.ExchangeNode`: takes up to 64 addresses and answers as many at most.
    fn exchange_nodes(&self, remote: SocketAddr, nodes: Vec<SocketAddr>) -> Answer<'_, Vec<SocketAddr>>;
    /// `Synchronization.BlockFrom`; `None` is NOT_FOUND.
    fn block_from(&self, query: BlockQuery) -> Answer<'_, Option<UncheckedBlock>>;
    /// `Synchronization.BlockTo`: the receiver's tip.
    fn block_to(&self, remote: SocketAddr, block: UncheckedBlock) -> Answer<'_, BlockHash>;
    /// `Synchronization.ExchangeBlock`: the receiver's tip block.
    fn exchange_block(&self, remote: SocketAddr, block: UncheckedBlock) -> Answer<'_, UncheckedBlock>;
    /// `Synchronization.TransactionTo`: the hash, once it is durable.
    fn transaction_to(&self, remote: SocketAddr, tx: Transaction<Unverified>) -> Answer<'_, TxHash>;
    /// `Synchronization.TransactionFrom`; `None` is NOT_FOUND.
    fn transaction_from(&self, hash: TxHash) -> Answer<'_, Option<Transaction<Unverified>>>;
    /// Whether this node knows the peer behind a connection. Such a one is told at once that it asks for too much, and
    /// anybody else late (`NODE_EXHAUSTED_PAUSE`): other things of its node wait behind that answer.
    fn is_known(&self, _remote: SocketAddr) -> bool {
        false
    }
    /// Told of each message that broke the contract, so that its sender can be scored. It was answered already.
    fn refused(&self, remote: SocketAddr, error: &ConversionError) {
        tracing::debug!(%remote, %error, "message refused");
    }
    /// The same node's `blockhie.v1.Peer`. `None`: it serves the frozen contract alone, and callers of the other get
    /// UNIMPLEMENTED.
    fn bulk(self: Arc<Self>) -> Option<Arc<dyn BulkService>> {
        None
    }
}

/// `blockhie.v1.Ledger`, for clients.
pub trait LedgerService: Send + Sync + 'static {
    /// The hash, once the transaction is durable.
    fn submit(&self, tx: Transaction<Unverified>) -> Answer<'_, TxHash>;
    /// Where a transaction stands.
    fn status(&self, hash: TxHash) -> Answer<'_, TxStatus>;
    /// The end of the best chain.
    fn tip(&self) -> Answer<'_, Tip>;
    /// Headers of the best chain from a height on, ascending, at most `limit` (1 to 128); empty above the tip.
    fn headers(&self, from_height: u64, limit: u32) -> Answer<'_, Vec<HeaderRow>>;
    /// A transaction, pending or committed; `None` is NOT_FOUND.
    fn transaction(&self, hash: TxHash) -> Answer<'_, Option<Transaction<Unverified>>>;
    /// A block; `None` is NOT_FOUND.
    fn block(&self, query: BlockQuery) -> Answer<'_, Option<UncheckedBlock>>;
    /// The canonical text of a receipt.
    fn receipt(&self, hash: TxHash) -> Answer<'_, String>;
    /// The tip now and at each change; the server ends it when it stops.
    fn watch(&self) -> Answer<'_, BoxStream<'static, Tip>>;
    /// How long the transactions of the newest `blocks` (1 to 512) blocks waited, and what still waits. A service that
    /// measures no waits leaves it as it is: "not yet".
    fn waits(&self, blocks: u32) -> Answer<'_, Waits> {
        let refused = ServiceError::new(ErrorClass::NotYet, format!("no waits of {blocks} blocks: not measured here"));
        futures::future::ready(Err(refused)).boxed()
    }
    /// What this node waits for. A service that does not know leaves it as it is: "not yet".
    fn sync(&self) -> Answer<'_, SyncInfo> {
        let refused = ServiceError::new(ErrorClass::NotYet, "what this node waits for is not known here");
        futures::future::ready(Err(refused)).boxed()
    }
    /// The peers known, those left alone included.
    fn peers(&self) -> Answer<'_, Vec<PeerInfo>>;
    /// The canonical bytes of the genesis.
    fn genesis(&self) -> Answer<'_, Vec<u8>>;
}

/// A header of the best chain with what it takes to recompute it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderRow {
    /// SHA-256 of the preimage.
    pub hash: BlockHash,
    /// The 240 bytes.
    pub preimage: [u8; PREIMAGE_LEN],
    /// The miner's signature; absent on an open chain and in the genesis block.
    pub signature: Option<Signature>,
    /// The block's own transactions, in order.
    pub txhashes: Vec<TxHash>,
}

/// What a node waits for, and for how long it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncInfo {
    /// One word, 1 to 32 characters.
    pub reason: String,
    /// With heights and peers; cut at 1,000 characters on the wire.
    pub text: String,
    /// For how long it has been for this reason.
    pub lasting: Duration,
}

/// A peer as a node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerInfo {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its height, by its own word.
    pub height: u64,
    /// Work of its chain, by its own word; absent before it said anything.
    pub work: Option<U256>,
    /// Whether there is a connection to it now.
    pub connected: bool,
    /// Whether it reached this node in the last minutes.
    pub incoming: bool,
    /// Whether the operator named it; the others were learnt.
    pub named: bool,
    /// Its misbehaviour in points, which halve with time; at 100 it is banned.
    pub score: u32,
    /// For how long it is not connected to, if it is left alone: it is banned, or on another chain.
    pub left_alone: Option<Duration>,
    /// Whether nothing is taken from it either.
    pub banned: bool,
}
