//! Places at which a process can be made to die, for tests that it comes back whole.
//!
//! With `BLOCKHIE_CRASH_AT=POINT:N` in its environment a process says `crash at POINT:N` on stderr and kills itself by
//! SIGKILL when it comes to that point for the N-th time: nothing is flushed, unwound or closed. There is one point
//! before and one after each durable step.
//!
//! All of it is compiled only with the cargo feature `failpoints`, which nothing turns on by itself, and into this
//! crate's own tests; elsewhere a point is an empty function. `docs/adr/0024-failpoints.md` says why this is our own.

/// The points of this crate and of the node: (name, what has just happened).
pub const POINTS: [(&str, &str); 41] = [
    ("folder.made", "a folder is made, its name not synced"),
    ("file.begun", "a file is about to be written beside its place"),
    ("file.written", "it is written, not synced"),
    ("file.synced", "it is synced, not moved into place"),
    ("file.moved", "it is in place, the folder not synced"),
    ("file.durable", "the folder is synced"),
    ("copy.written", "a file is copied, not synced"),
    ("create.marked", "the folder of a new store is marked `making`"),
    ("create.made", "its database is made"),
    ("create.genesis", "its genesis is durable"),
    ("create.ready", "it is marked `ready`"),
    ("open.begun", "the marker is read, the database not opened"),
    ("open.recovering", "the N-th new file appeared while RocksDB replays its log"),
    ("open.recovered", "the log is replayed, the entries of the tip not compared"),
    ("open.checked", "the store is open"),
    ("batch.begun", "a batch is about to be written"),
    ("batch.written", "it is in the log, not synced"),
    ("batch.synced", "it is synced, nobody was told"),
    ("prune.begun", "a batch that prunes bodies is about to be written"),
    ("prune.durable", "it is synced"),
    ("backup.begun", "a backup is about to be made"),
    ("backup.copied", "it has all files, not its marker"),
    ("backup.ready", "it is marked"),
    ("restore.marked", "the folder is marked `making`"),
    ("restore.copied", "all files are copied and synced"),
    ("restore.opened", "the copy is opened, not verified"),
    ("restore.verified", "it is verified, not marked"),
    ("restore.ready", "it is marked `ready`"),
    ("map.marked", "the folder of a new map is marked `making`"),
    ("map.made", "its database is made"),
    ("map.flushed", "a scrub has moved the log into tables, the old values not yet out of them"),
    ("blob.removed", "a blob's file is gone, its folder not synced"),
    ("init.key", "a node's folder has its key"),
    ("init.config", "and its configuration"),
    ("init.store", "and its store with block 0"),
    ("init.done", "and its genesis: it is whole"),
    ("start.ledger", "a starting node has opened its ledger and read the journal"),
    ("start.listening", "it listens"),
    ("start.ready", "everything runs, `ready` is not printed"),
    ("turn.durable", "a turn's batch is durable, nobody was answered"),
    ("turn.answered", "those who waited for the turn are answered"),
];

/// Name of the environment variable, `POINT:N`.
pub const VARIABLE: &str = "BLOCKHIE_CRASH_AT";

#[cfg(any(test, feature = "failpoints"))]
mod armed {
    use super::{POINTS, VARIABLE};
    use std::collections::BTreeSet;
    use std::ffi::OsString;
    use std::io::Write;
    use std::path::Path;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    struct Plan {
        point: String,
        /// Visits left, the deadly one included.
        left: AtomicU64,
        at: u64,
    }

    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();

    fn known(point: &str) -> bool {
        POINTS.iter().any(|(name, _)| *name == point)
    }

    /// # Panics
    /// On a variable that names no point: a test that waits for that crash would wait for nothing.
    fn plan() -> Option<&'static Plan> {
        let read = || {
            let text = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty())?;
            let parsed = text.split_once(':').and_then(|(point, at)| Some((point, at.parse::<u64>().ok()?)));
            let (point, at) = parsed.filter(|(point, at)| known(point) && *at > 0).unwrap_or_else(|| {
                panic!(
                    "{VARIABLE}: expected POINT:N with a point of failpoint::POINTS and N of at least 1, got {text:?}"
                )
            });
            Some(Plan { point: point.to_owned(), left: AtomicU64::new(at), at })
        };
        PLAN.get_or_init(read).as_ref()
    }

    /// Whether this process is to die at `point`.
    pub(crate) fn is_armed(point: &str) -> bool {
        plan().is_some_and(|plan| plan.point == point)
    }

    /// Dies here if it is the N-th time at the point that was asked for.
    ///
    /// # Panics
    /// On a point that is not in [`POINTS`].
    pub fn reach(point: &str) {
        assert!(known(point), "failpoint {point}: expected one of failpoint::POINTS");
        let Some(plan) = plan().filter(|plan| plan.point == point) else { return };
        if plan.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            die(point, plan.at);
        }
    }

    fn die(point: &str, at: u64) -> ! {
        // stderr that is gone does not keep it alive
        let _ = writeln!(std::io::stderr(), "crash at {point}:{at}");
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }

    fn names(folder: &Path) -> BTreeSet<OsString> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).collect()
    }

    /// Does `work`, in which no code of ours runs, and reaches `point` with each new file that appears in `folder`.
    pub(crate) fn at_each_new_file<T>(point: &str, folder: &Path, work: impl FnOnce() -> T) -> T {
        if !is_armed(point) {
            return work();
        }
        let over = AtomicBool::new(false);
        let mut seen = names(folder);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    for name in names(folder) {
                        if seen.insert(name) {
                            reach(point);
                        }
                    }
                }
            });
            let done = work();
            over.store(true, Ordering::Relaxed);
            done
        })
    }
}

#[cfg(any(test, feature = "failpoints"))]
pub use armed::reach;
#[cfg(any(test, feature = "failpoints"))]
pub(crate) use armed::{at_each_new_file, is_armed};

/// Nothing: this build has no failpoints.
#[cfg(not(any(test, feature = "failpoints")))]
#[inline(always)]
pub const fn reach(_point: &str) {}

/// Never: this build has no failpoints.
#[cfg(not(any(test, feature = "failpoints")))]
#[inline(always)]
pub(crate) const fn is_armed(_point: &str) -> bool {
    false
}

/// Does `work`: this build has no failpoints.
#[cfg(not(any(test, feature = "failpoints")))]
#[inline(always)]
pub(crate) fn at_each_new_file<T>(_point: &str, _folder: &std::path::Path, work: impl FnOnce() -> T) -> T {
    work()
}
