//! `blockhie-sim planted`.

use super::seeds::run_safely;
use blockhie_sim::Choice;
use blockhie_sim::planted::{Bug, Hook, Place};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this bug
    #[arg(long, value_name = "NAME", value_parser = by_name)]
    bug: Option<Bug>,
    /// Seeds tried for each bug, from 0 on
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    most: u64,
    /// Virtual seconds during which things go wrong
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
}

fn by_name(name: &str) -> Result<Bug, String> {
    Bug::by_name(name).ok_or_else(|| {
        let names: Vec<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        format!("expected one of {}, got {name}", names.join(", "))
    })
}

#[cfg(feature = "planted")]
fn hook() -> Option<Hook> {
    Some(|engine, bug| engine.ledger_mut().plant(bug))
}

#[cfg(not(feature = "planted"))]
fn hook() -> Option<Hook> {
    None
}

pub(crate) fn run(args: &Args) -> u8 {
    let bugs: Vec<Bug> = args.bug.map_or_else(|| Bug::ALL.to_vec(), |bug| vec![bug]);
    let (mut caught, mut missed, mut left_out) = (0, 0, 0);
    for bug in bugs {
        let hook = hook();
        if bug.place() == Place::Inside && hook.is_none() {
            println!("{:<20} needs a build with --features planted", bug.name());
            left_out += 1;
            continue;
        }
        let choice = Choice { bug: Some(bug), hook, seconds: args.seconds, ..Choice::default() };
        let found = (0..args.most).find_map(|seed| {
            let outcome = run_safely(seed, &choice, false);
            outcome.violations.into_iter().next().map(|violation| (seed, violation))
        });
        match found {
            Some((seed, violation)) => {
                caught += 1;
                let what: String = violation.what.chars().take(90).collect();
                println!("{:<20} seed {seed:<4} {:<9} {what}", bug.name(), violation.invariant);
            }
            None => {
                missed += 1;
                println!("{:<20} NOT CAUGHT by {} seeds: {}", bug.name(), args.most, bug.what());
            }
        }
    }
    println!("{caught} caught, {missed} missed, {left_out} left out");
    u8::from(missed > 0)
}
