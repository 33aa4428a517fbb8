//! The frozen contract, spoken. `blockhie.v1.Peer` stands in [`super::bulk`].

use super::{Caller, found};
use crate::error::ClientError;
use crate::hello::Hello;
use crate::limits::{ClientLimits, MAX_MESSAGE_BYTES};
use crate::pb;
use crate::pb::discovery_client::DiscoveryClient;
use crate::pb::synchronization_client::SynchronizationClient;
use crate::pb::v1::peer_client;
use blockhie_core::{BlockHash, BlockQuery, Transaction, TxHash, UncheckedBlock, Unverified};
use std::net::SocketAddr;
use tonic::transport::Channel;

/// A connection to another node.
#[derive(Debug, Clone)]
pub struct PeerClient {
    pub(super) caller: Caller,
    discovery: DiscoveryClient<Channel>,
    synchronization: SynchronizationClient<Channel>,
    pub(super) bulk: peer_client::PeerClient<Channel>,
}

impl PeerClient {
    /// Connects with the default [`ClientLimits`].
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn connect(address: SocketAddr) -> Result<Self, ClientError> {
        Self::connect_with(address, &ClientLimits::default()).await
    }

    /// Connects.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn connect_with(address: SocketAddr, limits: &ClientLimits) -> Result<Self, ClientError> {
        let (caller, channel) = Caller::connect(&address.to_string(), limits).await?;
        let discovery = DiscoveryClient::new(channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let synchronization = SynchronizationClient::new(channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let bulk = peer_client::PeerClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self { caller, discovery, synchronization, bulk })
    }

    /// `Discovery.Hello`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn hello(&self, hello: Hello) -> Result<Hello, ClientError> {
        let answer = self.caller.call(self.discovery.clone().hello(pb::Message::from(hello))).await?;
        self.caller.check(answer)
    }

    /// `Discovery.ExchangeNode`; of more than 64 addresses the first 64 are sent.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn exchange_nodes(&self, nodes: &[SocketAddr]) -> Result<Vec<SocketAddr>, ClientError> {
        let answer = self.caller.call(self.discovery.clone().exchange_node(pb::Node::from(nodes))).await?;
        self.caller.check(answer)
    }

    /// `Synchronization.BlockFrom`; `None` where the peer has none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn block_from(&self, query: BlockQuery) -> Result<Option<UncheckedBlock>, ClientError> {
        let call = self.caller.call(self.synchronization.clone().block_from(pb::Message::from(query))).await;
        found(call)?.map(|block| self.caller.check(block)).transpose()
    }

    /// `Synchronization.BlockTo`: the peer's tip.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn block_to(&self, block: &UncheckedBlock) -> Result<BlockHash, ClientError> {
        let answer = self.caller.call(self.synchronization.clone().block_to(pb::Block::from(block))).await?;
        self.caller.check(answer)
    }

    /// `Synchronization.ExchangeBlock`: the peer's tip block.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn exchange_block(&self, block: &UncheckedBlock) -> Result<UncheckedBlock, ClientError> {
        let answer = self.caller.call(self.synchronization.clone().exchange_block(pb::Block::from(block))).await?;
        self.caller.check(answer)
    }

    /// `Synchronization.TransactionTo`: the hash, once the transaction is durable there.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn transaction_to(&self, tx: &Transaction<Unverified>) -> Result<TxHash, ClientError> {
        let answer = self.caller.call(self.synchronization.clone().transaction_to(pb::Transaction::from(tx))).await?;
        self.caller.check(answer)
    }

    /// `Synchronization.TransactionFrom`; `None` where the peer has none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn transaction_from(&self, hash: TxHash) -> Result<Option<Transaction<Unverified>>, ClientError> {
        let call = self.caller.call(self.synchronization.clone().transaction_from(pb::Message::from(hash))).await;
        found(call)?.map(|tx| self.caller.check(tx)).transpose()
    }
}
