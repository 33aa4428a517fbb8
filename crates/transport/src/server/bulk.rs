//! `blockhie.v1.Peer`.

use super::{Reply, not_found};
use crate::bulk::{BlockList, BulkService, Locator, SignedHeader, WholeBlock};
use crate::convert::{ConversionError, block_pieces, header_pieces};
use crate::limits::{MAX_BODIES_BYTES, MAX_BODIES_STREAMS};
use crate::pb::v1;
use crate::pb::v1::peer_server::Peer;
use crate::service::PeerService;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tonic::{Request, Response, Status};

/// The generated trait for any [`BulkService`].
pub(super) struct BulkDoor {
    service: Arc<dyn BulkService>,
    /// Is told of messages that break the contract.
    peers: Arc<dyn PeerService>,
    stopped: watch::Receiver<bool>,
    /// Answers to `Bodies` that may still begin.
    room: Arc<Semaphore>,
    /// How long one may take.
    stream_time: Duration,
}

impl BulkDoor {
    /// None where the node serves the frozen contract alone.
    pub(super) fn of(
        peers: Arc<dyn PeerService>,
        stopped: &watch::Receiver<bool>,
        stream_time: Duration,
    ) -> Option<Self> {
        let service = Arc::clone(&peers).bulk()?;
        let room = Arc::new(Semaphore::new(MAX_BODIES_STREAMS));
        Some(Self { service, peers, stopped: stopped.clone(), room, stream_time })
    }

    /// The message as a checked value, and who sent it; a message that breaks the contract is told of.
    fn open<M, T>(&self, request: Request<M>) -> Result<(SocketAddr, T), Status>
    where
        T: TryFrom<M, Error = ConversionError>,
    {
        let remote = request.remote_addr().ok_or_else(|| Status::internal("connection without an address"))?;
        let value = T::try_from(request.into_inner()).inspect_err(|error| self.peers.refused(remote, error))?;
        Ok((remote, value))
    }

    /// Without this an open stream would hold up the shutdown.
    fn stop(&self) -> impl Future<Output = ()> + use<> {
        let mut stopped = self.stopped.clone();
        async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        }
    }
}

#[tonic::async_trait]
impl Peer for BulkDoor {
    type HeadersStream = BoxStream<'static, Result<v1::LocatedHeadersResponse, Status>>;
    type BodiesStream = BoxStream<'static, Result<v1::BodiesResponse, Status>>;

    async fn headers(&self, request: Request<v1::LocatedHeadersRequest>) -> Reply<Self::HeadersStream> {
        let (remote, locator): (_, Locator) = self.open(request)?;
        let (asked, limit) = (locator.hashes.len(), usize::try_from(locator.limit).unwrap_or(usize::MAX));
        let Some(headers) = self.service.headers_after(remote, locator).await? else {
            return Err(not_found("headers above one of the locator's blocks", format!("{asked} hashes")));
        };
        let pieces = header_pieces(&headers[..headers.len().min(limit)]);
        Ok(Response::new(futures::stream::iter(pieces.into_iter().map(Ok)).take_until(self.stop()).boxed()))
    }

    async fn bodies(&self, request: Request<v1::BodiesRequest>) -> Reply<Self::BodiesStream> {
        let (remote, list): (_, BlockList) = self.open(request)?;
        let place = Arc::clone(&self.room).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("expected at most {MAX_BODIES_STREAMS} answers of blocks at once"))
        })?;
        let hashes = futures::stream::iter(list.0.clone());
        let blocks = self.service.whole_blocks(remote, list).await?;
        let mut bytes = 0;
        let fitting = hashes.zip(blocks).take_while(move |(_, block)| {
            // At least one block comes, however large.
            let room = bytes < MAX_BODIES_BYTES;
            bytes += block.as_ref().map_or(0, |block| block.as_ref().map_or(0, WholeBlock::body_bytes));
            futures::future::ready(room)
        });
        let pieces = fitting.flat_map(|(hash, block)| {
            let pieces = match block {
                Ok(block) => block_pieces(hash, block.as_ref()).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(Status::from(error))],
            };
            futures::stream::iter(pieces)
        });
        // A task of its own: a stream that nobody reads is not polled, and would keep its place and its blocks for ever.
        let (sender, receiver) = mpsc::channel(1);
        let (mut pieces, stream_time) = (pieces.take_until(self.stop()).boxed(), self.stream_time);
        tokio::spawn(async move {
            let send_all = async {
                while let Some(piece) = pieces.next().await {
                    if sender.send(piece).await.is_err() {
                        return;
                    }
                }
            };
            drop(tokio::time::timeout(stream_time, send_all).await);
            drop(place);
        });
        let received = futures::stream::unfold(receiver, |mut receiver| async {
            let piece = receiver.recv().await?;
            Some((piece, receiver))
        });
        Ok(Response::new(received.boxed()))
    }

    async fn announce(&self, request: Request<v1::AnnounceRequest>) -> Reply<v1::AnnounceResponse> {
        let (remote, header): (_, SignedHeader) = self.open(request)?;
        self.service.announced(remote, header).await?;
        Ok(Response::new(v1::AnnounceResponse {}))
    }
}
