//! `Discovery` and `Synchronization`: messages in, checked values to the service, messages out.

use super::{Reply, not_found, reply};
use crate::convert::ConversionError;
use crate::pb;
use crate::pb::discovery_server::Discovery;
use crate::pb::synchronization_server::Synchronization;
use crate::service::PeerService;
use std::net::SocketAddr;
use std::sync::Arc;
use tonic::{Request, Status};

/// The generated traits for any [`PeerService`].
pub(super) struct PeerDoor {
    service: Arc<dyn PeerService>,
}

impl PeerDoor {
    pub(super) fn new(service: Arc<dyn PeerService>) -> Self {
        Self { service }
    }

    /// The message as a checked value, and who sent it; a message that breaks the contract is told of.
    fn open<M, T>(&self, request: Request<M>) -> Result<(SocketAddr, T), Status>
    where
        T: TryFrom<M, Error = ConversionError>,
    {
        let remote = request.remote_addr().ok_or_else(|| Status::internal("connection without an address"))?;
        let value = T::try_from(request.into_inner()).inspect_err(|error| self.service.refused(remote, error))?;
        Ok((remote, value))
    }
}

#[tonic::async_trait]
impl Discovery for PeerDoor {
    async fn hello(&self, request: Request<pb::Message>) -> Reply<pb::Message> {
        let (remote, hello) = self.open(request)?;
        reply(self.service.hello(remote, hello).await?)
    }

    async fn exchange_node(&self, request: Request<pb::Node>) -> Reply<pb::Node> {
        let (remote, nodes) = self.open(request)?;
        reply(self.service.exchange_nodes(remote, nodes).await?.as_slice())
    }
}

#[tonic::async_trait]
impl Synchronization for PeerDoor {
    async fn block_from(&self, request: Request<pb::Message>) -> Reply<pb::Block> {
        let (_, query) = self.open(request)?;
        match self.service.block_from(query).await? {
            Some(block) => reply(&block),
            None => Err(not_found("block", query)),
        }
    }

    async fn block_to(&self, request: Request<pb::Block>) -> Reply<pb::Message> {
        let (remote, block) = self.open(request)?;
        reply(self.service.block_to(remote, block).await?)
    }

    async fn exchange_block(&self, request: Request<pb::Block>) -> Reply<pb::Block> {
        let (remote, block) = self.open(request)?;
        reply(&self.service.exchange_block(remote, block).await?)
    }

    async fn transaction_to(&self, request: Request<pb::Transaction>) -> Reply<pb::Message> {
        let (remote, tx) = self.open(request)?;
        reply(self.service.transaction_to(remote, tx).await?)
    }

    async fn transaction_from(&self, request: Request<pb::Message>) -> Reply<pb::Transaction> {
        let (_, hash) = self.open(request)?;
        match self.service.transaction_from(hash).await? {
            Some(tx) => reply(&tx),
            None => Err(not_found("transaction", hash)),
        }
    }
}
