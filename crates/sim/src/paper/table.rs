//! The files with numbers: `runs.csv`, `overlap.csv`, `summary.json`. The same evaluation writes the same bytes.

use super::config::{PaperConfig, PaperError};
use super::row::Row;
use super::summary::Summary;
use std::path::Path;

/// The columns of `runs.csv`, one line a run. Times ms, shares 0 to 1, empty where nothing bounds a percentile from above.
pub const COLUMNS: &[&str] = &[
    "chain",
    "ledger",
    "policy",
    "seed",
    "nodes",
    "rate",
    "interval_ms",
    "delay_ms",
    "capacity",
    "spacing",
    "frame",
    "seconds",
    "warm_up_s",
    "offered_tps",
    "throughput_tps",
    "offered",
    "committed",
    "waiting",
    "undecided",
    "blocks",
    "stale_share",
    "stale_merged_share",
    "duplicate_share",
    "merged_share",
    "overlap",
    "ended",
    "pending",
    "jain_committed",
    "jain_censored",
    "p50_ms",
    "p50_at_most_ms",
    "p90_ms",
    "p90_at_most_ms",
    "p99_ms",
    "p99_at_most_ms",
    "max_ms",
    "jain_senders",
    "sender_max_ms",
    "delay_mean_ms",
    "delay_max_ms",
    "idle_finds",
    "alarms",
    "schedule",
    "arrivals",
];

fn line(config: &PaperConfig, row: &Row) -> Vec<String> {
    let share = |value: f64| format!("{value:.6}");
    let mut cells: Vec<String> = vec![
        config.chain.name().to_owned(),
        row.task.ledger.name().to_owned(),
        row.task.policy.to_owned(),
        row.task.seed.to_string(),
        config.nodes.to_string(),
        config.rate.to_string(),
        config.interval_ms.to_string(),
        config.delay_ms.to_string(),
        config.capacity.to_string(),
        config.spacing.to_string(),
        config.frame.to_string(),
        config.seconds.to_string(),
        config.warm_up_s.to_string(),
        share(row.offered_tps),
        share(row.throughput_tps),
    ];
    let counts = [row.offered, row.committed, row.waiting, row.undecided, row.blocks];
    cells.extend(counts.map(|count| count.to_string()));
    let shares =
        [row.stale_share, row.stale_merged_share, row.duplicate_share, row.merged_share, row.overlap].map(share);
    cells.extend(shares);
    cells.extend([row.ended.to_string(), row.pending.to_string()]);
    cells.extend([share(row.jain_committed), share(row.jain_censored)]);
    for bounds in row.percentiles {
        cells.push(bounds.at_least_ms.to_string());
        cells.push(bounds.at_most_ms.map(|most| most.to_string()).unwrap_or_default());
    }
    cells.extend([row.max_ms.to_string(), share(row.jain_senders), row.sender_max_ms.to_string()]);
    cells.extend([share(row.delay_mean_ms), row.delay_max_ms.to_string()]);
    cells.extend([row.idle_finds, row.alarms].map(|count| count.to_string()));
    cells.extend([row.schedule.to_string(), row.arrivals.to_string()]);
    cells
}

/// `runs.csv`.
#[must_use]
pub fn runs_csv(config: &PaperConfig, rows: &[Row]) -> String {
    let lines = rows.iter().map(|row| line(config, row).join(","));
    std::iter::once(COLUMNS.join(",")).chain(lines).map(|line| line + "\n").collect()
}

/// `overlap.csv`: one line for each run and step of time with concurrent blocks.
#[must_use]
pub fn overlap_csv(rows: &[Row]) -> String {
    let mut text = "ledger,policy,seed,at_s,pairs,overlap\n".to_owned();
    for row in rows {
        let task = row.task;
        for step in &row.over_time {
            let (ledger, policy, seed) = (task.ledger.name(), task.policy, task.seed);
            text += &format!("{ledger},{policy},{seed},{},{},{:.6}\n", step.at_s, step.pairs, step.overlap);
        }
    }
    text
}

/// Writes one file.
///
/// # Errors
/// [`PaperError::Write`] with its path.
pub(super) fn write(folder: &Path, name: &str, text: &str) -> Result<(), PaperError> {
    let path = folder.join(name);
    std::fs::write(&path, text)
        .map_err(|error| PaperError::Write { path: path.display().to_string(), reason: error.to_string() })
}

/// Makes a folder, and what is above it. To be called before the runs: nobody waits for them in vain.
///
/// # Errors
/// [`PaperError::Write`] with its path.
pub fn make_folder(folder: &Path) -> Result<(), PaperError> {
    std::fs::create_dir_all(folder)
        .map_err(|error| PaperError::Write { path: folder.display().to_string(), reason: error.to_string() })
}

/// Writes the three files.
///
/// # Errors
/// [`PaperError::Write`].
pub fn write_tables(folder: &Path, summary: &Summary, rows: &[Row]) -> Result<(), PaperError> {
    write(folder, "runs.csv", &runs_csv(&summary.config, rows))?;
    write(folder, "overlap.csv", &overlap_csv(rows))?;
    let json = serde_json::to_string_pretty(summary).expect("a summary is plain data with finite numbers");
    write(folder, "summary.json", &(json + "\n"))
}
