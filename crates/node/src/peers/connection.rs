//! One peer's life: connect, greet, serve, and again.

use super::{Peers, lock, write_header};
use crate::driver::PeerCommand;
use blockhie_core::{BlockQuery, ErrorClass, TxHash, U256};
use blockhie_engine::{AskError, Event, PeerId, Request};
use blockhie_transport::{ClientError, Hello, PeerClient};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, watch};

/// Requests under way to one peer: below the streams a server allows on one connection.
const REQUESTS: usize = 24;
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

impl Peers {
    /// One peer's life: connect, greet, serve, and again.
    pub(super) async fn keep(self: Arc<Self>, peer: PeerId, mut commands: mpsc::Receiver<PeerCommand>) {
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
                    // It is busy, and may still be there.
                    Err(ClientError::Status { class: ErrorClass::Exhausted, .. }) => {}
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
            Some(Ok(tx)) => {
                // It was asked for: nobody pays for it when it is relayed, too.
                self.verifier.remember(hash);
                return Event::GotTx { peer, hash, tx: Some(tx) };
            }
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
pub(super) fn ask_error(error: &ClientError) -> Option<AskError> {
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
