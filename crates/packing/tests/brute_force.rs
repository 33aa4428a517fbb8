//! The exact selection against all subsets, and the facts on which its window rests.

mod common;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use blockhie_packing::{MAX_K, WaitingPool, kth_subset_exact};
use common::Stream;
use proptest::prelude::*;

/// The sums of all m-subsets, largest first.
fn all_sums(waits: &[u64], m: usize) -> Vec<u128> {
    let mut sums: Vec<u128> = (0_u32..1 << waits.len())
        .filter(|set| usize::try_from(set.count_ones()).is_ok_and(|count| count == m))
        .map(|set| {
            let members = waits.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1);
            members.map(|(_, &wait)| u128::from(wait)).sum()
        })
        .collect();
    sums.sort_unstable_by_key(|&sum| Reverse(sum));
    sums
}

/// Checks k = 1..C(n,m)+1 (up to the limit): values, distinctness, order of the indices, the pool.
fn check_all_ranks(waits: &[u64], m: usize) {
    let expected = all_sums(waits, m);
    let mut by_rank: Vec<usize> = (0..waits.len()).collect();
    by_rank.sort_by_key(|&at| Reverse(waits[at]));
    let rank_of = |index: usize| by_rank.iter().position(|&at| at == index);

    // The same waits as starts before now = u64::MAX; equal starts are ordered by id = index.
    let mut pool = WaitingPool::new();
    for (index, wait) in waits.iter().enumerate() {
        pool.insert(index, u64::MAX - wait, 1);
    }
    let mut seen = BTreeSet::new();
    for (k, &sum) in (1..=MAX_K).zip(&expected) {
        let found = kth_subset_exact(waits, m, k).expect("m and k are in range");
        assert_eq!(found.sum, sum, "waits {waits:?} m {m} k {k}");
        assert_eq!((found.rank, found.exhausted), (k, false));
        assert_eq!(found.indices.len(), m);
        assert!(found.indices.windows(2).all(|pair| rank_of(pair[0]) < rank_of(pair[1])));
        let total: u128 = found.indices.iter().map(|&at| u128::from(waits[at])).sum();
        assert_eq!(total, sum);
        let pooled = pool.kth(u64::MAX, m, k).expect("m and k are in range");
        assert_eq!((&pooled.ids, pooled.sum), (&found.indices, sum));
        assert_eq!((pooled.rank, pooled.exhausted), (k, false));
        assert!(seen.insert(found.indices), "waits {waits:?} m {m} k {k} again");
    }
    if expected.len() < MAX_K {
        let past = kth_subset_exact(waits, m, expected.len() + 1).expect("in range");
        assert_eq!((past.rank, past.exhausted), (expected.len(), true));
        assert_eq!(past.sum, expected[expected.len() - 1]);
    }
}

#[test]
fn every_rank_of_thousands_of_small_instances() {
    let mut stream = Stream(1);
    for round in 0..3_000_u32 {
        let n = 1 + stream.below(9);
        let m = 1 + stream.below(n);
        // Few distinct values (many ties), many, and the whole range.
        let spread = [3, 40, 100_000, u64::MAX][round as usize % 4];
        let waits: Vec<u64> = (0..n).map(|_| stream.next() % spread).collect();
        check_all_ranks(&waits, m);
    }
}

#[test]
fn zero_equal_and_huge_waits() {
    for m in 1..=7 {
        check_all_ranks(&[0; 7], m);
        check_all_ranks(&[5; 7], m);
        check_all_ranks(&[u64::MAX; 7], m);
        check_all_ranks(&[u64::MAX, 0, u64::MAX, 1, 0, u64::MAX - 1, 1], m);
    }
    check_all_ranks(&[u64::MAX; 12], 6); // 924 subsets of one sum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_rank_of_any_small_instance(
        (waits, m) in prop::collection::vec(prop_oneof![0..6_u64, any::<u64>()], 1..9)
            .prop_flat_map(|waits| { let n = waits.len(); (Just(waits), 1..=n) }),
    ) {
        check_all_ranks(&waits, m);
    }

    #[test]
    fn slice_and_pool_agree_at_any_time(
        starts in prop::collection::vec(0..500_u64, 0..60),
        now in 0..600_u64,
        m in 1..70_usize,
        k in 1..=MAX_K,
        gone in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut pool = WaitingPool::new();
        for (id, &start) in starts.iter().enumerate() {
            pool.insert(id, start, 1);
        }
        for index in gone.iter().filter(|_| !starts.is_empty()) {
            pool.remove(&index.index(starts.len()));
        }
        let ids: Vec<usize> = pool.iter().map(|entry| *entry.id).collect();
        let waits: Vec<u64> = ids.iter().map(|&id| now.saturating_sub(starts[id])).collect();
        let slice = kth_subset_exact(&waits, m, k).expect("in range");
        let pooled = pool.kth(now, m, k).expect("in range");
        let chosen: Vec<usize> = slice.indices.iter().map(|&at| ids[at]).collect();
        prop_assert_eq!(pooled.ids, chosen);
        prop_assert_eq!((pooled.sum, pooled.rank, pooled.exhausted), (slice.sum, slice.rank, slice.exhausted));
    }
}

/// The k best sums by a plain best-first search that remembers every subset it has seen.
fn reference_sums(waits: &[u64], m: usize, k: usize) -> Vec<u128> {
    let mut sorted = waits.to_vec();
    sorted.sort_unstable_by_key(|&wait| Reverse(wait));
    let sum_of = |set: &[usize]| -> u128 { set.iter().map(|&at| u128::from(sorted[at])).sum() };
    let first: Vec<usize> = (0..m).collect();
    let mut seen = BTreeSet::from([first.clone()]);
    let mut open = BTreeSet::from([(Reverse(sum_of(&first)), first)]);
    let mut sums = Vec::new();
    while let Some((Reverse(sum), set)) = open.pop_first().filter(|_| sums.len() < k) {
        sums.push(sum);
        for at in 0..m {
            let bound = if at + 1 < m { set[at + 1] } else { sorted.len() };
            if set[at] + 1 < bound {
                let mut next = set.clone();
                next[at] += 1;
                if seen.insert(next.clone()) {
                    open.insert((Reverse(sum_of(&next)), next));
                }
            }
        }
    }
    sums
}

#[test]
fn every_rank_up_to_the_limit_of_larger_instances() {
    let mut stream = Stream(2);
    for (n, m, spread) in [(60, 20, 50), (200, 9, 1 << 40), (45, 30, 2), (80, 60, 100_000)] {
        let waits: Vec<u64> = (0..n).map(|_| stream.next() % spread).collect();
        let expected = reference_sums(&waits, m, MAX_K);
        for (k, &sum) in (1..=MAX_K).zip(&expected) {
            assert_eq!(kth_subset_exact(&waits, m, k).expect("in range").sum, sum, "{n} {m} {k}");
        }
    }
}

/// The k best sets as ranks in the order of the waits, for a random instance of the page's facts.
fn best_ranks(waits: &[u64], m: usize, k: usize) -> Vec<Vec<usize>> {
    let mut sorted = waits.to_vec();
    sorted.sort_unstable_by_key(|&wait| Reverse(wait));
    (1..=k).map(|k| kth_subset_exact(&sorted, m, k).expect("in range").indices).collect()
}

fn swapped(one: &[usize], other: &[usize]) -> usize {
    one.iter().filter(|at| !other.contains(at)).count()
}

#[test]
fn the_four_facts_about_the_best_subsets() {
    let mut stream = Stream(3);
    let mut widest = [0_usize; 3];
    for round in 0..300_u32 {
        let m = 1 + stream.below(20);
        let n = m + 1 + stream.below(20);
        let spread = [1, 4, 1_000, u64::MAX][round as usize % 4];
        let waits: Vec<u64> = (0..n).map(|_| stream.next() % spread).collect();
        let sets = best_ranks(&waits, m, 69);
        let best: Vec<usize> = (0..m).collect();
        for (k, set) in (1..).zip(&sets) {
            // 1. only the first m + k - 1 ranks can appear; 2. ranks 0..=m-k always do.
            assert!(set.iter().all(|&at| at < m + k - 1), "{set:?} m {m} k {k}");
            assert!((0..(m + 1).saturating_sub(k)).all(|at| set.contains(&at)));
            // 3. s swaps need k >= C(2s, s), that is 2, 6, 20, 70.
            let swaps = swapped(set, &best);
            let band = [5, 19, 69].iter().position(|&limit| k <= limit).expect("k <= 69");
            assert!(swaps <= band + 1, "{set:?} m {m} k {k}");
            widest[band] = widest[band].max(swaps);
        }
        // 4. any two of the first eight differ in at most 2, all within the first m + 7.
        let eight = &sets[..8];
        for one in eight {
            assert!(one.iter().all(|&at| at < m + 7));
            assert!(eight.iter().all(|other| swapped(one, other) <= 2));
        }
    }
    assert_eq!(widest, [1, 2, 3], "the bounds of fact 3 are reached");
}

/// The order of equal sums: what is no worse at each place comes first. The facts need it.
#[test]
fn a_subset_never_comes_before_one_that_dominates_it() {
    let mut stream = Stream(6);
    for _ in 0..3_000_u32 {
        let n = 4 + stream.below(6);
        let m = 1 + stream.below(n - 1);
        let spread = 1 + stream.next() % 4;
        let waits: Vec<u64> = (0..n).map(|_| stream.next() % spread).collect();
        let sets = best_ranks(&waits, m, 40);
        for (at, later) in sets.iter().enumerate() {
            for earlier in &sets[..at] {
                let dominated = later.iter().zip(earlier).all(|(one, other)| one <= other);
                // Beyond the last subset the last one repeats.
                assert!(!dominated || later == earlier, "{later:?} after {earlier:?}");
            }
        }
    }
}

/// Waits n, n-1, …, 1: a subset falls short of the best by its total displacement, and there are
/// as many of displacement d as partitions of d, so the values are known without a search.
#[test]
fn a_million_waits_and_the_thousandth_subset() {
    let (n, m, k) = (1_000_000_u64, 4_000_usize, 1_000_usize);
    let mut partitions = vec![1_usize];
    partitions.resize(40, 0);
    for part in 1..partitions.len() {
        for total in part..partitions.len() {
            partitions[total] += partitions[total - part];
        }
    }
    let mut count = 0;
    let displacement = partitions
        .iter()
        .position(|ways| {
            count += ways;
            count >= k
        })
        .expect("forty levels hold a thousand subsets");
    assert_eq!(displacement, 17);

    // A fixed shuffle: 7 is coprime to n.
    let waits: Vec<u64> = (0..n).map(|at| at * 7 % n + 1).collect();
    let best = kth_subset_exact(&waits, m, 1).expect("in range");
    let found = kth_subset_exact(&waits, m, k).expect("in range");
    assert_eq!(best.sum - found.sum, 17);
    assert_eq!((found.indices.len(), found.rank, found.exhausted), (m, k, false));

    let equal = kth_subset_exact(&vec![u64::MAX; 1_000_000], m, k).expect("in range");
    assert_eq!(equal.sum, u128::from(u64::MAX) * 4_000);
}

#[test]
fn removing_items_keeps_the_order_of_the_others_and_the_answer_right() {
    let mut stream = Stream(4);
    let mut pool = WaitingPool::new();
    for id in 0..500_usize {
        pool.insert(id, stream.next() % 90, 1);
    }
    while pool.len() > 20 {
        let before: Vec<usize> = pool.iter().map(|entry| *entry.id).collect();
        let victim = before[stream.below(before.len())];
        assert!(pool.remove(&victim));
        let after: Vec<usize> = pool.iter().map(|entry| *entry.id).collect();
        let expected: Vec<usize> = before.into_iter().filter(|id| *id != victim).collect();
        assert_eq!(after, expected);
        assert_eq!(pool.kth(100, 5, 1).expect("in range").ids, expected[..5]);
    }
}

#[test]
fn the_choice_does_not_depend_on_the_clock_once_all_have_begun_to_wait() {
    let mut stream = Stream(5);
    let mut pool = WaitingPool::new();
    for id in 0..200_u32 {
        pool.insert(id, stream.next() % 1_000, 1);
    }
    for k in [1, 2, 8, 100, MAX_K] {
        let early = pool.kth(1_000, 30, k).expect("in range");
        let late = pool.kth(u64::MAX, 30, k).expect("in range");
        assert_eq!(early.ids, late.ids);
    }
}
