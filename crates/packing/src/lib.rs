//! Fairness packing: who goes in the next block when not all can.
//!
//! ```
//! use blockhie_packing::{PackingContext, WaitingPool, WaitSummary, best_subsets, kth_subset_exact, require_policy};
//! let waits = [900, 100, 500, 700]; // milliseconds
//! let second = kth_subset_exact(&waits, 2, 2)?; // the pair with the second largest sum
//! assert_eq!((second.indices, second.sum), (vec![0, 2], 1_400));
//! assert_eq!(best_subsets(&waits, 2)?.map(|pair| pair.sum).collect::<Vec<_>>(), [1_600, 1_400, 1_200, 1_000, 800, 600]);
//! let mut pool = WaitingPool::new();
//! for (id, since_ms) in [("a", 100), ("b", 900), ("c", 500), ("d", 300)] {
//!     pool.insert(id, since_ms, 250); // bytes
//! }
//! let ctx = PackingContext { capacity: 2, bytes: 1_000, node_index: 2, node_count: 4, parent: [0; 32], now_ms: 1_000, seed: 0 };
//! let picked = require_policy("tp-fair")?.pick(&pool, &ctx);
//! assert_eq!(picked, ["a", "c"]); // node 2 takes the second best pair
//! assert!(WaitSummary::of(&waits).jain < WaitSummary::of(&[500, 500]).jain);
//! # Ok::<(), blockhie_packing::PackingError>(())
//! ```
//!
//! A block maker has more waiting items than places. This crate finds the m items with the k-th largest sum of waiting
//! times exactly ([`kth_subset_exact`], or [`WaitingPool::kth`] on a pool that stays sorted), one after the other
//! ([`best_subsets`]) or by the approximation APP-Kth-SUM ([`kth_subset_app`]); wraps these and others as interchangeable
//! policies ([`PackingPolicy`], by name [`require_policy`]) that take back what cannot go in ([`pick_accepted`]); and
//! measures what came of it: [`jain_index`], [`WaitSummary`] and [`percentile_bounds`] over transactions, [`by_sender`]
//! over those who sent them.
//!
//! It knows nothing of chains, networks or clocks, depends on no runtime, and computes on integers: all times are `u64`
//! milliseconds, all sums `u128`. Only Jain's index is a float, and nothing decides by it. Definitions, theorems with
//! their proofs, and what is not known are in `docs/fairness.md` of the repository.
//!
//! # The policies
//! | name | type | picks | cost |
//! |---|---|---|---|
//! | `fair-first` | [`FairFirst`] | the m longest waits | O(m) |
//! | `tp-fair` | [`TpFair`] | on node i the i-th largest sum | O(m + i log i) |
//! | `tp-fair-app` | [`TpFairApp`] | on node i APP-Kth-SUM for i | O(m + i log i) |
//! | `fifo` | [`Fifo`] | in the order of local arrival | O(m log m) |
//! | `random` | [`Random`] | evenly | O(n) |
//! | `wait-sampling` | [`WaitSampling`] | with chances as the wait to the power of α | O(n) |
//! | `stripe` | [`Stripe`] | the longest waits of the node's own class; classes turn with the parent | O(c·m), c at most 16 |
//! | `stripe-minute` | [`Stripe`] | the same; classes turn with the minutes of the clock | O(c·m) |
//!
//! # The algorithm
//! Rank the items by wait, longest first: x0 ≥ x1 ≥ …. The member at place j of a chosen set is displaced by d_j ≥ 0 ranks
//! from the best set, d is non-decreasing, and a pointwise smaller d has a larger sum. So the k best sets differ from the
//! best only inside a window of at most 2(k-1) ranks, and a tree in which each set has one parent and at most two
//! children, none with a larger sum, lists them best first from a heap without a visited set.
//!
//! # What to expect of it
//! Jain's index alone misleads: any constant delay raises it. Compare at equal load, and show the percentiles of the waits
//! beside it. Different sets on different nodes raise throughput only on a ledger that merges the contents of stale
//! blocks.
//!
//! # Bad input
//! m = 0, k = 0 and k above [`MAX_K`] are typed errors. m above n selects all, k above the number of subsets the last of
//! them, and says so. Waits of `u64::MAX` and a million equal ones are ordinary: no sum overflows, no policy panics.

mod best;
mod error;
mod feedback;
mod jain;
mod kth;
mod lots;
mod policy;
mod pool;
mod senders;
mod shortlist;
mod waits;
mod walk;

pub use best::{BestSubsets, best_subsets};
pub use error::PackingError;
pub use feedback::{Accepted, Judge, Refused, pick_accepted};
pub use jain::jain_index;
pub use kth::{MAX_K, Selection, kth_subset_app, kth_subset_exact};
pub use policy::{
    FairFirst, Fifo, MAX_ALPHA, MAX_FILL_SCAN, POLICY_NAMES, PackingContext, PackingPolicy, Random, Stripe, TURN_MS,
    TpFair, TpFairApp, Turn, WaitSampling, policy_by_name, require_policy,
};
pub use pool::{MAX_BACKDATE_MS, PoolEntry, PoolSelection, PoolSubsets, WaitingPool, waiting_start};
pub use senders::{SenderSummary, SenderWaits, by_sender};
pub use waits::{
    PercentileBounds, WAIT_BINS, WAIT_BOUNDS_MS, WaitSummary, percentile, percentile_bounds, wait_histogram,
};
