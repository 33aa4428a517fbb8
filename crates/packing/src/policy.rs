//! Interchangeable ways to fill a block from a waiting pool.

use std::hash::Hash;

use crate::{PackingError, WaitingPool};

mod drawn;
mod fit;
mod ranked;
mod stripe;

pub use drawn::{MAX_ALPHA, Random, WaitSampling};
pub use ranked::{FairFirst, Fifo, TpFair, TpFairApp};
pub use stripe::{Stripe, TURN_MS, Turn};

/// How many entries past the `capacity`-th a policy looks at for ones that fit the bytes left: about one block's worth
/// of ids, so that a pick costs no more however large the pool is.
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
    /// Seed for policies that draw lots.
    pub seed: u64,
}

/// A way to choose what goes in the next block. Object-safe: hold it as `Arc<dyn PackingPolicy<Id>>`.
///
/// What a caller finds that it cannot put in a block comes back by [`pick_accepted`](crate::pick_accepted), which takes
/// it out of the pool and picks again.
pub trait PackingPolicy<Id: Ord + Clone + Hash>: Send + Sync {
    /// The name in configurations, one of [`POLICY_NAMES`] for those of this crate.
    fn name(&self) -> &'static str;

    /// Picks at most `ctx.capacity` items of at most `ctx.bytes` bytes together, and answers them oldest first. The same
    /// pool and context give the same answer, on every machine.
    ///
    /// How the policies of this crate meet both limits:
    /// 1. m is the length of the longest run of oldest items within both limits, but at least 1 while the pool and
    ///    `capacity` are not empty;
    /// 2. of the policy's set of m items, taken oldest first, each that still fits the bytes left goes in, the others are
    ///    skipped;
    /// 3. while there is room, the items outside the set, again oldest first and up to [`MAX_FILL_SCAN`] ranks past
    ///    `capacity`, go in if they fit.
    ///
    /// Step 1 takes m from the bytes too, because a set larger than what fits would be cut to the same items on all
    /// nodes. Where bytes do not bind, the pick is the policy's set of `capacity` items. [`Fifo`], [`Random`] and
    /// [`WaitSampling`] have an order of preference instead of a set: each item in turn goes in if it fits, up to
    /// [`MAX_FILL_SCAN`] places past `capacity`.
    ///
    /// What is then guaranteed where sizes differ is written in `docs/fairness.md` of the repository: the longest run of
    /// step 1 goes in whole under FAIR-FIRST, its first m + 1 - k items under TP&FAIR with rank k, and no policy looks
    /// for the best sum that fits, which is a knapsack.
    fn pick(&self, pool: &WaitingPool<Id>, ctx: &PackingContext) -> Vec<Id>;
}

const FAIR_FIRST: &str = "fair-first";
const TP_FAIR: &str = "tp-fair";
const TP_FAIR_APP: &str = "tp-fair-app";
const FIFO: &str = "fifo";
const RANDOM: &str = "random";
const WAIT_SAMPLING: &str = "wait-sampling";
const STRIPE: &str = "stripe";
const STRIPE_MINUTE: &str = "stripe-minute";

/// The names that [`policy_by_name`] knows.
pub const POLICY_NAMES: &[&str] =
    &[FAIR_FIRST, TP_FAIR, TP_FAIR_APP, FIFO, RANDOM, WAIT_SAMPLING, STRIPE, STRIPE_MINUTE];

/// The policy of this name with its defaults; `None` if there is none.
#[must_use]
pub fn policy_by_name<Id: Ord + Clone + Hash>(name: &str) -> Option<Box<dyn PackingPolicy<Id>>> {
    match name {
        FAIR_FIRST => Some(Box::new(FairFirst)),
        TP_FAIR => Some(Box::new(TpFair)),
        TP_FAIR_APP => Some(Box::new(TpFairApp)),
        FIFO => Some(Box::new(Fifo)),
        RANDOM => Some(Box::new(Random)),
        WAIT_SAMPLING => Some(Box::new(WaitSampling::default())),
        STRIPE => Some(Box::new(Stripe::default())),
        STRIPE_MINUTE => Some(Box::new(Stripe { turn: Turn::Minute, ..Stripe::default() })),
        _ => None,
    }
}

/// The policy of this name, or an error that lists the names, for reading configurations.
///
/// # Errors
/// [`PackingError::UnknownPolicy`] if there is none.
pub fn require_policy<Id: Ord + Clone + Hash>(name: &str) -> Result<Box<dyn PackingPolicy<Id>>, PackingError> {
    policy_by_name(name).ok_or_else(|| PackingError::UnknownPolicy { expected: POLICY_NAMES, got: name.to_owned() })
}

#[cfg(test)]
mod tests;
