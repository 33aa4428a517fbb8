//! Files cut off and bits flipped: every answer afterwards is the right one or a typed error, and nothing panics.
//!
//! A short form runs with the other tests. With `BLOCKHIE_STORE_TEST_ROT=N` N bits are flipped, and each file is cut at
//! every byte of its end: `cargo xtask crash`.

use super::*;
use crate::FolderBlobs;
use blockhie_core::{BlobStore, StoreError};
use std::fs;
use std::path::PathBuf;

/// Tip changes in tables, and those after them in the log.
const IN_TABLES: u64 = 30;
const NEWEST: u64 = 40;
/// Bytes from the end of each file at which it is cut: more than the last record of any.
const TAIL: usize = 1_500;
/// Bits flipped in the short form.
const FLIPS: usize = 40;

/// What a damaged store turned out to be.
#[derive(Debug, Default)]
struct Outcomes {
    /// Refused when it was opened, or when something was read.
    refused: usize,
    /// All there.
    whole: usize,
    /// A whole store of an earlier height: what a torn end cannot be told from.
    older: usize,
}

/// A folder in memory where there is one: thousands of openings, each with its syncs.
fn quick_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Bits to flip, and the step between two cuts.
fn thoroughness() -> (usize, usize) {
    match std::env::var("BLOCKHIE_STORE_TEST_ROT") {
        Ok(text) => (text.parse().expect("BLOCKHIE_STORE_TEST_ROT: a number"), 1),
        Err(_) => (FLIPS, 101),
    }
}

/// A store with most of it in tables of two generations and the rest in its log.
fn old_store(path: &Path) {
    let store = create(path);
    (1..=IN_TABLES / 2).for_each(|i| extend(&store, i));
    drop(store);
    // opening moves the log into tables
    let store = open(path).unwrap();
    (IN_TABLES / 2 + 1..=IN_TABLES).for_each(|i| extend(&store, i));
    drop(store);
    let store = open(path).unwrap();
    (IN_TABLES + 1..=NEWEST).for_each(|i| extend(&store, i));
}

/// Asks for everything, as a node does: without verifying first. Each answer must be what was written up to the tip, or
/// an error. Answers the height of the tip, or the first error.
fn ask(path: &Path, damage: &str) -> Result<u64, StoreError> {
    let store = open(path)?;
    let view = store.snapshot();
    let tip = view.meta()?.tip;
    let height = (1..=NEWEST).find(|i| tip == Some(hash(*i))).unwrap_or(0);
    assert!(tip.is_none() || height > 0, "{damage}: a tip that never was: {tip:?}");
    let mut first_error = None;
    let mut note = |what: &str, i: u64, right: Result<bool, StoreError>| match right {
        Ok(right) => assert!(right, "{damage}: a wrong answer for {what} of {i} at {height}"),
        Err(error) => first_error = first_error.take().or(Some(error)),
    };
    for i in 1..=NEWEST {
        let there = (i <= height).then(|| hash(i));
        note("height", i, view.hash_at(i).map(|got| got == there));
        note("state", i, view.state_get(&i.to_be_bytes()).map(|got| got == there.map(|hash| hash.0.to_vec())));
        note("index", i, view.index(&hash(i)).map(|got| got.map(|row| row.height) == there.map(|_| i)));
    }
    let rows = view.heights_page(None, usize::MAX);
    note("heights", height, rows.map(|rows| rows == (1..=height).map(|i| (i, hash(i))).collect::<Vec<_>>()));
    first_error.map_or(Ok(height), Err)
}

impl Outcomes {
    /// `least` is the height that an answer may fall back to.
    fn note(&mut self, path: &Path, least: u64, damage: &str) {
        match ask(path, damage) {
            Ok(NEWEST) => self.whole += 1,
            Ok(height) => {
                assert!(height >= least, "{damage}: {height} without a word, expected {least} at least");
                self.older += 1;
            }
            Err(_) => self.refused += 1,
        }
    }
}

/// The newest file with this start or end of its name.
fn newest(path: &Path, is: impl Fn(&str) -> bool) -> PathBuf {
    let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|name| is(&name.file_name().unwrap().to_string_lossy())).max().unwrap()
}

#[test]
fn the_newest_files_cut_off_anywhere_never_answer_wrong() {
    let folder = quick_folder();
    let (path, copy) = (folder.path().join("ledger"), folder.path().join("copy"));
    old_store(&path);
    let (_, step) = thoroughness();
    let mut all = Outcomes::default();
    // The log loses its end without a word, and never more than its end: what is in tables stays.
    let files: [(PathBuf, u64, usize); 5] = [
        (newest(&path, |name| name.ends_with(".log")), IN_TABLES, step),
        (newest(&path, |name| name.ends_with(".sst")), NEWEST, step),
        (newest(&path, |name| name.starts_with("MANIFEST")), NEWEST, step),
        (path.join("CURRENT"), NEWEST, step.min(5)),
        (path.join("BLOCKHIE"), NEWEST, step.min(5)),
    ];
    for (file, least, step) in files {
        let name = file.file_name().unwrap();
        let whole = usize::try_from(fs::metadata(&file).unwrap().len()).unwrap();
        for length in (whole.saturating_sub(TAIL)..whole).rev().step_by(step) {
            copy_folder(&path, &copy);
            let cut = fs::OpenOptions::new().write(true).open(copy.join(name)).unwrap();
            cut.set_len(length as u64).unwrap();
            all.note(&copy, least, &format!("{} cut at {length} of {whole}", name.display()));
        }
    }
    println!("cuts: {all:?}");
    assert!(all.refused > 0 && all.older > 0, "{all:?}");
}

#[test]
fn bits_flipped_anywhere_never_answer_wrong() {
    let folder = quick_folder();
    let (path, copy) = (folder.path().join("ledger"), folder.path().join("copy"));
    old_store(&path);
    let (flips, _) = thoroughness();
    let mut files: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
    // not those that nobody reads back: RocksDB's own logs, its record of options, the lock
    files.retain(|file| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        !["LOCK", "LOG", "OPTIONS", "IDENTITY"].iter().any(|start| name.starts_with(start))
    });
    files.sort();
    let mut all = Outcomes::default();
    for flip in 0..flips {
        // each file in turn, whatever its size, and all over it
        let file = &files[flip % files.len()];
        let name = file.file_name().unwrap();
        copy_folder(&path, &copy);
        let mut bytes = fs::read(file).unwrap();
        let bit = usize::try_from(u64::from_be_bytes(hash(flip as u64).0[..8].try_into().unwrap()) >> 16).unwrap();
        let at = (bit / 8) % bytes.len();
        bytes[at] ^= 1 << (bit % 8);
        fs::write(copy.join(name), bytes).unwrap();
        let in_log = name.to_string_lossy().ends_with(".log");
        let least = if in_log { IN_TABLES } else { NEWEST };
        all.note(&copy, least, &format!("flip {flip}: bit {} of byte {at} of {}", bit % 8, name.display()));
    }
    println!("flips: {all:?}");
    assert!(all.refused * 2 > flips, "{all:?} of {flips}");
}

#[test]
fn a_damaged_blob_never_comes_back() {
    let folder = quick_folder();
    let blobs = FolderBlobs::open(folder.path()).unwrap();
    let bytes: Vec<u8> = (0..16).flat_map(|i| hash(i).0).collect();
    let address = Hash32(*blake3::hash(&bytes).as_bytes());
    blobs.put(&address, &bytes).unwrap();
    let name = address.to_string();
    let file = folder.path().join(&name[..2]).join(&name[2..4]).join(&name);
    let refused = |what: String| match blobs.get(&address) {
        Err(StoreError::Corrupt { .. }) => {}
        other => panic!("{what}: {other:?}"),
    };
    for length in 0..bytes.len() {
        fs::write(&file, &bytes[..length]).unwrap();
        refused(format!("cut at {length}"));
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&file, flipped).unwrap();
        refused(format!("bit {bit}"));
    }
    blobs.put(&address, &bytes).unwrap();
    assert_eq!(blobs.get(&address).unwrap().unwrap(), bytes);
}
