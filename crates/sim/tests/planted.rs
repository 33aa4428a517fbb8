//! Each planted bug is caught, by a seed that holds without it. `blockhie-sim planted` prints the same table.
#![allow(clippy::print_stdout, reason = "the table of what caught what")]

use blockhie_sim::planted::{Bug, Hook, Place};
use blockhie_sim::{Choice, Violation, run_seed};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Seeds tried for a bug.
const MOST: u64 = 100;

/// The violations of a run; a panic is one, too.
fn violations(seed: u64, choice: &Choice) -> Vec<Violation> {
    let run = catch_unwind(AssertUnwindSafe(|| run_seed(seed, choice, false).violations));
    run.unwrap_or_else(|_| vec![Violation { invariant: "I9", at_ms: 0, node: None, what: "a panic".into() }])
}

fn catch(bug: Bug) {
    let hook: Hook = |engine, bug| engine.ledger_mut().plant(bug);
    let healthy = Choice { seconds: 30, ..Choice::default() };
    let planted = Choice { bug: Some(bug), hook: Some(hook), ..healthy };
    let found = (0..MOST).find_map(|seed| Some((seed, violations(seed, &planted).into_iter().next()?)));
    let Some((seed, violation)) = found else { panic!("{}: not caught by {MOST} seeds", bug.name()) };
    let without = violations(seed, &healthy);
    assert!(without.is_empty(), "{}: seed {seed} fails without it, too: {without:?}", bug.name());
    println!("{:<20} seed {seed:<4} {:<9} {}", bug.name(), violation.invariant, violation.what);
}

/// Every n-th of them, so that the tests take about as long as each other.
fn planted_bugs_are_caught(part: usize) {
    for bug in Bug::ALL.iter().skip(part).step_by(4) {
        catch(*bug);
    }
}

#[test]
fn planted_bugs_are_caught_first_quarter() {
    planted_bugs_are_caught(0);
}

#[test]
fn planted_bugs_are_caught_second_quarter() {
    planted_bugs_are_caught(1);
}

#[test]
fn planted_bugs_are_caught_third_quarter() {
    planted_bugs_are_caught(2);
}

#[test]
fn planted_bugs_are_caught_fourth_quarter() {
    planted_bugs_are_caught(3);
}

#[test]
fn there_are_at_least_twelve_and_each_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
    assert!(names.len() >= 12 && names.len() == Bug::ALL.len());
    assert!(Bug::ALL.iter().all(|bug| Bug::by_name(bug.name()) == Some(*bug) && !bug.what().is_empty()));
    assert!(Bug::ALL.iter().any(|bug| bug.place() == Place::Inside));
}
