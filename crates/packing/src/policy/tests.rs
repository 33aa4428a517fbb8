use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// A pool of ids 0, 1, … that began to wait at 0, 1, … ms, with these sizes.
fn pool_of(sizes: &[u32]) -> WaitingPool<u64> {
    let mut pool = WaitingPool::new();
    for (at, &bytes) in (0_u64..).zip(sizes) {
        pool.insert(at, at, bytes);
    }
    pool
}

fn context(capacity: usize, bytes: usize, node_index: u32) -> PackingContext {
    PackingContext { capacity, bytes, node_index, node_count: 8, parent: [0; 32], now_ms: 1_000, seed: 0 }
}

#[test]
fn fair_first_is_the_oldest_whatever_the_node() {
    let pool = pool_of(&[10; 20]);
    for node in [0, 1, 5, u32::MAX] {
        assert_eq!(FairFirst.pick(&pool, &context(4, 1_000, node)), [0, 1, 2, 3]);
    }
}

#[test]
fn tp_fair_gives_each_node_its_own_set() {
    let pool = pool_of(&[10; 20]);
    let sets: Vec<Vec<u64>> = (1..=8).map(|node| TpFair.pick(&pool, &context(4, 1_000, node))).collect();
    assert_eq!(sets[0], FairFirst.pick(&pool, &context(4, 1_000, 1)));
    assert_eq!(sets[1], [0, 1, 2, 4]);
    for (at, set) in sets.iter().enumerate() {
        assert_eq!(*set, pool.kth(1_000, 4, at + 1).unwrap().ids);
    }
    assert_eq!(sets.iter().collect::<BTreeSet<_>>().len(), 8);
}

#[test]
fn tp_fair_differs_also_where_bytes_bind_before_capacity() {
    let pool = pool_of(&[100; 50]);
    let sets: BTreeSet<Vec<u64>> = (1..=8).map(|node| TpFair.pick(&pool, &context(40, 1_050, node))).collect();
    assert_eq!(sets.len(), 8);
    assert!(sets.iter().all(|set| set.len() == 10));
}

#[test]
fn every_node_index_has_an_answer() {
    let pool = pool_of(&[10; 20]);
    let at = |node| TpFair.pick(&pool, &context(4, 1_000, node));
    assert_eq!(at(0), at(1));
    assert_eq!(at(1_025), at(1));
    assert_ne!(at(1_024), at(1));
    assert_eq!(at(u32::MAX).len(), 4);
    // Fewer sets than nodes: the last one, without the oldest.
    let three = pool_of(&[10; 3]);
    assert_eq!(TpFair.pick(&three, &context(2, 1_000, 7)), [1, 2]);
}

#[test]
fn what_does_not_fit_is_skipped_and_later_items_fill_in() {
    let pool = pool_of(&[40, 90, 30, 50, 20, 1]);
    // 40, then 90 does not fit, 30 does, 50 does not, 20 does, 1 does.
    assert_eq!(FairFirst.pick(&pool, &context(9, 100, 1)), [0, 2, 4, 5]);
    assert_eq!(FairFirst.pick(&pool, &context(2, 100, 1)), [0, 2]);
    // The oldest alone is too large.
    let pool = pool_of(&[900, 10, 10]);
    assert_eq!(FairFirst.pick(&pool, &context(2, 100, 1)), [1, 2]);
    assert_eq!(TpFair.pick(&pool, &context(2, 100, 3)), [1, 2]);
}

#[test]
fn the_search_for_fillers_is_bounded() {
    let mut sizes = vec![2_u32; 2 + MAX_FILL_SCAN];
    sizes.push(1);
    // Both places are within reach only for the first: no second item of 1 byte before the bound.
    let ctx = context(2, 3, 1);
    assert_eq!(FairFirst.pick(&pool_of(&sizes), &ctx), [0]);
    sizes.remove(1);
    let last = u64::try_from(sizes.len()).unwrap() - 1;
    assert_eq!(FairFirst.pick(&pool_of(&sizes), &ctx), [0, last]);
}

#[test]
fn nothing_to_pick_or_no_room_is_empty() {
    let empty = WaitingPool::<u64>::new();
    for policy in POLICY_NAMES.iter().map(|name| require_policy::<u64>(name).unwrap()) {
        assert!(policy.pick(&empty, &context(5, 100, 3)).is_empty());
        assert!(policy.pick(&pool_of(&[10; 5]), &context(0, 100, 3)).is_empty());
        assert!(policy.pick(&pool_of(&[10; 5]), &context(5, 9, 3)).is_empty());
        assert_eq!(policy.pick(&pool_of(&[10; 5]), &context(usize::MAX, usize::MAX, 3)).len(), 5);
    }
}

#[test]
fn names_find_policies_and_others_list_them() {
    for name in POLICY_NAMES {
        let policy: Arc<dyn PackingPolicy<u64>> = Arc::from(require_policy(name).unwrap());
        assert_eq!(policy.name(), *name);
    }
    assert!(policy_by_name::<u64>("FAIR-FIRST").is_none());
    let Err(error) = require_policy::<u64>("fee-first") else {
        panic!("there is no such policy");
    };
    let names = "fair-first, tp-fair, tp-fair-app, fifo, random, wait-sampling, stripe, stripe-minute";
    assert_eq!(error.to_string(), format!("packing policy: expected one of {names}, got \"fee-first\""));
}

proptest! {
    #[test]
    fn picks_respect_limits_order_and_leave_no_room_unused(
        sizes in prop::collection::vec(0..60_u32, 0..40),
        capacity in 0..20_usize,
        bytes in 0..400_usize,
        node in 0..12_u32,
        name in prop::sample::select(POLICY_NAMES),
        seed in any::<u64>(),
    ) {
        let pool = pool_of(&sizes);
        let policy: Box<dyn PackingPolicy<u64>> = require_policy(name).unwrap();
        let ctx = PackingContext { seed, parent: [node.to_le_bytes()[0]; 32], ..context(capacity, bytes, node) };
        let picked = policy.pick(&pool, &ctx);
        prop_assert!(picked.len() <= capacity);
        prop_assert!(picked.windows(2).all(|pair| pair[0] < pair[1]));
        let size = |id: u64| usize::try_from(sizes[usize::try_from(id).unwrap()]).unwrap();
        let used: usize = picked.iter().map(|id| size(*id)).sum();
        prop_assert!(used <= bytes);
        if picked.len() < capacity && used < bytes {
            let fits = |entry: &crate::PoolEntry<'_, u64>| {
                !picked.contains(entry.id) && size(*entry.id) <= bytes - used
            };
            prop_assert!(!pool.iter().any(|entry| fits(&entry)));
        }
        prop_assert_eq!(picked, policy.pick(&pool, &ctx));
    }
}
