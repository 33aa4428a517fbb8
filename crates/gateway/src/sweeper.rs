//! Submits what the node has not taken, again and again, and keeps the receipt of what became final: one pass after
//! another over each [`Queue`].

use crate::app::{App, Parts};
use crate::chain::{ChainError, ChainView, stopped};
use crate::error::ApiError;
use crate::index::{ACCEPTED, VOID};
use crate::limits::{OPEN_CHAIN_SETTLED, SUBMIT_TIME, SWEEP_CALLS, SWEEP_EVERY, SWEEP_PAGE};
use blockhie_core::{BlockHash, ChainKind, ErrorClass, Transaction, TxHash, TxStatus, Unverified};
use blockhie_emr::vault::VaultError;
use futures::StreamExt;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

pub(crate) use blockhie_emr::vault::Unsettled;

/// Between a notice that something was queued and the pass over it: what comes in a burst is passed over once.
const GATHER: Duration = Duration::from_millis(200);

/// What is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queue {
    /// Transactions of the vault, on the EMR-Chain.
    Records,
    /// Those of devices and their owners, on the PHD-Chain.
    Devices,
}

impl Queue {
    /// Every queue.
    pub(crate) const ALL: [Self; 2] = [Self::Records, Self::Devices];

    fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Devices => "devices",
        }
    }

    /// Its chain, if this gateway has it.
    pub(crate) fn chain(self, app: &App) -> Result<&Arc<ChainView>, ApiError> {
        app.chain(match self {
            Self::Records => ChainKind::Emr,
            Self::Devices => ChainKind::Phd,
        })
    }

    fn notice(self, app: &App) -> &Notify {
        match self {
            Self::Records => &app.queued_records,
            Self::Devices => &app.queued_devices,
        }
    }

    fn unsettled(self, parts: &Parts, after: Option<(u64, TxHash)>) -> Result<Vec<Unsettled>, ApiError> {
        Ok(match self {
            Self::Records => parts.vault.unsettled(after, SWEEP_PAGE)?,
            Self::Devices => parts.devices.unsettled(after, SWEEP_PAGE)?,
        })
    }

    fn keep_receipt(self, parts: &Parts, txhash: &TxHash, text: &str) -> Result<(), ApiError> {
        match self {
            Self::Records => match parts.vault.set_receipt(txhash, text) {
                // Erased in the meantime.
                Err(VaultError::NotFound { .. }) => {}
                other => other?,
            },
            Self::Devices => parts.devices.set_receipt(txhash, text)?,
        }
        Ok(parts.index.set_accepted(txhash, None)?)
    }

    fn set_void(self, parts: &Parts, txhash: &TxHash) -> Result<(), ApiError> {
        parts.index.set_accepted(txhash, Some(VOID))?;
        match self {
            Self::Records => Ok(()),
            Self::Devices => Ok(parts.devices.settle_void(txhash)?),
        }
    }
}

/// What became of a transaction in a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The node is away.
    Queued,
    /// The node takes no more for now.
    Busy,
    /// The node does not take it as the chain stands.
    Refused(TxHash),
    Open,
    Settled,
}

/// What a task remembers from pass to pass.
#[derive(Default)]
struct Memory {
    judged: Option<BlockHash>,
    /// Refused since the last block; without a new one the answer would be the same.
    refused: HashSet<TxHash>,
}

/// Passes over everything that is not settled until a stop is asked for.
pub(crate) async fn run(app: App, queue: Queue) {
    let Ok(chain) = queue.chain(&app).map(Arc::clone) else { return };
    let mut stop = app.stop.clone();
    let mut feed = chain.feed();
    let mut memory = Memory::default();
    loop {
        let connected = {
            let feed = feed.borrow_and_update();
            feed.away.is_none().then(|| feed.tip.as_ref().map(|tip| tip.hash)).flatten()
        };
        if let Some(tip) = connected {
            // Without a new block nothing that was accepted has changed.
            let new_block = memory.judged != Some(tip);
            if new_block {
                memory.refused.clear();
            }
            match pass(&app, queue, new_block, &mut memory.refused).await {
                Ok(()) => memory.judged = Some(tip),
                Err(error) => tracing::warn!(error = error.message(), "the queue was not passed through"),
            }
        }
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = queue.notice(&app).notified() => tokio::time::sleep(GATHER).await,
            changed = feed.changed(), if connected.is_none() => if changed.is_err() { return },
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
    }
}

/// Once over everything, in pages.
async fn pass(app: &App, queue: Queue, new_block: bool, refused: &mut HashSet<TxHash>) -> Result<(), ApiError> {
    let (mut queued, mut open) = (0u32, 0u32);
    let mut after = None;
    loop {
        let page = app.blocking(move |parts| queue.unsettled(parts, after)).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.created_ms, last.txhash));
        let (still_refused, page): (Vec<_>, Vec<_>) = page.into_iter().partition(|one| refused.contains(&one.txhash));
        queued = queued.saturating_add(u32::try_from(still_refused.len()).unwrap_or(u32::MAX));
        let work = page.into_iter().map(|one| advance(app.clone(), queue, one, new_block));
        // In the order in which they came: what depends on another transaction comes after it.
        let outcomes: Vec<_> = futures::stream::iter(work).buffered(SWEEP_CALLS).collect().await;
        let mut is_busy = false;
        for outcome in outcomes {
            match outcome? {
                Outcome::Queued => queued += 1,
                Outcome::Busy => {
                    queued += 1;
                    is_busy = true;
                }
                Outcome::Refused(txhash) => {
                    refused.insert(txhash);
                    queued += 1;
                }
                Outcome::Open => open += 1,
                Outcome::Settled => {}
            }
        }
        // What is left would be refused alike, each after a pause.
        if is_busy || *app.stop.borrow() {
            break;
        }
    }
    app.metrics.unsettled(queue.name(), queued, open.saturating_add(queued));
    Ok(())
}

/// One transaction, one step. Only the gateway's own store fails a pass; the node's errors leave things as they are.
async fn advance(app: App, queue: Queue, one: Unsettled, new_block: bool) -> Result<Outcome, ApiError> {
    let txhash = one.txhash;
    let chain = queue.chain(&app)?;
    match app.index.accepted(&txhash)?.as_deref() {
        Some(VOID) => return Ok(Outcome::Settled),
        Some(_) if !new_block => return Ok(Outcome::Open),
        Some(_) => {}
        None => return submit(&app, chain, &one).await,
    }
    let settled = |height, is_final, quorum| is_final || (quorum == 0 && deep(chain, height));
    match chain.status(txhash).await {
        // The node lost it (another node, an older backup): it gets it again.
        Ok(TxStatus::Unknown) => submit(&app, chain, &one).await,
        Ok(TxStatus::Committed { void: Some(reason), height, is_final, quorum, .. }) => {
            // Until then a reorganisation may give it an effect.
            if !settled(height, is_final, quorum) {
                return Ok(Outcome::Open);
            }
            tracing::warn!(%txhash, %reason, "committed, but void");
            app.blocking(move |parts| queue.set_void(parts, &txhash)).await?;
            Ok(Outcome::Settled)
        }
        Ok(TxStatus::Committed { height, is_final, quorum, .. }) if settled(height, is_final, quorum) => {
            settle(&app, queue, chain, txhash).await
        }
        Ok(_) | Err(_) => Ok(Outcome::Open),
    }
}

async fn submit(app: &App, chain: &ChainView, one: &Unsettled) -> Result<Outcome, ApiError> {
    let known = chain.known()?;
    let tx = match Transaction::<Unverified>::from_bytes(&one.transaction, &known.chain_id) {
        Ok(tx) => tx,
        Err(error) => return Err(ApiError::internal(&error)),
    };
    match chain.submit(&tx).await {
        Ok(txhash) => {
            app.index.set_accepted(&txhash, Some(ACCEPTED))?;
            tracing::info!(%txhash, "submitted from the queue");
            Ok(Outcome::Open)
        }
        Err(ChainError::Away { .. }) => Ok(Outcome::Queued),
        // No verdict on this transaction: the next pass tries again.
        Err(error) if error.class() == ErrorClass::Exhausted => {
            tracing::debug!(txhash = %one.txhash, %error, "still queued");
            Ok(Outcome::Busy)
        }
        Err(error) => {
            // What waits for another transaction says so with every block: that is no news.
            match error.class() {
                ErrorClass::NotYet => tracing::debug!(txhash = %one.txhash, %error, "still queued"),
                _ => tracing::warn!(txhash = %one.txhash, %error, "still queued"),
            }
            Ok(Outcome::Refused(one.txhash))
        }
    }
}

/// Keeps the receipt: from then on it is here even without the node.
async fn settle(app: &App, queue: Queue, chain: &ChainView, txhash: TxHash) -> Result<Outcome, ApiError> {
    let Ok(text) = chain.receipt(txhash).await else { return Ok(Outcome::Open) };
    app.blocking(move |parts| queue.keep_receipt(parts, &txhash, &text)).await?;
    Ok(Outcome::Settled)
}

fn deep(chain: &ChainView, height: u64) -> bool {
    let tip = chain.feed().borrow().tip.as_ref().map_or(0, |tip| tip.height);
    tip.saturating_sub(height) >= OPEN_CHAIN_SETTLED
}

/// Hands new transactions to the node, or leaves to the sweeper what it does not take in time.
pub(crate) async fn submit_now(app: &App, queue: Queue, transactions: Vec<Transaction<Unverified>>) {
    if transactions.is_empty() {
        return;
    }
    let left = tokio::time::timeout(SUBMIT_TIME, submit_all(app, queue, transactions)).await;
    match left {
        Ok(Ok(())) => return,
        Ok(Err(reason)) => tracing::warn!(queue = queue.name(), %reason, "queued: the node did not take it"),
        Err(_) => tracing::warn!(queue = queue.name(), after = ?SUBMIT_TIME, "queued: no answer from the node"),
    }
    queue.notice(app).notify_one();
}

/// The last reason why one was not taken.
async fn submit_all(app: &App, queue: Queue, transactions: Vec<Transaction<Unverified>>) -> Result<(), String> {
    let chain = queue.chain(app).map_err(|error| error.message().to_owned())?;
    let calls = transactions.into_iter().map(|tx| {
        let (app, chain) = (app.clone(), Arc::clone(chain));
        async move {
            let txhash = chain.submit(&tx).await.map_err(|error| error.to_string())?;
            let marked = app.blocking(move |parts| Ok(parts.index.set_accepted(&txhash, Some(ACCEPTED))?)).await;
            // Unmarked it is submitted once more: no harm.
            marked.map_err(|error| error.message().to_owned())
        }
    });
    let answers: Vec<_> = futures::stream::iter(calls).buffered(SWEEP_CALLS).collect().await;
    answers.into_iter().rfind(Result::is_err).unwrap_or(Ok(()))
}
