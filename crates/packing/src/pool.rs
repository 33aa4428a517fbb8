//! Items that wait, kept in the order in which they have waited.

use std::collections::BTreeMap;

use crate::PackingError;
use crate::kth::{Plan, check, walk};

/// How far before it was first seen an item may claim to have begun waiting, in milliseconds:
/// enough for honest relay delay, too little to buy precedence by a false date.
pub const MAX_BACKDATE_MS: u64 = 2_000;

/// The start of waiting to enter in a pool for an item that claims `claimed_ms` and was first seen
/// here at `first_seen_ms`: the claim, but neither later than first seen nor more than
/// [`MAX_BACKDATE_MS`] before it.
#[must_use]
pub fn waiting_start(claimed_ms: u64, first_seen_ms: u64) -> u64 {
    let earliest = first_seen_ms.saturating_sub(MAX_BACKDATE_MS);
    claimed_ms.clamp(earliest, first_seen_ms)
}

/// One item of a [`WaitingPool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolEntry<'a, Id> {
    /// Its name.
    pub id: &'a Id,
    /// When it began to wait, in milliseconds on the caller's clock.
    pub since_ms: u64,
    /// Its size in bytes.
    pub bytes: u32,
}

/// The subset found by [`WaitingPool::kth`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSelection<Id> {
    /// The items selected, oldest first.
    pub ids: Vec<Id>,
    /// Sum of their waits, in milliseconds.
    pub sum: u128,
    /// The rank reached: k, or the number of subsets there are when `exhausted`.
    pub rank: usize,
    /// There are fewer than k subsets; this is the last one. A pool of fewer than m items has one
    /// subset, all of it.
    pub exhausted: bool,
}

/// Items that wait, ordered by (start of waiting, id): a smaller start has waited longer.
///
/// The difference of two waits does not depend on the clock, so the order changes only when the
/// pool does, never as time passes. Updates are O(log n).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingPool<Id> {
    order: BTreeMap<(u64, Id), u32>,
    since: BTreeMap<Id, u64>,
    bytes: u64,
}

impl<Id> Default for WaitingPool<Id> {
    fn default() -> Self {
        Self { order: BTreeMap::new(), since: BTreeMap::new(), bytes: 0 }
    }
}

impl<Id: Ord + Clone> WaitingPool<Id> {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an item that waits since `since_ms` and has `bytes` bytes. An id that is already there
    /// keeps its place and size, and the answer is `false`: sending twice gains nothing.
    pub fn insert(&mut self, id: Id, since_ms: u64, bytes: u32) -> bool {
        if self.since.contains_key(&id) {
            return false;
        }
        self.since.insert(id.clone(), since_ms);
        self.order.insert((since_ms, id), bytes);
        self.bytes += u64::from(bytes);
        true
    }

    /// Takes an item out; `false` if it was not there. The others keep their order.
    pub fn remove(&mut self, id: &Id) -> bool {
        let Some((id, since_ms)) = self.since.remove_entry(id) else {
            return false;
        };
        if let Some(bytes) = self.order.remove(&(since_ms, id)) {
            self.bytes -= u64::from(bytes);
        }
        true
    }

    /// Number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether this item waits here.
    #[must_use]
    pub fn contains(&self, id: &Id) -> bool {
        self.since.contains_key(id)
    }

    /// Sum of the sizes of all items, in bytes.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.bytes
    }

    /// All items, oldest first; those of the same start by id.
    pub fn iter(&self) -> impl Iterator<Item = PoolEntry<'_, Id>> {
        self.order.iter().map(|((since_ms, id), &bytes)| PoolEntry { id, since_ms: *since_ms, bytes })
    }

    /// The m items with the k-th largest sum of waits at `now_ms`, read off the order in
    /// O(m + k log k) however large the pool is. The same subset as
    /// [`kth_subset_exact`](crate::kth_subset_exact) finds among the waits in pool order.
    ///
    /// The wait of an item is `now_ms` less its start, and 0 if it starts later; such items are
    /// equal in wait and keep their order by (start, id).
    ///
    /// # Errors
    /// [`PackingError::SubsetSize`] if m is 0; [`PackingError::RankOutOfRange`] if k is 0 or above
    /// [`MAX_K`](crate::MAX_K).
    pub fn kth(&self, now_ms: u64, m: usize, k: usize) -> Result<PoolSelection<Id>, PackingError> {
        check(m, k)?;
        let (ranks, rank) = self.kth_ranks(now_ms, m, k);
        let mut wanted = ranks.iter().copied().peekable();
        let (mut ids, mut sum) = (Vec::with_capacity(ranks.len()), 0_u128);
        let reach = ranks.last().map_or(0, |last| last + 1);
        for (at, entry) in self.iter().enumerate().take(reach) {
            if wanted.next_if_eq(&at).is_some() {
                ids.push(entry.id.clone());
                sum += u128::from(now_ms.saturating_sub(entry.since_ms));
            }
        }
        Ok(PoolSelection { ids, sum, rank, exhausted: rank < k })
    }

    /// The ranks (0 is the oldest) of the k-th best m items, ascending, and the rank k reached.
    /// m ≥ 1 and k in `1..=MAX_K`.
    pub(crate) fn kth_ranks(&self, now_ms: u64, m: usize, k: usize) -> (Vec<usize>, usize) {
        let plan = Plan::new(self.len(), m, k);
        let window: Vec<u64> = self
            .iter()
            .skip(plan.fixed)
            .take(plan.window())
            .map(|entry| now_ms.saturating_sub(entry.since_ms))
            .collect();
        let found = walk(&window, plan.members, k);
        let mut ranks: Vec<usize> = (0..plan.fixed).collect();
        ranks.extend(found.places.iter().map(|place| plan.fixed + place));
        (ranks, found.rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn oldest_first_and_ties_by_id() {
        let mut pool = WaitingPool::new();
        for (id, since_ms) in [(3, 50), (1, 70), (2, 50), (9, 10)] {
            assert!(pool.insert(id, since_ms, 100));
        }
        let order: Vec<i32> = pool.iter().map(|entry| *entry.id).collect();
        assert_eq!(order, [9, 2, 3, 1]);
        assert_eq!((pool.len(), pool.total_bytes()), (4, 400));
    }

    #[test]
    fn sending_again_with_an_older_date_changes_nothing() {
        let mut pool = WaitingPool::new();
        assert!(pool.insert("x", 500, 10));
        let before = pool.clone();
        assert!(!pool.insert("x", 0, 99));
        assert_eq!(pool, before);
    }

    #[test]
    fn items_of_the_future_wait_zero_and_keep_their_order() {
        let mut pool = WaitingPool::new();
        for (id, since_ms) in [("c", u64::MAX), ("b", 200), ("a", 300), ("d", 40)] {
            pool.insert(id, since_ms, 1);
        }
        let best = pool.kth(100, 3, 1).unwrap();
        assert_eq!((best.ids, best.sum), (vec!["d", "b", "a"], 60));
        assert_eq!(pool.kth(100, 3, 2).unwrap().ids, ["d", "b", "c"]);
    }

    #[test]
    fn limits_are_typed_and_an_empty_pool_answers() {
        let pool = WaitingPool::<u8>::new();
        assert_eq!(pool.kth(0, 0, 1), Err(PackingError::SubsetSize { got: 0 }));
        assert!(matches!(pool.kth(0, 1, 0), Err(PackingError::RankOutOfRange { got: 0, .. })));
        let none = pool.kth(9, 5, 3).unwrap();
        assert_eq!((none.ids.len(), none.sum, none.rank, none.exhausted), (0, 0, 1, true));
    }

    #[test]
    fn a_back_dated_item_gains_at_most_the_allowance() {
        assert_eq!(waiting_start(0, 10_000), 8_000);
        assert_eq!(waiting_start(9_500, 10_000), 9_500);
        assert_eq!(waiting_start(u64::MAX, 10_000), 10_000);
        assert_eq!(waiting_start(0, 1_500), 0);
        // Whoever claims to have waited for ever stands behind what was seen 2 s before.
        let mut pool = WaitingPool::new();
        pool.insert("honest", waiting_start(7_900, 7_950), 1);
        pool.insert("liar", waiting_start(0, 10_000), 1);
        assert_eq!(pool.kth(10_000, 1, 1).unwrap().ids, ["honest"]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u8, u64, u32),
        Remove(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..40_u8, 0..9_u64, any::<u32>()).prop_map(|(id, at, size)| Step::Insert(id, at, size)),
            (0..40_u8).prop_map(Step::Remove),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_a_sorted_list(steps in prop::collection::vec(step(), 0..120)) {
            let mut pool = WaitingPool::new();
            let mut model: Vec<(u64, u8, u32)> = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(id, since_ms, bytes) => {
                        let fresh = model.iter().all(|item| item.1 != id);
                        if fresh {
                            model.push((since_ms, id, bytes));
                            model.sort_unstable();
                        }
                        prop_assert_eq!(pool.insert(id, since_ms, bytes), fresh);
                    }
                    Step::Remove(id) => {
                        let before = model.len();
                        model.retain(|item| item.1 != id);
                        prop_assert_eq!(pool.remove(&id), model.len() < before);
                        prop_assert!(!pool.contains(&id));
                    }
                }
                let seen: Vec<(u64, u8, u32)> =
                    pool.iter().map(|entry| (entry.since_ms, *entry.id, entry.bytes)).collect();
                prop_assert_eq!(&seen, &model);
                prop_assert_eq!(pool.len(), model.len());
                prop_assert_eq!(pool.is_empty(), model.is_empty());
                let total: u64 = model.iter().map(|item| u64::from(item.2)).sum();
                prop_assert_eq!(pool.total_bytes(), total);
            }
        }
    }
}
