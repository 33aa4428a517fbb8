//! Where the acknowledged transactions are at the end.

use super::fleet::{Fleet, ask};
use crate::output::note;
use blockhie_core::{TxHash, TxStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Questions in flight.
const CHECKS_IN_FLIGHT: usize = 64;
/// Pause before those that still wait are asked for again.
const SETTLE_PAUSE: Duration = Duration::from_millis(500);

/// One that a node acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acknowledged {
    /// Its hash.
    pub(crate) hash: TxHash,
    /// The time in it, ms: when it was made.
    pub(crate) time_ms: u64,
    /// Which node, by its place in the command line: that one answers for it.
    pub(crate) node: usize,
}

/// Where they are.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Neither pending nor committed.
    pub(crate) lost: u64,
    /// The node did not answer.
    pub(crate) unchecked: u64,
    /// In a block, without effect.
    pub(crate) void: u64,
    /// Still waiting.
    pub(crate) pending: u64,
    /// Of each one in a block: that block's time less its own, ms, at least 0.
    pub(crate) waits_ms: Vec<u64>,
}

impl Outcome {
    /// Looks all of them up, and the waiting ones again until none waits or `settle` is over.
    pub(crate) async fn settle(fleet: &Arc<Fleet>, all: Vec<Acknowledged>, settle: Duration) -> Self {
        let deadline = Instant::now() + settle;
        let (mut outcome, mut waiting) = (Self::default(), all);
        loop {
            waiting = outcome.look_up(fleet, waiting).await;
            if waiting.is_empty() || Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep(SETTLE_PAUSE.min(deadline.saturating_duration_since(Instant::now()))).await;
        }
        outcome.pending = waiting.len() as u64;
        if outcome.unchecked > 0 {
            note("warning: the node does not answer where all acknowledged transactions stand");
        }
        outcome
    }

    /// Counts those that are settled and returns the rest.
    async fn look_up(&mut self, fleet: &Arc<Fleet>, all: Vec<Acknowledged>) -> Vec<Acknowledged> {
        let mut waiting = Vec::new();
        for chunk in all.chunks(CHECKS_IN_FLIGHT) {
            let mut asked = JoinSet::new();
            for one in chunk {
                let (fleet, one) = (Arc::clone(fleet), *one);
                asked.spawn(async move { (one, ask(fleet.client(one.node), one.hash).await) });
            }
            while let Some(answer) = asked.join_next().await {
                match answer {
                    Ok((_, Some(TxStatus::Unknown))) => self.lost += 1,
                    Ok((one, Some(TxStatus::Pending { .. }))) => waiting.push(one),
                    Ok((_, Some(TxStatus::Committed { void: Some(_), .. }))) => self.void += 1,
                    Ok((one, Some(TxStatus::Committed { time_ms, .. }))) => {
                        self.waits_ms.push(time_ms.saturating_sub(one.time_ms));
                    }
                    Ok((_, None)) | Err(_) => self.unchecked += 1,
                }
            }
        }
        waiting
    }
}
