//! What a load run counts.

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

    /// The `percent`-th percentile (nearest rank) of the latencies in ms; none without any.
    pub(crate) fn percentile_ms(&mut self, percent: usize) -> Option<f64> {
        self.latencies.sort_unstable();
        let rank = (self.latencies.len() * percent).div_ceil(100);
        self.latencies.get(rank.checked_sub(1)?).map(|latency| (latency.as_secs_f64() * 1e5).round() / 1e2)
    }

    /// Refused or unanswered submissions by reason.
    pub(crate) fn failures(&self) -> &BTreeMap<String, u64> {
        &self.failures
    }
}

/// The result, and its JSON form.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
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
}

impl Report {
    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let ms = |value: Option<f64>| value.map_or("none".into(), |value| format!("{value:.2} ms"));
        let mut lines = vec![
            format!("sent          {}", self.sent),
            format!("acknowledged  {} ({:.1} a second)", self.acknowledged, self.acknowledged_per_s),
            format!("lost          {}", self.lost),
            format!("committed     {}", self.committed),
            format!("pending       {}", self.pending),
            format!("p50           {}", ms(self.p50_ms)),
            format!("p99           {}", ms(self.p99_ms)),
        ];
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
}
