//! `blockhie.v1.Peer`, spoken.

use super::{PeerClient, found};
use crate::bulk::{BlockList, Blocks, Locator, SignedHeader};
use crate::convert::BlockCollector;
use crate::error::ClientError;
use crate::pb::v1;
use blockhie_core::BlockHash;
use tonic::{Code, Status};

impl PeerClient {
    /// Whether the peer serves `blockhie.v1.Peer` at all; `genesis` is the hash of block 0. A peer that does not is
    /// spoken to by the frozen contract.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] when it does not answer.
    pub async fn speaks_bulk(&self, genesis: BlockHash) -> Result<bool, ClientError> {
        let request = v1::LocatedHeadersRequest::from(&Locator { hashes: vec![genesis], limit: 1 });
        let mut bulk = self.bulk.clone();
        let probe = async {
            match bulk.headers(request).await {
                Ok(_) => Ok(tonic::Response::new(true)),
                Err(status) if status.code() == Code::Unimplemented => Ok(tonic::Response::new(false)),
                Err(status) => Err(status),
            }
        };
        self.caller.call(probe).await
    }

    /// Headers of the peer's best chain above the first hash of the locator that stands on it; `None` where no hash does.
    /// All of it has to come within the time of one request.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn headers_after(&self, locator: &Locator) -> Result<Option<Vec<SignedHeader>>, ClientError> {
        let most = usize::try_from(locator.limit).unwrap_or(usize::MAX);
        let mut bulk = self.bulk.clone();
        let call = async {
            let mut stream = bulk.headers(v1::LocatedHeadersRequest::from(locator)).await?.into_inner();
            let mut pieces = Vec::new();
            let mut count = 0;
            while let Some(piece) = stream.message().await? {
                count += piece.headers.len();
                pieces.push(piece);
                if count > most {
                    break;
                }
            }
            Ok::<_, Status>(tonic::Response::new((pieces, count)))
        };
        let Some((pieces, count)) = found(self.caller.call(call).await)? else { return Ok(None) };
        if count > most {
            return Err(self.caller.broken("headers.headers", format!("at most {most}"), "more"));
        }
        let mut headers = Vec::with_capacity(count);
        for piece in pieces {
            headers.extend(self.caller.check::<_, Vec<SignedHeader>>(piece)?);
        }
        Ok(Some(headers))
    }

    /// Whole blocks by hash, in order; fewer than were asked for where the answer would be too long, but at least one.
    /// All of it has to come within the time of one request.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn whole_blocks(&self, blocks: &BlockList) -> Result<Blocks, ClientError> {
        let mut bulk = self.bulk.clone();
        let call = async {
            let mut stream = bulk.bodies(v1::BodiesRequest::from(blocks)).await?.into_inner();
            let mut collector = BlockCollector::new(blocks);
            while let Some(piece) = stream.message().await? {
                if let Err(error) = collector.take(piece) {
                    return Ok(tonic::Response::new(Err(error)));
                }
            }
            Ok::<_, Status>(tonic::Response::new(Ok(collector)))
        };
        let address = || self.caller.address.clone();
        let collected = self.caller.call(call).await?;
        let collector = collected.map_err(|error| ClientError::BadAnswer { address: address(), error })?;
        // It stopped, or took too long: no misbehaviour.
        collector.finish().map_err(|error| ClientError::Unreachable { address: address(), reason: error.to_string() })
    }

    /// Tells the peer of a block by its header.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn announce(&self, header: &SignedHeader) -> Result<(), ClientError> {
        let request = v1::AnnounceRequest { header: Some(header.into()) };
        self.caller.call(self.bulk.clone().announce(request)).await.map(drop)
    }
}
