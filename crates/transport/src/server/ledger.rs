//! `blockhie.v1.Ledger`.

use super::{Reply, not_found, reply};
use crate::convert::{ConversionError, HeaderRange, WaitsRange, headers_within};
use crate::pb::v1;
use crate::pb::v1::ledger_server::Ledger;
use crate::service::LedgerService;
use blockhie_core::{BlockQuery, Hash32, Transaction};
use futures::StreamExt;
use futures::stream::BoxStream;
use std::sync::Arc;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

/// The generated trait for any [`LedgerService`].
pub(super) struct LedgerDoor {
    service: Arc<dyn LedgerService>,
    stopped: watch::Receiver<bool>,
}

impl LedgerDoor {
    pub(super) fn new(service: Arc<dyn LedgerService>, stopped: watch::Receiver<bool>) -> Self {
        Self { service, stopped }
    }
}

#[tonic::async_trait]
impl Ledger for LedgerDoor {
    type WatchStream = BoxStream<'static, Result<v1::TipResponse, Status>>;

    async fn submit(&self, request: Request<v1::SubmitRequest>) -> Reply<v1::SubmitResponse> {
        let absent = || ConversionError::new("submit.transaction", "a transaction", "none (field absent)");
        let tx = Transaction::try_from(request.into_inner().transaction.ok_or_else(absent)?)?;
        reply(self.service.submit(tx).await?)
    }

    async fn status(&self, request: Request<v1::StatusRequest>) -> Reply<v1::StatusResponse> {
        reply(self.service.status(Hash32::try_from(request.into_inner())?).await?)
    }

    async fn tip(&self, _: Request<v1::TipRequest>) -> Reply<v1::TipResponse> {
        reply(&self.service.tip().await?)
    }

    async fn headers(&self, request: Request<v1::HeadersRequest>) -> Reply<v1::HeadersResponse> {
        let HeaderRange { from_height, limit } = request.into_inner().try_into()?;
        reply(headers_within(&self.service.headers(from_height, limit).await?, limit))
    }

    async fn transaction(&self, request: Request<v1::TransactionRequest>) -> Reply<v1::TransactionResponse> {
        let hash = Hash32::try_from(request.into_inner())?;
        match self.service.transaction(hash).await? {
            Some(tx) => reply(v1::TransactionResponse { transaction: Some((&tx).into()) }),
            None => Err(not_found("transaction", hash)),
        }
    }

    async fn block(&self, request: Request<v1::BlockRequest>) -> Reply<v1::BlockResponse> {
        let query = BlockQuery::try_from(request.into_inner())?;
        match self.service.block(query).await? {
            Some(block) => reply(v1::BlockResponse { block: Some((&block).into()) }),
            None => Err(not_found("block", query)),
        }
    }

    async fn receipt(&self, request: Request<v1::ReceiptRequest>) -> Reply<v1::ReceiptResponse> {
        let json = self.service.receipt(Hash32::try_from(request.into_inner())?).await?;
        reply(v1::ReceiptResponse { json })
    }

    async fn watch(&self, _: Request<v1::WatchRequest>) -> Reply<Self::WatchStream> {
        let tips = self.service.watch().await?;
        let mut stopped = self.stopped.clone();
        // Without this an open stream would hold up the shutdown.
        let stop = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        Ok(Response::new(tips.map(|tip| Ok((&tip).into())).take_until(stop).boxed()))
    }

    async fn waits(&self, request: Request<v1::WaitsRequest>) -> Reply<v1::WaitsResponse> {
        let WaitsRange(blocks) = request.into_inner().try_into()?;
        reply(self.service.waits(blocks).await?)
    }

    async fn peers(&self, _: Request<v1::PeersRequest>) -> Reply<v1::PeersResponse> {
        let peers = self.service.peers().await?.iter().map(v1::PeerRow::from).collect();
        reply(v1::PeersResponse { peers })
    }

    async fn sync(&self, _: Request<v1::SyncRequest>) -> Reply<v1::SyncResponse> {
        reply(self.service.sync().await?)
    }

    async fn genesis(&self, _: Request<v1::GenesisRequest>) -> Reply<v1::GenesisResponse> {
        let genesis = self.service.genesis().await?.into();
        reply(v1::GenesisResponse { genesis })
    }
}
