//! A node as a library: built, started, asked, stopped. The binaries and the tests use nothing else.

mod error;
mod tasks;

pub use error::NodeError;

use crate::config::{Config, ConfigError};
use crate::driver::{Command, Driver, EngineHandle, QUEUE, SyncReport, SyncTeller, wall_ms};
use crate::housekeeping::Housekeeping;
use crate::miner::{Miner, MinerConfig};
use crate::peers::{Peers, PeersConfig};
use crate::quota::Quotas;
use crate::services::Services;
use crate::verifier::Verifier;
use blockhie_core::{
    Application, Genesis, Keep, Ledger, LedgerError, SecretKey, Store, StoreError, Tip, Transaction, TxHash, Verified,
    genesis_block,
};
use blockhie_engine::{Engine, EngineConfig, Event};
use blockhie_pow::ProofOfWork;
use blockhie_store::failpoint;
use blockhie_transport::{Limits, ServeError, ServiceError};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tasks::{serve_metrics, sum_metrics, ticks, until};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// gRPC drains requests under way for 5 s by itself; this long is waited for it.
const STOP_SERVER: Duration = Duration::from_secs(6);
/// And this long for the engine's last turn: together below the 10 s that a stop may take. What hangs is left behind
/// and said.
const STOP_ENGINE: Duration = Duration::from_secs(3);

/// Everything a node is made of.
pub struct NodeBuilder {
    /// Where its ledger lives.
    pub store: Arc<dyn Store>,
    /// What its transactions mean.
    pub application: Arc<dyn Application>,
    /// What the operator set.
    pub config: Config,
    /// Its key; needed to mine.
    pub key: Option<SecretKey>,
    /// The folder whose disk is watched.
    pub data_dir: Option<PathBuf>,
    /// gRPC's bounds.
    pub limits: Limits,
}

/// A running node.
pub struct Node {
    address: SocketAddr,
    genesis: Genesis,
    engine: EngineHandle,
    tip: watch::Receiver<Tip>,
    peers: Arc<Peers>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
    server: tokio::task::JoinHandle<Result<(), ServeError>>,
    metrics: PrometheusHandle,
    metrics_address: Option<SocketAddr>,
    sync: watch::Receiver<SyncReport>,
}

impl NodeBuilder {
    /// Opens the ledger, listens, connects and mines.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(self) -> Result<Node, NodeError> {
        self.start_with_clock(wall_ms).await
    }

    /// The same with another wall clock, in ms since the epoch.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start_with_clock(self, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Result<Node, NodeError> {
        self.config.check()?;
        let system = |error: std::io::Error| NodeError::System(error.to_string());
        let genesis = Genesis::from_bytes(&self.store.snapshot().meta()?.genesis).map_err(LedgerError::from)?;
        let mut ledger =
            Ledger::open(self.store.clone(), Arc::new(ProofOfWork::new(&genesis)), self.application.clone())?;
        failpoint::reach("start.ledger");
        ledger.set_mempool_limit(self.config.mempool_transactions);
        ledger.set_pruning(self.keep(&genesis)?)?;
        let remembered = self.store.snapshot().peers()?;
        let waiting = waiting(self.store.as_ref())?;
        let miner_key = self.miner_key(&genesis)?;
        let named = resolve(&self.config.peers).await?;
        // Both before any thread starts: a port in use leaves nothing running.
        let listener = listen(&self.config.listen, "--listen").await?;
        let metrics_listener = match self.config.metrics.as_str() {
            "" => None,
            address => Some(listen(address, "--metrics").await?),
        };
        failpoint::reach("start.listening");
        let metrics_address = metrics_listener.as_ref().map(TcpListener::local_addr).transpose().map_err(system)?;
        let address = listener.local_addr().map_err(system)?;

        let (commands, receiver) = mpsc::channel(QUEUE);
        let engine = EngineHandle { commands };
        let (stop, stopped) = watch::channel(false);
        let (tip_sender, tip) = watch::channel(ledger.tip().clone());
        let verifier = Arc::new(Verifier::start(genesis.chain_id(), genesis.kind).map_err(system)?);
        let (peer_commands, peer_receiver) = mpsc::channel(QUEUE);
        let peers = Peers::new(PeersConfig {
            chain: genesis.chain_id(),
            bulk: (!self.config.frozen_contract_only).then(|| genesis_block(&genesis).hash),
            nonce: getrandom::u64().map_err(|error| NodeError::System(error.to_string()))?,
            listen: address,
            tip: tip.clone(),
            engine: engine.clone(),
            verifier: verifier.clone(),
            stop: stopped.clone(),
            remembered,
            seed: getrandom::u64().map_err(|error| NodeError::System(error.to_string()))?,
        });
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        let mut core = Engine::new(ledger, self.engine_config(&genesis, miner_key.as_ref(), &named)?);
        core.offer_again(waiting);
        let miner = match &miner_key {
            Some(key) => Some(self.start_miner(&genesis, key, &engine).map_err(system)?),
            None => None,
        };
        let least = self.config.low_water_bytes;
        let housekeeping = Housekeeping::of(self.store.clone(), self.data_dir.clone(), least);
        let (teller, sync) = SyncTeller::new();
        let driver = Driver {
            clock: Arc::new(clock),
            engine: core,
            commands: receiver,
            peers: peer_commands,
            miner,
            tip: tip_sender,
            recorder,
            housekeeping,
            refusing: Default::default(),
            scores: Vec::new(),
            sync: teller,
        };
        let thread = std::thread::Builder::new().name("engine".into()).spawn(move || driver.run()).map_err(system)?;

        if let Some(listener) = metrics_listener {
            tokio::spawn(serve_metrics(listener, metrics.clone(), stopped.clone()));
        }
        tokio::spawn(peers.clone().route(peer_receiver));
        if self.config.discover {
            tokio::spawn(peers.clone().fill());
        }
        tokio::spawn(ticks(engine.clone(), stopped.clone()));
        tokio::spawn(sum_metrics(metrics.clone(), stopped.clone()));
        for peer in named {
            peers.add(peer, true);
        }
        let (store, peers_of) = (self.store, peers.clone());
        let services = Services {
            genesis: genesis.clone(),
            store,
            engine: engine.clone(),
            verifier,
            peers: peers_of,
            tip: tip.clone(),
            waits: Default::default(),
            quotas: Quotas::new(self.config.sender_rate),
            bulk: !self.config.frozen_contract_only,
            sync: sync.clone(),
            pushes: Default::default(),
        };
        let services = Arc::new(services);
        let ended = until(stopped);
        let server =
            tokio::spawn(blockhie_transport::serve_with(listener, services.clone(), services, self.limits, ended));
        Ok(Node { address, genesis, engine, tip, peers, stop, thread, server, metrics, metrics_address, sync })
    }

    /// What it prunes, if it does.
    fn keep(&self, genesis: &Genesis) -> Result<Option<Keep>, NodeError> {
        let keep = self.config.keep()?;
        if keep.is_some() && genesis.is_open() {
            return Err(NodeError::Config(ConfigError::Value {
                field: "prune_below_depth",
                expected: "0 on an open chain, where nothing becomes final".into(),
                got: self.config.prune_below_depth.to_string(),
            }));
        }
        Ok(keep)
    }

    /// The key to mine with, if this node mines.
    fn miner_key(&self, genesis: &Genesis) -> Result<Option<SecretKey>, NodeError> {
        if !self.config.mine {
            return Ok(None);
        }
        let Some(key) = &self.key else {
            return Err(NodeError::Miner { expected: "a key", got: "none".into() });
        };
        if !genesis.is_open() && genesis.member_index(&key.public()).is_none() {
            return Err(NodeError::Miner {
                expected: "the key of a member of the genesis",
                got: key.public().to_string(),
            });
        }
        Ok(Some(key.clone()))
    }

    fn engine_config(
        &self,
        genesis: &Genesis,
        miner: Option<&SecretKey>,
        named: &[SocketAddr],
    ) -> Result<EngineConfig, NodeError> {
        let small = |x: usize| u32::try_from(x).unwrap_or(u32::MAX);
        let position = miner.and_then(|key| genesis.member_index(&key.public()));
        let (node_index, node_count) = match position {
            Some(index) => (small(index) + 1, small(genesis.members.len())),
            None => (self.config.node_index, self.config.node_count),
        };
        let policy = blockhie_packing::require_policy(&self.config.packing)
            .map_err(|error| NodeError::System(error.to_string()))?;
        let seed = getrandom::u64().map_err(|error| NodeError::System(error.to_string()))?;
        let static_peers: BTreeSet<SocketAddr> = named.iter().copied().collect();
        Ok(EngineConfig { miner: miner.map(SecretKey::public), policy, node_index, node_count, seed, static_peers })
    }

    fn start_miner(&self, genesis: &Genesis, key: &SecretKey, engine: &EngineHandle) -> std::io::Result<Miner> {
        let commands = engine.commands.clone();
        let config = MinerConfig {
            chain: genesis.chain_id(),
            signer: (!genesis.is_open()).then(|| key.clone()),
            hash_rate: self.config.hash_rate,
            threads: self.config.miner_threads,
        };
        // A queue that is full loses this block; the next job finds another.
        Miner::start(config, move |block| drop(commands.try_send(Command::Event(Event::Mined { block }))))
    }
}

impl Node {
    /// Where it serves gRPC.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it serves `/metrics`, if it does.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Its chain's parameters.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The durable tip.
    #[must_use]
    pub fn tip(&self) -> Tip {
        self.tip.borrow().clone()
    }

    /// Each durable tip from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Tip> {
        self.tip.clone()
    }

    /// Peers and whether they are connected.
    #[must_use]
    pub fn peers(&self) -> Vec<blockhie_transport::PeerInfo> {
        self.peers.list(false)
    }

    /// What it waits for.
    #[must_use]
    pub fn sync(&self) -> SyncReport {
        self.sync.borrow().clone()
    }

    /// Keeps a connection to one more peer.
    pub fn add_peer(&self, peer: SocketAddr) {
        self.peers.add(peer, true);
    }

    /// Submits a transaction as if a client had; answers once it is durable.
    ///
    /// # Errors
    /// [`ServiceError`] with class, expected and got.
    pub async fn submit(&self, tx: Transaction<Verified>) -> Result<TxHash, ServiceError> {
        self.engine.submit(None, tx).await
    }

    /// An operator looked at a reorganisation below a final block: mining may go on.
    pub async fn clear_alarm(&self) {
        drop(self.engine.commands.send(Command::ClearAlarm).await);
    }

    /// The metrics as Prometheus reads them.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.metrics.render()
    }

    /// Stops serving, mining and connecting, and returns when the store is closed.
    ///
    /// # Errors
    /// [`NodeError::Hung`] when a part does not end, [`NodeError::Serve`] when gRPC had failed.
    pub async fn stop(self) -> Result<(), NodeError> {
        self.stop.send_replace(true);
        let hung = |part, time: Duration| NodeError::Hung { part, seconds: time.as_secs() };
        // The engine goes on until the requests under way are answered; it is stopped even where they never are.
        let served = tokio::time::timeout(STOP_SERVER, self.server).await;
        drop(self.engine.commands.send(Command::Stop).await);
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join());
        let joined = tokio::time::timeout(STOP_ENGINE, joined).await.map_err(|_| hung("the engine", STOP_ENGINE))?;
        if !matches!(joined, Ok(Ok(()))) {
            return Err(NodeError::System("the engine's thread ended by a panic".into()));
        }
        let served = served.map_err(|_| hung("gRPC", STOP_SERVER))?;
        served.map_err(|error| NodeError::System(error.to_string()))?.map_err(NodeError::from)
    }
}

/// Hashes of the transactions that wait, from the journal.
fn waiting(store: &dyn Store) -> Result<Vec<TxHash>, StoreError> {
    let view = store.snapshot();
    let mut all: Vec<TxHash> = Vec::new();
    loop {
        let page = view.pending(all.last(), 1_024)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page.into_iter().map(|(hash, _)| hash));
    }
}

async fn resolve(peers: &[String]) -> Result<Vec<SocketAddr>, NodeError> {
    let mut resolved = Vec::new();
    for peer in peers {
        let fail = |reason: String| NodeError::Peer { peer: peer.clone(), reason };
        let mut addresses = tokio::net::lookup_host(peer).await.map_err(|error| fail(error.to_string()))?;
        resolved.push(addresses.next().ok_or_else(|| fail("expected an address, got none".into()))?);
    }
    Ok(resolved)
}

async fn listen(address: &str, option: &'static str) -> Result<TcpListener, NodeError> {
    let fail =
        |error: std::io::Error| NodeError::Listen { address: address.to_owned(), option, reason: error.to_string() };
    TcpListener::bind(address).await.map_err(fail)
}
