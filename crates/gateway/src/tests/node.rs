//! A node in this process: a real ledger in memory behind the real transport, whose blocks come when a test says so.

use crate::clock::now_ms;
use blockhie_core::packing::FairFirst;
use blockhie_core::query::waits::{Waits, waits};
use blockhie_core::store::{Op, Pruned, Store as _};
use blockhie_core::{
    Application, BlockHash, BlockQuery, ChainKind, CompactTarget, ErrorClass, Genesis, Hash32, Ledger, Member,
    MemoryStore, Router, SecretKey, TemplateRequest, Tip, Transaction, TxHash, TxStatus, U256, UncheckedBlock,
    Unverified,
};
use blockhie_coupling::CouplingApp;
use blockhie_emr::EmrApp;
use blockhie_phd::PhdApp;
use blockhie_pow::NoWork;
use blockhie_transport::service::Answer;
use blockhie_transport::{HeaderRow, Hello, LedgerService, PeerInfo, PeerService, ServiceError, serve};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::WatchStream;

/// The chain and its members.
pub(crate) struct FakeNode {
    ledger: Mutex<Ledger>,
    store: Arc<MemoryStore>,
    secrets: Vec<SecretKey>,
    tips: watch::Sender<Tip>,
    pub(crate) genesis: Genesis,
}

/// A [`FakeNode`] being served.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl FakeNode {
    /// A node of the EMR-Chain; members with these names, none makes an open chain.
    pub(crate) fn new(names: &[&str]) -> Arc<Self> {
        Self::of_kind(ChainKind::Emr, names)
    }

    /// The same of the PHD-Chain.
    pub(crate) fn phd(names: &[&str]) -> Arc<Self> {
        Self::of_kind(ChainKind::Phd, names)
    }

    fn of_kind(kind: ChainKind, names: &[&str]) -> Arc<Self> {
        let mut secrets: Vec<_> = (0..names.len()).map(|_| SecretKey::generate().unwrap()).collect();
        let members = secrets.iter().zip(names).map(|(s, name)| Member { key: s.public(), name: (*name).into() });
        let nonce = Hash32(*SecretKey::generate().unwrap().seed());
        let start = now_ms() - 60_000;
        let genesis =
            Genesis::with_defaults(kind, "test <chain>", nonce, start, CompactTarget::MOST, members.collect())
                .with_siblings();
        genesis.check().unwrap();
        secrets.sort_by_key(SecretKey::public);
        if secrets.is_empty() {
            secrets.push(SecretKey::generate().unwrap());
        }
        Self::of(genesis, secrets)
    }

    fn of(genesis: Genesis, secrets: Vec<SecretKey>) -> Arc<Self> {
        let store = Arc::new(MemoryStore::new(&genesis));
        let ledger = Ledger::open(store.clone(), Arc::new(NoWork), application(&genesis)).unwrap();
        let tips = watch::Sender::new(ledger.tip().clone());
        Arc::new(Self { ledger: Mutex::new(ledger), store, secrets, tips, genesis })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    fn publish(&self, ledger: &mut Ledger) {
        ledger.commit().unwrap();
        self.tips.send_replace(ledger.tip().clone());
    }

    /// The same chain, which holds nothing yet.
    pub(crate) fn emptied(&self) -> Arc<Self> {
        Self::of(self.genesis.clone(), self.secrets.clone())
    }

    /// One block by the member with this place.
    pub(crate) fn mine(&self, member: usize) -> BlockHash {
        self.try_mine(member).unwrap()
    }

    /// The same, unless it is not that member's turn.
    pub(crate) fn try_mine(&self, member: usize) -> Option<BlockHash> {
        self.seal(member).map(|block| self.import(block))
    }

    /// A block on the tip with all that waits, unless it is not that member's turn.
    pub(crate) fn seal(&self, member: usize) -> Option<UncheckedBlock> {
        let secret = &self.secrets[member % self.secrets.len()];
        let request = TemplateRequest {
            miner: secret.public(),
            now_ms: now_ms(),
            policy: &FairFirst,
            node_index: 1,
            node_count: 1,
            seed: 0,
        };
        let template = self.ledger().template(&request).ok()?;
        let signer = (!self.genesis.is_open()).then_some(secret);
        Some(template.seal(&self.genesis.chain_id(), 0, signer))
    }

    /// Takes a block, on the best chain or beside it.
    pub(crate) fn import(&self, block: UncheckedBlock) -> BlockHash {
        let hash = block.claimed_hash;
        let mut ledger = self.ledger();
        ledger.import(block, &BTreeMap::new(), now_ms() + 1_000).unwrap();
        self.publish(&mut ledger);
        hash
    }

    pub(crate) fn pending(&self) -> usize {
        self.ledger().mempool_len()
    }

    pub(crate) fn knows(&self, txhash: &TxHash) -> bool {
        self.ledger().transaction(txhash).unwrap().is_some()
    }

    /// As a node that has pruned this body, and all others below this height.
    pub(crate) fn prune(&self, txhash: TxHash, below: u64) {
        self.store.commit(vec![Op::DropTx(txhash), Op::Pruned(Pruned { below, next: 0 })]).unwrap();
    }

    /// Serves at a port; 0 is a free one.
    pub(crate) async fn serve(self: &Arc<Self>, port: u16) -> Serving {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (peers, ledger): (Arc<dyn PeerService>, Arc<dyn LedgerService>) = (self.clone(), self.clone());
        let task = tokio::spawn(async move {
            let ended = serve(listener, peers, ledger, async { drop(stopped.await) }).await;
            ended.unwrap();
        });
        Serving { address, stop, task }
    }
}

/// What the node of this kind of chain runs.
fn application(genesis: &Genesis) -> Arc<dyn Application> {
    let router = Router::new(genesis.kind).route(32..=33, Box::new(CouplingApp::new(genesis)));
    Arc::new(match genesis.kind {
        ChainKind::Emr => router.route(1..=7, Box::new(EmrApp)),
        ChainKind::Phd => router.route(16..=18, Box::new(PhdApp::new(genesis))),
    })
}

impl Serving {
    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap();
    }
}

fn ready<T: Send + 'static>(result: Result<T, ServiceError>) -> BoxFuture<'static, Result<T, ServiceError>> {
    Box::pin(futures::future::ready(result))
}

fn internal(error: impl std::fmt::Display) -> ServiceError {
    ServiceError::new(ErrorClass::Internal, error.to_string())
}

impl LedgerService for FakeNode {
    fn submit(&self, tx: Transaction<Unverified>) -> Answer<'_, TxHash> {
        let hash = tx.hash();
        let verified = tx.verify(&self.genesis.chain_id(), self.genesis.kind);
        let mut ledger = self.ledger();
        ready(match verified {
            Err(error) => Err(ServiceError::new(ErrorClass::Invalid, error.to_string())),
            Ok(tx) => match ledger.submit(tx, now_ms()) {
                Err(error) => Err(ServiceError::new(error.class(), error.to_string())),
                Ok(_) => {
                    self.publish(&mut ledger);
                    Ok(hash)
                }
            },
        })
    }

    fn status(&self, hash: TxHash) -> Answer<'_, TxStatus> {
        ready(self.ledger().status(&hash).map_err(internal))
    }

    fn tip(&self) -> Answer<'_, Tip> {
        ready(Ok(self.ledger().tip().clone()))
    }

    fn headers(&self, from: u64, limit: u32) -> Answer<'_, Vec<HeaderRow>> {
        let ledger = self.ledger();
        let blocks = (from..from.saturating_add(u64::from(limit))).map_while(|height| ledger.block_at(height).unwrap());
        let chain = self.genesis.chain_id();
        let row = |block: blockhie_core::Block| HeaderRow {
            hash: block.hash,
            preimage: block.header.preimage(&chain),
            signature: block.signature,
            txhashes: block.txhashes,
        };
        ready(Ok(blocks.map(row).collect()))
    }

    fn transaction(&self, hash: TxHash) -> Answer<'_, Option<Transaction<Unverified>>> {
        let found = self.ledger().transaction(&hash).map_err(internal);
        ready(found.map(|tx| tx.map(Transaction::into_unverified)))
    }

    fn block(&self, query: BlockQuery) -> Answer<'_, Option<UncheckedBlock>> {
        let ledger = self.ledger();
        let found = match query {
            BlockQuery::Tip => ledger.block(&ledger.tip().hash),
            BlockQuery::Height(height) => ledger.block_at(height),
            BlockQuery::Hash(hash) => ledger.block(&hash),
        };
        ready(found.map_err(internal).map(|block| block.map(|block| block.to_unchecked())))
    }

    fn receipt(&self, hash: TxHash) -> Answer<'_, String> {
        let receipt = self.ledger().receipt(&hash);
        ready(match receipt {
            Ok(receipt) => Ok(receipt.to_json()),
            Err(error) => Err(ServiceError::new(error.class(), error.to_string())),
        })
    }

    fn watch(&self) -> Answer<'_, BoxStream<'static, Tip>> {
        ready(Ok(WatchStream::new(self.tips.subscribe()).boxed()))
    }

    fn waits(&self, blocks: u32) -> Answer<'_, Waits> {
        ready(waits(self.store.snapshot().as_ref(), blocks, 1_000, now_ms()).map_err(internal))
    }

    fn peers(&self) -> Answer<'_, Vec<PeerInfo>> {
        let peer = |port: u16, connected: bool| PeerInfo {
            address: ([192, 0, 2, 1], port).into(),
            height: 7,
            work: connected.then_some(U256::from(19)),
            connected,
            incoming: connected,
            named: connected,
            score: 40,
            left_alone: (!connected).then_some(Duration::from_secs(60)),
            banned: !connected,
        };
        ready(Ok(vec![peer(7_001, true), peer(7_002, false)]))
    }

    fn genesis(&self) -> Answer<'_, Vec<u8>> {
        ready(Ok(self.genesis.to_bytes()))
    }
}

fn no_peer<T: Send + 'static>() -> BoxFuture<'static, Result<T, ServiceError>> {
    ready(Err(ServiceError::new(ErrorClass::Unavailable, "this node has no peers")))
}

impl PeerService for FakeNode {
    fn hello(&self, _: SocketAddr, _: Hello) -> Answer<'_, Hello> {
        no_peer()
    }
    fn exchange_nodes(&self, _: SocketAddr, _: Vec<SocketAddr>) -> Answer<'_, Vec<SocketAddr>> {
        no_peer()
    }
    fn block_from(&self, _: BlockQuery) -> Answer<'_, Option<UncheckedBlock>> {
        no_peer()
    }
    fn block_to(&self, _: SocketAddr, _: UncheckedBlock) -> Answer<'_, BlockHash> {
        no_peer()
    }
    fn exchange_block(&self, _: SocketAddr, _: UncheckedBlock) -> Answer<'_, UncheckedBlock> {
        no_peer()
    }
    fn transaction_to(&self, _: SocketAddr, _: Transaction<Unverified>) -> Answer<'_, TxHash> {
        no_peer()
    }
    fn transaction_from(&self, _: TxHash) -> Answer<'_, Option<Transaction<Unverified>>> {
        no_peer()
    }
}
