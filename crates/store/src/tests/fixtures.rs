//! Stores that earlier releases wrote. They open and read, or are refused with a hint and left as they are.
//!
//! `fixtures/KIND-VERSION` is one of each kind and format version. A new format version needs a new one:
//! `cargo test -p blockhie-store --lib -- --ignored write_the_fixtures` adds what is missing. Old ones stay for ever.

use super::*;
use crate::marker::{BLOBS, FILE, KEY_VALUE, LEDGER};
use crate::{FolderBlobs, KeyValue};
use blockhie_core::{BlobStore, Block, CompactTarget, Header, StoreError};
use std::fs;
use std::path::PathBuf;

/// Height of the ledger, its last two in the log.
const HEIGHT: u64 = 12;
/// RocksDB makes these anew, and does not need them.
const NOT_KEPT: [&str; 4] = ["LOG", "OPTIONS", "LOCK", "IDENTITY"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn blob() -> (Hash32, Vec<u8>) {
    let bytes = hash(1).0.repeat(4);
    (Hash32(*blake3::hash(&bytes).as_bytes()), bytes)
}

/// Two blocks beside the chain that carry three transactions, one of them both.
fn beside(store: &RocksStore) {
    for (height, txs) in [(5, [1, 2]), (6, [2, 3])] {
        let header = Header {
            previous: hash(height - 1),
            tx_root: hash(100),
            history_root: hash(101),
            siblings_root: hash(102),
            miner: hash(103),
            height,
            time_ms: 5,
            tx_count: 2,
            target: CompactTarget::MOST,
            nonce: 6,
        };
        let own = hash(500 + height);
        let txhashes = txs.map(hash).to_vec();
        let block = Block { hash: own, header, txhashes, siblings: vec![], signature: None };
        let mut ops: Vec<_> = block.txhashes.iter().map(|txhash| Op::Carried((*txhash, own), true)).collect();
        ops.extend([Op::PutBlock(block), Op::Side((height, own), Some(HEIGHT))]);
        store.commit(ops).unwrap();
    }
}

/// Copies files and folders, but for [`NOT_KEPT`].
fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            copy_all(&entry.path(), &to.join(name));
        } else if !NOT_KEPT.iter().any(|start| name.starts_with(start)) {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

#[test]
#[ignore = "writes into the source tree; for a new format version"]
fn write_the_fixtures() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let store = create(&at("ledger"));
    (1..=HEIGHT - 2).for_each(|i| extend(&store, i));
    drop(store);
    let store = open(&at("ledger")).unwrap();
    (HEIGHT - 1..=HEIGHT).for_each(|i| extend(&store, i));
    beside(&store);
    drop(store);
    KeyValue::open(&at("keyvalue")).unwrap().put_all(vec![(b"key".to_vec(), Some(b"value".to_vec()))]).unwrap();
    let (address, bytes) = blob();
    FolderBlobs::open(&at("blobs")).unwrap().put(&address, &bytes).unwrap();
    for kind in [LEDGER, KEY_VALUE, BLOBS] {
        let target = fixtures().join(format!("{}-{}", kind.name, kind.version));
        if !target.exists() {
            copy_all(&at(kind.name), &target);
        }
    }
}

/// Opens and reads it, or answers why it is refused.
fn read(kind: &str, path: &Path) -> Result<(), StoreError> {
    match kind {
        "ledger" => {
            let foreign = RocksStore::open(path, Some(&other_genesis().chain_id()), &StoreConfig::small());
            if let Err(error @ StoreError::ForeignChain { .. }) = &foreign {
                assert!(error.to_string().contains("belongs to another chain"), "{error}");
            }
            let store = RocksStore::open(path, None, &StoreConfig::small())?;
            assert!(matches!(foreign, Err(StoreError::ForeignChain { .. })), "{foreign:?}");
            assert_eq!(height_of(&store), Ok(HEIGHT));
            // What version 3 notes of blocks beside the best chain.
            let view = store.snapshot();
            let mut carried = Vec::new();
            for ((_, hash), _) in view.side_page(None, 99)? {
                let block = view.block(&hash)?.expect("a block of `side`");
                carried.extend(block.txhashes.into_iter().map(|txhash| (txhash, hash)));
            }
            carried.sort_unstable();
            assert_eq!(carried.len(), if path.ends_with("ledger-1") { 0 } else { 4 });
            assert_eq!(view.carried_page(None, 99)?, carried);
            drop(view);
            extend(&store, HEIGHT + 1);
            drop(store);
            let store = RocksStore::open(path, None, &StoreConfig::small())?;
            assert_eq!(height_of(&store), Ok(HEIGHT + 1));
        }
        "keyvalue" => assert_eq!(KeyValue::open(path)?.get(b"key"), Ok(Some(b"value".to_vec()))),
        "blobs" => assert_eq!(FolderBlobs::open(path)?.get(&blob().0)?.as_deref(), Some(blob().1.as_slice())),
        other => panic!("{other} is no kind of store"),
    }
    Ok(())
}

#[test]
fn what_earlier_releases_wrote_is_read_or_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    for entry in fs::read_dir(fixtures()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let (kind, version) = name.rsplit_once('-').expect("KIND-VERSION");
        let version: u32 = version.parse().expect("a version");
        let present =
            [LEDGER, KEY_VALUE, BLOBS].into_iter().find(|present| present.name == kind).expect("a kind").version;
        let path = folder.path().join(&name);
        copy_all(&fixtures().join(&name), &path);
        let refused = |path: &Path, got: u32| {
            let before = fs::read_dir(path).unwrap().count();
            let error = read(kind, path).unwrap_err();
            assert_eq!(error, StoreError::Version { expected: present, got });
            assert!(error.to_string().contains("use the release that wrote it, or sync anew"), "{error}");
            assert_eq!(fs::read_dir(path).unwrap().count(), before, "left as it was");
        };
        match read(kind, &path) {
            Ok(()) => seen.push(kind.to_owned()),
            // older than this release can read
            Err(StoreError::Version { .. }) if version < present => refused(&path, version),
            Err(error) => panic!("{name}: {error}"),
        }
        // a later release's, after a downgrade; reading has brought an older one to the present version
        fs::write(path.join(FILE), format!("blockhie {kind} {} ready\n", present + 1)).unwrap();
        refused(&path, present + 1);
    }
    for kind in [LEDGER, KEY_VALUE, BLOBS] {
        let present = fixtures().join(format!("{}-{}", kind.name, kind.version));
        assert!(present.is_dir(), "{}: see the top of this file", present.display());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["blobs", "keyvalue", "ledger"], "one of each kind is read: see the top of this file");
}
