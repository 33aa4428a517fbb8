//! What to show of waiting times: percentiles and a histogram beside Jain's index.

use crate::jain_index;

/// Upper bounds of [`wait_histogram`], in milliseconds: each twice the one before. From a quarter of a second, below the
/// block interval of one site, to eight and a half minutes, above what an honest backlog takes. Fixed, so that two
/// histograms can always be laid side by side.
pub const WAIT_BOUNDS_MS: [u64; 12] =
    [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000];

/// Bins of [`wait_histogram`]: one for each bound, and one for all above the last.
pub const WAIT_BINS: usize = WAIT_BOUNDS_MS.len() + 1;

/// The percentile of waits in milliseconds by nearest rank: the smallest wait that at least `percent` of a hundred waits
/// do not exceed. It is always one of the waits, never a value between two.
///
/// `sorted` is in ascending order. Rank = ⌈percent·n / 100⌉, counted from 1; 0 gives the smallest, 100 and above the
/// largest. `None` for no waits.
///
/// ```
/// use blockhie_packing::percentile;
/// let waits = [15, 20, 35, 40, 50];
/// assert_eq!((percentile(&waits, 30), percentile(&waits, 50), percentile(&waits, 100)), (Some(20), Some(35), Some(50)));
/// ```
#[must_use]
pub fn percentile(sorted: &[u64], percent: u32) -> Option<u64> {
    debug_assert!(sorted.is_sorted(), "percentile: the waits must be in ascending order");
    sorted.get(nearest_rank(sorted.len(), percent)).copied()
}

/// Counted from 0.
fn nearest_rank(count: usize, percent: u32) -> usize {
    let rank = (count as u128 * u128::from(percent.min(100))).div_ceil(100).max(1);
    usize::try_from(rank - 1).unwrap_or(usize::MAX)
}

/// What a percentile will be once everything has ended: see [`percentile_bounds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PercentileBounds {
    /// At least this, in milliseconds: the percentile if all that wait ended now.
    pub at_least_ms: u64,
    /// At most this, in milliseconds: the percentile if all that wait did so for ever. `None` where it would fall on one
    /// of those, so that nothing bounds it.
    pub at_most_ms: Option<u64>,
}

/// Between what a percentile of the waits lies, by nearest rank as in [`percentile`], given those that have ended and how
/// long the others have waited so far (*censored* waits), in any order. `None` for no waits.
///
/// It assumes nothing about how much longer those will wait. The estimator of Kaplan and Meier would give one number, but
/// it assumes that what still waits is like the rest in all but its age; here it is what a policy has passed over, and
/// the estimate would flatter just the policy that starves.
///
/// ```
/// use blockhie_packing::percentile_bounds;
/// let bounds = percentile_bounds(&[10, 20, 30], &[5], 50).unwrap();
/// assert_eq!((bounds.at_least_ms, bounds.at_most_ms), (10, Some(20)));
/// assert_eq!(percentile_bounds(&[10, 20, 30], &[5], 90).unwrap().at_most_ms, None);
/// ```
#[must_use]
pub fn percentile_bounds(ended: &[u64], pending: &[u64], percent: u32) -> Option<PercentileBounds> {
    let mut ended = ended.to_vec();
    ended.sort_unstable();
    let rank = nearest_rank(ended.len() + pending.len(), percent);
    let at_most_ms = ended.get(rank).copied();
    ended.extend(pending);
    ended.sort_unstable();
    ended.get(rank).map(|&at_least_ms| PercentileBounds { at_least_ms, at_most_ms })
}

/// Waits in milliseconds, summed up. All zero, with Jain's index 1, where nothing waited.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WaitSummary {
    /// How many waits.
    pub count: usize,
    /// The median, by nearest rank ([`percentile`]) as the next two.
    pub p50: u64,
    /// Nine of ten waited no longer.
    pub p90: u64,
    /// Ninety-nine of a hundred waited no longer.
    pub p99: u64,
    /// The longest.
    pub max: u64,
    /// Jain's index ([`jain_index`]).
    pub jain: f64,
}

impl WaitSummary {
    /// Of waits that have ended, in any order.
    ///
    /// What still waits is not in it, and a summary of ended waits alone flatters: those that starve never end. Show how
    /// many still wait beside it, or [`with_pending`](Self::with_pending).
    #[must_use]
    pub fn of(ended: &[u64]) -> Self {
        Self::with_pending(ended, &[])
    }

    /// Of waits that have ended, and of the waits so far of what still waits, both in any order.
    ///
    /// The latter are *censored*: each is known to become at least so long. They count with what they have reached, so
    /// that each percentile and the longest are lower bounds of what they will be once all have ended; Jain's index is
    /// that of the waits so far and bounds nothing.
    #[must_use]
    pub fn with_pending(ended: &[u64], pending: &[u64]) -> Self {
        let mut waits = [ended, pending].concat();
        waits.sort_unstable();
        let at = |percent| percentile(&waits, percent).unwrap_or(0);
        let (p50, p90, p99, max) = (at(50), at(90), at(99), at(100));
        Self { count: waits.len(), p50, p90, p99, max, jain: jain_index(&waits) }
    }
}

/// How many waits fall into each bin: bin i holds those above bound i-1 and not above bound i of [`WAIT_BOUNDS_MS`], the
/// last those above all bounds.
///
/// ```
/// use blockhie_packing::{WAIT_BINS, wait_histogram};
/// let bins = wait_histogram(&[0, 250, 251, u64::MAX]);
/// assert_eq!((bins[0], bins[1], bins[WAIT_BINS - 1]), (2, 1, 1));
/// ```
#[must_use]
pub fn wait_histogram(waits: &[u64]) -> [u64; WAIT_BINS] {
    let mut bins = [0; WAIT_BINS];
    for wait in waits {
        bins[WAIT_BOUNDS_MS.partition_point(|bound| bound < wait)] += 1;
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nearest_rank_by_hand() {
        assert_eq!(percentile(&[], 50), None);
        for percent in [0, 1, 50, 100, u32::MAX] {
            assert_eq!(percentile(&[7], percent), Some(7), "{percent}");
        }
        let ten: Vec<u64> = (1..=10).collect();
        let at = |percent| percentile(&ten, percent).unwrap();
        assert_eq!(
            [at(0), at(10), at(11), at(50), at(51), at(90), at(91), at(99), at(100)],
            [1, 1, 2, 5, 6, 9, 10, 10, 10]
        );
        let hundred: Vec<u64> = (1..=100).collect();
        assert!((1..=100).all(|percent| percentile(&hundred, percent) == Some(u64::from(percent))));
    }

    #[test]
    fn a_summary_ignores_the_order() {
        let summary = WaitSummary::of(&[40, 10, 30, 20]);
        assert_eq!((summary.count, summary.p50, summary.p90, summary.p99, summary.max), (4, 20, 40, 40, 40));
        assert!((summary.jain - 100.0 * 100.0 / (4.0 * 3_000.0)).abs() < 1e-12);
        let nothing = WaitSummary::of(&[]);
        assert_eq!((nothing.count, nothing.max, nothing.jain), (0, 0, 1.0));
    }

    #[test]
    fn what_still_waits_counts_with_what_it_has_reached() {
        let (ended, starving) = ([10, 10, 10, 10], [9_000]);
        assert_eq!(WaitSummary::of(&ended).p99, 10, "the one that starves does not show");
        let summary = WaitSummary::with_pending(&ended, &starving);
        assert_eq!((summary.count, summary.p50, summary.p99, summary.max), (5, 10, 9_000, 9_000));
        assert!(summary.jain < 0.3);
    }

    #[test]
    fn bins_meet_without_gap_or_overlap() {
        assert!(WAIT_BOUNDS_MS.windows(2).all(|pair| pair[1] == 2 * pair[0]));
        for (bin, bound) in WAIT_BOUNDS_MS.into_iter().enumerate() {
            assert_eq!(wait_histogram(&[bound])[bin], 1, "{bound}");
            assert_eq!(wait_histogram(&[bound + 1])[bin + 1], 1, "{bound}");
        }
    }

    proptest! {
        #[test]
        fn percentiles_cover_their_share(mut waits in prop::collection::vec(0u64..50, 1..60), percent in 1u32..=100) {
            waits.sort_unstable();
            let value = percentile(&waits, percent).unwrap();
            let share = |within: &dyn Fn(u64) -> bool| waits.iter().filter(|wait| within(**wait)).count() * 100;
            let wanted = waits.len() * usize::try_from(percent).unwrap();
            prop_assert!(share(&|wait| wait <= value) >= wanted, "enough do not exceed it");
            prop_assert!(share(&|wait| wait < value) < wanted, "and it is the smallest such");
        }

        #[test]
        fn pending_waits_bound_from_below(
            ended in prop::collection::vec(0u64..1_000, 0..30),
            pending in prop::collection::vec((0u64..1_000, 0u64..1_000), 0..30),
        ) {
            let so_far: Vec<u64> = pending.iter().map(|(wait, _)| *wait).collect();
            let at_last: Vec<u64> = ended.iter().copied().chain(pending.iter().map(|(wait, more)| wait + more)).collect();
            let (bound, truth) = (WaitSummary::with_pending(&ended, &so_far), WaitSummary::of(&at_last));
            prop_assert!(bound.p50 <= truth.p50 && bound.p90 <= truth.p90 && bound.p99 <= truth.p99 && bound.max <= truth.max);
        }

        #[test]
        fn every_wait_is_in_one_bin(waits in prop::collection::vec(any::<u64>(), 0..60)) {
            let total: u64 = wait_histogram(&waits).iter().sum();
            prop_assert_eq!(total, waits.len() as u64);
        }
    }

    proptest! {
        #[test]
        fn the_final_percentile_lies_within_its_bounds(
            ended in prop::collection::vec(0..50_u64, 0..12),
            pending in prop::collection::vec((0..50_u64, prop_oneof![0..9_u64, 0..=u64::MAX - 50]), 0..12),
            percent in 0..=100_u32,
        ) {
            let so_far: Vec<u64> = pending.iter().map(|wait| wait.0).collect();
            let mut finally: Vec<u64> = pending.iter().map(|wait| wait.0 + wait.1).chain(ended.iter().copied()).collect();
            finally.sort_unstable();
            let Some(bounds) = percentile_bounds(&ended, &so_far, percent) else {
                prop_assert!(finally.is_empty());
                return Ok(());
            };
            let last = percentile(&finally, percent).unwrap();
            prop_assert!(bounds.at_least_ms <= last);
            prop_assert!(bounds.at_most_ms.is_none_or(|most| last <= most));
            // Both are reached: by what ends now, and by what never does.
            let mut now = [ended.as_slice(), &so_far].concat();
            now.sort_unstable();
            prop_assert_eq!(percentile(&now, percent), Some(bounds.at_least_ms));
            let mut never = ended.clone();
            never.extend(pending.iter().map(|_| u64::MAX));
            never.sort_unstable();
            let most = percentile(&never, percent).unwrap();
            prop_assert_eq!(bounds.at_most_ms.unwrap_or(u64::MAX), most);
        }
    }
}
