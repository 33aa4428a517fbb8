//! What a load run counts.

use super::outcome::Outcome;
use blockhie_core::packing::jain_index;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Counts and latencies of submissions while they run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    latencies: Vec<Duration>,
    failures: BTreeMap<String, u64>,
}

impl Tally {
    /// One acknowledged after `latency`.
    pub(crate) fn acknowledged(&mut self, latency: Duration) {
        self.latencies.push(latency);
    }

    /// One that was not, and why in a word or two.
    pub(crate) fn failed(&mut self, reason: String) {
        *self.failures.entry(reason).or_default() += 1;
    }

    /// The `percent`-th percentile of the latencies in ms; none without any.
    pub(crate) fn percentile_ms(&mut self, percent: usize) -> Option<f64> {
        self.latencies.sort_unstable();
        nearest_rank(&self.latencies, percent).map(|latency| (latency.as_secs_f64() * 1e5).round() / 1e2)
    }

    /// Refused or unanswered submissions by reason.
    pub(crate) fn failures(&self) -> &BTreeMap<String, u64> {
        &self.failures
    }
}

/// The `percent`-th percentile by nearest rank of what is sorted; none of nothing.
fn nearest_rank<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// How long committed transactions waited, ms: the time of the block less the time in the transaction, at least 0.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Waits {
    /// Median.
    pub(crate) p50_ms: Option<u64>,
    /// 90th percentile.
    pub(crate) p90_ms: Option<u64>,
    /// 99th percentile.
    pub(crate) p99_ms: Option<u64>,
    /// The longest.
    pub(crate) max_ms: Option<u64>,
    /// Jain's index of them, 1 when all waited equally long. Alone it misleads: any constant delay raises it.
    pub(crate) jain: Option<f64>,
}

impl Waits {
    /// Of these, in any order.
    pub(crate) fn of(waits_ms: &mut [u64]) -> Self {
        waits_ms.sort_unstable();
        let at = |percent| nearest_rank(waits_ms, percent);
        let jain = (!waits_ms.is_empty()).then(|| (jain_index(waits_ms) * 1e4).round() / 1e4);
        Self { p50_ms: at(50), p90_ms: at(90), p99_ms: at(99), max_ms: at(100), jain }
    }
}

/// The result, and its JSON form.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Kind of the chain: `emr` or `phd`.
    pub(crate) chain: &'static str,
    /// Nodes that took turns.
    pub(crate) nodes: usize,
    /// Submissions begun.
    pub(crate) sent: u64,
    /// Answered with their txhash: durable at the node.
    pub(crate) acknowledged: u64,
    /// Acknowledged, and at the end neither pending nor committed.
    pub(crate) lost: u64,
    /// Acknowledged, and the node did not answer where it stands.
    pub(crate) unchecked: u64,
    /// Acknowledged and committed at the end.
    pub(crate) committed: u64,
    /// Acknowledged, and in a block without effect.
    pub(crate) void: u64,
    /// Acknowledged and waiting at the end.
    pub(crate) pending: u64,
    /// Not acknowledged, by reason.
    pub(crate) failed: BTreeMap<String, u64>,
    /// Asked for but never begun, because too many were in flight.
    pub(crate) behind: u64,
    /// Acknowledgements a second over the sending time.
    pub(crate) acknowledged_per_s: f64,
    /// Median time from sending to acknowledgement, ms.
    pub(crate) p50_ms: Option<f64>,
    /// 99th percentile of it, ms.
    pub(crate) p99_ms: Option<f64>,
    /// Waits until commitment.
    pub(crate) wait: Waits,
}

/// How the sending went.
pub(crate) struct Sending {
    /// Submissions begun.
    pub(crate) sent: u64,
    /// Asked for but never begun.
    pub(crate) behind: u64,
    /// Until the last answer.
    pub(crate) elapsed: Duration,
}

impl Report {
    /// Puts the counts together.
    pub(crate) fn new(
        chain: &'static str,
        nodes: usize,
        sending: &Sending,
        tally: &mut Tally,
        outcome: Outcome,
    ) -> Self {
        let acknowledged = tally.latencies.len() as u64;
        // A rate is for people, who do not miss what a float above 2^52 would.
        let per_s = acknowledged as f64 / sending.elapsed.as_secs_f64();
        let Outcome { lost, unchecked, void, pending, mut waits_ms } = outcome;
        Self {
            chain,
            nodes,
            sent: sending.sent,
            acknowledged,
            lost,
            unchecked,
            committed: waits_ms.len() as u64,
            void,
            pending,
            failed: tally.failures().clone(),
            behind: sending.behind,
            acknowledged_per_s: (per_s * 10.0).round() / 10.0,
            p50_ms: tally.percentile_ms(50),
            p99_ms: tally.percentile_ms(99),
            wait: Waits::of(&mut waits_ms),
        }
    }

    /// Whether something was acknowledged and all of that is where it should be.
    pub(crate) fn is_good(&self) -> bool {
        self.acknowledged > 0 && self.lost == 0 && self.unchecked == 0 && self.void == 0
    }

    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let ms = |value: Option<f64>| value.map_or("none".into(), |value| format!("{value:.2} ms"));
        let mut lines = vec![
            format!("chain         {}, {} taking turns", self.chain, plural(self.nodes, "node")),
            format!("sent          {}", self.sent),
            format!("acknowledged  {} ({:.1} a second)", self.acknowledged, self.acknowledged_per_s),
            format!("lost          {}", self.lost),
            format!("committed     {}", self.committed),
            format!("pending       {}", self.pending),
            format!("acknowledged after  p50 {}, p99 {}", ms(self.p50_ms), ms(self.p99_ms)),
        ];
        if let Waits { p50_ms: Some(p50), p90_ms: Some(p90), p99_ms: Some(p99), max_ms: Some(max), jain: Some(jain) } =
            self.wait
        {
            lines.push(format!("committed after     p50 {p50} ms, p90 {p90} ms, p99 {p99} ms, at most {max} ms"));
            lines.push(format!("fairness      {jain:.4} (Jain's index of those waits)"));
        }
        if self.void > 0 {
            lines.push(format!("void          {} (in a block, without effect)", self.void));
        }
        if self.unchecked > 0 {
            lines.push(format!("unchecked     {} (the node did not say where they stand)", self.unchecked));
        }
        if self.behind > 0 {
            lines.push(format!("behind        {} (asked for, but too many were in flight)", self.behind));
        }
        lines.extend(self.failed.iter().map(|(reason, count)| format!("failed        {count}: {reason}")));
        lines
    }
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let mut tally = Tally::default();
        assert_eq!(tally.percentile_ms(50), None);
        for ms in (1..=100).rev() {
            tally.acknowledged(Duration::from_millis(ms));
        }
        assert_eq!(tally.percentile_ms(50), Some(50.0));
        assert_eq!(tally.percentile_ms(99), Some(99.0));
        let mut one = Tally::default();
        one.acknowledged(Duration::from_micros(1_234));
        assert_eq!((one.percentile_ms(50), one.percentile_ms(99)), (Some(1.23), Some(1.23)));
    }

    #[test]
    fn waits_have_percentiles_and_an_index() {
        assert_eq!(Waits::of(&mut []), Waits::default());
        let mut waits: Vec<u64> = (1..=100).rev().collect();
        let waits = Waits::of(&mut waits);
        assert_eq!((waits.p50_ms, waits.p90_ms, waits.p99_ms), (Some(50), Some(90), Some(99)));
        assert_eq!((waits.max_ms, waits.jain), (Some(100), Some(0.7537)));
        assert_eq!(Waits::of(&mut [5, 5]).jain, Some(1.0));
    }
}
