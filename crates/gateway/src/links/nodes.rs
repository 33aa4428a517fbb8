//! The outbox's way to the nodes, and the task that steps it.

use crate::app::App;
use crate::chain::{ChainError, ChainView, stopped};
use crate::clock::now_ms;
use crate::limits::{OPEN_CHAIN_SETTLED, SUBMIT_TIME, SWEEP_EVERY};
use blockhie_core::{
    ChainKind, ErrorClass, Receipt, Transaction, Trust, TxHash, TxStatus, Unverified, Verdict, verify_receipt,
};
use blockhie_coupling::{ChainClient, ClientFault, Outbox};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;

/// How long a node that did not answer is left alone, ms.
const SILENCE_MS: u64 = 10_000;

/// Both chains, for a thread that may wait.
pub(crate) struct Nodes {
    emr: Arc<ChainView>,
    phd: Arc<ChainView>,
    runtime: Handle,
    /// Until when a chain whose node did not answer is left alone, ms since the epoch. A step asks about one half after
    /// the other: without it a node that hangs would keep those of the other chain waiting, too.
    silent: [AtomicU64; 2],
}

impl Nodes {
    /// Inside a tokio runtime.
    pub(crate) fn new(emr: Arc<ChainView>, phd: Arc<ChainView>) -> Self {
        Self { emr, phd, runtime: Handle::current(), silent: Default::default() }
    }

    fn chain(&self, kind: ChainKind) -> &ChainView {
        match kind {
            ChainKind::Emr => &self.emr,
            ChainKind::Phd => &self.phd,
        }
    }

    /// Waits for a node's answer, but not for ever. Not to be called on a thread of the runtime.
    fn wait<T>(&self, chain: ChainKind, call: impl Future<Output = Result<T, ChainError>>) -> Result<T, ClientFault> {
        let silent = &self.silent[usize::from(chain == ChainKind::Phd)];
        if now_ms() < silent.load(Ordering::Relaxed) {
            return Err(fault(ErrorClass::Unavailable, "its node did not answer a moment ago".into()));
        }
        match self.runtime.block_on(async { tokio::time::timeout(SUBMIT_TIME, call).await }) {
            Ok(answer) => answer.map_err(|error| fault(error.class(), error.to_string())),
            Err(_) => {
                silent.store(now_ms().saturating_add(SILENCE_MS), Ordering::Relaxed);
                Err(fault(ErrorClass::Unavailable, format!("no answer within {} ms", SUBMIT_TIME.as_millis())))
            }
        }
    }
}

fn fault(class: ErrorClass, message: String) -> ClientFault {
    ClientFault { class, message }
}

impl ChainClient for Nodes {
    fn submit(&self, chain: ChainKind, tx: &Transaction<Unverified>) -> Result<(), ClientFault> {
        self.wait(chain, self.chain(chain).submit(tx)).map(drop)
    }

    fn status(&self, chain: ChainKind, txhash: &TxHash) -> Result<TxStatus, ClientFault> {
        self.wait(chain, self.chain(chain).status(*txhash))
    }

    fn receipt(&self, chain: ChainKind, txhash: &TxHash) -> Result<Receipt, ClientFault> {
        let view = self.chain(chain);
        let text = self.wait(chain, view.receipt(*txhash))?;
        let bad = |reason: String| fault(ErrorClass::NotYet, format!("the node's receipt: {reason}"));
        let receipt = Receipt::parse(text.as_bytes()).map_err(|error| bad(error.to_string()))?;
        let known = view.known().map_err(|error| fault(error.class(), error.to_string()))?;
        // On an open chain there is nobody whose word proves anything.
        if !known.genesis.is_open() {
            let trust = Trust { genesis: Some(&known.genesis), ..Trust::default() };
            let checked = verify_receipt(&receipt, &trust).map_err(|error| bad(error.to_string()))?;
            if checked.verdict != Verdict::Proved {
                return Err(bad(format!("expected a quorum, got {} members", checked.members.len())));
            }
        }
        Ok(receipt)
    }

    fn is_settled(&self, chain: ChainKind, status: &TxStatus) -> bool {
        let TxStatus::Committed { height, is_final, quorum, void: None, .. } = status else { return false };
        let tip = self.chain(chain).feed().borrow().tip.as_ref().map_or(0, |tip| tip.height);
        *is_final || (*quorum == 0 && tip.saturating_sub(*height) >= OPEN_CHAIN_SETTLED)
    }
}

/// Steps the outbox until a stop is asked for.
pub(crate) async fn run(app: App) {
    let Ok(outbox) = app.outbox().map(Arc::clone) else { return };
    let mut stop = app.stop.clone();
    let stranded = app.blocking(|parts| Ok(parts.links.stranded()?)).await.unwrap_or_else(|error| {
        tracing::error!(error = error.message(), "links were not read");
        vec![]
    });
    for row in stranded {
        if let Err(error) = super::terms::put_into(&app, &outbox, row).await {
            tracing::error!(error = error.message(), "a link is kept and not on its way");
        }
    }
    loop {
        let wait = step(&app, &outbox).await;
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = app.queued_links.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// One step; how long to wait until the next.
async fn step(app: &App, outbox: &Arc<Outbox>) -> Duration {
    let (work, now) = (Arc::clone(outbox), now_ms());
    let done = tokio::task::spawn_blocking(move || work.step(now)).await;
    let report = match done {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => {
            tracing::warn!(%error, "links");
            return SWEEP_EVERY;
        }
        Err(error) => {
            tracing::error!(%error, "links");
            return SWEEP_EVERY;
        }
    };
    // Never which link: beside a transaction in the same log it would join the chains.
    for trouble in &report.troubles {
        tracing::debug!(chain = trouble.chain.name(), reason = trouble.reason, "a half of a link waits");
    }
    app.metrics.links(report.open);
    let due = report.next_ms.map(|next| Duration::from_millis(next.saturating_sub(now_ms())));
    due.unwrap_or(SWEEP_EVERY).min(SWEEP_EVERY).max(LEAST_WAIT)
}

/// Least wait between two steps.
const LEAST_WAIT: Duration = Duration::from_millis(100);
