//! A process dies at each failpoint of this crate, and what it had told is there afterwards.
//!
//! `cargo xtask crash` does the same to whole nodes, which also come to the points that are not here.

use super::*;
use crate::failpoint::{POINTS, VARIABLE};
use crate::{FolderBlobs, KeyValue};
use blockhie_core::store::Pruned;
use blockhie_core::tx::StoredTx;
use blockhie_core::{BlobStore, SecretKey, StoreError};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

const FOLDER: &str = "BLOCKHIE_STORE_TEST_FOLDER";
/// SIGKILL.
const KILLED: i32 = 9;
/// Points that only a node comes to.
const OF_NODES: [&str; 3] = ["init.", "start.", "turn."];
/// What a child does in one life, of each kind.
const DEEDS: u64 = 3;

fn bytes(i: u64) -> Vec<u8> {
    hash(i).0.repeat(40)
}

fn body(i: u64) -> StoredTx {
    let from = SecretKey::from_seed([3; 32]).public();
    StoredTx { time_ms: i, tx_type: 1, from, to: None, body: bytes(i).into(), hash: hash(i) }
}

fn address(i: u64) -> Hash32 {
    Hash32(*blake3::hash(&bytes(i)).as_bytes())
}

/// The next number of each kind, from what is there: a life goes on where the one before ended.
#[test]
#[ignore = "the child of another test"]
fn child_lives() {
    let Some(root) = std::env::var_os(FOLDER) else { return };
    let root = Path::new(&root);
    let ledger = root.join("ledger");
    let old = ledger.join("BLOCKHIE").exists();
    let store = RocksStore::open_or_create(&ledger, &genesis(), &StoreConfig::small()).unwrap();
    let start = height_of(&store).unwrap();
    for i in start + 1..=start + DEEDS {
        extend(&store, i);
        println!("\ntip {i}");
    }
    // Bodies come, and all that have come are pruned.
    let last = start + DEEDS;
    for i in start + 1..=last {
        store.commit(vec![Op::PutTx(body(i))]).unwrap();
        println!("\nbody {i}");
    }
    let mut batch: Vec<Op> = (1..=last).map(|i| Op::DropTx(body(i).hash)).collect();
    batch.push(Op::Pruned(Pruned { below: last + 1, next: 0 }));
    store.commit(batch).unwrap();
    println!("\npruned {last}");
    if old {
        let backup = root.join(format!("backup-{start}"));
        store.checkpoint(&backup).unwrap();
        println!("\nbackup {start}");
        let restored = root.join(format!("restored-{start}"));
        drop(RocksStore::restore(&backup, &restored, None, &StoreConfig::small()).unwrap());
        println!("\nrestored {start}");
    }
    let blobs = FolderBlobs::open(&root.join("blobs")).unwrap();
    let map = KeyValue::open(&root.join("map")).unwrap();
    for i in start + 1..=start + DEEDS {
        blobs.put(&address(i), &bytes(i)).unwrap();
        println!("\nblob {i}");
        map.put_all(vec![(i.to_be_bytes().to_vec(), Some(bytes(i)))]).unwrap();
        println!("\nkey {i}");
    }
    blobs.delete(&address(last)).unwrap();
    println!("\nnoblob {last}");
    map.put_all(vec![(last.to_be_bytes().to_vec(), None)]).unwrap();
    map.scrub(&[&last.to_be_bytes()]).unwrap();
    println!("\nnokey {last}");
}

fn live(root: &Path, crash: Option<&str>) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "tests::points::child_lives"])
        .env(FOLDER, root)
        .env(VARIABLE, crash.unwrap_or_default())
        .output()
        .unwrap()
}

/// The numbers that a life told with this word.
fn told(output: &Output, word: &str) -> Vec<u64> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers = text.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ')?.parse().ok());
    numbers.collect()
}

/// Everything that this life told must be so.
fn check(root: &Path, output: &Output) {
    let ledger = root.join("ledger");
    let tip = told(output, "tip").last().copied().unwrap_or(0);
    match open(&ledger) {
        Ok(store) => {
            let height = height_of(&store).unwrap();
            assert!(tip <= height, "tip {tip} was told, {height} is there");
            let view = store.snapshot();
            let below = view.pruned().unwrap().below;
            assert!(told(output, "pruned").iter().all(|told| *told < below));
            for i in told(output, "body") {
                assert_eq!(view.tx(&body(i).hash).unwrap().is_some(), i >= below, "body {i}, pruned below {below}");
            }
        }
        // it died while the store was made
        Err(StoreError::NotAStore { .. }) if tip == 0 => {}
        Err(error) => panic!("{error}"),
    }
    for start in told(output, "backup") {
        let (backup, to) = (root.join(format!("backup-{start}")), root.join("again"));
        let _ = std::fs::remove_dir_all(&to);
        let store = RocksStore::restore(&backup, &to, None, &StoreConfig::small()).unwrap();
        assert_eq!(height_of(&store), Ok(start + DEEDS));
    }
    for start in told(output, "restored") {
        assert_eq!(height_of(&open(&root.join(format!("restored-{start}"))).unwrap()), Ok(start + DEEDS));
    }
    let blobs = FolderBlobs::open(&root.join("blobs")).unwrap();
    let map = KeyValue::open(&root.join("map")).unwrap();
    let (noblob, nokey) = (told(output, "noblob"), told(output, "nokey"));
    for i in told(output, "blob") {
        let there = blobs.get(&address(i)).unwrap();
        // the last of a life is deleted: it may be gone although that was not told
        assert!(there.is_some() != noblob.contains(&i) || (i % DEEDS == 0 && there.is_none()), "blob {i}");
        assert!(there.is_none_or(|there| there == bytes(i)));
    }
    for i in told(output, "key") {
        let there = map.get(&i.to_be_bytes()).unwrap();
        assert!(there.is_some() != nokey.contains(&i) || (i % DEEDS == 0 && there.is_none()), "key {i}");
        assert!(there.is_none_or(|there| there == bytes(i)));
    }
}

/// At which of its visits a process dies at a point. What happens in several places is met in each.
fn visits(point: &str) -> &'static [u64] {
    match point {
        "open.recovering" => &[1, 2, 4],
        _ if point.starts_with("file.") => &[1, 2, 3, 5],
        _ if point.starts_with("batch.") => &[1, 3, 6],
        "folder.made" => &[1, 2, 4],
        _ => &[1],
    }
}

/// Dies at the `visit`-th visit of a point, and comes back.
fn die(point: &str, visit: u64) {
    let crash = format!("{point}:{visit}");
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut output = live(root, Some(&crash));
    if output.status.success() {
        // what only a store that is there already comes to
        check(root, &output);
        output = live(root, Some(&crash));
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.signal(), Some(KILLED), "{crash}: {}: {said}", output.status);
    assert!(said.contains(&format!("crash at {crash}")), "{crash}: {said}");
    check(root, &output);
    let output = live(root, None);
    assert!(output.status.success(), "after {crash}: {}", String::from_utf8_lossy(&output.stderr));
    check(root, &output);
}

fn own_points() -> impl Iterator<Item = &'static str> {
    let of_nodes = |name: &str| OF_NODES.iter().any(|start| name.starts_with(start));
    POINTS.iter().map(|(name, _)| *name).filter(move |name| !of_nodes(name))
}

#[test]
fn a_death_at_any_point_of_the_store_loses_nothing_that_was_told() {
    let deaths: Vec<_> =
        own_points().flat_map(|point| visits(point).iter().map(move |visit| (point, *visit))).collect();
    assert!(deaths.len() >= 55, "{}", deaths.len());
    // They wait for the disk most of the time: beside each other.
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some((point, visit)) = deaths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    die(point, *visit);
                }
            });
        }
    });
}

#[test]
fn a_point_that_does_not_exist_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in ["nonsense:1", "batch.synced", "batch.synced:0", "batch.synced:x"] {
        let output = live(folder.path(), Some(wrong));
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("expected POINT:N"), "{wrong}");
    }
}
