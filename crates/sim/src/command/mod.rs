//! The command line: arguments, threads over seeds, and what is printed.

mod attacks;
mod chaos;
mod paper;
mod planted;
mod seeds;

use clap::Subcommand;

const EXAMPLES: &str = "Examples:
  blockhie-sim chaos --seeds 0..200
  blockhie-sim chaos --seeds 17..18 --verbose       one seed again, event by event
  blockhie-sim chaos --seeds 0..50 --nodes 7 --seconds 300 --json
  blockhie-sim attacks                              difficulty, selfish mining, deep reorganisations
  blockhie-sim planted                              which seed catches which planted bug
  blockhie-sim paper --out evaluation               what packing policies do to a chain

A seed replays a run only with the same commit; both are printed. What goes wrong in a run and what is checked:
docs/simulation.md.";

/// Whole networks on a virtual clock.
#[derive(Debug, clap::Parser)]
#[command(name = "blockhie-sim", version, about, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fault runs: each seed is a network in which things go wrong, and then no invariant may be broken
    Chaos(chaos::Args),
    /// Scenarios with an attacker or an event each: mean intervals, shares, deep reorganisations, in a table
    Attacks(attacks::Args),
    /// Plants bugs one by one and finds a seed that shows each
    Planted(planted::Args),
    /// The paper's evaluation: packing policies on a plain chain and on one that merges stale blocks
    Paper(paper::Args),
}

/// Runs a command; its exit code.
pub(crate) fn run(cli: &Cli) -> u8 {
    seeds::quiet_panics();
    match &cli.command {
        Command::Chaos(args) => chaos::run(args),
        Command::Attacks(args) => attacks::run(args),
        Command::Planted(args) => planted::run(args),
        Command::Paper(args) => paper::run(args),
    }
}
