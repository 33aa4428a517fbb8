//! A node made of constants, and how to start it.

use blockhie_core::query::waits::{BlockWaits, Waits};
use blockhie_core::{
    BlockHash, BlockQuery, ErrorClass, Hash32, SecretKey, Signature, Tip, Transaction, TxHash, TxStatus, U256,
    UncheckedBlock, Unverified, Verified,
};
use blockhie_transport::{
    Answer, BulkService, ConversionError, HeaderRow, Hello, LedgerService, Limits, PeerInfo, PeerService, ServeError,
    ServiceError, SyncInfo, serve_with,
};
use futures::StreamExt;
use futures::future::ready;
use futures::stream::BoxStream;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const CHAIN: Hash32 = Hash32([3; 32]);
/// A transaction of this type is never answered.
pub(crate) const HANGS: i32 = -7;
/// Heights of the fake's chain.
pub(crate) const HEIGHT: u64 = 9;

#[derive(Default)]
pub(crate) struct Fake {
    /// Calls that reached the service.
    pub(crate) calls: AtomicUsize,
    /// Messages of which the service was told that they broke the contract.
    pub(crate) refused: Mutex<Vec<String>>,
    /// Answered instead of a result, if set.
    pub(crate) error: Mutex<Option<ServiceError>>,
    /// Serves no `blockhie.v1.Peer`.
    pub(crate) frozen: bool,
    /// Bytes of a receipt.
    pub(crate) receipt_bytes: AtomicUsize,
    /// Whether it knows whoever calls.
    pub(crate) known: AtomicBool,
}

impl Fake {
    pub(crate) fn answer<T: Send + 'static>(&self, value: T) -> Answer<'_, T> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(ready(match &*self.error.lock().unwrap() {
            Some(error) => Err(error.clone()),
            None => Ok(value),
        }))
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

pub(crate) fn hello() -> Hello {
    Hello { chain_id: CHAIN, height: HEIGHT, work: [5; 32], listen_port: 4_711, nonce: 12 }
}

pub(crate) fn transaction(tx_type: i32) -> Transaction<Unverified> {
    let to = Some(SecretKey::from_seed([2; 32]).public());
    Transaction::<Verified>::sign(&CHAIN, &SecretKey::from_seed([1; 32]), 5, tx_type, to, b"payload").into_unverified()
}

pub(crate) fn block(height: u64) -> UncheckedBlock {
    UncheckedBlock {
        height,
        time_ms: 1_000 + height,
        previous: Hash32([1; 32]),
        claimed_hash: Hash32([u8::try_from(height).unwrap_or(u8::MAX); 32]),
        target: 0x207f_ffff,
        nonce: 6,
        txhashes: vec![Hash32([7; 32]); 3],
        miner: Hash32([8; 32]),
        siblings: vec![Hash32([9; 32])],
        signature: Some(Signature([10; 64])),
        history_root: Some(Hash32([11; 32])),
    }
}

pub(crate) fn tip() -> Tip {
    Tip {
        height: HEIGHT,
        hash: block(HEIGHT).claimed_hash,
        time_ms: 1_009,
        work: U256::from(77),
        last_seen: vec![(SecretKey::from_seed([1; 32]).public(), HEIGHT)],
        final_height: Some(8),
        pending: 2,
        alarm: None,
        pruned_below: 0,
    }
}

pub(crate) fn header_row(height: u64) -> HeaderRow {
    HeaderRow {
        hash: block(height).claimed_hash,
        preimage: [4; 240],
        signature: (height > 0).then_some(Signature([5; 64])),
        txhashes: vec![Hash32([6; 32]); 2],
    }
}

fn find(query: BlockQuery) -> Option<UncheckedBlock> {
    match query {
        BlockQuery::Tip => Some(block(HEIGHT)),
        BlockQuery::Height(height) => (height <= HEIGHT).then(|| block(height)),
        BlockQuery::Hash(hash) => (0..=HEIGHT).map(block).find(|block| block.claimed_hash == hash),
    }
}

impl PeerService for Fake {
    fn hello(&self, remote: SocketAddr, hello: Hello) -> Answer<'_, Hello> {
        assert!(remote.ip().is_loopback() && remote.port() != 0);
        if hello.chain_id != CHAIN {
            let message = format!("hello chain: expected {CHAIN}, got {}", hello.chain_id);
            return Box::pin(ready(Err(ServiceError::new(ErrorClass::NotYet, message))));
        }
        self.answer(Hello { nonce: hello.nonce + 1, ..hello })
    }
    fn exchange_nodes(&self, _: SocketAddr, mut nodes: Vec<SocketAddr>) -> Answer<'_, Vec<SocketAddr>> {
        nodes.reverse();
        self.answer(nodes)
    }
    fn block_from(&self, query: BlockQuery) -> Answer<'_, Option<UncheckedBlock>> {
        self.answer(find(query))
    }
    fn block_to(&self, _: SocketAddr, block: UncheckedBlock) -> Answer<'_, BlockHash> {
        self.answer(block.claimed_hash)
    }
    fn exchange_block(&self, _: SocketAddr, block: UncheckedBlock) -> Answer<'_, UncheckedBlock> {
        self.answer(UncheckedBlock { nonce: block.nonce + 1, ..block })
    }
    fn transaction_to(&self, _: SocketAddr, tx: Transaction<Unverified>) -> Answer<'_, TxHash> {
        if tx.tx_type() == HANGS {
            return Box::pin(futures::future::pending());
        }
        self.answer(tx.hash())
    }
    fn transaction_from(&self, hash: TxHash) -> Answer<'_, Option<Transaction<Unverified>>> {
        let tx = transaction(1);
        self.answer((tx.hash() == hash).then_some(tx))
    }
    fn is_known(&self, _: SocketAddr) -> bool {
        self.known.load(Ordering::SeqCst)
    }
    fn refused(&self, remote: SocketAddr, error: &ConversionError) {
        assert!(remote.ip().is_loopback());
        self.refused.lock().unwrap().push(error.to_string());
    }
    fn bulk(self: Arc<Self>) -> Option<Arc<dyn BulkService>> {
        if self.frozen { None } else { Some(self) }
    }
}

impl LedgerService for Fake {
    fn submit(&self, tx: Transaction<Unverified>) -> Answer<'_, TxHash> {
        self.answer(tx.hash())
    }
    fn status(&self, hash: TxHash) -> Answer<'_, TxStatus> {
        self.answer(match hash.0[0] {
            0 => TxStatus::Unknown,
            1 => TxStatus::Pending { first_seen_ms: 4 },
            _ => TxStatus::Committed {
                height: 1,
                block: Hash32([1; 32]),
                time_ms: 2,
                index: 3,
                void: Some("known".into()),
                members: 1,
                quorum: 2,
                is_final: false,
                via_sibling: None,
            },
        })
    }
    fn tip(&self) -> Answer<'_, Tip> {
        self.answer(tip())
    }
    fn headers(&self, from_height: u64, limit: u32) -> Answer<'_, Vec<HeaderRow>> {
        let rows = (from_height..=HEIGHT).take(usize::try_from(limit).unwrap()).map(header_row).collect();
        self.answer(rows)
    }
    fn transaction(&self, hash: TxHash) -> Answer<'_, Option<Transaction<Unverified>>> {
        PeerService::transaction_from(self, hash)
    }
    fn block(&self, query: BlockQuery) -> Answer<'_, Option<UncheckedBlock>> {
        PeerService::block_from(self, query)
    }
    fn receipt(&self, _: TxHash) -> Answer<'_, String> {
        self.answer("r".repeat(self.receipt_bytes.load(Ordering::SeqCst)))
    }
    fn watch(&self) -> Answer<'_, BoxStream<'static, Tip>> {
        let heights = futures::stream::iter([HEIGHT, HEIGHT + 1]);
        let tips = heights.map(|height| Tip { height, ..tip() });
        self.answer(tips.chain(futures::stream::pending()).boxed())
    }
    fn waits(&self, blocks: u32) -> Answer<'_, Waits> {
        self.answer(waits(blocks))
    }
    fn peers(&self) -> Answer<'_, Vec<PeerInfo>> {
        self.answer(peer_infos())
    }
    fn sync(&self) -> Answer<'_, SyncInfo> {
        self.answer(SyncInfo { reason: "bodies".into(), text: "block 7".into(), lasting: Duration::from_secs(9) })
    }
    fn genesis(&self) -> Answer<'_, Vec<u8>> {
        self.answer(b"genesis".to_vec())
    }
}

pub(crate) fn peer_infos() -> Vec<PeerInfo> {
    let peer = |text: &str, connected: bool| PeerInfo {
        address: text.parse().unwrap(),
        height: 3,
        work: connected.then_some(U256::from(7)),
        connected,
        incoming: !connected,
        named: connected,
        score: 5,
        left_alone: (!connected).then_some(Duration::from_secs(9)),
        banned: !connected,
    };
    vec![peer("127.0.0.1:5000", true), peer("[::1]:6000", false)]
}

pub(crate) fn waits(blocks: u32) -> Waits {
    let block = |height: u64| BlockWaits {
        height,
        hash: Hash32([8; 32]),
        time_ms: height,
        measured_ms: vec![1, u64::MAX],
        claimed_ms: vec![0],
    };
    Waits { now_ms: 5, blocks: (1..=u64::from(blocks)).map(block).collect(), pending: 2, pending_ms: vec![3] }
}

/// A running server.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) fake: Arc<Fake>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Node {
    pub(crate) async fn start(limits: Limits) -> Self {
        Self::start_fake(Fake::default(), limits).await
    }

    /// One that serves the frozen contract alone.
    pub(crate) async fn start_frozen(limits: Limits) -> Self {
        Self::start_fake(Fake { frozen: true, ..Fake::default() }, limits).await
    }

    async fn start_fake(fake: Fake, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fake = Arc::new(fake);
        let (stop, stopped) = oneshot::channel::<()>();
        let (peers, ledger) = (Arc::clone(&fake), Arc::clone(&fake));
        let task = tokio::spawn(serve_with(listener, peers, ledger, limits, async move {
            let _ = stopped.await;
        }));
        Self { address, fake, stop, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn channel(&self) -> tonic::transport::Channel {
        tonic::transport::Endpoint::from_shared(self.url()).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn stop(self) -> Result<(), ServeError> {
        let _ = self.stop.send(());
        self.task.await.unwrap()
    }
}
