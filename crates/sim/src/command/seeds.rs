//! Seeds on several threads; the order of the answers is that of the seeds.

use blockhie_sim::{Choice, Outcome, Violation, run_seed};
use std::cell::RefCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic inside a run is a violation (I9), reported as one and not as a panic.
pub(crate) fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        PANIC.with(|place| *place.borrow_mut() = Some(info.to_string()));
    }));
}

/// A..B.
pub(crate) fn parse(text: &str) -> Result<Range<u64>, String> {
    let error = || format!("expected A..B with A < B, got {text}");
    let (from, to) = text.split_once("..").ok_or_else(error)?;
    let range = from.parse().map_err(|_| error())?..to.parse().map_err(|_| error())?;
    if range.is_empty() { Err(error()) } else { Ok(range) }
}

/// Runs one seed, whatever happens.
pub(crate) fn run_safely(seed: u64, choice: &Choice, verbose: bool) -> Outcome {
    let run = catch_unwind(AssertUnwindSafe(|| run_seed(seed, choice, verbose)));
    run.unwrap_or_else(|_| {
        let what = PANIC.with(|place| place.borrow_mut().take()).unwrap_or_else(|| "a panic".to_owned());
        Outcome {
            seed,
            violations: vec![Violation { invariant: "I9", at_ms: 0, node: None, what }],
            virtual_ms: 0,
            healing_ms: 0,
            tally: Default::default(),
            trace: String::new(),
            setup: String::new(),
            log: Vec::new(),
        }
    })
}

/// Runs seeds on `jobs` threads and hands each outcome to `each`, ascending by seed. Stops when that says so.
pub(crate) fn run_all(
    seeds: Range<u64>,
    jobs: usize,
    choice: &Choice,
    verbose: bool,
    mut each: impl FnMut(Outcome) -> bool,
) {
    let (next, stop) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let done: Mutex<std::collections::BTreeMap<u64, Outcome>> = Mutex::default();
    let changed = std::sync::Condvar::new();
    let lock = || done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = run_safely(seed, choice, verbose);
                    lock().insert(seed, outcome);
                    changed.notify_one();
                }
            });
        }
        for seed in seeds.clone() {
            let mut guard = lock();
            let outcome = loop {
                match guard.remove(&seed) {
                    Some(outcome) => break outcome,
                    None => guard = changed.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner),
                }
            };
            drop(guard);
            if !each(outcome) {
                stop.store(true, Ordering::Relaxed);
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_half_open_and_not_empty() {
        assert_eq!(parse("0..200"), Ok(0..200));
        for bad in ["", "5", "5..5", "7..3", "a..b", "-1..4", "1..", "..4", "0..99999999999999999999"] {
            assert!(parse(bad).unwrap_err().contains("A..B"), "{bad}");
        }
    }
}
