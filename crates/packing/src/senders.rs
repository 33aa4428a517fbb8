//! Fairness between senders, beside that between transactions.

use std::collections::BTreeMap;

use crate::{jain_index, percentile};

/// The waits of one sender, summed up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SenderWaits {
    /// How many transactions.
    pub count: u64,
    /// Sum of their waits, in milliseconds.
    pub sum_ms: u128,
    /// The longest of them.
    pub max_ms: u64,
}

impl SenderWaits {
    /// The mean wait, in milliseconds rounded down; 0 of none.
    #[must_use]
    pub fn mean_ms(&self) -> u64 {
        // A mean of u64 is one.
        self.sum_ms.checked_div(u128::from(self.count)).map_or(0, |mean| u64::try_from(mean).unwrap_or(u64::MAX))
    }
}

/// How alike senders were served. A sender of a thousand transactions counts as much as one of a single one, while in
/// [`jain_index`] of all waits it counts a thousand times: who floods the pool spoils the second, and hides behind it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SenderSummary {
    /// How many senders.
    pub senders: usize,
    /// Jain's index of the senders' mean waits: 1 if they wait alike, however much each sends.
    pub jain_wait: f64,
    /// Jain's index of how many transactions of each were counted: of the shares of the chain, which are alike only if
    /// all send alike.
    pub jain_count: f64,
    /// The median of the senders' mean waits by nearest rank, in milliseconds.
    pub p50_ms: u64,
    /// Nine of ten senders waited no longer in the mean.
    pub p90_ms: u64,
    /// The mean wait of the sender who waited longest in the mean.
    pub max_ms: u64,
}

/// The waits (milliseconds) of each sender, from pairs in any order. What still waits counts with its wait so far if the
/// caller gives it along; means are then lower bounds.
///
/// ```
/// use blockhie_packing::{SenderSummary, by_sender};
/// let waits = by_sender([("flood", 10), ("flood", 10), ("flood", 10), ("one", 30)]);
/// let summary = SenderSummary::of(waits.values());
/// assert_eq!((summary.senders, summary.p50_ms, summary.max_ms), (2, 10, 30));
/// assert_eq!(summary.jain_wait, 0.8); // (10 + 30)² / (2·(10² + 30²))
/// ```
pub fn by_sender<Sender: Ord>(waits: impl IntoIterator<Item = (Sender, u64)>) -> BTreeMap<Sender, SenderWaits> {
    let mut senders: BTreeMap<Sender, SenderWaits> = BTreeMap::new();
    for (sender, wait_ms) in waits {
        let entry = senders.entry(sender).or_default();
        entry.count += 1;
        entry.sum_ms += u128::from(wait_ms);
        entry.max_ms = entry.max_ms.max(wait_ms);
    }
    senders
}

impl SenderSummary {
    /// Of the senders' waits. Those without any count as waiting 0.
    pub fn of<'a>(senders: impl IntoIterator<Item = &'a SenderWaits>) -> Self {
        let (mut means, counts): (Vec<u64>, Vec<u64>) =
            senders.into_iter().map(|sender| (sender.mean_ms(), sender.count)).unzip();
        means.sort_unstable();
        let at = |percent| percentile(&means, percent).unwrap_or(0);
        Self {
            senders: means.len(),
            jain_wait: jain_index(&means),
            jain_count: jain_index(&counts),
            p50_ms: at(50),
            p90_ms: at(90),
            max_ms: at(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_counts_once() {
        // A thousand quick ones of one sender hide three slow senders from the index of all waits.
        let flood = (0..1_000).map(|_| (0, 100));
        let all: Vec<(u8, u64)> = flood.chain([(1, 9_000), (2, 9_000), (3, 9_000)]).collect();
        let summary = SenderSummary::of(by_sender(all.clone()).values());
        assert_eq!((summary.senders, summary.p50_ms, summary.p90_ms, summary.max_ms), (4, 9_000, 9_000, 9_000));
        assert!((summary.jain_wait - 27_100_f64.powi(2) / (4.0 * (3.0 * 9_000_f64.powi(2) + 10_000.0))).abs() < 1e-12);
        assert!(summary.jain_count < 0.26);
        let of_all: Vec<u64> = all.iter().map(|pair| pair.1).collect();
        assert!(jain_index(&of_all) < 0.1);
    }

    #[test]
    fn huge_waits_and_nobody() {
        let huge = by_sender((0..5).map(|at| (at % 2, u64::MAX)));
        assert_eq!(huge[&0], SenderWaits { count: 3, sum_ms: u128::from(u64::MAX) * 3, max_ms: u64::MAX });
        assert_eq!(huge[&0].mean_ms(), u64::MAX);
        let nobody = SenderSummary::of([]);
        assert_eq!((nobody.senders, nobody.jain_wait, nobody.max_ms), (0, 1.0, 0));
        assert_eq!(SenderWaits::default().mean_ms(), 0);
    }
}
