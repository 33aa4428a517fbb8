//! A few seeds of the fault runs; `cargo xtask test` runs two hundred with the program itself.

use blockhie_sim::{Choice, Tally, run_seed};

fn choice() -> Choice {
    Choice { seconds: 30, ..Choice::default() }
}

fn hold(seeds: std::ops::Range<u64>) -> Tally {
    let mut sum = Tally::default();
    for seed in seeds {
        let outcome = run_seed(seed, &choice(), false);
        assert!(outcome.violations.is_empty(), "seed {seed}: {}: {:?}", outcome.setup, outcome.violations);
        sum.add(&outcome.tally);
    }
    sum
}

#[test]
fn a_few_seeds_hold_and_everything_happened_in_them() {
    let sum = hold(0..12);
    assert!(sum.blocks > 50 && sum.acknowledged > 100 && sum.messages > 1_000 && sum.receipts > 20, "{sum:?}");
    assert!(sum.crashes > sum.crashes_in_turn && sum.crashes_in_turn > 0, "{sum:?}");
    assert!(sum.siblings > 3 && sum.through_siblings > 3, "{sum:?}");
    assert!(sum.pruned > 50, "{sum:?}");
    assert!(sum.fetched > 5 && sum.announcements > 100, "{sum:?}");
    assert!(sum.failed_turns > 0 && sum.reorganisations > 0 && sum.evil > 20 && sum.bans > 0, "{sum:?}");
}

#[test]
fn a_seed_replays_and_another_differs() {
    let trace = |seed| run_seed(seed, &choice(), false).trace;
    assert_eq!(trace(11), trace(11));
    assert_eq!(run_seed(11, &choice(), true).trace, trace(11), "being watched changes nothing");
    assert_ne!(trace(11), trace(12));
}
