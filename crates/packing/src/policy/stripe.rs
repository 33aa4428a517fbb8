//! Each node prefers its own share of the oldest items.

use std::hash::Hash;

use super::fit::pick_set;
use super::{STRIPE, STRIPE_MINUTE};
use crate::lots::lot;
use crate::{PackingContext, PackingPolicy, WaitingPool};

/// Stripe: of the c·m oldest items, its frame, a node picks the oldest m of its own class, and fills up with the oldest of
/// the others. Items fall into as many classes as there are nodes, by a hash of their id; which class is whose turns
/// ([`Turn`]), so that no class waits for one node.
///
/// It is the m best by score = wait + B·(class is mine) in the frame, B being the frame's age spread
/// ([`spread_ms`](Self::spread_ms)). With sizes that do not bind, and waits at the same time:
/// 1. the sum of waits is at least the largest possible less m·B;
/// 2. whatever is left out has waited at most B longer than anything picked, and nothing outside the frame is picked
///    while the frame holds m;
/// 3. the oldest item is picked by the first node whose class it has, whatever arrives: no starvation.
///
/// Nodes with the same pool and different indices pick disjoint sets as far as the frame holds m of each class. That
/// raises throughput only on a ledger that merges the contents of stale blocks; elsewhere it costs fairness and gains
/// nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stripe {
    /// c; 0 for the default, twice the number of nodes, but 8 to 16.
    pub frame: usize,
    /// When classes turn.
    pub turn: Turn,
}

/// What the turn of a [`Stripe`]'s classes follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Turn {
    /// The parent's hash. Nodes on one parent have different classes; two on different parents have the same with chance
    /// one in their number, and then pick the same.
    #[default]
    Parent,
    /// The minutes of the clock, [`TURN_MS`]. Nodes on different parents have different classes too, as far as their
    /// clocks agree: for chains on which several blocks are often under way at once.
    Minute,
}

/// How long a turn by the clock lasts, in milliseconds: long beside what clocks of nodes differ by, short beside what a
/// class may wait for a node that is gone.
pub const TURN_MS: u64 = 60_000;

impl Stripe {
    fn reach(&self, ctx: &PackingContext, m: usize) -> usize {
        let nodes = usize::try_from(ctx.node_count).unwrap_or(usize::MAX);
        let times = if self.frame == 0 { nodes.saturating_mul(2).clamp(8, 16) } else { self.frame };
        times.saturating_mul(m)
    }

    /// B, in milliseconds: the age spread of the frame of the `ctx.capacity`·c oldest. It grows with the backlog, and is
    /// 0 for an empty pool. O(c·m).
    #[must_use]
    pub fn spread_ms<Id: Ord + Clone + Hash>(&self, pool: &WaitingPool<Id>, ctx: &PackingContext) -> u64 {
        let mut frame = pool.iter().take(self.reach(ctx, ctx.capacity)).map(|entry| entry.wait_ms(ctx.now_ms));
        let oldest = frame.next().unwrap_or(0);
        oldest - frame.last().unwrap_or(oldest)
    }

    /// The class of an item among `node_count` classes, from 0; the same on every node.
    #[must_use]
    pub fn class_of<Id: Hash>(id: &Id, node_count: u32) -> u32 {
        remainder(lot(CLASS_SEED, id), node_count)
    }

    /// The class that the node of this context prefers. The nodes of one parent, or of one minute, have different ones.
    #[must_use]
    pub fn own_class(self, ctx: &PackingContext) -> u32 {
        let of = match self.turn {
            // All of the hash: its first bytes are zeros, which is the proof of work.
            Turn::Parent => ctx.parent,
            Turn::Minute => {
                let mut minute = [0; 32];
                minute[..8].copy_from_slice(&(ctx.now_ms / TURN_MS).to_be_bytes());
                minute
            }
        };
        let turn = remainder(lot(TURN_SEED, &of), ctx.node_count);
        let place = u64::from(ctx.node_index.saturating_sub(1)) + u64::from(turn);
        remainder(place, ctx.node_count)
    }
}

/// Seeds that every node uses: the letters of "class" and "turn".
const CLASS_SEED: u64 = 0x63_6c61_7373;
const TURN_SEED: u64 = 0x7475_726e;

fn remainder(value: u64, classes: u32) -> u32 {
    u32::try_from(value % u64::from(classes.max(1))).expect("less than a u32")
}

impl<Id: Ord + Clone + Hash> PackingPolicy<Id> for Stripe {
    fn name(&self) -> &'static str {
        match self.turn {
            Turn::Parent => STRIPE,
            Turn::Minute => STRIPE_MINUTE,
        }
    }

    fn pick(&self, pool: &WaitingPool<Id>, ctx: &PackingContext) -> Vec<Id> {
        let own = self.own_class(ctx);
        pick_set(pool, ctx, |oldest, m| {
            let mut ranks = Vec::with_capacity(m.min(pool.len()));
            let frame = self.reach(ctx, m).min(pool.len());
            // Read in steps of m, and no further than to the m-th of its own.
            let mut seen = 0;
            while seen < frame && ranks.len() < m {
                let until = seen.saturating_add(m).min(frame);
                let block = &oldest.first(until)[seen..];
                let fits =
                    block.iter().zip(seen..).filter(|(entry, _)| Self::class_of(entry.id, ctx.node_count) == own);
                ranks.extend(fits.map(|(_, rank)| rank).take(m - ranks.len()));
                seen = until;
            }
            ranks
        })
    }
}
