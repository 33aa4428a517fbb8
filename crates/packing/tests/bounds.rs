//! APP-Kth-SUM and its bound, and the iterators, against all subsets.

mod common;

use std::cmp::Reverse;

use blockhie_packing::{MAX_K, PackingError, WaitingPool, best_subsets, kth_subset_app, kth_subset_exact};
use common::Stream;
use proptest::prelude::*;

fn descending(mut waits: Vec<u64>) -> Vec<u64> {
    waits.sort_unstable_by_key(|&wait| Reverse(wait));
    waits
}

fn sum(waits: &[u64]) -> u128 {
    waits.iter().copied().map(u128::from).sum()
}

/// The sums of all m-subsets, largest first.
fn all_sums(waits: &[u64], m: usize) -> Vec<u128> {
    let sets = (0_u32..1 << waits.len()).filter(|set| set.count_ones() as usize == m);
    let of = |set: u32| (0..waits.len()).filter(|at| set >> at & 1 == 1).map(|at| u128::from(waits[at])).sum();
    let mut sums: Vec<u128> = sets.map(of).collect();
    sums.sort_unstable_by_key(|&sum| Reverse(sum));
    sums
}

fn families(n: usize, stream: &mut Stream) -> [Vec<u64>; 5] {
    let mut of = |spread: u64| (0..n).map(|_| stream.next() % spread).collect();
    [of(1), of(3), of(1_000), of(u64::MAX), vec![u64::MAX; n]]
}

/// Every n up to twelve, every m, every k there is: both iterators in full, the single selections here and there.
#[test]
fn every_subset_of_up_to_twelve_in_order() {
    let mut stream = Stream(7);
    for n in 1..=12 {
        for waits in families(n, &mut stream) {
            let mut pool = WaitingPool::new();
            for (index, wait) in waits.iter().enumerate() {
                pool.insert(index, u64::MAX - wait, 1);
            }
            for m in 1..=n {
                let expected = all_sums(&waits, m);
                let found: Vec<_> = best_subsets(&waits, m).expect("m is above 0").collect();
                let sums: Vec<u128> = found.iter().map(|subset| subset.sum).collect();
                assert_eq!(sums, expected, "{waits:?} m {m}");
                let mut distinct: Vec<_> = found.iter().map(|subset| &subset.indices).collect();
                distinct.sort_unstable();
                distinct.dedup();
                assert_eq!(distinct.len(), found.len(), "{waits:?} m {m}");
                let pooled = pool.best_subsets(u64::MAX, m).expect("m is above 0");
                assert!(
                    pooled
                        .map(|subset| (subset.ids, subset.sum))
                        .eq(found.iter().map(|one| (one.indices.clone(), one.sum)))
                );
                for k in [1, 2, 3, 1 + stream.below(found.len()), found.len()].into_iter().filter(|k| *k <= found.len())
                {
                    assert_eq!(kth_subset_exact(&waits, m, k).as_ref(), Ok(&found[k - 1]), "{waits:?} m {m} k {k}");
                }
                let beyond = kth_subset_exact(&waits, m, found.len() + 1).expect("in range");
                assert_eq!((beyond.exhausted, &beyond.indices), (true, &found[found.len() - 1].indices));
            }
            // More than there are: the one subset that there is.
            let more = kth_subset_exact(&waits, n + 1, 1).expect("in range");
            assert_eq!((more.indices.len(), more.sum), (n, sum(&waits)));
        }
    }
}

#[test]
fn app_is_the_kth_of_the_fewest_oldest_that_have_k_subsets() {
    let mut stream = Stream(8);
    for _ in 0..2_000_u32 {
        let n = 1 + stream.below(12);
        let m = 1 + stream.below(n);
        let spread = [3, 1_000, u64::MAX][stream.below(3)];
        let waits: Vec<u64> = (0..n).map(|_| stream.next() % spread).collect();
        let k = 1 + stream.below(60);
        let found = kth_subset_app(&waits, m, k).expect("in range");
        let sorted = descending(waits.clone());
        let reach = (m..=n).find(|&reach| all_sums(&sorted[..reach], m).len() >= k).unwrap_or(n);
        let among = all_sums(&sorted[..reach], m);
        assert_eq!(found.sum, among[(k - 1).min(among.len() - 1)], "{waits:?} m {m} k {k}");
        assert_eq!((found.exhausted, found.indices.len()), (k > among.len(), m));
        let total: u128 = found.indices.iter().map(|&at| u128::from(waits[at])).sum();
        assert_eq!(total, found.sum);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// 0 ≤ S - A ≤ x(m+2-k) - x(m+1) and A ≥ (1 - 1/(m+2-k))·S for 2 ≤ k ≤ m+1, and A is the m+1 longest less one.
    #[test]
    fn app_keeps_its_bound(
        waits in prop::collection::vec(prop_oneof![0..20_u64, 0..1_000_000_u64, any::<u64>()], 2..40),
        m in 1..39_usize,
        k in 2..40_usize,
    ) {
        let m = m.min(waits.len() - 1);
        let k = k.min(m + 1);
        let app = kth_subset_app(&waits, m, k).unwrap();
        let exact = kth_subset_exact(&waits, m, k).unwrap();
        let x = descending(waits);
        prop_assert_eq!(app.sum, sum(&x[..=m]) - u128::from(x[m + 1 - k]));
        prop_assert!(app.sum <= exact.sum);
        prop_assert!(exact.sum - app.sum <= u128::from(x[m + 1 - k] - x[m]));
        // In whole numbers: A·j ≥ S·(j - 1), j = m + 2 - k.
        let j = (m + 2 - k) as u128;
        prop_assert!(app.sum * j >= exact.sum * (j - 1));
    }

    #[test]
    fn any_arguments_have_an_answer_or_a_typed_error(
        waits in prop::collection::vec(prop_oneof![Just(0), Just(u64::MAX), any::<u64>()], 0..30),
        m in prop_oneof![0..40_usize, Just(usize::MAX)],
        k in prop_oneof![0..=MAX_K + 1, Just(usize::MAX)],
    ) {
        for found in [kth_subset_exact(&waits, m, k), kth_subset_app(&waits, m, k)] {
            match found {
                Ok(found) => {
                    prop_assert!(m > 0 && (1..=MAX_K).contains(&k));
                    prop_assert_eq!(found.indices.len(), m.min(waits.len()));
                    prop_assert_eq!(found.exhausted, found.rank < k);
                }
                Err(PackingError::SubsetSize { got }) => prop_assert_eq!((got, m), (0, 0)),
                Err(PackingError::RankOutOfRange { got, .. }) => prop_assert!(got == k && !(1..=MAX_K).contains(&k)),
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
        prop_assert_eq!(best_subsets(&waits, m).is_ok(), m > 0);
    }
}

/// The bound is nearly tight: one long wait and the rest nothing, where APP drops the long one.
#[test]
fn app_reaches_its_bound() {
    // m = 2, k = 3: APP takes the three longest without the longest. Exact: 10 + the second best partner.
    let waits = [1_000, 1, 1, 1];
    let (app, exact) = (kth_subset_app(&waits, 2, 3).unwrap(), kth_subset_exact(&waits, 2, 3).unwrap());
    assert_eq!((app.sum, exact.sum), (2, 1_001));
    // x1 - x3 = 999 is the bound, and the difference.
    assert_eq!(exact.sum - app.sum, 999);
}

#[test]
fn a_million_equal_waits() {
    let waits = vec![7; 1_000_000];
    for (m, k) in [(1, 1_024), (2_000, 8), (1_000_000, 1), (999_999, 1_000)] {
        let found = kth_subset_exact(&waits, m, k).unwrap();
        assert_eq!((found.sum, found.rank), (7 * m as u128, k));
        assert_eq!(kth_subset_app(&waits, m, k).unwrap().sum, 7 * m as u128);
    }
}
