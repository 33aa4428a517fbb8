//! ASERT without anchors, on a bounded lag (protocol page, "Difficulty").
//!
//! Plain ASERT measures from one anchor block, so an outage of an hour is paid back as an hour of blocks in a burst.
//! Here each block may add at most [`MAX_STEP_INTERVALS`] intervals to the lag, and the lag itself is bounded by what
//! moves the target from the first to the easiest one.

use blockhie_core::{CompactTarget, Genesis, U256};
use primitive_types::U512;

/// Intervals by which one block can lengthen the lag: two half-lives at the default of 144·T. Without it one long
/// stop makes blocks four times as easy for each further two half-lives that it lasted.
pub const MAX_STEP_INTERVALS: i128 = 288;

/// From this power of two on every product is above any target; the protocol page fixes it, so that the shift below
/// stays inside 512 bits.
const EXPONENT_END: i128 = 240;

/// The parameters of the rule, from a genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difficulty {
    /// Target at lag 0.
    pub first_target: CompactTarget,
    /// The easiest target.
    pub most_target: CompactTarget,
    /// Lag that doubles the target, ms; at least 1.
    pub half_life_ms: u64,
    /// T: wanted ms between blocks.
    pub interval_ms: u32,
}

impl Difficulty {
    /// The rule of a chain.
    #[must_use]
    pub fn new(genesis: &Genesis) -> Self {
        Self {
            first_target: genesis.first_target,
            most_target: genesis.most_target,
            half_life_ms: genesis.half_life_ms,
            interval_ms: genesis.block_interval_ms,
        }
    }

    /// E, the largest lag in ms: half_life·(bitlen(most) - bitlen(first) + 1).
    #[must_use]
    pub fn most_lag_ms(&self) -> i128 {
        let bits = |target: CompactTarget| 256 - i128::from(target.to_u256().leading_zeros());
        i128::from(self.half_life_ms) * (bits(self.most_target) - bits(self.first_target) + 1)
    }

    /// λ of a block: min(λ(parent) + min(time - parent's time, 288·T) - T, E), in ms.
    #[must_use]
    pub fn next_lag(&self, parent_lag_ms: i128, parent_time_ms: u64, time_ms: u64) -> i128 {
        let interval = i128::from(self.interval_ms);
        let step = (i128::from(time_ms) - i128::from(parent_time_ms)).min(MAX_STEP_INTERVALS * interval) - interval;
        parent_lag_ms.saturating_add(step).min(self.most_lag_ms())
    }

    /// The target that a child of a block with this λ must claim.
    #[must_use]
    pub fn target(&self, lag_ms: i128) -> CompactTarget {
        asert_target(lag_ms, self.half_life_ms, self.first_target, self.most_target)
    }
}

/// first·2^(lag/half_life) by the cubic of aserti3-2d, clamped to [`CompactTarget::LEAST`] and `most`, then compact
/// (which truncates). Lag and half-life are in one unit, any; a half-life of 0 counts as 1.
#[must_use]
pub fn asert_target(lag: i128, half_life: u64, first: CompactTarget, most: CompactTarget) -> CompactTarget {
    let least = CompactTarget::LEAST.to_u256();
    CompactTarget::from_u256(asert_bound(lag, half_life, first.to_u256(), least, most.to_u256()))
}

/// The same before the compact form: first·2^(lag/half_life), at least `least` and at most `most`, of which `most` wins.
#[must_use]
pub fn asert_bound(lag: i128, half_life: u64, first: U256, least: U256, most: U256) -> U256 {
    let exponent = exponent(lag, half_life);
    let (shift, fraction) = (exponent >> 16, exponent & 0xffff);
    if shift >= EXPONENT_END {
        return most;
    }
    if shift < -EXPONENT_END {
        return least.min(most);
    }
    let product = U512::from(first) * U512::from(factor(fraction.unsigned_abs()));
    // One exact shift: 256 bits of target, 17 of factor and at most 239 - 16 of shift stay below 512.
    let places = usize::try_from((shift - 16).unsigned_abs()).expect("at most 256");
    let target = if shift >= 16 { product << places } else { product >> places };
    // What does not even fit into 256 bits is above every bound.
    U256::try_from(target).unwrap_or(U256::MAX).max(least).min(most)
}

/// trunc_toward_zero(lag·65536 / half_life). Exact wherever the target depends on it; beyond, only its side counts.
fn exponent(lag: i128, half_life: u64) -> i128 {
    let (magnitude, half_life) = (lag.unsigned_abs(), u128::from(half_life.max(1)));
    // Past 2·240 half-lives the answer is a clamp, and the product below could overflow.
    let far = 2 * EXPONENT_END.unsigned_abs();
    let quotient = if magnitude / half_life >= far { far << 16 } else { (magnitude << 16) / half_life };
    let quotient = i128::try_from(quotient).expect("at most 480·65536");
    if lag < 0 { -quotient } else { quotient }
}

/// 65536·2^(f/65536), by the cubic of aserti3-2d; off by less than 0.013 %. f < 65536.
fn factor(f: u128) -> u128 {
    65_536 + ((195_766_423_245_049 * f + 971_821_376 * f * f + 5_127 * f * f * f + (1 << 47)) >> 48)
}

/// The first target at which `members` miners of `hashes_per_s` each find a block in `interval_ms` on average; the
/// easiest one when that is less than two hashes.
#[must_use]
pub fn first_target_for(members: usize, hashes_per_s: u64, interval_ms: u32) -> CompactTarget {
    let members = u64::try_from(members.max(1)).unwrap_or(u64::MAX);
    // Thousandths of hashes in a block; 160 bits at most.
    let millihashes = U512::from(members) * U512::from(hashes_per_s) * U512::from(interval_ms);
    match ((U512::one() << 256) * 1_000u32).checked_div(millihashes).map(U256::try_from) {
        Some(Ok(target)) => CompactTarget::from_u256(target),
        _ => CompactTarget::MOST,
    }
}

#[cfg(test)]
mod tests;
