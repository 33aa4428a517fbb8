//! Fairness packing: Jain's index, exact k-th largest m-subset sums, FAIR-FIRST and TP&FAIR.
//!
//! A block maker has more waiting items than places. This crate measures how fair a choice was
//! ([`jain_index`]), finds the m items with the k-th largest sum of waiting times exactly
//! ([`kth_subset_exact`], or [`WaitingPool::kth`] on a pool that stays sorted), and wraps that as
//! interchangeable policies ([`PackingPolicy`]). It knows nothing of chains, networks or clocks,
//! depends on no runtime, and computes on integers: all times are `u64` milliseconds, all sums
//! `u128`. Only Jain's index is a float, and nothing decides by it.
//!
//! ```
//! use blockhie_packing::{PackingContext, PackingPolicy, TpFair, WaitingPool, jain_index, kth_subset_exact};
//! let waits = [900, 100, 500, 700];
//! let second = kth_subset_exact(&waits, 2, 2)?;
//! assert_eq!((second.indices, second.sum), (vec![0, 2], 1_400)); // 900 + 700 is the best
//! assert!(jain_index(&waits) < jain_index(&[500, 500]));
//! let mut pool = WaitingPool::new();
//! for (id, since_ms) in [("a", 100), ("b", 900), ("c", 500), ("d", 300)] {
//!     pool.insert(id, since_ms, 250);
//! }
//! let ctx = PackingContext { capacity: 2, bytes: 1_000, node_index: 2, node_count: 4, parent: [0; 32], now_ms: 1_000, seed: 0 };
//! assert_eq!(TpFair.pick(&pool, &ctx), ["a", "c"]); // node 2 takes the second best pair
//! # Ok::<(), blockhie_packing::PackingError>(())
//! ```
//!
//! # The algorithm
//! Rank the items by wait, longest first: x0 ≥ x1 ≥ …. The member at place j of a chosen set is
//! displaced by d_j ≥ 0 ranks from the best set, d is non-decreasing, and a pointwise smaller d has
//! a larger sum. So the k best sets differ from the best only inside a window of at most 2(k-1)
//! ranks, and a tree in which each set has one parent and at most two children, none with a larger
//! sum, lists them best first from a heap without a visited set.
//!
//! # What to expect of it
//! Jain's index alone misleads: any constant delay raises it. Compare at equal load, and show the
//! percentiles of the waits beside it. Different sets on different nodes raise throughput only on
//! a ledger that merges the contents of stale blocks.

mod error;
mod jain;
mod kth;
mod policy;
mod pool;
mod waits;

pub use error::PackingError;
pub use jain::jain_index;
pub use kth::{MAX_K, Selection, kth_subset_exact};
pub use policy::{
    FairFirst, MAX_FILL_SCAN, POLICY_NAMES, PackingContext, PackingPolicy, TpFair, policy_by_name, require_policy,
};
pub use pool::{MAX_BACKDATE_MS, PoolEntry, PoolSelection, WaitingPool, waiting_start};
pub use waits::{WAIT_BINS, WAIT_BOUNDS_MS, WaitSummary, percentile, wait_histogram};
