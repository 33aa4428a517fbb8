//! `blockhie-sim paper`.

use super::seeds::parse;
use blockhie_core::ChainKind;
use blockhie_sim::paper::{
    Estimate, LedgerKind, PaperConfig, PaperError, Row, Summary, draw, evaluate, make_folder, policy_named,
    write_tables,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const EXAMPLES: &str = "Examples:
  blockhie-sim paper --out evaluation
  blockhie-sim paper --out forks --interval 1 --delay 0.5 --capacity 62 --seeds 0..5
  blockhie-sim paper --out two --policy fair-first --policy stripe --ledger merged --seconds 600

All runs of one seed share the times at which blocks are found and the transactions that come. --out gets runs.csv (a
line a run), overlap.csv (how alike concurrent blocks are over time), summary.json (means with 95 % confidence intervals
over seeds, by Student's t) and plots as SVG. The same command writes the same tables. What each column means:
docs/fairness.md.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Folder for tables and plots; made if it is not there
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Which chain: only the type of the transactions differs
    #[arg(long, value_name = "emr|phd", default_value = "emr", value_parser = chain)]
    chain: ChainKind,
    /// Nodes; each is a member and mines
    #[arg(long, value_name = "N", default_value_t = 8)]
    nodes: usize,
    /// Transactions a second at each node
    #[arg(long, value_name = "TX/S", default_value_t = 7.0)]
    rate: f64,
    /// Block interval T, seconds
    #[arg(long, value_name = "S", default_value = "1", value_parser = millis)]
    interval: u64,
    /// Delay d between any two nodes, seconds
    #[arg(long, value_name = "S", default_value = "0.05", value_parser = millis)]
    delay: u64,
    /// Capacity m: transactions in a block at most
    #[arg(long, value_name = "M", default_value_t = 1_000)]
    capacity: u32,
    /// Blocks of others between two blocks of one miner
    #[arg(long, value_name = "N", default_value_t = 0)]
    spacing: u8,
    /// A packing policy, by name; beside those of a node stripe-fixed, whose classes never turn; may be repeated
    /// [default: all of a node]
    #[arg(long, value_name = "NAME")]
    policy: Vec<String>,
    /// Frame c of stripe, in blocks; 0: its default
    #[arg(long, value_name = "C", default_value_t = 0)]
    frame: usize,
    /// The ledger: plain (longest chain) or merged (stale blocks count); may be repeated [default: both]
    #[arg(long, value_name = "plain|merged", value_parser = ledger)]
    ledger: Vec<LedgerKind>,
    /// Which seeds: A..B, without B
    #[arg(long, value_name = "A..B", default_value = "0..5", value_parser = parse)]
    seeds: Range<u64>,
    /// Virtual seconds of each run
    #[arg(long, value_name = "S", default_value_t = 300)]
    seconds: u64,
    /// Of these the first ones, which are not counted
    #[arg(long, value_name = "S", default_value_t = 60)]
    warm_up: u64,
    /// Threads; by default as many as there are cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=128))]
    jobs: Option<u8>,
}

fn chain(name: &str) -> Result<ChainKind, String> {
    match name {
        "emr" => Ok(ChainKind::Emr),
        "phd" => Ok(ChainKind::Phd),
        _ => Err(format!("expected emr or phd, got {name}")),
    }
}

fn ledger(name: &str) -> Result<LedgerKind, String> {
    match name {
        "plain" => Ok(LedgerKind::Plain),
        "merged" => Ok(LedgerKind::Merged),
        _ => Err(format!("expected plain or merged, got {name}")),
    }
}

/// Seconds with at most three decimal places.
fn millis(text: &str) -> Result<u64, String> {
    let error = || format!("expected seconds with at most three decimals, such as 0.25, got {text}");
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 {
        return Err(error());
    }
    let parts = format!("{part:0<3}");
    let number = |text: &str| text.parse::<u64>().map_err(|_| error());
    Ok(number(whole)? * 1_000 + number(&parts)?)
}

impl Args {
    fn config(&self) -> Result<PaperConfig, PaperError> {
        let policies = self.policy.iter().map(|name| policy_named(name)).collect::<Result<Vec<_>, _>>()?;
        let defaults = PaperConfig::default();
        let config = PaperConfig {
            chain: self.chain,
            nodes: self.nodes,
            rate: self.rate,
            interval_ms: u32::try_from(self.interval).unwrap_or(u32::MAX),
            delay_ms: self.delay,
            capacity: self.capacity,
            spacing: self.spacing,
            policies: if policies.is_empty() { defaults.policies } else { policies },
            frame: self.frame,
            ledgers: if self.ledger.is_empty() { defaults.ledgers } else { self.ledger.clone() },
            seeds: self.seeds.clone(),
            seconds: self.seconds,
            warm_up_s: self.warm_up,
        };
        config.check()?;
        Ok(config)
    }
}

pub(crate) fn run(args: &Args) -> u8 {
    let config = match args.config() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("error: {error}\n\nFor more information, try 'blockhie-sim paper --help'.");
            return crate::USAGE;
        }
    };
    match run_all(args, &config) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("error: {error}");
            1
        }
    }
}

fn run_all(args: &Args, config: &PaperConfig) -> Result<(), PaperError> {
    make_folder(&args.out)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let started = Instant::now();
    let progress = Progress::new(config.tasks().len());
    let rows = evaluate(config, args.jobs.map_or(cores, usize::from), &|row| progress.done(row))?;
    drop(progress);
    let summary = Summary::of(config, &rows);
    write_tables(&args.out, &summary, &rows)?;
    draw(&args.out, &summary, &rows)?;
    show(&summary);
    let virtual_s = config.seconds * rows.len() as u64;
    let took = started.elapsed().as_secs_f64();
    let commit = env!("BLOCKHIE_COMMIT");
    println!("{} runs, {virtual_s} virtual s in {took:.1} s, commit {commit}: {}", rows.len(), args.out.display());
    Ok(())
}

/// A bar on a terminal, a line a run elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    all: usize,
    done: AtomicUsize,
}

impl Progress {
    fn new(all: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(all as u64);
            let style = ProgressStyle::with_template(TEMPLATE).expect("a test reads the template");
            bar.set_style(style);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar, all, done: AtomicUsize::new(0) }
    }

    fn done(&self, row: &Row) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        match &self.bar {
            Some(bar) => {
                bar.set_message(row.task.to_string());
                bar.inc(1);
            }
            None => eprintln!("{done}/{} {}: {:.2} tx/s", self.all, row.task, row.throughput_tps),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

const TEMPLATE: &str = "{spinner} [{bar:30}] {pos}/{len} runs, {eta} left  {wide_msg}";

/// The table in short.
fn show(summary: &Summary) {
    let columns = ["tx/s", "x FAIR-FIRST", "stale", "Jain", "p50 s", "p90 s", "p99 s", "max s"];
    let heads = columns.map(|column| format!("{column:>13}")).concat();
    println!("{:<8}{:<15}{heads}", "ledger", "policy");
    for group in &summary.groups {
        let metric = |name: &str| group.means.get(name).copied();
        let seconds = |name| cell(metric(name), 0.001, 1);
        let cells = [
            cell(metric("throughput_tps"), 1.0, 2),
            cell(group.throughput_ratio, 1.0, 3),
            cell(metric("stale_share"), 1.0, 3),
            cell(metric("jain_censored"), 1.0, 3),
            seconds("p50_ms"),
            seconds("p90_ms"),
            seconds("p99_ms"),
            seconds("max_ms"),
        ];
        println!("{:<8}{:<15}{}", group.ledger.name(), group.policy, cells.concat());
    }
}

/// A mean with its half width.
fn cell(estimate: Option<Estimate>, scale: f64, places: usize) -> String {
    let Some(estimate) = estimate else { return format!("{:>13}", "-") };
    let mean = format!("{:.places$}", estimate.mean * scale);
    let text = match estimate.half_width {
        Some(half) => format!("{mean}±{:.places$}", half * scale),
        None => mean,
    };
    format!("{text:>13}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_to_the_millisecond() {
        for (text, ms) in [("1", 1_000), ("0.5", 500), ("0.05", 50), ("0.005", 5), ("0", 0), ("12.345", 12_345)] {
            assert_eq!(millis(text), Ok(ms), "{text}");
        }
        for bad in ["", ".", "1.", ".5", "-1", "1e3", "0.0001", "1.2.3", "x", "9999999999", "+1"] {
            assert!(millis(bad).unwrap_err().contains("three decimals"), "{bad}");
        }
    }

    #[test]
    fn the_template_of_the_bar_is_one() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
