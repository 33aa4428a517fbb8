//! What the policies promise.

mod common;

use std::collections::BTreeSet;

use blockhie_packing::{
    FairFirst, Fifo, MAX_ALPHA, POLICY_NAMES, PackingContext, PackingError, PackingPolicy, Random, Stripe, TURN_MS,
    TpFair, TpFairApp, Turn, WaitSampling, WaitingPool, pick_accepted, policy_by_name, require_policy,
};
use common::{Stream, context, pool_of};
use proptest::prelude::*;

#[test]
fn app_gives_each_node_the_oldest_but_another_one() {
    let pool = pool_of(&[0, 10, 20, 30, 40, 50, 60]);
    let at = |node_index| TpFairApp.pick(&pool, &PackingContext { node_index, ..context(4) });
    assert_eq!([at(1), at(2), at(5)], [[0, 1, 2, 3], [0, 1, 2, 4], [1, 2, 3, 4]]);
    for node in 1..=40_u32 {
        let k = usize::try_from(node).unwrap();
        assert_eq!(at(node), pool.kth_app(10_000, 4, k).unwrap().ids);
    }
}

#[test]
fn fifo_goes_by_arrival_and_not_by_claims() {
    let mut pool = WaitingPool::new();
    for (id, since_ms) in [("late", 900), ("older", 10), ("oldest", 1), ("last", 5)] {
        pool.insert(id, since_ms, 1);
    }
    assert_eq!(Fifo.pick(&pool, &context(2)), ["older", "late"]); // the first two, oldest first
    pool.remove(&"late");
    assert_eq!(Fifo.pick(&pool, &context(2)), ["oldest", "older"]);
    pool.insert("late", 900, 1);
    let order: Vec<&str> = pool.arrivals().map(|entry| *entry.id).collect();
    assert_eq!(order, ["older", "oldest", "last", "late"]);
}

#[test]
fn lots_depend_on_seed_parent_and_id_and_not_on_history() {
    let starts: Vec<u64> = (0..200).collect();
    let pool = pool_of(&starts);
    let mut otherwise = WaitingPool::new();
    for id in (0..200_u64).rev() {
        otherwise.insert(id, id, 1);
    }
    for policy in [&Random as &dyn PackingPolicy<u64>, &WaitSampling::default()] {
        let ctx = context(20);
        let picked = policy.pick(&pool, &ctx);
        assert_eq!(picked, policy.pick(&otherwise, &ctx), "{}", policy.name());
        assert_ne!(picked, policy.pick(&pool, &PackingContext { seed: 1, ..ctx.clone() }));
        assert_ne!(picked, policy.pick(&pool, &PackingContext { parent: [1; 32], ..ctx.clone() }));
        assert_eq!(picked.iter().collect::<BTreeSet<_>>().len(), 20);
    }
}

/// How often each of these starts is in a pick of m, of 20,000 seeds.
fn shares(policy: &dyn PackingPolicy<u64>, starts: &[u64], m: usize) -> Vec<f64> {
    const SEEDS: u64 = 20_000;
    let pool = pool_of(starts);
    let mut counts = vec![0_u32; starts.len()];
    for seed in 0..SEEDS {
        for id in policy.pick(&pool, &PackingContext { seed, ..context(m) }) {
            counts[usize::try_from(id).expect("ids are small")] += 1;
        }
    }
    counts.into_iter().map(|count| f64::from(count) / SEEDS as f64).collect()
}

#[test]
fn random_is_even_and_sampling_goes_by_the_power_of_the_wait() {
    // Five standard deviations of 20,000 draws are at most 0.018.
    let close = |found: &[f64], wanted: &[f64]| found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 0.018);
    // Waits of 3, 2, 1 and 0 s.
    let starts = [7_000, 8_000, 9_000, 10_000];
    let even = shares(&Random, &starts, 1);
    assert!(close(&even, &[0.25; 4]), "{even:?}");
    for alpha in [1, 3] {
        let power = |wait: f64| wait.powi(alpha);
        let total = power(3.0) + power(2.0) + power(1.0);
        let policy = WaitSampling::new(alpha.unsigned_abs()).unwrap();
        let chance = [power(3.0) / total, power(2.0) / total, power(1.0) / total, 0.0];
        let one = shares(&policy, &starts, 1);
        assert!(close(&one, &chance), "{alpha}: {one:?}");
        // Two, one after the other, without replacement.
        let second = |at: usize| -> f64 {
            let before = (0..3).filter(|other| *other != at);
            before.map(|other| chance[other] * chance[at] / (1.0 - chance[other])).sum::<f64>() + chance[at]
        };
        let two = shares(&policy, &starts, 2);
        assert!(close(&two, &[second(0), second(1), second(2), 0.0]), "{alpha}: {two:?}");
        // What has not waited comes last, even after a millisecond, but comes.
        assert_eq!(shares(&policy, &[9_999, 10_000, 10_000], 1), [1.0, 0.0, 0.0]);
        assert_eq!(policy.pick(&pool_of(&starts), &context(4)).len(), 4);
    }
}

#[test]
fn exponents_are_bounded() {
    assert_eq!(WaitSampling::new(MAX_ALPHA).map(|policy| policy.alpha()), Ok(MAX_ALPHA));
    assert_eq!(WaitSampling::new(17), Err(PackingError::Exponent { max: MAX_ALPHA, got: 17 }));
    // The longest wait to the sixteenth power.
    let pool = pool_of(&[0, u64::MAX - 1, u64::MAX]);
    let ctx = PackingContext { now_ms: u64::MAX, ..context(1) };
    assert_eq!(WaitSampling::new(MAX_ALPHA).unwrap().pick(&pool, &ctx), [0]);
}

#[test]
fn stripes_are_disjoint_and_turn() {
    let starts: Vec<u64> = (0..2_000).map(|at| at * 3).collect();
    let pool = pool_of(&starts);
    let mut seen = BTreeSet::new();
    for node_index in 1..=8 {
        let picked = Stripe::default().pick(&pool, &PackingContext { node_index, ..context(50) });
        assert_eq!(picked.len(), 50);
        assert!(picked.into_iter().all(|id| seen.insert(id)), "node {node_index} shares an item");
    }
    // Over many parents each node has each class about as often: 125 of 1,000, five standard deviations are 52.
    let mut classes = [0_u32; 8];
    for block in 0..1_000_u32 {
        let mut parent = [0; 32]; // the zeros of a proof of work in front
        parent[28..].copy_from_slice(&block.to_be_bytes());
        classes[Stripe::default().own_class(&PackingContext { node_index: 3, parent, ..context(1) }) as usize] += 1;
    }
    assert!(classes.iter().all(|count| count.abs_diff(125) < 52), "{classes:?}");
}

#[test]
fn stripes_of_one_minute_are_disjoint_whatever_the_parents_are() {
    let pool = pool_of(&(0..2_000).map(|at| at * 3).collect::<Vec<u64>>());
    let policy = Stripe { turn: Turn::Minute, ..Stripe::default() };
    let at = |node_index: u32, minute: u64| PackingContext {
        node_index,
        parent: [u8::try_from(node_index).unwrap(); 32],
        now_ms: minute * TURN_MS + u64::from(node_index) * 7_000,
        ..context(50)
    };
    let mut seen = BTreeSet::new();
    for node_index in 1..=8 {
        for id in policy.pick(&pool, &at(node_index, 3)) {
            assert!(seen.insert(id), "node {node_index} shares {id}");
        }
    }
    let classes: Vec<u32> = (0..1_000).map(|minute| policy.own_class(&at(3, minute))).collect();
    let counts = (0..8).map(|class| classes.iter().filter(|own| **own == class).count());
    assert!(counts.into_iter().all(|count| count.abs_diff(125) < 52));
    assert_eq!(PackingPolicy::<u64>::name(&policy), "stripe-minute");
    let by_name = policy_by_name("stripe-minute").unwrap();
    assert_eq!(by_name.pick(&pool, &at(2, 5)), policy.pick(&pool, &at(2, 5)));
}

#[test]
fn stripe_starves_nobody_while_new_items_flood_in() {
    let mut stream = Stream(11);
    let mut pool = WaitingPool::new();
    let (mut next, mut longest) = (0_u64, 0);
    // Eight nodes mine in turn at random, blocks of 10, 10 new items a block and a backlog of 300.
    (0..300).for_each(|_| {
        pool.insert(next, 0, 1);
        next += 1;
    });
    for block in 1..=2_000_u64 {
        for _ in 0..10 {
            pool.insert(next, block, 1);
            next += 1;
        }
        let mut parent = [0; 32];
        parent[24..].copy_from_slice(&block.to_be_bytes());
        let node_index = 1 + u32::try_from(stream.below(8)).unwrap();
        let ctx = PackingContext { node_index, parent, now_ms: block, ..context(10) };
        for id in Stripe::default().pick(&pool, &ctx) {
            let since = pool.iter().find(|entry| *entry.id == id).unwrap().since_ms;
            longest = longest.max(block - since);
            pool.remove(&id);
        }
    }
    // The backlog of 300 is 30 blocks; that its class is not once drawn in 110 more has a chance of (7/8)^110 < 10^-6.
    assert!(longest < 140, "{longest}");
    let oldest = pool.iter().next().unwrap().since_ms;
    assert!(2_000 - oldest < 140, "{oldest}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// The m best by wait + B·(own class) among the frame, and the two bounds that follow.
    #[test]
    fn stripe_is_the_best_by_score_and_keeps_its_bounds(
        starts in prop::collection::vec(prop_oneof![0..50_u64, 0..11_000_u64], 1..200),
        m in 1..12_usize,
        frame in 0..9_usize,
        node_index in 1..6_u32,
        parent in any::<[u8; 32]>(),
    ) {
        let pool = pool_of(&starts);
        let policy = Stripe { frame, ..Stripe::default() };
        let ctx = PackingContext { node_index, node_count: 5, parent, ..context(m) };
        let picked = policy.pick(&pool, &ctx);
        prop_assert_eq!(picked.len(), m.min(starts.len()));

        let spread = policy.spread_ms(&pool, &ctx);
        let times = if frame == 0 { 10 } else { frame };
        let wait = |id: u64| 10_000_u64.saturating_sub(starts[usize::try_from(id).unwrap()]);
        let own = policy.own_class(&ctx);
        let mut scored: Vec<(u64, bool, u64)> = pool.iter().take(times * m).map(|entry| {
            let mine = Stripe::class_of(entry.id, 5) == own;
            (wait(*entry.id) + if mine { spread } else { 0 }, mine, *entry.id)
        }).collect();
        // Of equal scores the own class first, then pool order, which the stable sort keeps.
        scored.sort_by_key(|&(score, mine, _)| std::cmp::Reverse((score, mine)));
        let best: BTreeSet<u64> = scored.iter().take(m).map(|&(_, _, id)| id).collect();
        prop_assert_eq!(picked.iter().copied().collect::<BTreeSet<_>>(), best);

        let sum: u128 = picked.iter().map(|&id| u128::from(wait(id))).sum();
        let largest = pool.kth(10_000, m, 1).unwrap().sum;
        prop_assert!(sum + m as u128 * u128::from(spread) >= largest);
        let shortest = picked.iter().map(|&id| wait(id)).min().unwrap();
        let left = pool.iter().map(|entry| *entry.id).filter(|id| !picked.contains(id));
        prop_assert!(left.map(wait).all(|other| other <= shortest + spread));
        let oldest = *pool.iter().next().unwrap().id;
        prop_assert!(Stripe::class_of(&oldest, 5) != own || picked.contains(&oldest));
    }

    /// With sizes that differ: the longest run of the oldest that fits goes in whole, of the k-th set all but k - 1.
    #[test]
    fn the_longest_run_goes_in(
        sizes in prop::collection::vec(1..60_u32, 1..60),
        capacity in 1..30_usize,
        bytes in 0..600_usize,
        node_index in 1..20_u32,
        app in any::<bool>(),
    ) {
        let mut pool = WaitingPool::new();
        for (id, &size) in (0_u64..).zip(&sizes) {
            pool.insert(id, id * 7 % 13, size);
        }
        let mut left = bytes;
        let fits = |size: u32| usize::try_from(size).unwrap();
        let run: Vec<u64> = pool.iter().take(capacity).take_while(|entry| {
            let room = left.checked_sub(fits(entry.bytes));
            left = room.unwrap_or(left);
            room.is_some()
        }).map(|entry| *entry.id).collect();
        let ctx = PackingContext { bytes, node_index, ..context(capacity) };
        let fair = FairFirst.pick(&pool, &ctx);
        prop_assert!(run.iter().all(|id| fair.contains(id)));
        let policy: &dyn PackingPolicy<u64> = if app { &TpFairApp } else { &TpFair };
        let picked = policy.pick(&pool, &ctx);
        let surely = (run.len() + 1).saturating_sub(node_index as usize);
        prop_assert!(run[..surely].iter().all(|id| picked.contains(id)), "{:?} {:?}", run, picked);
    }

    /// What comes back is what the policy would have picked had the refused never been there.
    #[test]
    fn refused_items_are_as_if_they_had_not_been_there(
        starts in prop::collection::vec(0..50_u64, 0..40),
        capacity in 0..12_usize,
        bad in prop::collection::btree_set(0..40_u64, 0..20),
        name in prop::sample::select(POLICY_NAMES),
    ) {
        let policy = require_policy::<u64>(name).unwrap();
        let ctx = PackingContext { node_index: 3, ..context(capacity) };
        let mut pool = pool_of(&starts);
        let mut asked = 0;
        let accepted = pick_accepted(policy.as_ref(), &mut pool, &ctx, 100, |picked: &[u64]| {
            asked += 1;
            // It may name what it was not asked about, and name it twice.
            Ok::<_, ()>(picked.iter().filter(|id| bad.contains(id)).flat_map(|id| [*id, *id, 1_000]).collect::<Vec<_>>())
        }).unwrap();
        prop_assert!(accepted.settled && accepted.rounds == asked);
        prop_assert!(accepted.picked.iter().all(|id| !bad.contains(id)));
        prop_assert_eq!(&accepted.picked, &policy.pick(&pool, &ctx));
        for refused in &accepted.refused {
            prop_assert!(bad.contains(&refused.id) && !pool.contains(&refused.id));
            prop_assert!(pool.insert(refused.id, refused.since_ms, refused.bytes));
        }
        prop_assert!(pool.iter().eq(pool_of(&starts).iter()));
    }
}

#[test]
fn rounds_end_and_errors_put_back() {
    let starts: Vec<u64> = (0..30).collect();
    let mut pool = pool_of(&starts);
    let all = |picked: &[u64]| Ok::<_, ()>(picked.to_vec());
    let accepted = pick_accepted(&FairFirst, &mut pool, &context(4), 3, all).unwrap();
    assert_eq!((accepted.picked.len(), accepted.refused.len(), accepted.rounds), (0, 12, 3));
    assert!(!accepted.settled && pool.len() == 18);
    let mut pool = pool_of(&starts);
    let mut left = 2;
    let fails = |picked: &[u64]| {
        left -= 1;
        if left == 0 { Err("broken") } else { Ok(picked.to_vec()) }
    };
    assert_eq!(pick_accepted(&FairFirst, &mut pool, &context(4), 9, fails), Err("broken"));
    assert!(pool.iter().eq(pool_of(&starts).iter()));
}
