//! Which sequence numbers a list of segments covers.

use serde::{Deserialize, Serialize};

/// A range of sequence numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeqRange {
    /// The first number.
    pub first_seq: u64,
    /// How many.
    pub count: u64,
}

/// Gaps and overlaps of segments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Ranges between the first and the last reading that no segment covers, ascending.
    pub gaps: Vec<SeqRange>,
    /// Ranges that more than one segment covers, ascending; the chain admits none.
    pub overlaps: Vec<SeqRange>,
}

impl Coverage {
    /// From (first sequence number, readings) of each segment, in any order. Empty segments cover nothing.
    #[must_use]
    pub fn of(segments: &[(u64, u32)]) -> Self {
        let mut sorted: Vec<(u128, u128)> = segments
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(first, count)| (u128::from(*first), u128::from(*first) + u128::from(*count)))
            .collect();
        sorted.sort_unstable();
        let mut coverage = Self::default();
        let Some(&(first, _)) = sorted.first() else { return coverage };
        // Up to `once` everything was covered or reported as a gap, up to `twice` overlaps were reported.
        let (mut once, mut twice) = (first, first);
        for (start, end) in sorted {
            if start > once {
                coverage.gaps.push(range(once, start));
            }
            let (from, to) = (start.max(twice), end.min(once));
            if from < to {
                match coverage.overlaps.last_mut() {
                    Some(last) if end_of(last) == from => *last = range(last.first_seq.into(), to),
                    _ => coverage.overlaps.push(range(from, to)),
                }
                twice = to;
            }
            once = once.max(end);
        }
        coverage
    }
}

fn end_of(range: &SeqRange) -> u128 {
    u128::from(range.first_seq) + u128::from(range.count)
}

fn range(start: u128, end: u128) -> SeqRange {
    let cut = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
    SeqRange { first_seq: cut(start), count: cut(end - start) }
}
