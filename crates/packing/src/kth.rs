//! The exact k-th largest sum over all m-subsets.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::PackingError;

/// The largest rank k served. The heap and the window grow with k, and k can come from a
/// configuration (the node's index), so it is bounded: at 1,024 the heap stays under 100 kB.
pub const MAX_K: usize = 1_024;

/// The subset found by [`kth_subset_exact`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Positions in the slice given, longest wait first; equal waits by smaller position.
    pub indices: Vec<usize>,
    /// Sum of the waits selected, in milliseconds.
    pub sum: u128,
    /// The rank reached: k, or the number of subsets there are when `exhausted`.
    pub rank: usize,
    /// There are fewer than k subsets; this is the last one. A slice of fewer than m items has one
    /// subset, all of it.
    pub exhausted: bool,
}

/// Finds the m-subset of `waits` (milliseconds) with the k-th largest sum.
///
/// With fewer than m items the answer is all of them. Subsets of equal sum are ranked by how little
/// they depart from the m longest waits (total displacement in ranks), then in a fixed order, so
/// that k = 1, 2, … names pairwise distinct subsets and the answer is a function of its arguments.
///
/// O(n + k log k) to find it, and O(m log m) to list the indices in order of rank.
///
/// # Errors
/// [`PackingError::SubsetSize`] if m is 0; [`PackingError::RankOutOfRange`] if k is 0 or above
/// [`MAX_K`].
pub fn kth_subset_exact(waits: &[u64], m: usize, k: usize) -> Result<Selection, PackingError> {
    check(m, k)?;
    let plan = Plan::new(waits.len(), m, k);
    let mut ranked: Vec<(Reverse<u64>, usize)> =
        waits.iter().enumerate().map(|(index, &wait)| (Reverse(wait), index)).collect();
    // Only membership of the top matters above the window, so partition instead of sorting all.
    keep_first(&mut ranked, plan.fixed + plan.window());
    if plan.window() > 0 && plan.fixed > 0 {
        ranked.select_nth_unstable(plan.fixed);
    }
    let (fixed, window) = ranked.split_at_mut(plan.fixed);
    fixed.sort_unstable();
    window.sort_unstable();
    let window_waits: Vec<u64> = window.iter().map(|&(Reverse(wait), _)| wait).collect();
    let found = walk(&window_waits, plan.members, k);

    let chosen = fixed.iter().chain(found.places.iter().map(|&place| &window[place]));
    let (mut indices, mut sum) = (Vec::with_capacity(plan.fixed + plan.members), 0_u128);
    for &(Reverse(wait), index) in chosen {
        indices.push(index);
        sum += u128::from(wait);
    }
    Ok(Selection { indices, sum, rank: found.rank, exhausted: found.rank < k })
}

/// Refuses what no subset answers.
pub(crate) fn check(m: usize, k: usize) -> Result<(), PackingError> {
    if m == 0 {
        return Err(PackingError::SubsetSize { got: m });
    }
    if k == 0 || k > MAX_K {
        return Err(PackingError::RankOutOfRange { max: MAX_K, got: k });
    }
    Ok(())
}

fn keep_first<T: Ord>(items: &mut Vec<T>, count: usize) {
    if count < items.len() {
        items.select_nth_unstable(count);
        items.truncate(count);
    }
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

/// Where [`walk`] arrived.
pub(crate) struct Found {
    /// Places in the window, ascending.
    pub(crate) places: Vec<usize>,
    /// The rank reached, at most k.
    pub(crate) rank: usize,
}

/// A subset of the window: members `0..moved` at home, member `moved` at `place`, those above it
/// frozen in `frozen`. The derived order is the order of the heap: larger sum first, then smaller
/// displacement, then the other fields, which no two states share: a total order, so ties are
/// broken alike everywhere.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct State {
    sum: u128,
    displacement: Reverse<usize>,
    moved: usize,
    place: usize,
    /// Exclusive bound of `place`: the next frozen member, or the end of the window.
    bound: usize,
    frozen: Option<usize>,
}

/// A frozen member's place and the next one above it: a list that many states share.
struct Frozen {
    place: usize,
    next: Option<usize>,
}

/// Walks the subsets of `members` elements of `window` (sorted descending) best first, up to the
/// k-th or the last. O(k log k).
///
/// The tie rule puts a subset before all that it dominates (same or earlier rank at each place),
/// which keeps the first k inside the window even when sums are equal.
pub(crate) fn walk(window: &[u64], members: usize, k: usize) -> Found {
    let home: u128 = window[..members].iter().copied().map(u128::from).sum();
    let mut best = Found { places: (0..members).collect(), rank: 1 };
    if k == 1 || members == 0 || members == window.len() {
        return best;
    }
    let moved_on = |sum: u128, from: usize| sum - u128::from(window[from]) + u128::from(window[from + 1]);
    let mut list: Vec<Frozen> = Vec::new();
    let mut heap = BinaryHeap::new();
    heap.push(State {
        sum: moved_on(home, members - 1),
        displacement: Reverse(1),
        moved: members - 1,
        place: members,
        bound: window.len(),
        frozen: None,
    });
    let mut last = None;
    while best.rank < k {
        let Some(state) = heap.pop() else { break };
        best.rank += 1;
        let displacement = Reverse(state.displacement.0 + 1);
        if state.place + 1 < state.bound {
            heap.push(State { sum: moved_on(state.sum, state.place), displacement, place: state.place + 1, ..state });
        }
        if state.moved > 0 {
            list.push(Frozen { place: state.place, next: state.frozen });
            heap.push(State {
                sum: moved_on(state.sum, state.moved - 1),
                displacement,
                moved: state.moved - 1,
                place: state.moved,
                bound: state.place,
                frozen: Some(list.len() - 1),
            });
        }
        last = Some(state);
    }
    if let Some(state) = last {
        best.places.truncate(state.moved);
        best.places.push(state.place);
        let mut next = state.frozen;
        while let Some(at) = next {
            best.places.push(list[at].place);
            next = list[at].next;
        }
    }
    best
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
    fn the_window_is_at_most_two_k_minus_two() {
        let plan = Plan::new(1_000_000, 4_000, 1_000);
        assert_eq!((plan.fixed, plan.window()), (3_001, 1_998));
        assert_eq!(Plan::new(10, 4, 1).window(), 0);
        assert_eq!(Plan::new(4, 4, 9).window(), 0);
        assert_eq!(Plan::new(6, 4, 9), Plan { fixed: 0, members: 4, spare: 2 });
    }
}
