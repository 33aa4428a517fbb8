//! Connections to peers: who there is one to, and what every peer's task knows.

mod addresses;
mod book;
mod connection;
mod fetch;
mod gossip;
mod told;

use crate::driver::{EngineHandle, PeerCommand};
use crate::verifier::Verifier;
use addresses::AddressBook;
use blockhie_core::store::PeerRow;
use blockhie_core::{BlockHash, ChainId, Tip, U256};
use blockhie_engine::PeerId;
use blockhie_transport::Hello;
use book::{Inbound, Shunned};
pub(crate) use fetch::{read_header, write_header};
use gossip::{Exchanges, MAX_REVERSE};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};

/// Commands that wait for one peer.
const QUEUE: usize = 2_048;

/// What every peer's task knows.
pub(crate) struct Peers {
    chain: ChainId,
    /// Block 0, where this node speaks `blockhie.v1.Peer`.
    bulk: Option<BlockHash>,
    nonce: u64,
    listen: SocketAddr,
    tip: watch::Receiver<Tip>,
    engine: EngineHandle,
    verifier: Arc<Verifier>,
    stop: watch::Receiver<bool>,
    table: Mutex<BTreeMap<PeerId, Entry>>,
    inbound: Mutex<Inbound>,
    shunned: Mutex<Shunned>,
    book: Mutex<AddressBook>,
    exchanges: Mutex<Exchanges>,
    /// Somebody told of addresses: there may be one for a free place.
    wanted: Notify,
}

/// Why there is a connection to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The operator named it.
    Named,
    /// This node chose it from its book.
    Outbound,
    /// It came by itself, and is called back.
    Reverse,
}

struct Entry {
    commands: mpsc::Sender<PeerCommand>,
    role: Role,
    connected: bool,
    /// Height and work, by its own word.
    height: u64,
    work: Option<U256>,
    score: u32,
}

impl Entry {
    fn new(commands: mpsc::Sender<PeerCommand>, role: Role) -> Self {
        Self { commands, role, connected: false, height: 0, work: None, score: 0 }
    }
}

/// What a node is made of, for its peers.
pub(crate) struct PeersConfig {
    pub(crate) chain: ChainId,
    pub(crate) bulk: Option<BlockHash>,
    pub(crate) nonce: u64,
    pub(crate) listen: SocketAddr,
    pub(crate) tip: watch::Receiver<Tip>,
    pub(crate) engine: EngineHandle,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) stop: watch::Receiver<bool>,
    /// Peers remembered from earlier runs, and who of equal ones is tried.
    pub(crate) remembered: Vec<PeerRow>,
    pub(crate) seed: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while these are held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peers {
    pub(crate) fn new(config: PeersConfig) -> Arc<Self> {
        let PeersConfig { chain, bulk, nonce, listen, tip, engine, verifier, stop, remembered, seed } = config;
        let (table, inbound, shunned, exchanges, wanted) = Default::default();
        let book = Mutex::new(AddressBook::load(remembered, seed));
        Arc::new(Self {
            chain,
            bulk,
            nonce,
            listen,
            tip,
            engine,
            verifier,
            stop,
            table,
            inbound,
            shunned,
            book,
            exchanges,
            wanted,
        })
    }

    /// Keeps a connection to `peer` from now on. `named`: by the operator.
    pub(crate) fn add(self: &Arc<Self>, peer: PeerId, named: bool) {
        if peer == self.listen || (!named && self.shunned(peer).is_some()) {
            return;
        }
        let role = if named { Role::Named } else { Role::Reverse };
        let mut table = lock(&self.table);
        let reverse = table.values().filter(|entry| entry.role == Role::Reverse).count();
        if let Some(entry) = table.get_mut(&peer) {
            if named {
                entry.role = role;
            }
            return;
        }
        if !named && reverse >= MAX_REVERSE {
            return;
        }
        let (commands, receiver) = mpsc::channel(QUEUE);
        table.insert(peer, Entry::new(commands, role));
        tokio::spawn(self.clone().keep(peer, receiver));
    }

    /// Takes a peer that nobody named off the table. Whether it is off.
    fn drop_unnamed(&self, peer: PeerId) -> bool {
        let mut table = lock(&self.table);
        if table.get(&peer).is_some_and(|entry| entry.role == Role::Named) {
            return false;
        }
        table.remove(&peer);
        self.wanted.notify_one();
        true
    }

    fn is_named(&self, peer: PeerId) -> bool {
        lock(&self.table).get(&peer).is_some_and(|entry| entry.role == Role::Named)
    }

    fn is_outbound(&self, peer: PeerId) -> bool {
        lock(&self.table).get(&peer).is_some_and(|entry| entry.role == Role::Outbound)
    }

    fn shunned(&self, peer: PeerId) -> Option<(Duration, bool)> {
        lock(&self.shunned).get(peer, Instant::now())
    }

    /// Carries the engine's commands to the peers' tasks until the engine is gone.
    pub(crate) async fn route(self: Arc<Self>, mut commands: mpsc::Receiver<PeerCommand>) {
        while let Some(command) = commands.recv().await {
            let peer = match &command {
                PeerCommand::Scores(scores) => {
                    self.score(scores);
                    continue;
                }
                PeerCommand::Ask { peer, .. }
                | PeerCommand::Fetch { peer, .. }
                | PeerCommand::Announce { peer, .. }
                | PeerCommand::SendBlock { peer, .. }
                | PeerCommand::SendTx { peer, .. }
                | PeerCommand::Ban { peer, .. } => *peer,
            };
            if let PeerCommand::Ban { for_ms, .. } = &command {
                let time = Duration::from_millis(*for_ms);
                lock(&self.shunned).insert(peer, time, true, Instant::now());
            }
            let table = lock(&self.table);
            let Some(entry) = table.get(&peer) else { continue };
            // A peer that is too slow for its questions: they stall and are asked elsewhere.
            drop(entry.commands.try_send(command));
        }
    }

    /// What this node says of itself.
    pub(crate) fn hello(&self) -> Hello {
        let tip = self.tip.borrow();
        Hello {
            chain_id: self.chain,
            height: tip.height,
            work: tip.work.to_big_endian(),
            listen_port: self.listen.port(),
            nonce: self.nonce,
        }
    }

    /// Somebody greeted us. Remembers where it listens, unless it is this node itself.
    pub(crate) fn greeted(self: &Arc<Self>, remote: SocketAddr, hello: &Hello) {
        if hello.nonce == self.nonce || hello.listen_port == 0 {
            lock(&self.inbound).remove(remote);
        } else {
            let peer = SocketAddr::new(remote.ip(), hello.listen_port);
            lock(&self.inbound).insert(remote, peer, Instant::now());
            self.add(peer, false);
        }
    }

    /// The peer behind a connection, if it said where it listens.
    pub(crate) fn behind(&self, remote: SocketAddr) -> Option<PeerId> {
        lock(&self.inbound).get(remote, Instant::now())
    }

    /// Whether this connection belongs to a banned peer. The engine bans nobody on loopback.
    pub(crate) fn is_banned(&self, remote: SocketAddr) -> bool {
        self.behind(remote).and_then(|peer| self.shunned(peer)).is_some_and(|(_, banned)| banned)
    }

    /// That a peer is connected, with what it said of its chain, or that it is not any more.
    fn note(&self, peer: PeerId, hello: Option<&Hello>) {
        if let Some(entry) = lock(&self.table).get_mut(&peer) {
            entry.connected = hello.is_some();
            if let Some(hello) = hello {
                (entry.height, entry.work) = (hello.height, Some(U256::from_big_endian(&hello.work)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
