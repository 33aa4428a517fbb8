//! Waiting times, summed up: for the API and for the page that draws them.
//!
//! Measured waits began when the node first saw the transaction; claimed ones when its sender says so, and are summed up
//! apart. What still waits is censored: it is known only to become at least so long.

use blockhie_core::Hash32;
use blockhie_core::packing::{WAIT_BOUNDS_MS, WaitSummary, wait_histogram};
use blockhie_core::query::waits::{BlockWaits, Waits};
use serde::Serialize;

/// Groups of blocks that show how it went over time, at most.
const GROUPS: usize = 12;

/// Waits, summed up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// How many.
    pub(crate) count: usize,
    /// Percentiles by nearest rank.
    pub(crate) p50_ms: u64,
    pub(crate) p90_ms: u64,
    pub(crate) p99_ms: u64,
    /// The longest.
    pub(crate) max_ms: u64,
    /// Jain's index.
    pub(crate) jain: f64,
}

impl From<WaitSummary> for Summary {
    fn from(summary: WaitSummary) -> Self {
        let WaitSummary { count, p50, p90, p99, max, jain } = summary;
        Self { count, p50_ms: p50, p90_ms: p90, p99_ms: p99, max_ms: max, jain }
    }
}

/// Summary and histogram.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Shape {
    #[serde(flatten)]
    pub(crate) summary: Summary,
    /// How many waits are in each bin: one more than there are bounds.
    pub(crate) histogram: Vec<u64>,
}

impl Shape {
    fn of(waits: &[u64]) -> Self {
        Self { summary: WaitSummary::of(waits).into(), histogram: wait_histogram(waits).to_vec() }
    }
}

/// What still waits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Pending {
    /// How many wait.
    pub(crate) count: u64,
    /// How long they have so far: of all, or of some of very many.
    pub(crate) so_far: Summary,
    /// The measured waits and these together: each figure but Jain's index is a lower bound of what it will be.
    pub(crate) with_measured_at_least: Summary,
}

/// Some blocks that follow each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Group {
    pub(crate) from_height: u64,
    pub(crate) to_height: u64,
    /// Time of the last.
    pub(crate) time_ms: u64,
    pub(crate) measured: Summary,
    pub(crate) claimed: Summary,
}

/// One block.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Block {
    pub(crate) height: u64,
    pub(crate) hash: Hash32,
    pub(crate) time_ms: u64,
    pub(crate) measured_ms: Vec<u64>,
    pub(crate) claimed_ms: Vec<u64>,
}

/// The waits of a chain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Fairness {
    /// `emr` or `phd`.
    pub(crate) chain: &'static str,
    /// The node's clock.
    pub(crate) now_ms: u64,
    pub(crate) from_height: u64,
    pub(crate) to_height: u64,
    /// Upper bounds of the bins of the histograms; the last bin has none.
    pub(crate) bounds_ms: [u64; WAIT_BOUNDS_MS.len()],
    /// Began when the node first saw the transaction (or up to 2 s before, where it claims so).
    pub(crate) measured: Shape,
    /// Of transactions that came with their block: by the time their senders claim.
    pub(crate) claimed: Shape,
    pub(crate) pending: Pending,
    /// Over time, the oldest first.
    pub(crate) groups: Vec<Group>,
    /// Every block, ascending.
    pub(crate) blocks: Vec<Block>,
}

impl Fairness {
    /// Of the newest `count` blocks of an answer.
    pub(crate) fn new(chain: &'static str, waits: &Waits, count: usize) -> Self {
        let blocks = &waits.blocks[waits.blocks.len().saturating_sub(count)..];
        let (measured, claimed) = both(blocks);
        let pending = Pending {
            count: waits.pending,
            so_far: WaitSummary::of(&waits.pending_ms).into(),
            with_measured_at_least: WaitSummary::with_pending(&measured, &waits.pending_ms).into(),
        };
        let groups = blocks.chunks(blocks.len().div_ceil(GROUPS).max(1)).map(Group::of).collect();
        Self {
            chain,
            now_ms: waits.now_ms,
            from_height: blocks.first().map_or(0, |block| block.height),
            to_height: blocks.last().map_or(0, |block| block.height),
            bounds_ms: WAIT_BOUNDS_MS,
            measured: Shape::of(&measured),
            claimed: Shape::of(&claimed),
            pending,
            groups,
            blocks: blocks.iter().map(Block::from).collect(),
        }
    }
}

fn both(blocks: &[BlockWaits]) -> (Vec<u64>, Vec<u64>) {
    let measured = blocks.iter().flat_map(|block| block.measured_ms.iter().copied());
    let claimed = blocks.iter().flat_map(|block| block.claimed_ms.iter().copied());
    (measured.collect(), claimed.collect())
}

impl Group {
    fn of(blocks: &[BlockWaits]) -> Self {
        let (measured, claimed) = both(blocks);
        let last = blocks.last();
        Self {
            from_height: blocks.first().map_or(0, |block| block.height),
            to_height: last.map_or(0, |block| block.height),
            time_ms: last.map_or(0, |block| block.time_ms),
            measured: WaitSummary::of(&measured).into(),
            claimed: WaitSummary::of(&claimed).into(),
        }
    }
}

impl From<&BlockWaits> for Block {
    fn from(block: &BlockWaits) -> Self {
        let BlockWaits { height, hash, time_ms, measured_ms, claimed_ms } = block.clone();
        Self { height, hash, time_ms, measured_ms, claimed_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(height: u64, measured_ms: Vec<u64>, claimed_ms: Vec<u64>) -> BlockWaits {
        BlockWaits { height, hash: Hash32([1; 32]), time_ms: height * 1_000, measured_ms, claimed_ms }
    }

    #[test]
    fn only_the_newest_blocks_count_and_claims_stand_apart() {
        let blocks =
            vec![block(4, vec![9_000], vec![]), block(5, vec![100, 300], vec![7_000_000]), block(6, vec![], vec![])];
        let waits = Waits { now_ms: 9, blocks, pending: 3, pending_ms: vec![4_000] };
        let shown = Fairness::new("emr", &waits, 2);
        assert_eq!((shown.from_height, shown.to_height, shown.blocks.len()), (5, 6, 2));
        assert_eq!((shown.measured.summary.count, shown.measured.summary.max_ms), (2, 300));
        assert_eq!((shown.claimed.summary.count, shown.claimed.histogram[WAIT_BOUNDS_MS.len()]), (1, 1));
        assert_eq!((shown.pending.count, shown.pending.with_measured_at_least.max_ms), (3, 4_000));
        assert_eq!((shown.groups.len(), shown.groups[0].measured.p50_ms), (2, 100));
        assert_eq!(Fairness::new("emr", &waits, 99).blocks.len(), 3);
    }

    #[test]
    fn groups_cover_every_block_once() {
        for count in [1, 11, 12, 13, 100, 512] {
            let blocks = (0..count).map(|height| block(height, vec![height], vec![])).collect();
            let shown = Fairness::new("phd", &Waits { blocks, ..Waits::default() }, usize::MAX);
            assert!(shown.groups.len() <= GROUPS, "{count}");
            assert_eq!(shown.groups.iter().map(|group| group.measured.count).sum::<usize>(), shown.blocks.len());
            let follows = shown.groups.windows(2).all(|pair| pair[0].to_height + 1 == pair[1].from_height);
            assert!(follows && shown.groups[0].from_height == 0, "{count}");
        }
    }
}
