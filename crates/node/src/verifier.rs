//! The signature pool: transactions from everywhere, verified in batches on their own threads before they queue for the
//! engine.

use blockhie_core::{ChainId, ChainKind, Transaction, TxError, Unverified, Verified, verify_batch};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Signatures in one batch at most: above 256 the gain a signature is small, and the first one waits for the last.
const BATCH: usize = 256;
/// Transactions that wait for a thread; more wait outside, with their caller.
const QUEUE: usize = 4_096;
/// Threads at most: two cores verify more than one engine takes.
const MAX_THREADS: usize = 4;

type Verdict = Result<Transaction<Verified>, TxError>;
type Job = (Transaction<Unverified>, oneshot::Sender<Verdict>);

/// The pool. Its threads end when it is dropped.
pub(crate) struct Verifier {
    queue: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Verifier {
    pub(crate) fn start(chain: ChainId, kind: ChainKind) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let mut threads = Vec::new();
        for index in 0..count {
            let jobs = jobs.clone();
            let run = move || work(&jobs, &chain, kind);
            threads.push(std::thread::Builder::new().name(format!("verify-{index}")).spawn(run)?);
        }
        Ok(Self { queue: Some(queue), threads })
    }

    /// The verdict on one transaction; `None` when there is no room now.
    pub(crate) async fn verify(&self, tx: Transaction<Unverified>) -> Option<Verdict> {
        let (sender, verdict) = oneshot::channel();
        self.queue.as_ref()?.try_send((tx, sender)).ok()?;
        verdict.await.ok()
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// All that waits, up to a batch; empty when the pool is gone.
fn take(jobs: &Mutex<Receiver<Job>>) -> Vec<Job> {
    let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
    let mut batch = Vec::new();
    if let Ok(first) = jobs.recv() {
        batch.push(first);
        batch.extend(std::iter::from_fn(|| jobs.try_recv().ok()).take(BATCH - 1));
    }
    batch
}

fn work(jobs: &Mutex<Receiver<Job>>, chain: &ChainId, kind: ChainKind) {
    loop {
        let batch = take(jobs);
        if batch.is_empty() {
            return;
        }
        let (transactions, senders): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        for (verdict, sender) in verify_batch(transactions, chain, kind).into_iter().zip(senders) {
            // A caller that gave up does not wait for it.
            drop(sender.send(verdict));
        }
    }
}
