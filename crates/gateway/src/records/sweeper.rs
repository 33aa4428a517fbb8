//! Submits what the node has not taken, again and again, and keeps the receipt of what became final.

use crate::app::App;
use crate::chain::{ChainError, stopped};
use crate::error::ApiError;
use crate::index::{ACCEPTED, VOID};
use crate::limits::{OPEN_CHAIN_SETTLED, SWEEP_CALLS, SWEEP_EVERY, SWEEP_PAGE};
use blockhie_core::{BlockHash, Transaction, TxStatus, Unverified};
use blockhie_emr::vault::{Unsettled, VaultError};
use futures::StreamExt;

/// What became of a transaction in a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Queued,
    Open,
    Settled,
}

/// Passes over everything that is not settled until a stop is asked for.
pub(crate) async fn run(app: App) {
    let mut stop = app.stop.clone();
    let mut feed = app.emr.feed();
    let mut judged: Option<BlockHash> = None;
    loop {
        let connected = {
            let feed = feed.borrow_and_update();
            feed.away.is_none().then(|| feed.tip.as_ref().map(|tip| tip.hash)).flatten()
        };
        if let Some(tip) = connected {
            // Without a new block nothing that was accepted has changed.
            let new_block = judged != Some(tip);
            match pass(&app, new_block).await {
                Ok(()) => judged = Some(tip),
                Err(error) => tracing::warn!(error = error.message(), "the queue was not passed through"),
            }
        }
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = app.queued.notified() => tokio::time::sleep(std::time::Duration::from_millis(200)).await,
            changed = feed.changed(), if connected.is_none() => if changed.is_err() { return },
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
    }
}

/// Once over everything, in pages.
async fn pass(app: &App, new_block: bool) -> Result<(), ApiError> {
    let (mut queued, mut open) = (0u32, 0u32);
    let mut after = None;
    loop {
        let page = app.blocking(move |parts| Ok(parts.vault.unsettled(after, SWEEP_PAGE)?)).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.created_ms, last.txhash));
        let work = page.into_iter().map(|one| advance(app.clone(), one, new_block));
        let outcomes: Vec<_> = futures::stream::iter(work).buffer_unordered(SWEEP_CALLS).collect().await;
        for outcome in outcomes {
            match outcome? {
                Outcome::Queued => queued += 1,
                Outcome::Open => open += 1,
                Outcome::Settled => {}
            }
        }
        if *app.stop.borrow() {
            break;
        }
    }
    app.metrics.unsettled(queued, open.saturating_add(queued));
    Ok(())
}

/// One transaction, one step. Only the gateway's own store fails a pass; the node's errors leave things as they are.
async fn advance(app: App, one: Unsettled, new_block: bool) -> Result<Outcome, ApiError> {
    let txhash = one.txhash;
    match app.index.accepted(&txhash)?.as_deref() {
        Some(VOID) => return Ok(Outcome::Settled),
        Some(_) if !new_block => return Ok(Outcome::Open),
        Some(_) => {}
        None => return submit(&app, &one).await,
    }
    match app.emr.status(txhash).await {
        // The node lost it (another node, an older backup): it gets it again.
        Ok(TxStatus::Unknown) => submit(&app, &one).await,
        Ok(TxStatus::Committed { void: Some(reason), .. }) => {
            tracing::warn!(%txhash, %reason, "committed, but void");
            app.index.set_accepted(&txhash, Some(VOID))?;
            Ok(Outcome::Settled)
        }
        Ok(TxStatus::Committed { height, is_final, quorum, .. }) if is_final || (quorum == 0 && deep(&app, height)) => {
            settle(&app, &one).await
        }
        Ok(_) | Err(_) => Ok(Outcome::Open),
    }
}

async fn submit(app: &App, one: &Unsettled) -> Result<Outcome, ApiError> {
    let known = app.known()?;
    let tx = match Transaction::<Unverified>::from_bytes(&one.transaction, &known.chain_id) {
        Ok(tx) => tx,
        Err(error) => return Err(ApiError::internal(&error)),
    };
    match app.emr.submit(&tx).await {
        Ok(txhash) => {
            app.index.set_accepted(&txhash, Some(ACCEPTED))?;
            tracing::info!(%txhash, "submitted from the queue");
            Ok(Outcome::Open)
        }
        Err(error) => {
            if !matches!(error, ChainError::Away { .. }) {
                tracing::warn!(txhash = %one.txhash, %error, "still queued");
            }
            Ok(Outcome::Queued)
        }
    }
}

/// Keeps the receipt: from then on it is here even without the node.
async fn settle(app: &App, one: &Unsettled) -> Result<Outcome, ApiError> {
    let txhash = one.txhash;
    let Ok(text) = app.emr.receipt(txhash).await else { return Ok(Outcome::Open) };
    let kept = app.blocking(move |parts| {
        match parts.vault.set_receipt(&txhash, &text) {
            // Erased in the meantime.
            Err(VaultError::NotFound { .. }) => {}
            other => other?,
        }
        Ok(parts.index.set_accepted(&txhash, None)?)
    });
    kept.await?;
    Ok(Outcome::Settled)
}

fn deep(app: &App, height: u64) -> bool {
    let tip = app.emr.feed().borrow().tip.as_ref().map_or(0, |tip| tip.height);
    tip.saturating_sub(height) >= OPEN_CHAIN_SETTLED
}
