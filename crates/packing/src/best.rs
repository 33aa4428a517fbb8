//! The m-subsets from the largest sum downwards, one after the other.

use std::cmp::Reverse;
use std::iter::FusedIterator;

use crate::kth::check_size;
use crate::walk::Walker;
use crate::{PackingError, Selection};

/// How many further ranks are sorted at a time, at first; then as many again as there are.
const FIRST_CHUNK: usize = 64;

/// The m-subsets of a slice in the order of [`kth_subset_exact`](crate::kth_subset_exact), made by [`best_subsets`].
///
/// Ends after the last of the C(n, m); they are all distinct. Each step costs O(log k), O(m) to list the indices, and
/// keeps O(1) more memory; ranks beyond m are sorted as they are reached.
pub struct BestSubsets {
    ranked: Ranks,
    members: usize,
    walker: Walker,
}

/// Lists the m-subsets of `waits` (milliseconds), the largest sum first; with fewer than m items the only one is all of
/// them. O(n + m log m) before the first.
///
/// ```
/// use blockhie_packing::best_subsets;
/// let sums: Vec<u128> = best_subsets(&[9, 1, 5, 7], 2)?.take(3).map(|subset| subset.sum).collect();
/// assert_eq!(sums, [16, 14, 12]); // 9 + 7, 9 + 5, 7 + 5
/// # Ok::<(), blockhie_packing::PackingError>(())
/// ```
///
/// # Errors
/// [`PackingError::SubsetSize`] if m is 0.
pub fn best_subsets(waits: &[u64], m: usize) -> Result<BestSubsets, PackingError> {
    check_size(m)?;
    let members = m.min(waits.len());
    let mut ranked = Ranks::new(waits);
    ranked.sort_next(members);
    let home = ranked.items[..members].iter().map(|&(Reverse(wait), _)| u128::from(wait)).sum();
    Ok(BestSubsets { ranked, members, walker: Walker::new(members, waits.len(), home) })
}

impl Iterator for BestSubsets {
    type Item = Selection;

    fn next(&mut self) -> Option<Selection> {
        let Self { ranked, walker, members } = self;
        if !walker.advance(|rank| ranked.wait(rank)) {
            return None;
        }
        let mut indices = Vec::with_capacity(*members);
        indices.extend(walker.places().into_iter().map(|place| ranked.items[place].1));
        Some(Selection { indices, sum: walker.sum(), rank: walker.rank(), exhausted: false })
    }
}

impl FusedIterator for BestSubsets {}

/// All items, of which the first `sorted` stand at their rank.
struct Ranks {
    items: Vec<(Reverse<u64>, usize)>,
    sorted: usize,
}

impl Ranks {
    fn new(waits: &[u64]) -> Self {
        Self { items: waits.iter().enumerate().map(|(index, &wait)| (Reverse(wait), index)).collect(), sorted: 0 }
    }

    fn wait(&mut self, rank: usize) -> u64 {
        while rank >= self.sorted {
            self.sort_next(FIRST_CHUNK.max(self.sorted));
        }
        self.items[rank].0.0
    }

    /// Brings the next `count` to their ranks, or all that are left.
    fn sort_next(&mut self, count: usize) {
        let rest = &mut self.items[self.sorted..];
        let count = count.min(rest.len());
        if count > 0 && count < rest.len() {
            rest.select_nth_unstable(count - 1);
        }
        rest[..count].sort_unstable();
        self.sorted += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MAX_K, kth_subset_exact};

    #[test]
    fn it_is_the_kth_for_every_k_and_then_ends() {
        let waits: Vec<u64> = (0..11).map(|at| at * 7 % 5).collect();
        for m in 1..=12 {
            let mut subsets = best_subsets(&waits, m).unwrap();
            let mut count = 0;
            for (k, subset) in (1..=MAX_K).zip(&mut subsets) {
                assert_eq!(subset, kth_subset_exact(&waits, m, k).unwrap(), "m {m} k {k}");
                count = k;
            }
            assert_eq!((subsets.next(), subsets.next()), (None, None));
            assert!(kth_subset_exact(&waits, m, count + 1).unwrap().exhausted);
        }
    }

    #[test]
    fn it_sorts_no_more_than_it_reaches() {
        let waits: Vec<u64> = (0..10_000).collect();
        let mut subsets = best_subsets(&waits, 10).unwrap();
        assert_eq!(subsets.by_ref().take(50).count(), 50);
        assert!(subsets.ranked.sorted < 200, "{}", subsets.ranked.sorted);
        assert_eq!(subsets.by_ref().take(5_000).last().unwrap().rank, 5_050);
    }

    #[test]
    fn nothing_has_one_subset_and_empty_subsets_are_refused() {
        let all: Vec<Selection> = best_subsets(&[], 3).unwrap().collect();
        assert_eq!(all, [Selection { indices: vec![], sum: 0, rank: 1, exhausted: false }]);
        assert!(matches!(best_subsets(&[1], 0), Err(PackingError::SubsetSize { got: 0 })));
    }
}
