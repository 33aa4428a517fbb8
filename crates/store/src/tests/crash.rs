//! Power cuts, kills and rot, as far as files alone can play them.

use super::*;
use crate::{FolderBlobs, KeyValue};
use blockhie_core::StoreError;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::ops::RangeInclusive;
use std::process::{Child, Command, Stdio};

const FOLDER: &str = "BLOCKHIE_STORE_TEST_FOLDER";

/// Starts this test binary again, to run one of the ignored tests below on a folder.
fn child(test: &str, path: &Path) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", &format!("tests::crash::{test}")])
        .env(FOLDER, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    (child, lines)
}

/// The lines `at N` of a child, N in turn.
fn next_mark(lines: &mut impl BufRead) -> u64 {
    loop {
        let mut line = String::new();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the child ended before its time");
        // the harness prints the test's name before the first line without ending the line
        if let Some((_, number)) = line.trim_end().rsplit_once("at ") {
            return number.parse().unwrap();
        }
    }
}

#[test]
#[ignore = "the child of another test"]
fn child_holds_everything_open() {
    let Some(path) = std::env::var_os(FOLDER) else { return };
    let path = Path::new(&path);
    let held = (
        open(&path.join("l")).unwrap(),
        KeyValue::open(&path.join("k")).unwrap(),
        FolderBlobs::open(&path.join("b")).unwrap(),
    );
    println!("at 0");
    let _ = std::io::stdin().read(&mut [0]);
    drop(held);
}

#[test]
fn another_process_finds_it_locked() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, map, blobs) = (folder.path().join("l"), folder.path().join("k"), folder.path().join("b"));
    drop(create(&ledger));
    let (mut child, mut lines) = child("child_holds_everything_open", folder.path());
    assert_eq!(next_mark(&mut lines), 0);
    let locked = |path: &Path| StoreError::Locked { path: path.display().to_string() };
    assert_eq!(open(&ledger).unwrap_err(), locked(&ledger));
    assert_eq!(KeyValue::open(&map).unwrap_err(), locked(&map));
    assert_eq!(FolderBlobs::open(&blobs).unwrap_err(), locked(&blobs));
    child.kill().unwrap();
    child.wait().unwrap();
    // a killed holder leaves no lock behind
    assert!(open(&ledger).is_ok() && KeyValue::open(&map).is_ok() && FolderBlobs::open(&blobs).is_ok());
}

#[test]
#[ignore = "the child of another test"]
fn child_commits_for_ever() {
    let Some(path) = std::env::var_os(FOLDER) else { return };
    let store = RocksStore::open_or_create(Path::new(&path), &genesis(), &StoreConfig::small()).unwrap();
    let start = height_of(&store).unwrap();
    for i in start + 1.. {
        extend(&store, i);
        println!("at {i}");
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    drop(create(&path));
    let mut least = 0;
    for round in 1..=8 {
        let (mut child, mut lines) = child("child_commits_for_ever", &path);
        for _ in 0..5 * round {
            least = next_mark(&mut lines);
        }
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        let height = height_of(&open(&path).unwrap()).unwrap();
        assert!(height >= least, "acknowledged {least}, there {height}");
    }
    assert!(least >= 5 * 36);
}

#[test]
fn a_torn_end_costs_only_the_batch_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    let (path, torn) = (folder.path().join("ledger"), folder.path().join("torn"));
    let store = create(&path);
    extend(&store, 1);
    extend(&store, 2);
    let log = newest_log(&path);
    let synced = fs::metadata(&log).unwrap().len();
    extend(&store, 3);
    let whole = fs::metadata(&log).unwrap().len();
    assert!(whole > synced + 100);
    drop(store);
    let cuts = (synced..whole).step_by(11).chain([synced + 1, whole - 1, whole]);
    for length in cuts {
        copy_folder(&path, &torn);
        let log = fs::OpenOptions::new().write(true).open(newest_log(&torn)).unwrap();
        log.set_len(length).unwrap();
        let height = height_of(&open(&torn).unwrap());
        assert_eq!(height, Ok(if length == whole { 3 } else { 2 }), "cut at {length} of {synced}..{whole}");
    }
    // and it goes on from there
    let log = fs::OpenOptions::new().write(true).open(newest_log(&path)).unwrap();
    log.set_len(whole - 1).unwrap();
    let store = open(&path).unwrap();
    extend(&store, 3);
    drop(store);
    assert_eq!(height_of(&open(&path).unwrap()), Ok(3));
}

#[test]
fn a_damaged_record_before_the_end_is_refused_not_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let store = create(&path);
    extend(&store, 1);
    let log = newest_log(&path);
    let middle = usize::try_from(fs::metadata(&log).unwrap().len()).unwrap() - 20;
    (2..=5).for_each(|i| extend(&store, i));
    drop(store);
    let mut bytes = fs::read(&log).unwrap();
    bytes[middle] ^= 4;
    fs::write(&log, bytes).unwrap();
    let refused = open(&path).unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused:?}");
}

/// Flips bits all over a store. Each must be refused, or harmless, or (a length in the last log, which then looks torn)
/// leave an older whole store; never another content. Heights other than `heights` fail
/// the test. Answers how many were refused.
fn flip_bits(path: &Path, copy: &Path, heights: RangeInclusive<u64>, flips: usize) -> usize {
    let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
    // not those that nobody reads back: RocksDB's own logs, its record of options, the lock
    let unread = |name: &str| ["LOCK", "LOG", "OPTIONS", "IDENTITY"].iter().any(|start| name.starts_with(start));
    let files: Vec<_> = names.filter(|name| !unread(&name.to_string_lossy())).collect();
    let total: usize = files.iter().map(|name| fs::read(path.join(name)).unwrap().len()).sum();
    let mut refused = 0;
    for flip in 0..flips {
        let mut at = flip * (total / flips) + flip % 8;
        copy_folder(path, copy);
        for name in &files {
            let file = copy.join(name);
            let mut bytes = fs::read(&file).unwrap();
            if at < bytes.len() {
                bytes[at] ^= 1 << (flip % 8);
                fs::write(&file, bytes).unwrap();
                break;
            }
            at -= bytes.len();
        }
        match open(copy).and_then(|store| height_of(&store)) {
            Ok(height) => assert!(heights.contains(&height), "bit {flip}: {height}"),
            Err(_) => refused += 1,
        }
    }
    refused
}

#[test]
fn flipped_bits_are_refused_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("ledger"), folder.path().join("copy"));
    let store = create(&path);
    (1..=40).for_each(|i| extend(&store, i));
    drop(store);
    let in_log = flip_bits(&path, &copy, 0..=40, 32);
    // a checkpoint has all of it in tables, and from them nothing may go missing
    let (backup, tables) = (folder.path().join("backup"), folder.path().join("tables"));
    open(&path).unwrap().checkpoint(&backup).unwrap();
    drop(RocksStore::restore(&backup, &tables, None, &StoreConfig::small()).unwrap());
    let in_tables = flip_bits(&tables, &copy, 40..=40, 32);
    // harmless are a Bloom filter's bits, and hardly anything else
    assert!(in_log > 24 && in_tables > 24, "{in_log} and {in_tables} of 32 refused");
}

#[test]
#[ignore = "needs a file system of 64 MiB for itself: cargo xtask fulldisk"]
fn a_full_disk_refuses_and_takes_again_when_freed() {
    let Some(disk) = std::env::var_os("BLOCKHIE_DISK") else { return };
    let fillings = std::env::var("BLOCKHIE_FILLINGS").map_or(20, |text| text.parse::<u64>().unwrap());
    let (path, ballast) = (Path::new(&disk).join("ledger"), Path::new(&disk).join("ballast"));
    let store = create(&path);
    let (mut height, mut refusals) = (0, 0);
    for round in 0..fillings {
        // fills what is left but for a little, then commits until that is gone
        let space = crate::free_bytes(&path).unwrap().saturating_sub(1 << 20);
        fs::write(&ballast, vec![1; usize::try_from(space).unwrap()]).unwrap();
        let filler = |i: u64| (0..64u64).map(|j| Op::HistoryNode(1, i * 64 + j, Some(hash(i ^ j)))).collect();
        let full = (round * 10_000..).find_map(|i| store.commit(filler(i)).err()).unwrap();
        assert!(matches!(&full, StoreError::Io { hint: Some(_), .. }), "{full:?}");
        assert_eq!(height_of(&store), Ok(height), "it still serves");
        fs::remove_file(&ballast).unwrap();
        // RocksDB looks every few seconds whether there is space again
        while let Err(error) = store.commit(vec![]).and_then(|()| store.commit(vec![Op::Pending(hash(0), None)])) {
            refusals += 1;
            assert!(refusals < fillings * 600, "{error}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        height += 1;
        extend(&store, height);
    }
    drop(store);
    assert_eq!(height_of(&open(&path).unwrap()), Ok(height));
    println!("filled and freed {fillings} times; refused {refusals} times more while RocksDB waited");
}
