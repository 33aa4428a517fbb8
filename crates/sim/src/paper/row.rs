//! What is measured of a run, and its line in the table.

use super::config::{PaperConfig, Task};
use super::probe::{Found, Probe};
use super::run::Chain;
use blockhie_core::{Hash32, TxHash};
use blockhie_packing::{PercentileBounds, SenderSummary, WaitSummary, by_sender, jain_index, percentile_bounds};
use std::collections::{BTreeMap, BTreeSet};

/// Seconds of one step of the overlap over time.
pub const OVERLAP_BUCKET_S: u64 = 10;

/// What became of one transaction that came before the end.
struct Fate {
    at_ms: u64,
    sender: usize,
    /// When the block was found that commits it, and whether through a sibling.
    ended: Option<(u64, bool)>,
}

/// All transactions that came before the end.
pub(super) struct Census {
    fates: Vec<Fate>,
    /// In the journal of some node at the end.
    waiting: BTreeSet<TxHash>,
    alarms: u64,
    commits: u64,
    waits: u64,
    not_waiting: Vec<TxHash>,
}

impl Census {
    pub(super) fn new(waiting: BTreeSet<TxHash>, alarms: u64) -> Self {
        Self { fates: Vec::new(), waiting, alarms, commits: 0, waits: 0, not_waiting: Vec::new() }
    }

    pub(super) fn add(&mut self, hash: TxHash, at_ms: u64, sender: usize, ended: Option<(u64, bool)>) {
        match ended {
            Some(_) => self.commits += 1,
            None if self.waiting.contains(&hash) => self.waits += 1,
            None => self.not_waiting.push(hash),
        }
        self.fates.push(Fate { at_ms, sender, ended });
    }

    /// Transactions that are neither committed, nor waiting anywhere, nor in any block: there must be none.
    pub(super) fn vanished(&self, probe: &Probe) -> usize {
        let in_blocks: BTreeSet<&TxHash> = probe.blocks.values().flat_map(|found| &found.txhashes).collect();
        self.not_waiting.iter().filter(|hash| !in_blocks.contains(hash)).count()
    }
}

/// How alike concurrent blocks were in one step of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overlap {
    /// Virtual seconds at which the step begins.
    pub at_s: u64,
    /// Pairs of blocks of one height, by the time of the later.
    pub pairs: u64,
    /// Transactions that both blocks of a pair hold, in all pairs, over those of the smaller block.
    pub overlap: f64,
}

/// One run. Unless it says otherwise, what came, was found or was committed within the window: from the warm-up to the
/// end. A transaction waits from when its client submits it to when the block is found that commits it, on the chain
/// that all nodes agree on afterwards; what is not committed by the end is *pending*, with its wait so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which run.
    pub task: Task,
    /// Transactions a second that came.
    pub offered_tps: f64,
    /// Transactions a second that were committed.
    pub throughput_tps: f64,
    /// Of the whole run, warm-up included: transactions that came before the end. It is the sum of the next three.
    pub offered: u64,
    /// Of these, committed by the end.
    pub committed: u64,
    /// In the journal of some node.
    pub waiting: u64,
    /// In none, but in a block that was found and that the final chain does not count before the end.
    pub undecided: u64,
    /// Blocks found, on any branch.
    pub blocks: u64,
    /// Of these, not on the best chain in the end.
    pub stale_share: f64,
    /// Of the stale ones, listed as siblings.
    pub stale_merged_share: f64,
    /// Of the places in all blocks found, those whose transaction an earlier block holds too.
    pub duplicate_share: f64,
    /// Of the transactions committed, those that came through a sibling.
    pub merged_share: f64,
    /// How alike two blocks of one height are, see [`Overlap::overlap`]; 0 without such pairs.
    pub overlap: f64,
    /// Transactions that came: `ended` and `pending`. All waits are theirs.
    pub ended: u64,
    /// Of these, not committed by the end.
    pub pending: u64,
    /// Jain's index of the waits that ended.
    pub jain_committed: f64,
    /// Jain's index of all waits, those of pending ones so far.
    pub jain_censored: f64,
    /// Percentiles 50, 90 and 99, ms, between bounds.
    pub percentiles: [PercentileBounds; 3],
    /// The longest wait, of ended and pending ones, ms.
    pub max_ms: u64,
    /// Jain's index of the mean waits of senders, pending ones so far.
    pub jain_senders: f64,
    /// The mean wait of the sender who waits longest, ms.
    pub sender_max_ms: u64,
    /// Mean time from a block's finding to its being a template's parent at another node, ms; 0 without such blocks.
    pub delay_mean_ms: f64,
    /// The longest such time, ms.
    pub delay_max_ms: u64,
    /// Finds that made no block, because the node had nothing to mine on.
    pub idle_finds: u64,
    /// Final blocks that were abandoned, at all nodes.
    pub alarms: u64,
    /// The overlap of concurrent blocks over the whole run.
    pub over_time: Vec<Overlap>,
    /// A digest of when and where blocks were found: equal for runs of one seed.
    pub schedule: Hash32,
    /// A digest of what was submitted when and where.
    pub arrivals: Hash32,
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Row {
    pub(super) fn new(
        config: &PaperConfig,
        task: &Task,
        probe: &Probe,
        chain: &Chain,
        census: &Census,
        arrivals: Hash32,
    ) -> Self {
        let window = config.window_ms();
        let window_s = (window.end - window.start) as f64 / 1_000.0;
        let arrived: Vec<&Fate> = census.fates.iter().filter(|fate| window.contains(&fate.at_ms)).collect();
        let in_window = |fate: &&Fate| fate.ended.is_some_and(|(at_ms, _)| window.contains(&at_ms));
        let served = census.fates.iter().filter(in_window).count() as u64;
        let via = census.fates.iter().filter(|fate| in_window(fate) && fate.ended.is_some_and(|(_, via)| via));
        let via = via.count() as u64;
        let waits = Waits::of(&arrived, window.end);
        let found: Vec<_> = probe.blocks.iter().filter(|(_, found)| window.contains(&found.at_ms)).collect();
        let stale = found.iter().filter(|(hash, _)| !chain.best.contains_key(*hash));
        let merged = stale.clone().filter(|(hash, _)| chain.merged.contains(*hash)).count() as u64;
        let (stale, blocks) = (stale.count() as u64, found.len() as u64);
        let places = found.iter().map(|(_, found)| found.txhashes.len() as u64).sum();
        let over_time = over_time(probe, window.end);
        let (spread, spread_ms, delay_max_ms) = probe.spread;
        let offered = census.fates.len() as u64;
        let undecided = census.not_waiting.len() as u64;
        Self {
            task: *task,
            offered_tps: arrived.len() as f64 / window_s,
            throughput_tps: served as f64 / window_s,
            offered,
            committed: census.commits,
            waiting: census.waits,
            undecided,
            blocks,
            stale_share: share(stale, blocks),
            stale_merged_share: share(merged, stale),
            duplicate_share: share(repeated(probe, &window), places),
            merged_share: share(via, served),
            overlap: mean_overlap(probe, &window),
            ended: waits.ended.len() as u64,
            pending: waits.pending.len() as u64,
            jain_committed: jain_index(&waits.ended),
            jain_censored: waits.summary.jain,
            percentiles: waits.percentiles,
            max_ms: waits.summary.max,
            jain_senders: waits.senders.jain_wait,
            sender_max_ms: waits.senders.max_ms,
            delay_mean_ms: if spread == 0 { 0.0 } else { spread_ms as f64 / spread as f64 },
            delay_max_ms,
            idle_finds: probe.idle_finds,
            alarms: census.alarms,
            over_time,
            schedule: probe.schedule,
            arrivals,
        }
    }
}

struct Waits {
    ended: Vec<u64>,
    pending: Vec<u64>,
    summary: WaitSummary,
    percentiles: [PercentileBounds; 3],
    senders: SenderSummary,
}

impl Waits {
    fn of(arrived: &[&Fate], end_ms: u64) -> Self {
        let wait = |fate: &&&Fate| fate.ended.map_or(end_ms, |(at_ms, _)| at_ms).saturating_sub(fate.at_ms);
        let ended: Vec<u64> = arrived.iter().filter(|fate| fate.ended.is_some()).map(|fate| wait(&fate)).collect();
        let pending: Vec<u64> = arrived.iter().filter(|fate| fate.ended.is_none()).map(|fate| wait(&fate)).collect();
        let nothing = PercentileBounds { at_least_ms: 0, at_most_ms: Some(0) };
        let at = |percent| percentile_bounds(&ended, &pending, percent).unwrap_or(nothing);
        let senders = by_sender(arrived.iter().map(|fate| (fate.sender, wait(&fate))));
        Self {
            summary: WaitSummary::with_pending(&ended, &pending),
            percentiles: [at(50), at(90), at(99)],
            senders: SenderSummary::of(senders.values()),
            ended,
            pending,
        }
    }
}

/// Places of blocks found in the window whose transaction was in a block before.
fn repeated(probe: &Probe, window: &std::ops::Range<u64>) -> u64 {
    let mut blocks: Vec<&Found> = probe.blocks.values().collect();
    blocks.sort_by_key(|found| (found.at_ms, found.node));
    let (mut seen, mut count) = (BTreeSet::new(), 0);
    for found in blocks {
        let again = found.txhashes.iter().filter(|hash| !seen.insert(**hash)).count() as u64;
        if window.contains(&found.at_ms) {
            count += again;
        }
    }
    count
}

/// Of each pair of blocks of one height: when the later was found, the transactions that both hold, those that the
/// smaller holds. Pairs with an empty block are left out.
fn pairs(probe: &Probe) -> Vec<(u64, u64, u64)> {
    let mut by_height: BTreeMap<u64, Vec<(&Found, BTreeSet<&TxHash>)>> = BTreeMap::new();
    for found in probe.blocks.values() {
        by_height.entry(found.height).or_default().push((found, found.txhashes.iter().collect()));
    }
    let mut all = Vec::new();
    for blocks in by_height.values() {
        for (at, (one, held)) in blocks.iter().enumerate() {
            for (other, others) in &blocks[at + 1..] {
                let smaller = held.len().min(others.len()) as u64;
                if smaller > 0 {
                    all.push((one.at_ms.max(other.at_ms), held.intersection(others).count() as u64, smaller));
                }
            }
        }
    }
    all
}

fn mean_overlap(probe: &Probe, window: &std::ops::Range<u64>) -> f64 {
    let pairs = pairs(probe).into_iter().filter(|(at_ms, ..)| window.contains(at_ms));
    let (both, smaller) = pairs.fold((0, 0), |sum, pair| (sum.0 + pair.1, sum.1 + pair.2));
    share(both, smaller)
}

fn over_time(probe: &Probe, end_ms: u64) -> Vec<Overlap> {
    let mut steps: BTreeMap<u64, (u64, u64, u64)> = BTreeMap::new();
    for (at_ms, both, smaller) in pairs(probe) {
        if at_ms < end_ms {
            let step = steps.entry(at_ms / 1_000 / OVERLAP_BUCKET_S * OVERLAP_BUCKET_S).or_default();
            *step = (step.0 + 1, step.1 + both, step.2 + smaller);
        }
    }
    let overlap = |(at_s, (pairs, both, smaller))| Overlap { at_s, pairs, overlap: share(both, smaller) };
    steps.into_iter().map(overlap).collect()
}
