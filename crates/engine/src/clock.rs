//! Whether this node's wall clock agrees with those of the other members. The contract carries no clock, but every block
//! carries its miner's: a header that is new to us tells what its miner's clock showed a moment ago. A node that is off
//! by more than others admit mines what they refuse, and refuses what they mine.

use crate::engine::Engine;
use crate::limits::{CLOCK_SAMPLE_BLOCKS, CLOCK_SAMPLE_MS, CLOCK_SAMPLES, CLOCK_SEEN, CLOCK_STEADY_MS, MIN_CLOCKS};
use blockhie_core::{BlockHash, Hash32, Header, UncheckedBlock};
use std::collections::{BTreeMap, VecDeque};

/// This node's clock is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockFault {
    /// Clocks of members less ours, ms, in the median of all, ours included: above 0 ours is behind.
    pub offset_ms: i64,
    /// Members whose clocks were compared.
    pub members: usize,
    /// What is allowed, ms.
    pub limit_ms: u64,
}

/// A member's clock at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// By how much it is ahead of our monotonic clock, ms. So a step of our wall clock shows in samples taken before it.
    lead_ms: i64,
    at_ms: u64,
}

/// What is known of the others' clocks.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    /// By member, the newest last. Whatever delays a block makes its miner's clock look slow, so the fastest counts.
    members: BTreeMap<Hash32, VecDeque<Sample>>,
    /// Headers that were looked at, and their times: each counts once.
    seen: VecDeque<(BlockHash, u64)>,
    /// The block that was just pushed to us, rather than asked for.
    pub(crate) pushed: Option<BlockHash>,
    /// Since when we have been off.
    off_since_ms: Option<u64>,
    offset_ms: Option<i64>,
    fault: Option<ClockFault>,
}

/// What is looked at of a header.
struct Told {
    hash: BlockHash,
    parent: BlockHash,
    miner: Hash32,
    time_ms: u64,
    height: u64,
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

impl Clocks {
    fn time_of(&self, hash: &BlockHash) -> Option<u64> {
        self.seen.iter().find(|(seen, _)| seen == hash).map(|(_, time_ms)| *time_ms)
    }

    fn add(&mut self, miner: Hash32, sample: Sample) {
        let samples = self.members.entry(miner).or_default();
        if samples.len() >= CLOCK_SAMPLES {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// The others' clocks less ours, by member, ascending.
    fn offsets(&mut self, mono_ms: u64, wall_ms: u64, for_ms: u64) -> Vec<i64> {
        let ours = signed(wall_ms).saturating_sub(signed(mono_ms));
        let mut offsets = Vec::new();
        for samples in self.members.values_mut() {
            samples.retain(|sample| mono_ms.saturating_sub(sample.at_ms) <= for_ms);
            offsets.extend(samples.iter().map(|sample| sample.lead_ms.saturating_sub(ours)).max());
        }
        offsets.sort_unstable();
        offsets
    }
}

impl Engine {
    /// Why this node does not mine although it might: its clock disagrees with the other members'.
    #[must_use]
    pub fn clock_fault(&self) -> Option<ClockFault> {
        self.clocks.fault
    }

    /// Clocks of members less ours, ms, in the median of all, ours included; `None` where there are too few to tell.
    #[must_use]
    pub fn clock_offset_ms(&self) -> Option<i64> {
        self.clocks.offset_ms
    }

    /// A block whose miner's signature holds.
    pub(crate) fn heard_block(&mut self, block: &UncheckedBlock) {
        self.heard(&Told {
            hash: block.claimed_hash,
            parent: block.previous,
            miner: block.miner,
            time_ms: block.time_ms,
            height: block.height,
        });
    }

    /// An announced header whose signature holds.
    pub(crate) fn heard_header(&mut self, hash: BlockHash, header: &Header) {
        self.clocks.pushed = Some(hash);
        self.heard(&Told {
            hash,
            parent: header.previous,
            miner: header.miner,
            time_ms: header.time_ms,
            height: header.height,
        });
    }

    fn heard(&mut self, told: &Told) {
        let own = self.config.miner.is_some_and(|miner| Hash32::from(miner) == told.miner);
        if self.ledger.genesis().is_open() || own || self.clocks.time_of(&told.hash).is_some() {
            return;
        }
        let is_pushed = self.clocks.pushed == Some(told.hash);
        if self.clocks.seen.len() >= CLOCK_SEEN {
            self.clocks.seen.pop_front();
        }
        self.clocks.seen.push_back((told.hash, told.time_ms));
        let parent_ms = match self.clocks.time_of(&told.parent) {
            Some(time_ms) => Some(time_ms),
            None => self.ledger.time_of(&told.parent).ok().flatten(),
        };
        // A miner whose clock is not above the parent's time adds one to that: then its header says what *that* miner
        // claimed, ahead of its own clock by what is admitted at most. The same may be so if the parent is not known.
        let is_own_time = parent_ms.is_some_and(|parent_ms| told.time_ms > parent_ms.saturating_add(1));
        let limit_ms = if is_own_time { 0 } else { self.ledger.genesis().future_limit_ms() };
        let least_ms = told.time_ms.saturating_sub(limit_ms);
        // However late it comes: its miner's clock was ahead of ours. That ours is ahead only shows in what comes fresh,
        // pushed and at the end of the chain.
        let is_fresh = is_pushed && is_own_time && told.height >= self.ledger.tip().height;
        if least_ms > self.now.wall_ms || is_fresh {
            let lead_ms = signed(least_ms).saturating_sub(signed(self.now.mono_ms));
            self.clocks.add(told.miner, Sample { lead_ms, at_ms: self.now.mono_ms });
        }
    }

    /// Compares the clocks. The median of all, ours included: half of them, whatever they claim, stop nobody. Of an even
    /// number both middle ones have to be off.
    pub(crate) fn tick_clock(&mut self) {
        let now = self.now;
        let genesis = self.ledger.genesis();
        let limit_ms = genesis.future_limit_ms();
        let turn_ms = u64::from(genesis.block_interval_ms).saturating_mul(genesis.members.len() as u64);
        let for_ms = CLOCK_SAMPLE_MS.max(turn_ms.saturating_mul(CLOCK_SAMPLE_BLOCKS));
        let mut offsets = self.clocks.offsets(now.mono_ms, now.wall_ms, for_ms);
        let members = offsets.len();
        let (low, high) = if members < MIN_CLOCKS {
            (None, None)
        } else {
            offsets.insert(offsets.partition_point(|offset_ms| *offset_ms < 0), 0);
            (offsets.get(members / 2).copied(), offsets.get(members.div_ceil(2)).copied())
        };
        let nearest = low.zip(high).map(|(low, high)| if low > 0 { low } else { high.min(0) });
        self.clocks.offset_ms = nearest;
        let is_off = nearest.filter(|offset_ms| offset_ms.unsigned_abs() > limit_ms);
        let was = self.clocks.fault.is_some();
        let Some(offset_ms) = is_off else {
            (self.clocks.off_since_ms, self.clocks.fault) = (None, None);
            if was {
                self.note("this node's clock agrees with the other members' again".into());
            }
            return;
        };
        let since_ms = *self.clocks.off_since_ms.get_or_insert(now.mono_ms);
        if now.mono_ms.saturating_sub(since_ms) >= CLOCK_STEADY_MS {
            let fault = ClockFault { offset_ms, members, limit_ms };
            self.clocks.fault = Some(fault);
            if !was {
                self.note(fault.to_string());
            }
        }
    }
}

impl std::fmt::Display for ClockFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { offset_ms, members, limit_ms } = self;
        let (by_ms, way) = (offset_ms.unsigned_abs(), if *offset_ms > 0 { "behind" } else { "ahead of" });
        write!(
            f,
            "clock: this node's is {by_ms} ms {way} those of {members} other members, expected at most {limit_ms}; not \
             mining until it is set right"
        )
    }
}
