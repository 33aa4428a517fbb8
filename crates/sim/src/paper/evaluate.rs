//! All runs, on several threads; the rows come in the order of the tasks.

use super::config::{LedgerKind, PaperConfig, PaperError, Task};
use super::row::Row;
use super::run::run;
use crate::setup::Setup;
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The networks under way: runs that differ in the policy alone share what clients send.
type Setups = Mutex<BTreeMap<(u64, LedgerKind), Weak<Setup>>>;

/// Runs everything on `jobs` threads. `done` hears of each row as it is there, in any order.
///
/// # Errors
/// A parameter out of its range, or the first run (in the order of the tasks) that could not be used.
pub fn evaluate(config: &PaperConfig, jobs: usize, done: &(dyn Fn(&Row) + Sync)) -> Result<Vec<Row>, PaperError> {
    config.check()?;
    let tasks = config.tasks();
    let (next, setups) = (AtomicUsize::new(0), Setups::default());
    let results: Mutex<BTreeMap<usize, Result<Row, PaperError>>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, tasks.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(at) else { return };
                    let result = run_safely(config, task, &setups);
                    match &result {
                        Ok(row) => done(row),
                        // Nothing more is begun.
                        Err(_) => next.store(tasks.len(), Ordering::Relaxed),
                    }
                    lock(&results).insert(at, result);
                }
            });
        }
    });
    let results = std::mem::take(&mut *lock(&results));
    results.into_values().collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What panics does so outside.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A panic inside a run is an answer.
fn run_safely(config: &PaperConfig, task: &Task, setups: &Setups) -> Result<Row, PaperError> {
    let run = catch_unwind(AssertUnwindSafe(|| {
        let setup = shared(config, task, setups);
        run(config, task, Setup::clone(&setup))
    }));
    run.unwrap_or_else(|panic| Err(PaperError::Run { run: task.to_string(), what: text_of(panic.as_ref()) }))
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    format!("it panicked: {}", text.unwrap_or("without a text"))
}

/// The network of this seed and ledger, drawn once as long as somebody uses it.
fn shared(config: &PaperConfig, task: &Task, setups: &Setups) -> Arc<Setup> {
    let key = (task.seed, task.ledger);
    if let Some(setup) = lock(setups).get(&key).and_then(Weak::upgrade) {
        return setup;
    }
    let setup = Arc::new(config.setup(task.seed, task.ledger));
    lock(setups).insert(key, Arc::downgrade(&setup));
    setup
}
