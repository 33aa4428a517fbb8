//! The signature pool: transactions from everywhere, verified in batches on their own threads before they queue for the
//! engine.

use blockhie_core::{ChainId, ChainKind, Transaction, TxError, TxHash, Unverified, Verified, verify_batch};
use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Signatures in one batch at most: above 256 the gain a signature is small, and the first one waits for the last.
const BATCH: usize = 256;
/// Callers that wait for a thread; more wait outside.
const QUEUE: usize = 4_096;
/// How long a caller with many transactions waits for room before it looks again.
const NO_ROOM: Duration = Duration::from_millis(5);
/// Threads at most: two cores verify more than one engine takes.
const MAX_THREADS: usize = 4;

type Verdict = Result<Transaction<Verified>, TxError>;
/// Transactions of one caller, at most a batch, and where the verdicts go.
type Job = (Vec<Transaction<Unverified>>, oneshot::Sender<Vec<Verdict>>);

/// Hashes of transactions that were verified and counted, at most: each comes once from every peer, within seconds. 4 MiB.
const SEEN: usize = 65_536;

/// The newest hashes that were verified and counted.
#[derive(Default)]
struct Seen {
    hashes: BTreeSet<TxHash>,
    order: VecDeque<TxHash>,
}

impl Seen {
    fn insert(&mut self, hash: TxHash) {
        if self.hashes.insert(hash) {
            self.order.push_back(hash);
        }
        if self.order.len() > SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
    }
}

/// The pool. Its threads end when it is dropped.
pub(crate) struct Verifier {
    chain: ChainId,
    kind: ChainKind,
    seen: Mutex<Seen>,
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
        Ok(Self { chain, kind, seen: Mutex::default(), queue: Some(queue), threads })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A transaction of this hash was verified, and counted against whoever sent it.
    pub(crate) fn remember(&self, hash: TxHash) {
        self.seen().insert(hash);
    }

    /// Whether a transaction of this hash was verified and counted lately.
    pub(crate) fn has_seen(&self, hash: &TxHash) -> bool {
        self.seen().hashes.contains(hash)
    }

    /// The verdict on one transaction; `None` when there is no room now. The signature of one that is remembered is not
    /// looked at again.
    pub(crate) async fn verify(&self, tx: Transaction<Unverified>) -> Option<Verdict> {
        if self.has_seen(&tx.hash()) {
            return Some(tx.verify_again(&self.chain, self.kind));
        }
        let (sender, verdict) = oneshot::channel();
        self.queue.as_ref()?.try_send((vec![tx], sender)).ok()?;
        verdict.await.ok()?.pop()
    }

    /// The verdicts on many, in order; waits for room. `None` when the pool is gone.
    pub(crate) async fn verify_all(&self, transactions: Vec<Transaction<Unverified>>) -> Option<Vec<Verdict>> {
        let queue = self.queue.as_ref()?;
        let (mut all, mut waiting) = (transactions.into_iter(), Vec::new());
        loop {
            let batch: Vec<_> = all.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            let (sender, verdicts) = oneshot::channel();
            let mut job = (batch, sender);
            while let Err(error) = queue.try_send(job) {
                job = match error {
                    TrySendError::Full(job) => job,
                    TrySendError::Disconnected(_) => return None,
                };
                tokio::time::sleep(NO_ROOM).await;
            }
            waiting.push(verdicts);
        }
        let mut done = Vec::new();
        for verdicts in waiting {
            done.extend(verdicts.await.ok()?);
        }
        Some(done)
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

/// What waits, about a batch; empty when the pool is gone.
fn take(jobs: &Mutex<Receiver<Job>>) -> Vec<Job> {
    let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut batch, mut count) = (Vec::new(), 0);
    let mut next = jobs.recv().ok();
    while let Some(job) = next {
        count += job.0.len();
        batch.push(job);
        next = if count < BATCH { jobs.try_recv().ok() } else { None };
    }
    batch
}

fn work(jobs: &Mutex<Receiver<Job>>, chain: &ChainId, kind: ChainKind) {
    loop {
        let batch = take(jobs);
        if batch.is_empty() {
            return;
        }
        let (mut transactions, mut senders) = (Vec::new(), Vec::new());
        for (part, sender) in batch {
            senders.push((part.len(), sender));
            transactions.extend(part);
        }
        let mut verdicts = verify_batch(transactions, chain, kind).into_iter();
        for (count, sender) in senders {
            // A caller that gave up does not wait for it.
            drop(sender.send(verdicts.by_ref().take(count).collect()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockhie_core::{Hash32, SecretKey};
    use bytes::Bytes;

    #[tokio::test]
    async fn a_hash_that_was_seen_spares_the_signature_and_nothing_else() {
        let chain = Hash32([1; 32]);
        let verifier = Verifier::start(chain, ChainKind::Emr).unwrap();
        let good = Transaction::sign(&chain, &SecretKey::from_seed([1; 32]), 5, 1, None, b"x");
        assert!(!verifier.has_seen(&good.hash()));
        for _ in 0..2 {
            assert_eq!(verifier.verify(good.clone().into_unverified()).await, Some(Ok(good.clone())));
            verifier.remember(good.hash());
            assert!(verifier.has_seen(&good.hash()));
        }
        // Other bytes that claim its hash.
        let mut body = good.body().to_vec();
        body[3] ^= 1;
        let forged = Transaction::new(5, 1, *good.from(), None, Bytes::from(body), good.hash());
        assert!(matches!(verifier.verify(forged).await, Some(Err(TxError::Hash { .. }))));
        let false_signature = Transaction::sign(&Hash32([2; 32]), &SecretKey::from_seed([1; 32]), 5, 1, None, b"x");
        assert!(matches!(verifier.verify(false_signature.clone().into_unverified()).await, Some(Err(_))));
        assert!(!verifier.has_seen(&false_signature.hash()));
        for n in 0..=u32::try_from(SEEN).unwrap() {
            let mut hash = [0; 32];
            hash[..4].copy_from_slice(&n.to_be_bytes());
            verifier.seen().insert(Hash32(hash));
        }
        assert!(verifier.seen().hashes.len() == SEEN && !verifier.has_seen(&good.hash()));
    }
}
