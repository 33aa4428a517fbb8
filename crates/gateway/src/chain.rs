//! A chain as the gateway sees it: one node behind `blockhie.v1.Ledger`, connected to when it is there.
//!
//! One task, [`ChainView::follow`], keeps the connection and reads the node's tips; everybody else takes what there is,
//! and is refused at once while the node is away.

mod error;

pub(crate) use error::ChainError;

use crate::index::Index;
use crate::limits::{HELD_BLOCKS, HELD_STATES, RECONNECT_LEAST, RECONNECT_MOST, WAITS_AGE};
use crate::view::BlockRow;
use blockhie_core::query::waits::Waits;
use blockhie_core::{
    BlockHash, BlockQuery, ChainId, ChainKind, ErrorClass, Genesis, Tip, Transaction, TxHash, TxStatus, UncheckedBlock,
    Unverified,
};
use blockhie_transport::limits::MAX_WAIT_BLOCKS;
use blockhie_transport::{LedgerClient, PeerInfo};
use futures::StreamExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// The chain's parameters.
#[derive(Debug)]
pub(crate) struct Known {
    /// The genesis.
    pub(crate) genesis: Genesis,
    /// Its identity.
    pub(crate) chain_id: ChainId,
}

/// What is live: read by the explorer, the event streams and the sweeper.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    /// The end of the best chain, when the node told one; old while it is away.
    pub(crate) tip: Option<Tip>,
    /// The newest blocks up to the tip, newest first.
    pub(crate) rows: Arc<Vec<BlockRow>>,
    /// Why there is no connection, if there is none.
    pub(crate) away: Option<String>,
}

/// A chain behind its node.
#[derive(Debug)]
pub(crate) struct ChainView {
    kind: ChainKind,
    url: String,
    index: Arc<Index>,
    known: OnceLock<Arc<Known>>,
    client: Mutex<Option<LedgerClient>>,
    feed: watch::Sender<Feed>,
    states: Mutex<States>,
    /// The waits told last, and when. Whoever asks meanwhile waits for the same answer.
    waits: tokio::sync::Mutex<Option<(Instant, Arc<Waits>)>>,
}

/// Answers about committed transactions, as of one tip.
#[derive(Debug, Default)]
struct States {
    tip: Option<BlockHash>,
    by_hash: HashMap<TxHash, TxStatus>,
}

impl ChainView {
    /// A view that has not connected yet. The genesis of an earlier contact is read from the index.
    pub(crate) fn new(kind: ChainKind, url: String, index: Arc<Index>) -> Result<Self, ChainError> {
        let feed = Feed { tip: None, rows: Arc::default(), away: Some("not connected yet".into()) };
        let view = Self {
            kind,
            url,
            known: OnceLock::new(),
            client: Mutex::default(),
            feed: watch::Sender::new(feed),
            states: Mutex::default(),
            waits: Default::default(),
            index,
        };
        if let Some(bytes) = view.index.genesis(kind)? {
            let known = view.parse(&bytes)?;
            let _ = view.known.set(Arc::new(known));
        }
        Ok(view)
    }

    /// Which chain it is.
    #[must_use]
    pub(crate) fn kind(&self) -> ChainKind {
        self.kind
    }

    /// `emr` or `phd`: its name in routes.
    #[must_use]
    pub(crate) fn slug(&self) -> &'static str {
        self.kind.name()
    }

    /// The chain's parameters, once the node told them (now or in an earlier run).
    ///
    /// # Errors
    /// [`ChainError::Away`].
    pub(crate) fn known(&self) -> Result<Arc<Known>, ChainError> {
        self.known.get().cloned().ok_or_else(|| ChainError::Away { reason: self.away() })
    }

    /// What is live, and a way to wait for its change.
    #[must_use]
    pub(crate) fn feed(&self) -> watch::Receiver<Feed> {
        self.feed.subscribe()
    }

    /// Why there is no connection.
    fn away(&self) -> String {
        self.feed.borrow().away.clone().unwrap_or_else(|| "connecting".into())
    }

    /// The connection, if the node is there.
    fn client(&self) -> Result<LedgerClient, ChainError> {
        lock(&self.client).clone().ok_or_else(|| ChainError::Away { reason: self.away() })
    }

    /// Submits; the node has it durably when this answers.
    ///
    /// # Errors
    /// [`ChainError`].
    pub(crate) async fn submit(&self, tx: &Transaction<Unverified>) -> Result<TxHash, ChainError> {
        Ok(self.client()?.submit(tx).await?)
    }

    /// Where a transaction stands. A committed one's answer is remembered until the tip changes.
    ///
    /// # Errors
    /// [`ChainError`].
    pub(crate) async fn status(&self, txhash: TxHash) -> Result<TxStatus, ChainError> {
        let tip = self.feed.borrow().tip.as_ref().map(|tip| tip.hash);
        if let Some(status) = lock(&self.states).at(tip).get(&txhash) {
            return Ok(status.clone());
        }
        let status = self.client()?.status(txhash).await?;
        if tip.is_some() && matches!(status, TxStatus::Committed { .. }) {
            let mut states = lock(&self.states);
            let held = states.at(tip);
            if held.len() < HELD_STATES {
                held.insert(txhash, status.clone());
            }
        }
        Ok(status)
    }

    /// Text of a receipt.
    ///
    /// # Errors
    /// [`ChainError`]; of class "not yet" while the transaction is not committed.
    pub(crate) async fn receipt(&self, txhash: TxHash) -> Result<String, ChainError> {
        Ok(self.client()?.receipt(txhash).await?)
    }

    /// A transaction, pending or committed.
    ///
    /// # Errors
    /// [`ChainError`].
    pub(crate) async fn transaction(&self, txhash: TxHash) -> Result<Option<Transaction<Unverified>>, ChainError> {
        Ok(self.client()?.transaction(txhash).await?)
    }

    /// A block.
    ///
    /// # Errors
    /// [`ChainError`].
    pub(crate) async fn block(&self, query: BlockQuery) -> Result<Option<UncheckedBlock>, ChainError> {
        Ok(self.client()?.block(query).await?)
    }

    /// The end of the best chain, asked for anew.
    ///
    /// # Errors
    /// [`ChainError`].
    pub(crate) async fn tip(&self) -> Result<Tip, ChainError> {
        Ok(self.client()?.tip().await?)
    }

    /// Waits of the newest [`MAX_WAIT_BLOCKS`] blocks, at most [`WAITS_AGE`] old.
    ///
    /// # Errors
    /// [`ChainError`].
    pub(crate) async fn waits(&self) -> Result<Arc<Waits>, ChainError> {
        let mut held = self.waits.lock().await;
        if let Some((told, waits)) = held.as_ref()
            && told.elapsed() < WAITS_AGE
        {
            return Ok(Arc::clone(waits));
        }
        let waits = Arc::new(self.client()?.waits(MAX_WAIT_BLOCKS).await?);
        *held = Some((Instant::now(), Arc::clone(&waits)));
        Ok(waits)
    }

    /// The peers that the node knows.
    ///
    /// # Errors
    /// [`ChainError`].
    pub(crate) async fn peers(&self) -> Result<Vec<PeerInfo>, ChainError> {
        Ok(self.client()?.peers().await?)
    }

    /// Rows of the best chain from a height on, ascending, at most `limit`; fewer above the tip.
    ///
    /// # Errors
    /// [`ChainError`].
    pub(crate) async fn rows(&self, from: u64, limit: u32) -> Result<Vec<BlockRow>, ChainError> {
        let known = self.known()?;
        rows(&self.client()?, &known, from, limit).await
    }

    /// Whether the node is there and told its tip; else why not.
    ///
    /// # Errors
    /// The reason.
    pub(crate) fn ready(&self) -> Result<u64, String> {
        let feed = self.feed.borrow();
        match (&feed.away, &feed.tip) {
            (None, Some(tip)) => Ok(tip.height),
            (Some(away), _) => Err(away.clone()),
            (None, None) => Err("connecting".into()),
        }
    }

    /// Keeps the connection and the feed until `stop` says true.
    pub(crate) async fn follow(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut wait = RECONNECT_LEAST;
        loop {
            let error = tokio::select! {
                () = stopped(&mut stop) => return,
                Err(error) = self.attend() => error,
            };
            *lock(&self.client) = None;
            let mut was_there = false;
            self.feed.send_modify(|feed| was_there = feed.away.replace(error.to_string()).is_none());
            if was_there {
                tracing::warn!(chain = self.slug(), %error, "lost the node; what is kept here is submitted when it is back");
                wait = RECONNECT_LEAST;
            } else {
                tracing::debug!(chain = self.slug(), %error, "node");
            }
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(RECONNECT_MOST);
        }
    }

    /// One connection, from its beginning to its end.
    async fn attend(&self) -> Result<std::convert::Infallible, ChainError> {
        let client = LedgerClient::connect(&self.url).await?;
        let known = self.recognise(&client).await?;
        let mut tips = client.watch().await?;
        while let Some(tip) = tips.next().await {
            let tip = tip?;
            let rows = self.newest(&client, &known, &tip).await?;
            let new = lock(&self.client).replace(client.clone()).is_none();
            if new {
                tracing::info!(chain = self.slug(), id = %known.chain_id, height = tip.height, "connected to the node");
            }
            self.feed.send_replace(Feed { tip: Some(tip), rows: Arc::new(rows), away: None });
        }
        Err(ChainError::Away { reason: "the node ended the connection".into() })
    }

    /// That the node serves the chain this gateway's records are on.
    async fn recognise(&self, client: &LedgerClient) -> Result<Arc<Known>, ChainError> {
        let bytes = client.genesis().await?;
        let known = self.parse(&bytes)?;
        let Some(expected) = self.known.get() else {
            self.index.set_genesis(self.kind, &bytes)?;
            return Ok(Arc::clone(self.known.get_or_init(|| Arc::new(known))));
        };
        if expected.chain_id != known.chain_id {
            return Err(ChainError::OtherChain { expected: expected.chain_id, got: known.chain_id });
        }
        Ok(Arc::clone(expected))
    }

    fn parse(&self, bytes: &[u8]) -> Result<Known, ChainError> {
        let genesis = Genesis::from_bytes(bytes).map_err(|error| ChainError::Genesis { reason: error.to_string() })?;
        if genesis.kind != self.kind {
            let reason = format!("expected the {} chain, got the {} chain", self.kind.name(), genesis.kind.name());
            return Err(ChainError::Genesis { reason });
        }
        Ok(Known { chain_id: genesis.chain_id(), genesis })
    }

    /// The newest rows up to `tip`: one more where it follows what is held, else all of them.
    async fn newest(&self, client: &LedgerClient, known: &Known, tip: &Tip) -> Result<Vec<BlockRow>, ChainError> {
        let held = Arc::clone(&self.feed.borrow().rows);
        let top = held.first();
        if top.is_some_and(|top| top.hash == tip.hash) {
            return Ok(held.to_vec());
        }
        let missing = top.map(|top| top.height + 1).filter(|next| *next <= tip.height);
        let count = u64::try_from(HELD_BLOCKS).unwrap_or(u64::MAX);
        let whole = tip.height.saturating_sub(count - 1);
        let from = missing.map_or(whole, |next| next.max(whole));
        let mut new = rows(client, known, from, wanted(from, tip.height)).await?;
        let follows = top.is_some_and(|top| new.first().is_some_and(|row| row.previous == top.hash));
        if from != whole && !follows {
            new = rows(client, known, whole, wanted(whole, tip.height)).await?;
        }
        new.reverse();
        if follows {
            new.extend(held.iter().cloned());
        }
        new.truncate(HELD_BLOCKS);
        Ok(new)
    }
}

impl States {
    /// Those of this tip; older ones go.
    fn at(&mut self, tip: Option<BlockHash>) -> &mut HashMap<TxHash, TxStatus> {
        if self.tip != tip {
            self.by_hash.clear();
            self.tip = tip;
        }
        &mut self.by_hash
    }
}

fn wanted(from: u64, tip: u64) -> u32 {
    u32::try_from(tip.saturating_sub(from).saturating_add(1)).unwrap_or(u32::MAX)
}

/// Rows from a height on. An answer may hold fewer than asked for, so it is asked again until there are no more.
async fn rows(client: &LedgerClient, known: &Known, from: u64, limit: u32) -> Result<Vec<BlockRow>, ChainError> {
    let mut rows: Vec<BlockRow> = Vec::new();
    loop {
        let left = limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        let next = rows.last().map_or(from, |row| row.height.saturating_add(1));
        if left == 0 {
            return Ok(rows);
        }
        let headers = client.headers(next, left).await?;
        if headers.is_empty() {
            return Ok(rows);
        }
        for header in &headers {
            let row = BlockRow::read(header, known)
                .map_err(|reason| ChainError::Node { class: ErrorClass::Unavailable, message: reason })?;
            rows.push(row);
        }
    }
}

/// Waits until a stop is asked for.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
