//! Interchangeable ways to fill a block from a waiting pool.

use crate::kth::MAX_K;
use crate::{PackingError, WaitingPool};

/// How many entries past the `capacity`-th a policy looks at for ones that fit the bytes left:
/// about one block's worth of ids, so that a pick costs no more however large the pool is.
pub const MAX_FILL_SCAN: usize = 4_096;

/// What a policy may use beside the pool. Plain values, so that a pick is a function of its inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackingContext {
    /// The most items to pick, m.
    pub capacity: usize,
    /// The most bytes to pick.
    pub bytes: usize,
    /// This node's 1-based position among the sorted members.
    pub node_index: u32,
    /// How many members there are.
    pub node_count: u32,
    /// Hash of the block that will be built on.
    pub parent: [u8; 32],
    /// The time to which waits are counted, in milliseconds on the clock of the pool's starts.
    pub now_ms: u64,
    /// Seed for policies that sample.
    pub seed: u64,
}

/// A way to choose what goes in the next block. Object-safe: hold it as
/// `Arc<dyn PackingPolicy<Id>>`.
pub trait PackingPolicy<Id: Ord + Clone>: Send + Sync {
    /// The name in configurations, one of [`POLICY_NAMES`] for those of this crate.
    fn name(&self) -> &'static str;

    /// Picks at most `ctx.capacity` items of at most `ctx.bytes` bytes together, oldest first.
    /// The same pool and context give the same answer.
    ///
    /// How the policies of this crate meet both limits:
    /// 1. m is the length of the longest run of oldest items within both limits, but at least 1
    ///    while the pool and `capacity` are not empty;
    /// 2. of the policy's set of m items, taken oldest first, each that still fits the bytes left
    ///    goes in, the others are skipped;
    /// 3. while there is room, the items outside the set, again oldest first and up to
    ///    [`MAX_FILL_SCAN`] ranks past `capacity`, go in if they fit.
    ///
    /// Step 1 takes m from the bytes too, because a set larger than what fits would be cut to the
    /// same items on all nodes. Where bytes do not bind, the pick is the policy's set of
    /// `capacity` items.
    fn pick(&self, pool: &WaitingPool<Id>, ctx: &PackingContext) -> Vec<Id>;
}

/// FAIR-FIRST: the items with the largest sum of waits (k = 1), which are the oldest. All nodes
/// with the same pool pick the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FairFirst;

/// TP&FAIR, exact: node i picks the set with the i-th largest sum of waits, so that nodes with the
/// same pool pick different sets that are nearly as fair.
///
/// If there are fewer than i sets, the last one. Indices above [`MAX_K`] begin again at 1; 0, which
/// is no index, counts as 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TpFair;

const FAIR_FIRST: &str = "fair-first";
const TP_FAIR: &str = "tp-fair";

/// The names that [`policy_by_name`] knows.
pub const POLICY_NAMES: &[&str] = &[FAIR_FIRST, TP_FAIR];

impl<Id: Ord + Clone> PackingPolicy<Id> for FairFirst {
    fn name(&self) -> &'static str {
        FAIR_FIRST
    }

    fn pick(&self, pool: &WaitingPool<Id>, ctx: &PackingContext) -> Vec<Id> {
        pick_kth(pool, ctx, 1)
    }
}

impl<Id: Ord + Clone> PackingPolicy<Id> for TpFair {
    fn name(&self) -> &'static str {
        TP_FAIR
    }

    fn pick(&self, pool: &WaitingPool<Id>, ctx: &PackingContext) -> Vec<Id> {
        // An index that no usize holds is beyond MAX_K anyway, and any answer in range will do.
        let index = usize::try_from(ctx.node_index).unwrap_or(usize::MAX);
        pick_kth(pool, ctx, index.saturating_sub(1) % MAX_K + 1)
    }
}

/// The policy of this name with its defaults; `None` if there is none.
#[must_use]
pub fn policy_by_name<Id: Ord + Clone>(name: &str) -> Option<Box<dyn PackingPolicy<Id>>> {
    match name {
        FAIR_FIRST => Some(Box::new(FairFirst)),
        TP_FAIR => Some(Box::new(TpFair)),
        _ => None,
    }
}

/// The policy of this name, or an error that lists the names, for reading configurations.
///
/// # Errors
/// [`PackingError::UnknownPolicy`] if there is none.
pub fn require_policy<Id: Ord + Clone>(name: &str) -> Result<Box<dyn PackingPolicy<Id>>, PackingError> {
    policy_by_name(name).ok_or_else(|| PackingError::UnknownPolicy { expected: POLICY_NAMES, got: name.to_owned() })
}

/// The steps written at [`PackingPolicy::pick`], with the k-th best set; k in `1..=MAX_K`.
fn pick_kth<Id: Ord + Clone>(pool: &WaitingPool<Id>, ctx: &PackingContext, k: usize) -> Vec<Id> {
    if ctx.capacity == 0 {
        return Vec::new();
    }
    let m = fitting_prefix(pool, ctx).max(1);
    let (ranks, _) = pool.kth_ranks(ctx.now_ms, m, k);

    let mut room = Room { places: ctx.capacity, bytes: ctx.bytes };
    let reach = ranks.last().map_or(0, |last| last + 1);
    let mut picked: Vec<(usize, &Id)> = Vec::with_capacity(ranks.len());
    let mut wanted = ranks.iter().copied().peekable();
    for (at, entry) in pool.iter().enumerate().take(reach) {
        if wanted.next_if_eq(&at).is_some() && room.take(entry.bytes) {
            picked.push((at, entry.id));
        }
    }
    let mut seen = ranks.iter().copied().peekable();
    let scan = ctx.capacity.saturating_add(MAX_FILL_SCAN);
    for (at, entry) in pool.iter().enumerate().take(scan) {
        if room.places == 0 || room.bytes == 0 {
            break;
        }
        if seen.next_if_eq(&at).is_none() && room.take(entry.bytes) {
            picked.push((at, entry.id));
        }
    }
    picked.sort_unstable_by_key(|&(at, _)| at);
    picked.into_iter().map(|(_, id)| id.clone()).collect()
}

/// How many of the oldest items fit both limits together.
fn fitting_prefix<Id: Ord + Clone>(pool: &WaitingPool<Id>, ctx: &PackingContext) -> usize {
    let mut room = Room { places: ctx.capacity, bytes: ctx.bytes };
    pool.iter().take_while(|entry| room.take(entry.bytes)).count()
}

/// What is left of both limits.
struct Room {
    places: usize,
    bytes: usize,
}

impl Room {
    /// Takes a place of this size, or nothing and `false`.
    fn take(&mut self, bytes: u32) -> bool {
        let left = usize::try_from(bytes).ok().and_then(|bytes| self.bytes.checked_sub(bytes));
        match left {
            Some(left) if self.places > 0 => {
                self.places -= 1;
                self.bytes = left;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
