//! The k-th largest sum over all m-subsets of a slice: exact, and by APP-Kth-SUM.

use std::cmp::Reverse;

use crate::PackingError;
use crate::shortlist::Shortlist;
use crate::walk::Walker;

/// The largest rank k served. The heap and the window grow with k, and k can come from a configuration (the node's
/// index), so it is bounded: at 1,024 the heap stays under 200 kB. [`best_subsets`](crate::best_subsets) has no bound.
pub const MAX_K: usize = 1_024;

/// The subset found by [`kth_subset_exact`] or [`kth_subset_app`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Positions in the slice given, longest wait first; equal waits by smaller position.
    pub indices: Vec<usize>,
    /// Sum of the waits selected, in milliseconds.
    pub sum: u128,
    /// The rank reached: k, or the number of subsets there are when `exhausted`.
    pub rank: usize,
    /// There are fewer than k subsets; this is the last one. A slice of fewer than m items has one subset, all of it.
    pub exhausted: bool,
}

/// Finds the m-subset of `waits` (milliseconds) with the k-th largest sum.
///
/// With fewer than m items the answer is all of them. Subsets of equal sum are ranked by how little they depart from
/// the m longest waits (total displacement in ranks), then in a fixed order, so that k = 1, 2, … names pairwise
/// distinct subsets and the answer is a function of its arguments.
///
/// O(n + k log k) to find it, and O(m log m) to list the indices in order of rank.
///
/// # Errors
/// [`PackingError::SubsetSize`] if m is 0; [`PackingError::RankOutOfRange`] if k is 0 or above [`MAX_K`].
pub fn kth_subset_exact(waits: &[u64], m: usize, k: usize) -> Result<Selection, PackingError> {
    check(m, k)?;
    Ok(select(waits, Plan::new(waits.len(), m, k), k))
}

/// Finds an m-subset of `waits` (milliseconds) by APP-Kth-SUM: the k-th largest sum among the m-subsets of the l longest
/// waits alone, l being the smallest number with C(l, m) ≥ k.
///
/// This is our reading of the algorithm that the paper's talk names without printing its body. For 2 ≤ k ≤ m + 1 it is
/// the m + 1 longest waits without the k-th shortest of them. With A the sum found, S the exact k-th largest, and
/// x₁ ≥ x₂ ≥ … the waits, for those k
///
/// 0 ≤ S - A ≤ x₍ₘ₊₂₋ₖ₎ - x₍ₘ₊₁₎, hence A ≥ (1 - 1/(m+2-k)) · S.
///
/// For k = 1 it is exact. Above m + 1 there is no such bound beyond A ≥ the sum of the m shortest of the l longest.
/// `rank` counts among the subsets of the l longest. It is no faster than [`kth_subset_exact`].
///
/// # Errors
/// As [`kth_subset_exact`].
pub fn kth_subset_app(waits: &[u64], m: usize, k: usize) -> Result<Selection, PackingError> {
    check(m, k)?;
    Ok(select(waits, Plan::new(waits.len().min(app_reach(m, k)), m, k), k))
}

/// Refuses what no subset answers.
pub(crate) fn check(m: usize, k: usize) -> Result<(), PackingError> {
    check_size(m)?;
    if k == 0 || k > MAX_K {
        return Err(PackingError::RankOutOfRange { max: MAX_K, got: k });
    }
    Ok(())
}

/// Refuses empty subsets.
pub(crate) fn check_size(m: usize) -> Result<(), PackingError> {
    if m == 0 { Err(PackingError::SubsetSize { got: m }) } else { Ok(()) }
}

/// The smallest l with C(l, m) ≥ k; m ≥ 1, k ≥ 1.
pub(crate) fn app_reach(m: usize, k: usize) -> usize {
    let (mut subsets, mut more) = (1_u128, 0_usize);
    // C(m+j, m) = C(m+j-1, m)·(m+j)/j, exact at each step. It grows by at least 1, so there are fewer than MAX_K steps,
    // and the product stays below MAX_K·(2^64 + MAX_K).
    while subsets < k as u128 {
        more += 1;
        subsets = subsets * (m as u128 + more as u128) / more as u128;
    }
    m.saturating_add(more)
}

/// A wait and its position, in the order of rank: the longest first, equal ones by position.
type Ranked = (Reverse<u64>, usize);

fn select(waits: &[u64], plan: Plan, k: usize) -> Selection {
    let mut ranked = longest(waits, plan.fixed + plan.window());
    // Only membership matters above the window, but the answer lists the fixed ones in order, too.
    if plan.window() > 0 && plan.fixed > 0 {
        ranked.select_nth_unstable(plan.fixed);
    }
    let (fixed, window) = ranked.split_at_mut(plan.fixed);
    fixed.sort_unstable();
    window.sort_unstable();
    let walker = walk(window.len(), plan.members, k, |at| window[at].0.0);

    let places = walker.places();
    let chosen = fixed.iter().chain(places.iter().map(|&place| &window[place]));
    let (mut indices, mut sum) = (Vec::with_capacity(plan.fixed + plan.members), 0_u128);
    for &(Reverse(wait), index) in chosen {
        indices.push(index);
        sum += u128::from(wait);
    }
    Selection { indices, sum, rank: walker.rank(), exhausted: walker.rank() < k }
}

/// The `count` longest waits with their positions, in no order.
fn longest(waits: &[u64], count: usize) -> Vec<Ranked> {
    if let Some(guess) = guess(waits, count) {
        let likely = longest_from(waits, count, guess);
        if likely.len() == count {
            return likely;
        }
    }
    longest_from(waits, count, 0)
}

/// The `count` longest of the waits of at least `least`, or all of those if they are fewer.
fn longest_from(waits: &[u64], count: usize, least: u64) -> Vec<Ranked> {
    let mut list = Shortlist::new(count, waits.len());
    for (index, &wait) in waits.iter().enumerate() {
        if wait >= least {
            list.offer((Reverse(wait), index));
        }
    }
    list.finish()
}

/// How many waits are looked at to guess: some microseconds.
const SAMPLE: usize = 1_024;

/// A wait that probably `count` others reach, but not many more: with it an order in which each wait is longer than all
/// before it costs no more than any other. `None` where a guess would save nothing. A wrong guess costs a pass.
fn guess(waits: &[u64], count: usize) -> Option<u64> {
    let step = waits.len() / SAMPLE;
    if step == 0 || waits.len() / 16 < count {
        return None;
    }
    let mut sample: Vec<u64> = waits.iter().step_by(step).copied().collect();
    // Twice as many as wanted, and a few for chance.
    let above = (count / step).saturating_mul(2) + 16;
    let (_, guess, _) = sample.select_nth_unstable_by_key(above, |&wait| Reverse(wait));
    Some(*guess)
}

/// Walks the subsets of `members` of `len` ranks up to the k-th or the last; k ≥ 1. O(k log k).
pub(crate) fn walk(len: usize, members: usize, k: usize, mut wait: impl FnMut(usize) -> u64) -> Walker {
    let home = (0..members).map(|at| u128::from(wait(at))).sum();
    let mut walker = Walker::new(members, len, home);
    while walker.rank() < k && walker.advance(&mut wait) {}
    walker
}

/// Which ranks are always in, and how large the window is in which the k best subsets differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Ranks `0..fixed` are in every one of the k best subsets.
    pub(crate) fixed: usize,
    /// How many members come from the window, `a` below: at most k - 1.
    pub(crate) members: usize,
    /// How many ranks of the window are outside the best subset, `b` below: at most k - 1.
    pub(crate) spare: usize,
}

impl Plan {
    /// For n items; m ≥ 1 and k ≥ 1.
    pub(crate) fn new(n: usize, m: usize, k: usize) -> Self {
        let m = m.min(n);
        let (a, b) = (m.min(k - 1), (n - m).min(k - 1));
        // No window if nothing can move or nothing can replace it.
        let (members, spare) = if a == 0 || b == 0 { (0, 0) } else { (a, b) };
        Self { fixed: m - members, members, spare }
    }

    /// Number of ranks in the window, which begins at rank `fixed`.
    pub(crate) fn window(&self) -> usize {
        self.members + self.spare
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_is_the_longest_waits_in_order_of_rank() {
        let found = kth_subset_exact(&[5, 9, 1, 9, 7], 3, 1).unwrap();
        assert_eq!(found.indices, [1, 3, 4]);
        assert_eq!((found.sum, found.rank, found.exhausted), (25, 1, false));
    }

    #[test]
    fn limits_are_typed() {
        let too_far = |got| Err(PackingError::RankOutOfRange { max: MAX_K, got });
        assert_eq!(kth_subset_exact(&[1, 2], 1, 0), too_far(0));
        assert_eq!(kth_subset_exact(&[1, 2], 1, MAX_K + 1), too_far(MAX_K + 1));
        assert_eq!(kth_subset_exact(&[1, 2], 1, usize::MAX), too_far(usize::MAX));
        assert_eq!(kth_subset_exact(&[1, 2], 0, 1), Err(PackingError::SubsetSize { got: 0 }));
        let message = kth_subset_exact(&[], 1, 2_000).unwrap_err().to_string();
        assert_eq!(message, "rank k: expected 1 to 1024, got 2000");
    }

    #[test]
    fn too_few_items_give_all_of_them() {
        for (waits, m) in [(vec![], 3), (vec![4], 3), (vec![4, 6, 5], 3), (vec![1, 2], usize::MAX)] {
            for k in [1, 2, MAX_K] {
                let found = kth_subset_exact(&waits, m, k).unwrap();
                assert_eq!(found.indices.len(), waits.len());
                assert_eq!(found.sum, waits.iter().copied().map(u128::from).sum());
                assert_eq!((found.rank, found.exhausted), (1, k > 1));
            }
        }
    }

    #[test]
    fn beyond_the_last_subset_is_the_last_and_says_so() {
        // C(5, 2) = 10; the last is the two shortest waits.
        let tenth = kth_subset_exact(&[1, 2, 4, 8, 16], 2, 10).unwrap();
        assert_eq!((tenth.rank, tenth.exhausted, tenth.sum), (10, false, 3));
        let eleventh = kth_subset_exact(&[1, 2, 4, 8, 16], 2, 11).unwrap();
        assert_eq!((eleventh.rank, eleventh.exhausted), (10, true));
        assert_eq!(eleventh.indices, tenth.indices);
    }

    #[test]
    fn a_guess_that_fails_costs_a_pass_and_no_truth() {
        // What is looked at is long, the rest short: fewer reach the guess than are wanted.
        let mut waits = vec![1; 1_000_000];
        waits.iter_mut().step_by(1_000_000 / SAMPLE).for_each(|wait| *wait = 9);
        assert_eq!(guess(&waits, 2_000), Some(9));
        assert_eq!(kth_subset_exact(&waits, 2_000, 1).unwrap().sum, 1_025 * 9 + 975);
        // And the other way round: hardly any does not reach it.
        let waits: Vec<u64> = (0..1_000_000).map(|at| u64::from(at % (1_000_000 / 1_024) != 0)).collect();
        let found = kth_subset_exact(&waits, 2_000, 3).unwrap();
        assert_eq!((found.sum, found.indices.len(), guess(&waits, 2_000)), (2_000, 2_000, Some(0)));
        assert_eq!((guess(&waits[..1_023], 1), guess(&waits, 70_000)), (None, None));
    }

    #[test]
    fn the_window_is_at_most_two_k_minus_two() {
        let plan = Plan::new(1_000_000, 4_000, 1_000);
        assert_eq!((plan.fixed, plan.window()), (3_001, 1_998));
        assert_eq!(Plan::new(10, 4, 1).window(), 0);
        assert_eq!(Plan::new(4, 4, 9).window(), 0);
        assert_eq!(Plan::new(6, 4, 9), Plan { fixed: 0, members: 4, spare: 2 });
    }
}
