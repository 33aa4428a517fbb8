//! The length of RocksDB's manifest, written into the log beside what must agree with it.
//!
//! The manifest says which tables there are. One that lost its end, as damage to a file system leaves it, says so of
//! fewer: RocksDB opens such a store, and what was in the others is missing without a word. So each batch after a change
//! of the manifest says how long it was, once that length is durable; and opening refuses one that is shorter.
//!
//! The entry stands in a family of RocksDB that nothing else uses. A store without it is not compared.

use crate::errors::rocks;
use blockhie_core::StoreError;
use rocksdb::{ColumnFamily, DB, IteratorMode, WriteBatch};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const KEY: &[u8] = b"manifest";

/// Number and length of a manifest. The file is `MANIFEST-NUMBER`, the number with leading zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Manifest {
    number: u64,
    bytes: u64,
}

impl std::fmt::Display for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MANIFEST-{:06} of {} bytes", self.number, self.bytes)
    }
}

impl Manifest {
    /// The one that the file `CURRENT` names; `None` where there is none, which RocksDB refuses by itself.
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        let (number, file) = current(folder)?;
        Some(Self { number, bytes: std::fs::metadata(file).ok()?.len() })
    }

    fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.number) << 64 | u128::from(self.bytes)).to_be_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (number, bytes) = bytes.split_first_chunk::<8>()?;
        Some(Self { number: u64::from_be_bytes(*number), bytes: u64::from_be_bytes(bytes.try_into().ok()?) })
    }
}

fn current(folder: &Path) -> Option<(u64, PathBuf)> {
    let name = std::fs::read_to_string(folder.join("CURRENT")).ok()?;
    let name = name.trim_end();
    Some((name.strip_prefix("MANIFEST-")?.parse().ok()?, folder.join(name)))
}

fn own<'a>(db: &'a DB, family: &str) -> &'a ColumnFamily {
    db.cf_handle(family).expect("opened with this family")
}

/// Refuses a database whose manifest was `found` so short, before RocksDB opened it, that it has lost something.
///
/// # Errors
/// [`StoreError::Corrupt`], also when the entry cannot be read.
pub(crate) fn check(db: &DB, family: &str, path: &Path, found: Option<Manifest>) -> Result<(), StoreError> {
    let written = db.get_cf(own(db, family), KEY).map_err(|error| rocks("read", path, error))?;
    let written = written.and_then(|bytes| Manifest::from_bytes(&bytes));
    match (written, found) {
        (Some(written), Some(found)) if found < written => Err(StoreError::Corrupt {
            what: "the manifest of the tables".into(),
            expected: format!("{written}, or a later one"),
            got: found.to_string(),
        }),
        _ => Ok(()),
    }
}

/// Reads all of the family once, and its checksums with it.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(crate) fn verify(db: &DB, family: &str, path: &Path) -> Result<(), StoreError> {
    for entry in db.iterator_cf(own(db, family), IteratorMode::Start) {
        entry.map_err(|error| rocks("read", path, error))?;
    }
    Ok(())
}

/// Remembers what the log says already.
#[derive(Debug)]
pub(crate) struct Noted {
    family: &'static str,
    written: Mutex<Option<Manifest>>,
}

impl Noted {
    /// The entry in this family, which the database was opened with.
    pub(crate) fn new(family: &'static str) -> Self {
        Self { family, written: Mutex::default() }
    }

    /// Adds the manifest's length to a batch if it changed. It is synced first: RocksDB may be between writing and
    /// syncing it, and a power cut must not make it shorter than what the log says. Answers what to
    /// [`Noted::remember`] once the batch is durable.
    pub(crate) fn add(&self, db: &DB, folder: &Path, batch: &mut WriteBatch) -> Option<Manifest> {
        let now = Manifest::of(folder)?;
        if *self.written.lock().unwrap_or_else(PoisonError::into_inner) == Some(now) {
            return None;
        }
        let (number, file) = current(folder)?;
        if number != now.number || File::open(file).and_then(|file| file.sync_all()).is_err() {
            return None; // the next batch tries again
        }
        batch.put_cf(own(db, self.family), KEY, now.to_bytes());
        Some(now)
    }

    pub(crate) fn remember(&self, written: Option<Manifest>) {
        if written.is_some() {
            *self.written.lock().unwrap_or_else(PoisonError::into_inner) = written;
        }
    }
}
