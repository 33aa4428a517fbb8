//! The runs of one policy on one ledger together.

use super::config::{LedgerKind, PaperConfig};
use super::row::Row;
use super::stats::Estimate;
use std::collections::BTreeMap;

/// Reads one number of a run.
type Read = fn(&Row) -> f64;

/// What is averaged over seeds, by the names of the columns.
pub const METRICS: &[(&str, Read)] = &[
    ("offered_tps", |row| row.offered_tps),
    ("throughput_tps", |row| row.throughput_tps),
    ("stale_share", |row| row.stale_share),
    ("stale_merged_share", |row| row.stale_merged_share),
    ("duplicate_share", |row| row.duplicate_share),
    ("merged_share", |row| row.merged_share),
    ("overlap", |row| row.overlap),
    ("pending_share", |row| row.pending as f64 / ((row.ended + row.pending) as f64).max(1.0)),
    ("jain_committed", |row| row.jain_committed),
    ("jain_censored", |row| row.jain_censored),
    ("jain_senders", |row| row.jain_senders),
    ("p50_ms", |row| row.percentiles[0].at_least_ms as f64),
    ("p90_ms", |row| row.percentiles[1].at_least_ms as f64),
    ("p99_ms", |row| row.percentiles[2].at_least_ms as f64),
    ("max_ms", |row| row.max_ms as f64),
    ("sender_max_ms", |row| row.sender_max_ms as f64),
    ("delay_mean_ms", |row| row.delay_mean_ms),
    ("delay_max_ms", |row| row.delay_max_ms as f64),
];

/// The policy to which the others are compared.
const REFERENCE: &str = "fair-first";

/// One policy on one ledger.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Group {
    /// The ledger.
    pub ledger: LedgerKind,
    /// The policy.
    pub policy: &'static str,
    /// By metric.
    pub means: BTreeMap<&'static str, Estimate>,
    /// By metric: this policy less FAIR-FIRST on the same ledger, seed by seed. Empty without FAIR-FIRST.
    pub less_fair_first: BTreeMap<&'static str, Estimate>,
    /// Throughput over that of FAIR-FIRST on the same ledger, seed by seed.
    pub throughput_ratio: Option<Estimate>,
}

/// A whole evaluation.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Summary {
    /// What was run.
    pub config: PaperConfig,
    /// Ledgers and policies in the order of the configuration.
    pub groups: Vec<Group>,
}

impl Summary {
    /// Of all runs.
    #[must_use]
    pub fn of(config: &PaperConfig, rows: &[Row]) -> Self {
        let mut groups = Vec::new();
        for ledger in &config.ledgers {
            let reference = of_group(rows, *ledger, REFERENCE);
            for policy in &config.policies {
                groups.push(Group::of(*ledger, policy, &of_group(rows, *ledger, policy), &reference));
            }
        }
        Self { config: config.clone(), groups }
    }

    /// The group of a ledger and policy.
    #[must_use]
    pub fn group(&self, ledger: LedgerKind, policy: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.ledger == ledger && group.policy == policy)
    }
}

/// By seed.
fn of_group<'a>(rows: &'a [Row], ledger: LedgerKind, policy: &str) -> BTreeMap<u64, &'a Row> {
    let of = rows.iter().filter(|row| row.task.ledger == ledger && row.task.policy == policy);
    of.map(|row| (row.task.seed, row)).collect()
}

impl Group {
    fn of(
        ledger: LedgerKind,
        policy: &'static str,
        rows: &BTreeMap<u64, &Row>,
        reference: &BTreeMap<u64, &Row>,
    ) -> Self {
        let pairs: Vec<(&Row, &Row)> =
            rows.iter().filter_map(|(seed, row)| Some((*row, *reference.get(seed)?))).collect();
        let (mut means, mut less_fair_first) = (BTreeMap::new(), BTreeMap::new());
        for (name, read) in METRICS {
            let values: Vec<f64> = rows.values().map(|row| read(row)).collect();
            let less: Vec<f64> = pairs.iter().map(|(row, reference)| read(row) - read(reference)).collect();
            means.extend(Estimate::of(&values).map(|estimate| (*name, estimate)));
            less_fair_first.extend(Estimate::of(&less).map(|estimate| (*name, estimate)));
        }
        let ratios = pairs.iter().filter(|(_, reference)| reference.throughput_tps > 0.0);
        let ratios: Vec<f64> = ratios.map(|(row, reference)| row.throughput_tps / reference.throughput_tps).collect();
        Self { ledger, policy, means, less_fair_first, throughput_ratio: Estimate::of(&ratios) }
    }
}
