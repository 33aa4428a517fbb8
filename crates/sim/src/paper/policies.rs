//! The policies that can be compared: those of a node, and what is tried here alone.

use blockhie_core::Hash32;
use blockhie_packing::{PackingContext, PackingPolicy, Stripe, WaitingPool};

/// [`Stripe`] without the turn of its classes: node i always prefers class i. To see what the turn costs.
pub const STRIPE_FIXED: &str = "stripe-fixed";

/// Every name that an evaluation knows: [`blockhie_packing::POLICY_NAMES`], then [`STRIPE_FIXED`].
pub const POLICIES: &[&str] = &[
    "fair-first",
    "tp-fair",
    "tp-fair-app",
    "fifo",
    "random",
    "wait-sampling",
    "stripe",
    "stripe-minute",
    STRIPE_FIXED,
];

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_of_the_packing_crate_come_first() {
        assert_eq!(POLICIES[..POLICIES.len() - 1], *blockhie_packing::POLICY_NAMES);
    }

    #[test]
    fn the_class_does_not_turn() {
        let mut pool = WaitingPool::new();
        for at in 0..64u8 {
            pool.insert(Hash32([at; 32]), u64::from(at), 1);
        }
        let pick = |policy: &dyn PackingPolicy<Hash32>, parent| {
            let ctx = PackingContext {
                capacity: 4,
                bytes: 1_000,
                node_index: 1,
                node_count: 8,
                parent: [parent; 32],
                now_ms: 100,
                seed: 0,
            };
            policy.pick(&pool, &ctx)
        };
        let turns = (0..20).filter(|parent| pick(&Stripe::default(), *parent) != pick(&Stripe::default(), 0)).count();
        let fixed = StripeFixed(Stripe::default());
        assert!(turns > 10 && (0..20).all(|parent| pick(&fixed, parent) == pick(&fixed, 0)));
    }
}
