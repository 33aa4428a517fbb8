//! Policies that draw lots.

use std::hash::Hash;

use super::fit::{pick_in_order, reach};
use super::{RANDOM, WAIT_SAMPLING};
use crate::lots::{Scaled, exponential, lot};
use crate::shortlist::Shortlist;
use crate::{PackingContext, PackingError, PackingPolicy, PoolEntry, WaitingPool};

/// The largest exponent of [`WaitSampling`]: at 16 an item of half the age has 1/65,536 of the chance, which differs from
/// the oldest first in nothing that could be measured.
pub const MAX_ALPHA: u32 = 16;

/// Every item with the same chance, whatever its age: what there is without any fairness.
///
/// Each item draws a number from `ctx.seed`, `ctx.parent` and its id, and the smallest are picked: a function of what is
/// in the pool and not of its history. O(n).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Random;

/// Draws without replacement, each time with chances as the waits to the power of α, an integer; 3 by default.
///
/// Each item draws an exponential number from `ctx.seed`, `ctx.parent` and its id, divides it by its wait to the power
/// of α, and the smallest are picked, which is the same distribution as drawing one after the other. Integers throughout,
/// with 63 bits of precision. Items that have not waited come last. O(n), some 100 ns for each item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitSampling {
    alpha: u32,
}

impl WaitSampling {
    /// With this exponent; with 0 it is [`Random`] by another lot.
    ///
    /// # Errors
    /// [`PackingError::Exponent`] above [`MAX_ALPHA`].
    pub fn new(alpha: u32) -> Result<Self, PackingError> {
        if alpha > MAX_ALPHA {
            return Err(PackingError::Exponent { max: MAX_ALPHA, got: alpha });
        }
        Ok(Self { alpha })
    }

    /// The exponent.
    #[must_use]
    pub fn alpha(&self) -> u32 {
        self.alpha
    }

    fn key(self, draw: u64, wait_ms: u64) -> Scaled {
        let time = exponential(draw);
        if wait_ms == 0 && self.alpha > 0 {
            return Scaled::beyond(time);
        }
        Scaled::new(time).over(Scaled::new(u128::from(wait_ms.max(1))).power(self.alpha))
    }
}

impl Default for WaitSampling {
    fn default() -> Self {
        Self { alpha: 3 }
    }
}

impl<Id: Ord + Clone + Hash> PackingPolicy<Id> for Random {
    fn name(&self) -> &'static str {
        RANDOM
    }

    fn pick(&self, pool: &WaitingPool<Id>, ctx: &PackingContext) -> Vec<Id> {
        pick_smallest(pool, ctx, |draw, _| draw)
    }
}

impl<Id: Ord + Clone + Hash> PackingPolicy<Id> for WaitSampling {
    fn name(&self) -> &'static str {
        WAIT_SAMPLING
    }

    fn pick(&self, pool: &WaitingPool<Id>, ctx: &PackingContext) -> Vec<Id> {
        pick_smallest(pool, ctx, |draw, entry| self.key(draw, entry.wait_ms(ctx.now_ms)))
    }
}

/// Picks in the order of a key made of each item's draw.
fn pick_smallest<Id: Ord + Clone + Hash, K: Ord + Copy>(
    pool: &WaitingPool<Id>,
    ctx: &PackingContext,
    key: impl Fn(u64, &PoolEntry<'_, Id>) -> K,
) -> Vec<Id> {
    if ctx.capacity == 0 {
        return Vec::new();
    }
    let seed = lot(ctx.seed, &ctx.parent);
    let mut list = Shortlist::new(reach(ctx).min(pool.len()), pool.len());
    for entry in pool.iter() {
        // Equal keys, which no two items are likely to have, go by age and id.
        list.offer((key(lot(seed, entry.id), &entry), entry.since_ms, entry.id, entry.bytes));
    }
    let mut preferred = list.finish();
    preferred.sort_unstable();
    let entries = preferred.into_iter().map(|(_, since_ms, id, bytes)| PoolEntry { id, since_ms, bytes });
    pick_in_order(ctx, entries)
}
