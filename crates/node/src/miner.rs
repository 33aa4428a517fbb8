//! Miner threads: they search what the engine last asked for, at a bounded rate.

use blockhie_core::{ChainId, SecretKey, Template, UncheckedBlock};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A thread hashes its share, then sleeps for the rest of the slice: short enough that a new job starts at once.
const SLICE: Duration = Duration::from_millis(20);
/// Tries between two looks at the job: some ms on a slow core. Without it a high rate makes a slice last seconds, and a
/// stop or a new template waits for it.
const MAX_TRIES: u64 = 1 << 16;

#[derive(Default)]
struct Job {
    /// Grows with each change; a thread works on the number it took.
    number: u64,
    template: Option<Template>,
    stop: bool,
}

#[derive(Default)]
struct Shared {
    job: Mutex<Job>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Job> {
        // Nothing panics while it is held; a poisoned job is a whole one.
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut Job)) {
        let mut job = self.lock();
        job.number += 1;
        change(&mut job);
        drop(job);
        self.changed.notify_all();
    }
}

/// How to mine.
pub(crate) struct MinerConfig {
    /// The chain.
    pub(crate) chain: ChainId,
    /// Signs blocks; `None` on an open chain.
    pub(crate) signer: Option<SecretKey>,
    /// Hashes a second over all threads.
    pub(crate) hash_rate: u64,
    /// Threads.
    pub(crate) threads: usize,
}

/// The threads. Dropping it stops them.
pub(crate) struct Miner {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Miner {
    /// Starts the threads; `found` takes sealed blocks.
    pub(crate) fn start(
        config: MinerConfig,
        found: impl Fn(UncheckedBlock) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (config, found) = (Arc::new(config), Arc::new(found));
        let mut threads = Vec::new();
        for index in 0..config.threads {
            let (shared, config, found) = (shared.clone(), config.clone(), found.clone());
            let name = format!("miner-{index}");
            let run = move || mine(&shared, &config, index as u64, found.as_ref());
            threads.push(std::thread::Builder::new().name(name).spawn(run)?);
        }
        Ok(Self { shared, threads })
    }

    /// Mine this, instead of whatever is being mined.
    pub(crate) fn mine(&self, template: Template) {
        self.shared.set(|job| job.template = Some(template));
    }

    /// Mine nothing.
    pub(crate) fn pause(&self) {
        self.shared.set(|job| job.template = None);
    }
}

impl Drop for Miner {
    fn drop(&mut self) {
        self.shared.set(|job| job.stop = true);
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to stop.
            drop(thread.join());
        }
    }
}

/// The next job that is not `done`; `None`: stop.
fn next_job(shared: &Shared, done: u64) -> Option<(u64, Template)> {
    let mut job = shared.lock();
    loop {
        if job.stop {
            return None;
        }
        if let Some(template) = job.template.as_ref().filter(|_| job.number != done) {
            return Some((job.number, template.clone()));
        }
        job = shared.changed.wait(job).unwrap_or_else(PoisonError::into_inner);
    }
}

fn mine(shared: &Shared, config: &MinerConfig, index: u64, found: &(impl Fn(UncheckedBlock) + ?Sized)) {
    let threads = config.threads as u64;
    let slices_per_s = 1_000 / u64::try_from(SLICE.as_millis()).unwrap_or(1).max(1);
    let tries = (config.hash_rate / threads / slices_per_s).max(1);
    let mut done = 0;
    while let Some((number, template)) = next_job(shared, done) {
        // Threads start far apart; a job is over long before they meet.
        let mut nonce = (u64::MAX / threads) * index;
        let mut left = tries;
        let mut started = Instant::now();
        loop {
            let now = left.min(MAX_TRIES);
            if let Some(answer) = blockhie_pow::seal(&template.header, &config.chain, nonce, now) {
                found(template.seal(&config.chain, answer, config.signer.as_ref()));
                done = number;
                break;
            }
            (nonce, left) = (nonce.wrapping_add(now), left - now);
            let job = shared.lock();
            if job.number != number || job.stop {
                break;
            }
            if left == 0 {
                let rest = SLICE.saturating_sub(started.elapsed());
                // Woken early only by a change.
                drop(shared.changed.wait_timeout(job, rest));
                (left, started) = (tries, Instant::now());
            }
        }
    }
}

#[cfg(test)]
mod tests;
