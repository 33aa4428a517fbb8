//! What the node answers over gRPC. Reads go to snapshots of the store and never wait behind writes.

mod bulk;
mod pushes;

use crate::driver::{Command, EngineHandle, SyncReport, wall_ms};
use crate::peers::Peers;
use crate::quota::Quotas;
use crate::verifier::Verifier;
use blockhie_core::query::waits::{Waits, waits};
use blockhie_core::{
    BlockHash, BlockQuery, ErrorClass, Genesis, ReceiptError, Store, StoreError, StoreRead, Tip, Transaction, TxHash,
    TxStatus, UncheckedBlock, Unverified, query,
};
use blockhie_engine::{Event, PeerId};
use blockhie_transport::limits::MAX_WAITS;
use blockhie_transport::{
    Answer, BulkService, ConversionError, HeaderRow, Hello, LedgerService, PeerInfo, PeerService, ServiceError,
    SyncInfo,
};
use futures::FutureExt;
use futures::stream::{BoxStream, StreamExt};
pub(crate) use pushes::Pushes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, watch};
use tokio_stream::wrappers::WatchStream;

/// How often, and how far apart, a reader looks for a view of the store and a tip that belong together. Between a batch
/// and the publishing of its tip they differ for some microseconds.
const LOOKS: (u32, Duration) = (100, Duration::from_millis(1));

/// Both services of one node.
pub(crate) struct Services {
    pub(crate) genesis: Genesis,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) engine: EngineHandle,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) tip: watch::Receiver<Tip>,
    /// Held while waits are read: that takes long, and one after the other leaves room for the rest.
    pub(crate) waits: Mutex<()>,
    /// Who may hand in how much.
    pub(crate) quotas: Quotas,
    /// Whether `blockhie.v1.Peer` is served beside the frozen contract.
    pub(crate) bulk: bool,
    pub(crate) sync: watch::Receiver<SyncReport>,
    /// What peers push, on its way through the engine: clients' calls do not queue behind a flood of it.
    pub(crate) pushes: Pushes,
}

fn store_error(error: &StoreError) -> ServiceError {
    ServiceError::new(error.class(), error.to_string())
}

/// A view of the store, and the tip that belongs to it.
async fn settled<'a>(
    store: &'a dyn Store,
    tip: &watch::Receiver<Tip>,
) -> Result<(Box<dyn StoreRead + 'a>, Tip), ServiceError> {
    for _ in 0..LOOKS.0 {
        {
            let (view, tip) = (store.snapshot(), tip.borrow().clone());
            if view.meta().map_err(|error| store_error(&error))?.tip == Some(tip.hash) {
                return Ok((view, tip));
            }
        }
        tokio::time::sleep(LOOKS.1).await;
    }
    Err(ServiceError::new(ErrorClass::Unavailable, "the tip moves too fast to be read; try again"))
}

impl Services {
    fn read_block(&self, query: BlockQuery) -> Result<Option<UncheckedBlock>, ServiceError> {
        let block = query::block(self.store.snapshot().as_ref(), query).map_err(|error| store_error(&error))?;
        Ok(block.map(|block| block.to_unchecked()))
    }

    fn read_tx(&self, hash: &TxHash) -> Result<Option<Transaction<Unverified>>, ServiceError> {
        let view = self.store.snapshot();
        let tx = query::transaction(view.as_ref(), hash).map_err(|error| store_error(&error))?;
        if tx.is_none() {
            let below = view.pruned().map_err(|error| store_error(&error))?.first_whole();
            let position = view.tx_position(hash).map_err(|error| store_error(&error))?;
            if let Some(height) = position.map(|position| position.height).filter(|height| *height < below) {
                let text = format!(
                    "transaction {hash}: committed at height {height}, and this node has pruned the bodies below {below}; \
                     ask one that keeps them"
                );
                return Err(ServiceError::new(ErrorClass::NotFound, text));
            }
        }
        Ok(tx.map(Transaction::into_unverified))
    }

    fn read_headers(&self, from_height: u64, limit: u32) -> Result<Vec<HeaderRow>, StoreError> {
        let (view, chain) = (self.store.snapshot(), self.genesis.chain_id());
        let mut rows = Vec::new();
        for height in (from_height..).take(usize::try_from(limit).unwrap_or(usize::MAX)) {
            let Some(block) = query::block(view.as_ref(), BlockQuery::Height(height))? else { break };
            let preimage = block.header.preimage(&chain);
            rows.push(HeaderRow { hash: block.hash, preimage, signature: block.signature, txhashes: block.txhashes });
        }
        Ok(rows)
    }

    /// `remote`: where a push comes from; `None` for a client's call.
    async fn take_tx(
        &self,
        remote: Option<SocketAddr>,
        from: Option<PeerId>,
        tx: Transaction<Unverified>,
    ) -> Result<TxHash, ServiceError> {
        let exhausted = |message: String| ServiceError::new(ErrorClass::Exhausted, message);
        let (hash, now) = (tx.hash(), Instant::now());
        let known_peer = self.known_peer(from);
        // What every peer relays is counted once.
        if !self.verifier.has_seen(&hash) {
            if let Some(remote) = remote {
                match known_peer {
                    Some((peer, chosen)) => self.quotas.relayed(peer, chosen, now),
                    None => self.quotas.pushed(remote.ip(), now),
                }
                .map_err(exhausted)?;
            }
            self.quotas.may_send(tx.from(), now).map_err(exhausted)?;
        }
        match self.verifier.verify(tx).await {
            Some(Ok(tx)) => {
                let now = Instant::now();
                if !self.verifier.has_seen(&hash) {
                    self.quotas.sent(*tx.from(), now).map_err(exhausted)?;
                    self.verifier.remember(hash);
                    // What a known peer relays has come in a lot to the node that took it first.
                    let is_busy = match remote {
                        None => self.quotas.is_busy(tx.from(), now),
                        Some(_) => self.quotas.is_busy(tx.from(), now) || self.quotas.are_strangers_busy(now),
                    };
                    if known_peer.is_none() && is_busy {
                        self.pushes.in_a_lot(hash).await;
                    }
                } else {
                    self.pushes.with_its_lot(&hash).await;
                }
                self.engine.submit(from, tx).await
            }
            Some(Err(error)) => {
                let reason = error.to_string();
                self.score(from, &reason);
                Err(ServiceError::new(ErrorClass::Invalid, reason))
            }
            None => Err(ServiceError::new(ErrorClass::Exhausted, "too many transactions at once; try again")),
        }
    }

    async fn take_block(&self, remote: SocketAddr, block: UncheckedBlock) -> Result<BlockHash, ServiceError> {
        let from = self.sender(remote)?;
        if self.known_peer(from).is_none() {
            let may = self.quotas.pushed_block(remote.ip(), Instant::now());
            may.map_err(|message| ServiceError::new(ErrorClass::Exhausted, message))?;
        }
        self.pushes.block(self.engine.block(from, block)).await
    }

    /// Tells the engine of a message of a peer that never reaches it. A queue that is full has other worries.
    fn score(&self, from: Option<PeerId>, reason: &str) {
        if let Some(peer) = from {
            let event = Event::Malformed { peer, reason: reason.to_owned() };
            drop(self.engine.commands.try_send(Command::Event(event)));
        }
    }

    /// A peer that this node knows, and whether it chose it: it was named, chosen or called back. Whoever only greeted may
    /// be anybody.
    fn known_peer(&self, from: Option<PeerId>) -> Option<(PeerId, bool)> {
        let peer = from?;
        Some((peer, self.peers.is_chosen(peer)?))
    }

    /// The peer behind a connection, unless it is banned.
    fn sender(&self, remote: SocketAddr) -> Result<Option<PeerId>, ServiceError> {
        if self.peers.is_banned(remote) {
            return Err(ServiceError::new(ErrorClass::Unavailable, "this peer is banned for a while"));
        }
        Ok(self.peers.behind(remote))
    }
}

impl PeerService for Services {
    fn hello(&self, remote: SocketAddr, hello: Hello) -> Answer<'_, Hello> {
        let expected = self.genesis.chain_id();
        let is_known = self.is_known(remote);
        let greeted = if is_known { Ok(()) } else { self.quotas.greeted(remote.ip(), Instant::now()) };
        let answer = if let Err(message) = greeted {
            Err(ServiceError::new(ErrorClass::Exhausted, message))
        } else if hello.chain_id != expected {
            let message = format!("chain id: expected {expected}, got {}", hello.chain_id);
            Err(ServiceError::new(ErrorClass::NotYet, message))
        } else {
            // A node that greets itself reads its own nonce in the answer.
            self.peers.greeted(remote, &hello);
            Ok(self.peers.hello())
        };
        futures::future::ready(answer).boxed()
    }

    fn exchange_nodes(&self, remote: SocketAddr, nodes: Vec<SocketAddr>) -> Answer<'_, Vec<SocketAddr>> {
        let answer = if self.peers.may_exchange(remote) {
            self.peers.learn(&nodes, remote);
            Ok(self.peers.known())
        } else {
            Err(ServiceError::new(ErrorClass::Exhausted, "addresses were exchanged a moment ago; try again later"))
        };
        futures::future::ready(answer).boxed()
    }

    fn block_from(&self, query: BlockQuery) -> Answer<'_, Option<UncheckedBlock>> {
        async move { self.read_block(query) }.boxed()
    }

    fn block_to(&self, remote: SocketAddr, block: UncheckedBlock) -> Answer<'_, BlockHash> {
        self.take_block(remote, block).boxed()
    }

    fn exchange_block(&self, remote: SocketAddr, block: UncheckedBlock) -> Answer<'_, UncheckedBlock> {
        async move {
            self.take_block(remote, block).await?;
            let tip = self.read_block(BlockQuery::Tip)?;
            tip.ok_or_else(|| ServiceError::new(ErrorClass::Internal, "the store has no tip"))
        }
        .boxed()
    }

    fn transaction_to(&self, remote: SocketAddr, tx: Transaction<Unverified>) -> Answer<'_, TxHash> {
        async move {
            let from = self.sender(remote)?;
            self.pushes.transaction(self.take_tx(Some(remote), from, tx)).await
        }
        .boxed()
    }

    fn transaction_from(&self, hash: TxHash) -> Answer<'_, Option<Transaction<Unverified>>> {
        async move { self.read_tx(&hash) }.boxed()
    }

    fn is_known(&self, remote: SocketAddr) -> bool {
        self.known_peer(self.peers.behind(remote)).is_some()
    }

    fn refused(&self, remote: SocketAddr, error: &ConversionError) {
        tracing::debug!(%remote, %error, "message refused");
        self.score(self.peers.behind(remote), &error.to_string());
    }

    fn bulk(self: Arc<Self>) -> Option<Arc<dyn BulkService>> {
        if self.bulk { Some(self) } else { None }
    }
}

impl LedgerService for Services {
    fn submit(&self, tx: Transaction<Unverified>) -> Answer<'_, TxHash> {
        self.take_tx(None, None, tx).boxed()
    }

    fn status(&self, hash: TxHash) -> Answer<'_, TxStatus> {
        async move {
            let (view, tip) = settled(self.store.as_ref(), &self.tip).await?;
            query::tx_status(view.as_ref(), &self.genesis, &tip, &hash).map_err(|error| store_error(&error))
        }
        .boxed()
    }

    fn tip(&self) -> Answer<'_, Tip> {
        futures::future::ready(Ok(self.tip.borrow().clone())).boxed()
    }

    fn headers(&self, from_height: u64, limit: u32) -> Answer<'_, Vec<HeaderRow>> {
        async move { self.read_headers(from_height, limit).map_err(|error| store_error(&error)) }.boxed()
    }

    fn transaction(&self, hash: TxHash) -> Answer<'_, Option<Transaction<Unverified>>> {
        async move { self.read_tx(&hash) }.boxed()
    }

    fn block(&self, query: BlockQuery) -> Answer<'_, Option<UncheckedBlock>> {
        async move { self.read_block(query) }.boxed()
    }

    fn receipt(&self, hash: TxHash) -> Answer<'_, String> {
        async move {
            let view = self.store.snapshot();
            let receipt = query::build_receipt(view.as_ref(), &self.genesis, &hash);
            let refuse = |error: ReceiptError| ServiceError::new(error.class(), error.to_string());
            receipt.map(|receipt| receipt.to_json()).map_err(refuse)
        }
        .boxed()
    }

    fn watch(&self) -> Answer<'_, BoxStream<'static, Tip>> {
        let tips = WatchStream::new(self.tip.clone()).boxed();
        futures::future::ready(Ok(tips)).boxed()
    }

    fn waits(&self, blocks: u32) -> Answer<'_, Waits> {
        async move {
            let _turn = self.waits.lock().await;
            let store = Arc::clone(&self.store);
            let read = move || waits(store.snapshot().as_ref(), blocks, MAX_WAITS, wall_ms());
            match tokio::task::spawn_blocking(read).await {
                Ok(found) => found.map_err(|error| store_error(&error)),
                Err(error) => Err(ServiceError::new(ErrorClass::Internal, error.to_string())),
            }
        }
        .boxed()
    }

    fn sync(&self) -> Answer<'_, SyncInfo> {
        let SyncReport { reason, text, since } = self.sync.borrow().clone();
        let info = SyncInfo { reason: reason.into(), text, lasting: since.elapsed() };
        futures::future::ready(Ok(info)).boxed()
    }

    fn peers(&self) -> Answer<'_, Vec<PeerInfo>> {
        futures::future::ready(Ok(self.peers.list(true))).boxed()
    }

    fn genesis(&self) -> Answer<'_, Vec<u8>> {
        futures::future::ready(Ok(self.genesis.to_bytes())).boxed()
    }
}

#[cfg(test)]
mod tests;
