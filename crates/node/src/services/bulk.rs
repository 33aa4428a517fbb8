//! `blockhie.v1.Peer`: headers and whole blocks for those who catch up.

use super::{Services, store_error};
use crate::driver::Command;
use crate::peers::{read_header, write_header};
use blockhie_core::query::headers::{blocks_after, whole_block};
use blockhie_core::{BlockHash, ErrorClass, Store, StoreError, UncheckedHeader, Verified};
use blockhie_engine::Event;
use blockhie_transport::bulk::SignedHeader;
use blockhie_transport::{Answer, BlockList, BlockStream, BulkService, Locator, ServiceError, WholeBlock};
use futures::FutureExt;
use futures::stream::StreamExt;
use std::net::SocketAddr;
use std::sync::Arc;

/// Blocks of one answer that are read ahead of the one being sent.
const READ_AHEAD: usize = 2;

/// Reads on a thread that may wait for the disk.
async fn read<T: Send + 'static>(
    store: &Arc<dyn Store>,
    read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ServiceError> {
    let store = Arc::clone(store);
    match tokio::task::spawn_blocking(move || read(store.as_ref())).await {
        Ok(found) => found.map_err(|error| store_error(&error)),
        Err(error) => Err(ServiceError::new(ErrorClass::Internal, error.to_string())),
    }
}

impl BulkService for Services {
    fn headers_after(&self, _: SocketAddr, locator: Locator) -> Answer<'_, Option<Vec<SignedHeader>>> {
        let chain = self.genesis.chain_id();
        async move {
            let Locator { hashes, limit } = locator;
            let blocks =
                read(&self.store, move |store| blocks_after(store.snapshot().as_ref(), &hashes, limit)).await?;
            let signed = |block: blockhie_core::Block| {
                let unchecked = UncheckedHeader { header: block.header, signature: block.signature };
                write_header(&unchecked, &chain)
            };
            Ok(blocks.map(|blocks| blocks.into_iter().map(signed).collect()))
        }
        .boxed()
    }

    fn whole_blocks(&self, _: SocketAddr, blocks: BlockList) -> Answer<'_, BlockStream> {
        let (store, chain) = (Arc::clone(&self.store), self.genesis.chain_id());
        let one = move |hash: BlockHash| {
            let store = Arc::clone(&store);
            async move {
                let whole = read(&store, move |store| whole_block(store.snapshot().as_ref(), &hash)).await?;
                Ok(whole.map(|(block, transactions)| {
                    let unchecked = UncheckedHeader { header: block.header, signature: block.signature };
                    let header = write_header(&unchecked, &chain);
                    WholeBlock::<Verified> { header, siblings: block.siblings, transactions }
                }))
            }
        };
        let stream = futures::stream::iter(blocks.0).map(one).buffered(READ_AHEAD).boxed();
        futures::future::ready(Ok(stream)).boxed()
    }

    fn announced(&self, remote: SocketAddr, header: SignedHeader) -> Answer<'_, ()> {
        async move {
            // One that does not say where it listens cannot be asked for the block.
            let Some(peer) = self.sender(remote)? else { return Ok(()) };
            match read_header(&header, &self.genesis.chain_id()) {
                Ok((header, _)) => {
                    // A queue that is full has other worries; the tip is asked for now and then.
                    drop(self.engine.commands.try_send(Command::Event(Event::Announced { peer, header })));
                    Ok(())
                }
                Err(reason) => {
                    self.score(Some(peer), &reason);
                    Err(ServiceError::new(ErrorClass::Invalid, reason))
                }
            }
        }
        .boxed()
    }
}
