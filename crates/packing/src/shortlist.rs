//! The few smallest of many, in one pass.

/// How many times the number wanted is gathered before the rest is thrown away. Throwing away costs the time of a
/// quickselect of this many times the number wanted, so that eight keep the worst order (each item better than all
/// before it) near the cost of one quickselect of everything, and the buffer small beside it.
const SLACK: usize = 8;

/// Keeps the `count` smallest of the items shown to it. O(1) amortised for each item whatever their order, and a single
/// comparison for one that is not among the smallest so far.
pub(crate) struct Shortlist<T> {
    count: usize,
    room: usize,
    kept: Vec<T>,
    /// The largest of the `count` smallest so far, once so many were seen and counted.
    limit: Option<T>,
}

impl<T: Ord + Copy> Shortlist<T> {
    /// For the `count` smallest of about `expected` items.
    pub(crate) fn new(count: usize, expected: usize) -> Self {
        let room = count.saturating_mul(SLACK).max(1);
        Self { count, room, kept: Vec::with_capacity(room.min(expected)), limit: None }
    }

    /// Shows it an item.
    #[inline]
    pub(crate) fn offer(&mut self, item: T) {
        if self.limit.is_none_or(|limit| item < limit) {
            self.keep(item);
        }
    }

    #[inline]
    fn keep(&mut self, item: T) {
        if self.kept.len() >= self.room {
            self.prune();
            if self.limit.is_some_and(|limit| item >= limit) {
                return;
            }
        }
        self.kept.push(item);
    }

    #[cold]
    fn prune(&mut self) {
        if self.count == 0 {
            return self.kept.clear();
        }
        if self.count < self.kept.len() {
            let (_, &mut largest, _) = self.kept.select_nth_unstable(self.count - 1);
            self.kept.truncate(self.count);
            self.limit = Some(largest);
        }
    }

    /// The smallest, in no order; fewer than `count` if fewer were shown.
    pub(crate) fn finish(mut self) -> Vec<T> {
        self.prune();
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn smallest(items: &[u32], count: usize) -> Vec<u32> {
        let mut list = Shortlist::new(count, items.len());
        items.iter().for_each(|&item| list.offer(item));
        let mut kept = list.finish();
        kept.sort_unstable();
        kept
    }

    proptest! {
        #[test]
        fn keeps_what_a_sort_would_put_first(
            items in prop::collection::vec(prop_oneof![0..9_u32, any::<u32>()], 0..300),
            count in 0..40_usize,
        ) {
            let mut sorted = items.clone();
            sorted.sort_unstable();
            let expected = &sorted[..count.min(sorted.len())];
            prop_assert_eq!(&smallest(&items, count), expected);
            prop_assert_eq!(&smallest(&sorted, count), expected);
            let descending: Vec<u32> = sorted.iter().rev().copied().collect();
            prop_assert_eq!(&smallest(&descending, count), expected);
        }
    }
}
