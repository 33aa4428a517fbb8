//! Items that wait, kept in the order in which they have waited.

use std::collections::{BTreeMap, HashMap, btree_map};
use std::hash::Hash;
use std::iter::FusedIterator;

use crate::PackingError;
use crate::kth::{Plan, app_reach, check, check_size, walk};
use crate::walk::Walker;

mod arrivals;

use arrivals::Arrivals;

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

impl<Id> PoolEntry<'_, Id> {
    /// How long it has waited at `now_ms`, in milliseconds; 0 if it begins later.
    #[must_use]
    pub fn wait_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.since_ms)
    }
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
    /// There are fewer than k subsets; this is the last one. A pool of fewer than m items has one subset, all of it.
    pub exhausted: bool,
}

/// Items that wait, ordered by (start of waiting, id): a smaller start has waited longer.
///
/// The difference of two waits does not depend on the clock, so the order changes only when the pool does, never as
/// time passes. Updates are O(log n). Beside it the order of insertion is kept ([`arrivals`](Self::arrivals)). Two pools
/// are equal if they hold the same items and got them in the same order.
#[derive(Debug, Clone)]
pub struct WaitingPool<Id> {
    order: BTreeMap<(u64, Id), u32>,
    /// Where an id stands among the arrivals. Only looked up, never walked: its own order is random.
    places: HashMap<Id, usize>,
    arrivals: Arrivals<Id>,
    bytes: u64,
}

impl<Id> Default for WaitingPool<Id> {
    fn default() -> Self {
        Self { order: BTreeMap::new(), places: HashMap::new(), arrivals: Arrivals::default(), bytes: 0 }
    }
}

impl<Id: Eq> PartialEq for WaitingPool<Id> {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order && self.arrivals.iter().eq(other.arrivals.iter())
    }
}

impl<Id: Eq> Eq for WaitingPool<Id> {}

impl<Id: Ord + Clone + Hash> WaitingPool<Id> {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an item that waits since `since_ms` and has `bytes` bytes. An id that is already there keeps its place and
    /// size, and the answer is `false`: sending twice gains nothing. One that was taken out arrives anew.
    pub fn insert(&mut self, id: Id, since_ms: u64, bytes: u32) -> bool {
        let std::collections::hash_map::Entry::Vacant(place) = self.places.entry(id) else {
            return false;
        };
        let id = place.key().clone();
        self.order.insert((since_ms, id.clone()), bytes);
        place.insert(self.arrivals.push(id, since_ms, bytes));
        self.bytes += u64::from(bytes);
        true
    }

    /// Takes an item out; `false` if it was not there. The others keep their order.
    pub fn remove(&mut self, id: &Id) -> bool {
        self.take(id).is_some()
    }

    /// Takes an item out: its start of waiting and its size.
    pub(crate) fn take(&mut self, id: &Id) -> Option<(u64, u32)> {
        let (id, place) = self.places.remove_entry(id)?;
        let (since_ms, bytes) = self.arrivals.remove(place);
        self.order.remove(&(since_ms, id));
        self.bytes -= u64::from(bytes);
        Some((since_ms, bytes))
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
        self.places.contains_key(id)
    }

    /// Sum of the sizes of all items, in bytes.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.bytes
    }

    /// All items, oldest first; those of the same start by id.
    pub fn iter(&self) -> impl Iterator<Item = PoolEntry<'_, Id>> {
        self.entries()
    }

    pub(crate) fn entries(&self) -> Entries<'_, Id> {
        Entries(self.order.iter())
    }

    /// All items in the order in which they were inserted here.
    pub fn arrivals(&self) -> impl Iterator<Item = PoolEntry<'_, Id>> {
        self.arrivals.iter()
    }

    /// The m items with the k-th largest sum of waits at `now_ms`, read off the order in O(m + k log k) however large
    /// the pool is. The same subset as [`kth_subset_exact`](crate::kth_subset_exact) finds among the waits in pool order.
    ///
    /// The wait of an item is `now_ms` less its start, and 0 if it starts later; such items are equal in wait and keep
    /// their order by (start, id).
    ///
    /// # Errors
    /// [`PackingError::SubsetSize`] if m is 0; [`PackingError::RankOutOfRange`] if k is 0 or above
    /// [`MAX_K`](crate::MAX_K).
    pub fn kth(&self, now_ms: u64, m: usize, k: usize) -> Result<PoolSelection<Id>, PackingError> {
        check(m, k)?;
        Ok(self.select(now_ms, Plan::new(self.len(), m, k), k))
    }

    /// As [`kth`](Self::kth), by APP-Kth-SUM: see [`kth_subset_app`](crate::kth_subset_app).
    ///
    /// # Errors
    /// As [`kth`](Self::kth).
    pub fn kth_app(&self, now_ms: u64, m: usize, k: usize) -> Result<PoolSelection<Id>, PackingError> {
        check(m, k)?;
        Ok(self.select(now_ms, Plan::new(self.len().min(app_reach(m, k)), m, k), k))
    }

    /// The m-subsets of the pool at `now_ms`, the largest sum first, in the order of [`kth`](Self::kth). O(m) before the
    /// first; each step costs O(log k), reads at most one further item, and O(m) to list the ids.
    ///
    /// # Errors
    /// [`PackingError::SubsetSize`] if m is 0.
    pub fn best_subsets(&self, now_ms: u64, m: usize) -> Result<PoolSubsets<'_, Id>, PackingError> {
        check_size(m)?;
        let members = m.min(self.len());
        let mut rest = self.entries();
        let seen: Vec<_> = rest.by_ref().take(members).collect();
        let home = seen.iter().map(|entry| u128::from(entry.wait_ms(now_ms))).sum();
        Ok(PoolSubsets { seen, rest, now_ms, members, walker: Walker::new(members, self.len(), home) })
    }

    fn select(&self, now_ms: u64, plan: Plan, k: usize) -> PoolSelection<Id> {
        let entries: Vec<_> = self.iter().take(plan.fixed + plan.window()).collect();
        let wait = |rank: usize| entries[rank].wait_ms(now_ms);
        let walker = walk(plan.window(), plan.members, k, |at| wait(plan.fixed + at));
        let mut ids: Vec<Id> = Vec::with_capacity(plan.fixed + plan.members);
        ids.extend(entries[..plan.fixed].iter().map(|entry| entry.id.clone()));
        ids.extend(walker.places().into_iter().map(|place| entries[plan.fixed + place].id.clone()));
        let sum = (0..plan.fixed).map(|rank| u128::from(wait(rank))).sum::<u128>() + walker.sum();
        PoolSelection { ids, sum, rank: walker.rank(), exhausted: walker.rank() < k }
    }
}

/// The items of a pool, oldest first.
pub(crate) struct Entries<'a, Id>(btree_map::Iter<'a, (u64, Id), u32>);

impl<'a, Id> Iterator for Entries<'a, Id> {
    type Item = PoolEntry<'a, Id>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let ((since_ms, id), &bytes) = self.0.next()?;
        Some(PoolEntry { id, since_ms: *since_ms, bytes })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

/// The m-subsets of a pool, made by [`WaitingPool::best_subsets`]. Ends after the last.
pub struct PoolSubsets<'a, Id> {
    /// The items of ranks 0, 1, … as far as they were needed.
    seen: Vec<PoolEntry<'a, Id>>,
    rest: Entries<'a, Id>,
    now_ms: u64,
    members: usize,
    walker: Walker,
}

impl<Id: Clone> Iterator for PoolSubsets<'_, Id> {
    type Item = PoolSelection<Id>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { seen, rest, now_ms, members, walker } = self;
        let wait = |rank: usize| {
            if rank >= seen.len() {
                seen.extend(rest.by_ref().take(rank + 1 - seen.len()));
            }
            seen[rank].wait_ms(*now_ms)
        };
        if !walker.advance(wait) {
            return None;
        }
        let mut ids = Vec::with_capacity(*members);
        ids.extend(walker.places().into_iter().map(|place| seen[place].id.clone()));
        Some(PoolSelection { ids, sum: walker.sum(), rank: walker.rank(), exhausted: false })
    }
}

impl<Id: Clone> FusedIterator for PoolSubsets<'_, Id> {}

#[cfg(test)]
mod tests;
