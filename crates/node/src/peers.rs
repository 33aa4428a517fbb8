//! Connections to peers: one task for each, which keeps it up, says Hello, and carries the engine's questions.

mod addresses;
mod book;
mod fetch;
mod gossip;
mod told;

use crate::driver::{EngineHandle, PeerCommand};
use crate::verifier::Verifier;
use addresses::AddressBook;
use blockhie_core::store::PeerRow;
use blockhie_core::{BlockHash, BlockQuery, ChainId, ErrorClass, Tip, TxHash, U256};
use blockhie_engine::{AskError, Event, PeerId, Request};
use blockhie_transport::{ClientError, Hello, PeerClient};
use book::{Inbound, Shunned};
pub(crate) use fetch::{read_header, write_header};
use gossip::{Exchanges, MAX_REVERSE};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, mpsc, watch};

/// Requests under way to one peer: below the streams a server allows on one connection.
const REQUESTS: usize = 24;
/// Commands that wait for one peer.
const QUEUE: usize = 2_048;
/// How often a connected peer is greeted again: its height, and whether it lives.
const GREET_EVERY: Duration = Duration::from_secs(3);
/// First and longest wait before connecting again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// A peer of another chain is asked again after this.
const FOREIGN_WAIT: Duration = Duration::from_secs(60);
/// Failed connections after which a peer that came by itself is forgotten.
const FORGET_AFTER: u32 = 8;
/// Failed connections after which the place of one that was chosen goes to another: dead addresses must not hold it.
const REPLACE_AFTER: u32 = 2;

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

    /// One peer's life: connect, greet, serve, and again.
    async fn keep(self: Arc<Self>, peer: PeerId, mut commands: mpsc::Receiver<PeerCommand>) {
        let mut stop = self.stop.clone();
        let (mut wait, mut failures) = (BACKOFF.0, 0);
        while !*stop.borrow() {
            if let Some((left, _)) = self.shunned(peer) {
                if self.drop_unnamed(peer) {
                    return;
                }
                pause(&mut stop, left).await;
                continue;
            }
            match self.connect(peer).await {
                Ok(Connected::Peer(client, hello)) => {
                    (wait, failures) = (BACKOFF.0, 0);
                    self.note(peer, Some(&hello));
                    self.met(peer, true);
                    tracing::info!(%peer, height = hello.height, "peer is up");
                    self.serve(peer, &client, hello, &mut commands, &mut stop).await;
                    self.note(peer, None);
                    self.engine.tell(Event::PeerDown { peer }).await;
                    tracing::info!(%peer, "peer is down");
                }
                Ok(Connected::Itself) => {
                    self.met(peer, false);
                    lock(&self.table).remove(&peer);
                    return;
                }
                Ok(Connected::Foreign(got)) => {
                    tracing::warn!(%peer, expected = %self.chain, %got, "peer is on another chain");
                    self.met(peer, false);
                    lock(&self.shunned).insert(peer, FOREIGN_WAIT, false, Instant::now());
                }
                Err(error) => {
                    failures += 1;
                    // Of those that strangers tell of most do not answer.
                    if failures == 1 && self.is_named(peer) {
                        tracing::info!(%peer, %error, "peer is not reached; trying on");
                    }
                    self.met(peer, false);
                    let enough = if self.is_outbound(peer) { REPLACE_AFTER } else { FORGET_AFTER };
                    if failures >= enough && self.drop_unnamed(peer) {
                        return;
                    }
                    pause(&mut stop, wait).await;
                    wait = (wait * 2).min(BACKOFF.1);
                }
            }
        }
    }

    async fn connect(&self, peer: PeerId) -> Result<Connected, ClientError> {
        let client = PeerClient::connect(peer).await?;
        let hello = match client.hello(self.hello()).await {
            Ok(hello) => hello,
            // The one precondition of a Hello is the chain.
            Err(ClientError::Status { class: ErrorClass::NotYet, message, .. }) => {
                return Ok(Connected::Foreign(message));
            }
            Err(error) => return Err(error),
        };
        if hello.nonce == self.nonce {
            return Ok(Connected::Itself);
        }
        if hello.chain_id != self.chain {
            return Ok(Connected::Foreign(hello.chain_id.to_string()));
        }
        Ok(Connected::Peer(Box::new(client), hello))
    }

    /// While the connection stands.
    async fn serve(
        self: &Arc<Self>,
        peer: PeerId,
        client: &PeerClient,
        hello: Hello,
        commands: &mut mpsc::Receiver<PeerCommand>,
        stop: &mut watch::Receiver<bool>,
    ) {
        // What was queued for an earlier connection is stale.
        while commands.try_recv().is_ok() {}
        let speaks = self.speaks(client).await;
        self.engine.tell(Event::PeerUp { peer }).await;
        if speaks {
            self.engine.tell(Event::PeerSpeaks { peer }).await;
        }
        self.claims(peer, &hello).await;
        if let Ok(addresses) = client.exchange_nodes(&self.known()).await {
            self.learn(&addresses, peer);
        }
        let room = Arc::new(Semaphore::new(REQUESTS));
        let mut greet = tokio::time::interval_at(tokio::time::Instant::now() + GREET_EVERY, GREET_EVERY);
        loop {
            tokio::select! {
                _ = stop.changed() => return,
                _ = greet.tick() => match client.hello(self.hello()).await {
                    Ok(hello) if hello.chain_id == self.chain => {
                        self.note(peer, Some(&hello));
                        self.claims(peer, &hello).await;
                    }
                    _ => return,
                },
                command = commands.recv() => match command {
                    None | Some(PeerCommand::Ban { .. }) => return,
                    Some(command) => {
                        let Ok(permit) = room.clone().acquire_owned().await else { return };
                        let (peers, client) = (self.clone(), client.clone());
                        tokio::spawn(async move {
                            peers.carry(&client, command).await;
                            drop(permit);
                        });
                    }
                },
            }
        }
    }

    async fn claims(&self, peer: PeerId, hello: &Hello) {
        let work = U256::from_big_endian(&hello.work);
        self.engine.tell(Event::PeerTip { peer, height: hello.height, work }).await;
    }

    /// One question or push; a question's answer goes back to the engine.
    async fn carry(&self, client: &PeerClient, command: PeerCommand) {
        let event = match command {
            PeerCommand::Ask { peer, request: Request::Block(query) } => self.ask_block(client, peer, query).await,
            PeerCommand::Ask { peer, request: Request::Tx(hash) } => self.ask_tx(client, peer, hash).await,
            PeerCommand::Fetch { peer, id, fetch } => self.ask_bulk(client, peer, id, fetch).await,
            PeerCommand::Announce { peer, header } => {
                if let Err(error) = client.announce(&write_header(&header, &self.chain)).await {
                    tracing::debug!(%peer, %error, "announcement was not taken");
                }
                return;
            }
            PeerCommand::SendBlock { peer, block } => {
                if let Err(error) = client.block_to(&block).await {
                    tracing::debug!(%peer, %error, "block was not taken");
                }
                return;
            }
            PeerCommand::SendTx { peer, tx } => {
                if let Err(error) = client.transaction_to(&tx.into_unverified()).await {
                    tracing::debug!(%peer, %error, "transaction was not taken");
                }
                return;
            }
            PeerCommand::Ban { .. } | PeerCommand::Scores(_) => return,
        };
        self.engine.tell(event).await;
    }

    async fn ask_block(&self, client: &PeerClient, peer: PeerId, query: BlockQuery) -> Event {
        match client.block_from(query).await {
            Ok(block) => Event::GotBlock { peer, query, block },
            Err(error) => match ask_error(&error) {
                None => Event::GotBlock { peer, query, block: None },
                Some(error) => Event::AskFailed { peer, request: Request::Block(query), error },
            },
        }
    }

    async fn ask_tx(&self, client: &PeerClient, peer: PeerId, hash: TxHash) -> Event {
        let request = Request::Tx(hash);
        let tx = match client.transaction_from(hash).await {
            Ok(Some(tx)) => tx,
            Ok(None) => return Event::GotTx { peer, hash, tx: None },
            Err(error) => {
                return match ask_error(&error) {
                    None => Event::GotTx { peer, hash, tx: None },
                    Some(error) => Event::AskFailed { peer, request, error },
                };
            }
        };
        let error = match self.verifier.verify(tx).await {
            Some(Ok(tx)) => return Event::GotTx { peer, hash, tx: Some(tx) },
            Some(Err(error)) => AskError::Malformed(error.to_string()),
            None => AskError::Unreachable("this node's signature pool is full".into()),
        };
        Event::AskFailed { peer, request, error }
    }
}

enum Connected {
    Peer(Box<PeerClient>, Hello),
    Itself,
    Foreign(String),
}

/// What an error says of the peer; `None`: it answered, and does not have what it was asked for. A peer that is too busy
/// has not answered: it may well have it, and is asked less.
fn ask_error(error: &ClientError) -> Option<AskError> {
    match error {
        ClientError::BadAnswer { .. } => Some(AskError::Malformed(error.to_string())),
        ClientError::Status { class: ErrorClass::Exhausted | ErrorClass::Unavailable, .. }
        | ClientError::Unreachable { .. }
        | ClientError::Address { .. } => Some(AskError::Unreachable(error.to_string())),
        ClientError::Status { .. } => None,
    }
}

/// Sleeps, but not past a stop.
async fn pause(stop: &mut watch::Receiver<bool>, time: Duration) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        _ = stop.changed() => {}
    }
}

#[cfg(test)]
mod tests;
