//! `blockhie-sim chaos`.

use super::seeds::{parse, run_all};
use blockhie_sim::{Choice, Outcome, Tally};
use std::ops::Range;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which seeds: A..B, without B
    #[arg(long, value_name = "A..B", value_parser = parse)]
    seeds: Range<u64>,
    /// Nodes of each network, instead of 3 to 7 by seed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=64))]
    nodes: Option<u8>,
    /// Virtual seconds during which things go wrong
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Print what happens, event by event
    #[arg(long)]
    verbose: bool,
    /// One JSON object for each seed, then one for the whole
    #[arg(long)]
    json: bool,
    /// Threads; by default as many as there are cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=128))]
    jobs: Option<u8>,
}

/// All seeds together.
#[derive(Debug, Default)]
struct Sum {
    seeds: u64,
    virtual_ms: u64,
    tally: Tally,
    longest_healing_ms: u64,
}

pub(crate) fn run(args: &Args) -> u8 {
    let choice = Choice { nodes: args.nodes.map(usize::from), seconds: args.seconds, ..Choice::default() };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or(cores, usize::from);
    let started = Instant::now();
    let (mut sum, mut failed) = (Sum::default(), None);
    run_all(args.seeds.clone(), jobs, &choice, args.verbose, |outcome| {
        show(args, &outcome);
        sum.add(&outcome);
        if outcome.violations.is_empty() {
            return true;
        }
        failed = Some(outcome);
        false
    });
    summary(args, &sum, jobs, started.elapsed());
    match failed {
        None => {
            if !args.json {
                println!("{} seeds, 0 violations", sum.seeds);
            }
            0
        }
        Some(outcome) => {
            explain(args, &outcome);
            1
        }
    }
}

fn show(args: &Args, outcome: &Outcome) {
    for line in &outcome.log {
        println!("{line}");
    }
    if args.json {
        println!("{}", serde_json::to_string(outcome).expect("an outcome is plain data"));
    } else if args.verbose {
        println!("seed {}: {}\n  {:?}\n  trace {}", outcome.seed, outcome.setup, outcome.tally, outcome.trace);
    }
}

fn summary(args: &Args, sum: &Sum, jobs: usize, took: Duration) {
    let ratio = Duration::from_millis(sum.virtual_ms).as_secs_f64() / took.as_secs_f64().max(f64::EPSILON);
    let commit = env!("BLOCKHIE_COMMIT");
    if args.json {
        let line = serde_json::json!({
            "commit": commit, "seeds": sum.seeds, "virtual_seconds": sum.virtual_ms / 1_000,
            "real_seconds": took.as_secs_f64(), "ratio": ratio, "threads": jobs, "tally": sum.tally,
        });
        println!("{line}");
        return;
    }
    let tally = &sum.tally;
    println!(
        "commit {commit}: {} s simulated in {:.1} s on {jobs} threads, ratio {ratio:.0}, {:.0} a thread",
        sum.virtual_ms / 1_000,
        took.as_secs_f64(),
        ratio / jobs as f64
    );
    println!(
        "{} blocks, {} transactions acknowledged ({} void), {} messages, {} receipts verified",
        tally.blocks, tally.acknowledged, tally.void, tally.messages, tally.receipts
    );
    println!(
        "{} crashes ({} inside a turn), {} failed turns, {} reorganisations ({} below a final block), {} byzantine deeds, {} bans",
        tally.crashes,
        tally.crashes_in_turn,
        tally.failed_turns,
        tally.reorganisations,
        tally.alarms,
        tally.evil,
        tally.bans
    );
    println!(
        "{} siblings merged, {} transactions through them, {} carried twice and skipped",
        tally.siblings, tally.through_siblings, tally.skipped
    );
    println!(
        "{} questions over blockhie.v1.Peer ({} answered in form), {} blocks told of by their headers",
        tally.fetches, tally.fetched, tally.announcements
    );
    println!(
        "{} bodies pruned, {} crashes while pruning, {} nodes synced anew",
        tally.pruned, tally.crashes_pruning, tally.renewed
    );
    println!("longest time to come to rest: {} s", sum.longest_healing_ms / 1_000);
}

fn explain(args: &Args, outcome: &Outcome) {
    let nodes = args.nodes.map(|nodes| format!(" --nodes {nodes}")).unwrap_or_default();
    let again = format!(
        "blockhie-sim chaos --seeds {}..{} --seconds {}{nodes} --verbose",
        outcome.seed,
        outcome.seed + 1,
        args.seconds
    );
    for violation in &outcome.violations {
        let place = violation.node.map(|node| format!(" at node {node}")).unwrap_or_default();
        eprintln!(
            "seed {}: {} broken{place} after {} ms: {}",
            outcome.seed, violation.invariant, violation.at_ms, violation.what
        );
    }
    eprintln!("the run: {}", outcome.setup);
    eprintln!("replay (commit {}): {again}", env!("BLOCKHIE_COMMIT"));
    let first = outcome.violations.first().map_or("?", |violation| violation.invariant);
    if !args.json {
        println!("seed {} violates {first}", outcome.seed);
    }
}

impl Sum {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.virtual_ms += outcome.virtual_ms;
        self.longest_healing_ms = self.longest_healing_ms.max(outcome.healing_ms);
        self.tally.add(&outcome.tally);
    }
}
