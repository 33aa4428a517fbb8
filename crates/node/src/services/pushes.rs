//! What peers push, on its way to the engine: in turns, so that clients' calls do not queue behind a flood of it, and in
//! lots where somebody brings more than its rate.

use blockhie_core::TxHash;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Pushed blocks in the engine's queue at once; others wait with their connections. A bad one costs a tenth of a
/// millisecond.
const BLOCKS_AT_ONCE: usize = 16;
/// Relayed transactions under way at once: so many to a batch make ten thousand a second.
const TRANSACTIONS_AT_ONCE: usize = 64;
/// How far apart the lots are in which transactions of busy strangers and senders come to the engine. Each batch it
/// writes costs a sync, for which everybody's acknowledgement waits: one for 25 of them is enough.
const LOT_TIME: Duration = Duration::from_millis(250);
/// How long one of either keeps its place.
const PLACE_TIME: Duration = Duration::from_millis(50);

/// Places for what is pushed.
pub(crate) struct Pushes {
    blocks: Semaphore,
    transactions: Semaphore,
    begun: Instant,
    /// Transactions that wait for a lot: no more than requests under way.
    waiting: Mutex<BTreeSet<TxHash>>,
}

impl Default for Pushes {
    fn default() -> Self {
        Self {
            blocks: Semaphore::new(BLOCKS_AT_ONCE),
            transactions: Semaphore::new(TRANSACTIONS_AT_ONCE),
            begun: Instant::now(),
            waiting: Mutex::default(),
        }
    }
}

impl Pushes {
    /// Waits for the next lot with this transaction.
    pub(super) async fn in_a_lot(&self, hash: TxHash) {
        self.waiting().insert(hash);
        // Given up or not, it waits no more then.
        let _done = Waited { pushes: self, hash };
        self.next_lot().await;
    }

    /// A copy of one that waits goes with it: to send it twice is no way around the wait.
    pub(super) async fn with_its_lot(&self, hash: &TxHash) {
        let waits = self.waiting().contains(hash);
        if waits {
            self.next_lot().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeSet<TxHash>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the moment at which all that wait here go on.
    async fn next_lot(&self) {
        let lots = self.begun.elapsed().as_nanos() / LOT_TIME.as_nanos() + 1;
        let next = self.begun + LOT_TIME * u32::try_from(lots).unwrap_or(u32::MAX);
        tokio::time::sleep_until(next.into()).await;
    }

    /// Awaits the engine's answer about a block, in its turn.
    pub(super) async fn block<T>(&self, answer: impl Future<Output = T>) -> T {
        Self::in_turn(&self.blocks, answer).await
    }

    /// The same of a transaction.
    pub(super) async fn transaction<T>(&self, answer: impl Future<Output = T>) -> T {
        Self::in_turn(&self.transactions, answer).await
    }

    /// Awaits `answer` in a place of `places`. One that takes long, because a block waits for its bodies, gives its
    /// place to the next.
    async fn in_turn<T>(places: &Semaphore, answer: impl Future<Output = T>) -> T {
        let place = places.acquire().await;
        let mut answer = std::pin::pin!(answer);
        match tokio::time::timeout(PLACE_TIME, &mut answer).await {
            Ok(answer) => answer,
            Err(_) => {
                drop(place);
                answer.await
            }
        }
    }
}

/// See [`Pushes::in_a_lot`].
struct Waited<'a> {
    pushes: &'a Pushes,
    hash: TxHash,
}

impl Drop for Waited<'_> {
    fn drop(&mut self) {
        self.pushes.waiting().remove(&self.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn what_waits_for_a_lot_goes_on_together() {
        let pushes = Pushes::default();
        let times = futures::future::join_all((0..20u64).map(async |n| {
            tokio::time::sleep(Duration::from_millis(n)).await;
            pushes.next_lot().await;
            pushes.begun.elapsed()
        }))
        .await;
        assert!(times.iter().all(|time| *time >= LOT_TIME), "{times:?}");
        let lots: BTreeSet<u128> = times.iter().map(|time| time.as_millis() / 250).collect();
        assert!(lots.len() <= 2, "{times:?}");
    }

    #[tokio::test]
    async fn what_is_pushed_takes_turns_and_one_that_waits_gives_way() {
        let places = Semaphore::new(2);
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let short = || async {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(1)).await;
            now.fetch_sub(1, Ordering::SeqCst);
        };
        futures::future::join_all((0..20).map(|_| Pushes::in_turn(&places, short()))).await;
        assert_eq!(most.load(Ordering::SeqCst), 2);
        // Blocks that wait for bodies for ever do not hold up the others.
        let begin = Instant::now();
        let waiting = (0..2).map(|_| Pushes::in_turn(&places, futures::future::pending::<()>()));
        tokio::select! {
            biased;
            _ = futures::future::join_all(waiting) => panic!("they wait"),
            () = Pushes::in_turn(&places, async {}) => {}
        }
        assert!(begin.elapsed() >= PLACE_TIME && begin.elapsed() < Duration::from_secs(5));
    }
}
