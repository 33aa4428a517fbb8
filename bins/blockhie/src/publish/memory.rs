//! What a publication remembers in the output folder, so that a command run again after a crash finishes the job and
//! never publishes twice: one small file for each file (or batch) with a random key, which the gateway knows a request
//! by, and with the records once the gateway has acknowledged them.

use crate::failure::Failure;
use crate::files;
use blockhie_core::Hash32;
use blockhie_core::canonical::{parse_canonical, to_canonical};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The format's name and version.
const FORMAT: &str = "blockhie-publish/v1";
/// Longest file read, bytes: 2^20 records of a batch would take 70 MB; nobody sends that many files in one command.
const MAX_BYTES: usize = 16 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    format: String,
    fingerprint: Hash32,
    key: Hash32,
    records: Vec<Hash32>,
}

/// The memory of one request.
#[derive(Debug)]
pub(crate) struct Memory {
    path: PathBuf,
    kept: Kept,
}

impl Memory {
    /// The memory of the file `name` in `folder`.
    pub(crate) fn of_file(folder: &Path, name: &str, fingerprint: Hash32) -> Result<Self, Failure> {
        Self::open(folder.join(format!(".{name}.idempotency")), fingerprint)
    }

    /// The memory of a batch in `folder`.
    pub(crate) fn of_batch(folder: &Path, fingerprint: Hash32) -> Result<Self, Failure> {
        let short = &fingerprint.to_string()[..16];
        Self::open(folder.join(format!(".batch-{short}.idempotency")), fingerprint)
    }

    /// Reads it, or begins with a fresh key where there is none or where it belongs to other bytes. The key is on disk
    /// before anybody is told of it.
    fn open(path: PathBuf, fingerprint: Hash32) -> Result<Self, Failure> {
        let mut memory = Self { path, kept: fresh(fingerprint)? };
        let found = match memory.read()? {
            Some(found) => found,
            None if files::write_new(&memory.path, memory.text().as_bytes())? => return Ok(memory),
            // Another process was faster: its key counts, for both.
            None => memory.read()?.ok_or_else(|| Failure::failed(format!("{}: vanished", memory.path.display())))?,
        };
        if found.fingerprint == fingerprint {
            memory.kept = found;
        } else {
            files::write(&memory.path, memory.text().as_bytes())?;
        }
        Ok(memory)
    }

    fn read(&self) -> Result<Option<Kept>, Failure> {
        let Some(bytes) = files::read_if_there(&self.path, MAX_BYTES, "idempotency file")? else { return Ok(None) };
        // A damaged one is never replaced silently: what it stood for may be published already.
        let damaged = |reason: String| {
            Failure::form(format!("{}: {reason}", self.path.display())).hint(
                "it holds the key under which this file was published; remove it only if you accept that the file is \
                 published again",
            )
        };
        let kept: Kept =
            parse_canonical(&bytes, MAX_BYTES, "idempotency file").map_err(|error| damaged(error.to_string()))?;
        if kept.format != FORMAT {
            return Err(damaged(format!("format: expected {FORMAT}, got {:?}", kept.format)));
        }
        Ok(Some(kept))
    }

    fn text(&self) -> String {
        to_canonical(&self.kept)
    }

    /// The idempotency key, 64 hex digits.
    pub(crate) fn key(&self) -> String {
        self.kept.key.to_string()
    }

    /// The records, once acknowledged; else none.
    pub(crate) fn records(&self) -> &[Hash32] {
        &self.kept.records
    }

    /// Remembers what the gateway acknowledged.
    pub(crate) fn acknowledged(&mut self, records: Vec<Hash32>) -> Result<(), Failure> {
        self.kept.records = records;
        files::write(&self.path, self.text().as_bytes())
    }

    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn fresh(fingerprint: Hash32) -> Result<Kept, Failure> {
    let mut key = Hash32::ZERO;
    getrandom::fill(&mut key.0).map_err(|error| Failure::failed(format!("no randomness: {error}")))?;
    Ok(Kept { format: FORMAT.to_owned(), fingerprint, key, records: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::EXIT_FORM;

    const A: Hash32 = Hash32([1; 32]);
    const B: Hash32 = Hash32([2; 32]);

    #[test]
    fn a_key_stays_with_its_bytes_and_changed_bytes_get_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let open = |fingerprint| Memory::of_file(folder.path(), "a.json", fingerprint).unwrap();
        let mut first = open(A);
        assert_eq!(open(A).key(), first.key());
        assert!(first.records().is_empty());
        first.acknowledged(vec![B]).unwrap();
        assert_eq!(open(A).records(), [B]);
        let changed = open(B);
        assert_ne!(changed.key(), first.key());
        assert!(changed.records().is_empty());
        assert_eq!(open(B).key(), changed.key());
        assert!(folder.path().join(".a.json.idempotency").is_file());
    }

    #[test]
    fn whoever_comes_second_takes_the_first_ones_key() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Memory::of_file(folder.path(), "a", A).unwrap().key();
        let keys: Vec<String> = std::thread::scope(|scope| {
            let tasks: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            tasks.into_iter().map(|task| task.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    }

    #[test]
    fn a_damaged_memory_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = Memory::of_file(folder.path(), "a", A).unwrap().path().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        for damaged in [String::new(), text[1..].to_owned(), text.replace("/v1", "/v2"), text.clone() + " "] {
            std::fs::write(&path, &damaged).unwrap();
            assert_eq!(Memory::of_file(folder.path(), "a", A).unwrap_err().code, EXIT_FORM);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
        }
    }
}
