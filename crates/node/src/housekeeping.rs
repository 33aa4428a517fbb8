//! What the engine's thread looks at once a second: free space on the data folder's disk, and the store's memory.

use blockhie_core::{Store, StoreError};
use metrics::gauge;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often. A disk fills within seconds, and asking takes microseconds.
const EVERY: Duration = Duration::from_secs(1);

/// How often it is said how far bodies are pruned: each new block moves it.
const TELL_PRUNED: Duration = Duration::from_secs(60);

/// Answers how many bytes are free.
type Probe = Box<dyn Fn() -> Result<u64, StoreError> + Send>;

pub(crate) struct Housekeeping {
    store: Arc<dyn Store>,
    /// What asks for free space, and the least bytes: the low-water mark. Without it nothing is watched.
    disk: Option<(Probe, u64)>,
    looked: Option<Instant>,
    /// When it was last said how far bodies are pruned.
    told_pruned: Option<Instant>,
}

impl Housekeeping {
    pub(crate) fn new(store: Arc<dyn Store>, disk: Option<(Probe, u64)>) -> Self {
        Self { store, disk, looked: None, told_pruned: None }
    }

    /// Of a node whose data lies in `folder`, if in any.
    pub(crate) fn of(store: Arc<dyn Store>, folder: Option<PathBuf>, least: u64) -> Self {
        let probe = |path: PathBuf| -> Probe { Box::new(move || blockhie_store::free_bytes(&path)) };
        Self::new(store, folder.map(|path| (probe(path), least)))
    }

    /// Says how far bodies are pruned, now and then.
    pub(crate) fn tell_pruned(&mut self, below: u64) {
        if self.told_pruned.is_none_or(|at| at.elapsed() >= TELL_PRUNED) {
            self.told_pruned = Some(Instant::now());
            tracing::info!(below, "bodies of what was committed below this height are pruned");
        }
    }

    /// Whether it is time to [`Housekeeping::look`].
    pub(crate) fn is_due(&self) -> bool {
        self.looked.is_none_or(|at| at.elapsed() >= EVERY)
    }

    /// Sets the gauges. Answers `Err` with what an operator should read while the disk is too full, `Ok` with what is
    /// free otherwise, and nothing where that is not known.
    #[allow(clippy::cast_precision_loss)] // a gauge is a float; bytes stay below 2^53
    pub(crate) fn look(&mut self) -> Option<Result<u64, String>> {
        self.looked = Some(Instant::now());
        for (part, bytes) in self.store.memory() {
            gauge!("blockhie_store_memory_bytes", "part" => part).set(bytes as f64);
        }
        let (probe, least) = self.disk.as_ref()?;
        let free = match probe() {
            Ok(free) => free,
            Err(error) => {
                tracing::warn!(%error, "cannot look at the disk");
                return None;
            }
        };
        gauge!("blockhie_disk_free_bytes").set(free as f64);
        if free >= *least {
            return Some(Ok(free));
        }
        Some(Err(format!("disk nearly full: expected at least {least} bytes free, got {free}; this node only serves")))
    }
}
