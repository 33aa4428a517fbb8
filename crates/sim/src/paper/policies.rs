//! The policies that can be compared: those of a node, and what is tried here alone.

use blockhie_core::Hash32;
use blockhie_packing::{PackingContext, PackingPolicy, Stripe, WaitingPool};

/// [`Stripe`] without the turn of its classes: node i always prefers class i. To see what the turn costs.
pub const STRIPE_FIXED: &str = "stripe-fixed";

/// [`Stripe`] whose classes turn with the minutes of the clock instead of with the parent: concurrent blocks on different
/// parents are then disjoint too, and no class waits for one node for long.
pub const STRIPE_MINUTE: &str = "stripe-minute";

/// Every name that an evaluation knows: [`blockhie_packing::POLICY_NAMES`], then [`STRIPE_FIXED`] and [`STRIPE_MINUTE`].
pub const POLICIES: &[&str] =
    &["fair-first", "tp-fair", "tp-fair-app", "fifo", "random", "wait-sampling", "stripe", STRIPE_FIXED, STRIPE_MINUTE];

/// See [`STRIPE_FIXED`].
pub(crate) struct StripeFixed(pub(crate) Stripe);

impl PackingPolicy<Hash32> for StripeFixed {
    fn name(&self) -> &'static str {
        STRIPE_FIXED
    }

    fn pick(&self, pool: &WaitingPool<Hash32>, ctx: &PackingContext) -> Vec<Hash32> {
        // The turn follows from the parent alone.
        self.0.pick(pool, &PackingContext { parent: [0; 32], ..ctx.clone() })
    }
}

/// See [`STRIPE_MINUTE`].
pub(crate) struct StripeMinute(pub(crate) Stripe);

impl PackingPolicy<Hash32> for StripeMinute {
    fn name(&self) -> &'static str {
        STRIPE_MINUTE
    }

    fn pick(&self, pool: &WaitingPool<Hash32>, ctx: &PackingContext) -> Vec<Hash32> {
        let mut parent = [0; 32];
        parent[..8].copy_from_slice(&(ctx.now_ms / 60_000).to_be_bytes());
        self.0.pick(pool, &PackingContext { parent, ..ctx.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_of_the_packing_crate_come_first() {
        assert_eq!(POLICIES[..POLICIES.len() - 2], *blockhie_packing::POLICY_NAMES);
    }

    #[test]
    fn the_class_does_not_turn() {
        let mut pool = WaitingPool::new();
        for at in 0..64u8 {
            pool.insert(Hash32([at; 32]), u64::from(at), 1);
        }
        let at = |policy: &dyn PackingPolicy<Hash32>, parent, now_ms| {
            let ctx = PackingContext {
                capacity: 4,
                bytes: 1_000,
                node_index: 1,
                node_count: 8,
                parent: [parent; 32],
                now_ms,
                seed: 0,
            };
            policy.pick(&pool, &ctx)
        };
        let pick = |policy: &dyn PackingPolicy<Hash32>, parent| at(policy, parent, 100);
        let turns = (0..20).filter(|parent| pick(&Stripe::default(), *parent) != pick(&Stripe::default(), 0)).count();
        let fixed = StripeFixed(Stripe::default());
        assert!(turns > 10 && (0..20).all(|parent| pick(&fixed, parent) == pick(&fixed, 0)));
        let minute = StripeMinute(Stripe::default());
        let changes = (0..20).filter(|turn| at(&minute, 0, turn * 60_000) != at(&minute, 0, 0)).count();
        assert!(changes > 10 && (0..20).all(|parent| at(&minute, parent, 61_000) == at(&minute, 0, 119_999)));
    }
}
