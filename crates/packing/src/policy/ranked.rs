//! Policies that read the order of the pool: FAIR-FIRST, TP&FAIR, FIFO.

use std::hash::Hash;

use super::fit::{pick_in_order, pick_set};
use super::{FAIR_FIRST, FIFO, TP_FAIR, TP_FAIR_APP};
use crate::kth::{MAX_K, Plan, app_reach, walk};
use crate::{PackingContext, PackingPolicy, WaitingPool};

/// FAIR-FIRST: the items with the largest sum of waits (k = 1), which are the oldest. All nodes with the same pool pick
/// the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FairFirst;

/// TP&FAIR, exact: node i picks the set with the i-th largest sum of waits, so that nodes with the same pool pick
/// different sets that are nearly as fair.
///
/// If there are fewer than i sets, the last one. Indices above [`MAX_K`] begin again at 1; 0, which is no index, counts
/// as 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TpFair;

/// TP&FAIR by APP-Kth-SUM in our reading ([`kth_subset_app`](crate::kth_subset_app)): for 2 ≤ i ≤ m + 1 node i picks the
/// m + 1 oldest but one, another one on each node. Indices as in [`TpFair`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TpFairApp;

/// First come, first served: in the order in which the items were inserted in this pool, whatever they say of when they
/// began to wait. Nodes hear of them in different orders, so their picks differ by what was on its way.
///
/// What is taken out and inserted again comes last: also what a ledger took out of the pool for a while.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fifo;

impl<Id: Ord + Clone + Hash> PackingPolicy<Id> for FairFirst {
    fn name(&self) -> &'static str {
        FAIR_FIRST
    }

    fn pick(&self, pool: &WaitingPool<Id>, ctx: &PackingContext) -> Vec<Id> {
        pick_kth(pool, ctx, 1, Among::All)
    }
}

impl<Id: Ord + Clone + Hash> PackingPolicy<Id> for TpFair {
    fn name(&self) -> &'static str {
        TP_FAIR
    }

    fn pick(&self, pool: &WaitingPool<Id>, ctx: &PackingContext) -> Vec<Id> {
        pick_kth(pool, ctx, rank_of(ctx.node_index), Among::All)
    }
}

impl<Id: Ord + Clone + Hash> PackingPolicy<Id> for TpFairApp {
    fn name(&self) -> &'static str {
        TP_FAIR_APP
    }

    fn pick(&self, pool: &WaitingPool<Id>, ctx: &PackingContext) -> Vec<Id> {
        pick_kth(pool, ctx, rank_of(ctx.node_index), Among::FewestOldest)
    }
}

impl<Id: Ord + Clone + Hash> PackingPolicy<Id> for Fifo {
    fn name(&self) -> &'static str {
        FIFO
    }

    fn pick(&self, pool: &WaitingPool<Id>, ctx: &PackingContext) -> Vec<Id> {
        pick_in_order(ctx, pool.arrivals())
    }
}

/// The rank k of a node.
fn rank_of(node_index: u32) -> usize {
    // An index that no usize holds is beyond MAX_K anyway, and any answer in range will do.
    let index = usize::try_from(node_index).unwrap_or(usize::MAX);
    index.saturating_sub(1) % MAX_K + 1
}

/// Which items a set is chosen from.
enum Among {
    All,
    /// Only as many of the oldest as have k sets.
    FewestOldest,
}

/// The set with the k-th largest sum, k in `1..=MAX_K`.
fn pick_kth<Id: Ord + Clone + Hash>(pool: &WaitingPool<Id>, ctx: &PackingContext, k: usize, among: Among) -> Vec<Id> {
    pick_set(pool, ctx, |oldest, m| {
        let reach = match among {
            Among::All => pool.len(),
            Among::FewestOldest => pool.len().min(app_reach(m, k)),
        };
        let plan = Plan::new(reach, m, k);
        let entries = oldest.first(plan.fixed + plan.window());
        let walker = walk(plan.window(), plan.members, k, |at| entries[plan.fixed + at].wait_ms(ctx.now_ms));
        let mut ranks: Vec<usize> = (0..plan.fixed).collect();
        ranks.extend(walker.places().into_iter().map(|place| plan.fixed + place));
        ranks
    })
}
