use super::*;
use crate::marker::{FILE, LEDGER, State, look};
use crate::{FolderBlobs, KeyValue};
use blockhie_core::StoreError;
use blockhie_core::store::{FORMAT_VERSION, OLDEST_FORMAT_VERSION, Pruned};
use std::fs;

fn create_in(path: &Path) -> Result<RocksStore, StoreError> {
    RocksStore::create(path, &genesis(), &StoreConfig::small())
}

#[test]
fn another_chain_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    drop(create(&path));
    let expected = other_genesis().chain_id();
    let refusal = StoreError::ForeignChain { expected, got: genesis().chain_id() };
    assert_eq!(RocksStore::open(&path, Some(&expected), &StoreConfig::small()).unwrap_err(), refusal);
    let made = RocksStore::open_or_create(&path, &other_genesis(), &StoreConfig::small());
    assert_eq!(made.unwrap_err(), refusal);
    assert!(RocksStore::open(&path, None, &StoreConfig::small()).is_ok());
}

#[test]
fn another_version_is_refused_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    drop(create(&path));
    let marker = path.join(FILE);
    assert_eq!(fs::read_to_string(&marker).unwrap(), "blockhie ledger 3 ready\n");
    for got in [0, FORMAT_VERSION + 1] {
        fs::write(&marker, format!("blockhie ledger {got} ready\n")).unwrap();
        let names = || fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        let before = names();
        assert_eq!(open(&path).unwrap_err(), StoreError::Version { expected: FORMAT_VERSION, got });
        assert_eq!(create_in(&path).unwrap_err(), StoreError::Version { expected: FORMAT_VERSION, got });
        assert_eq!(names(), before);
    }
    fs::write(&marker, "blockhie ledger 3 ready\n").unwrap();
    // the entry inside counts too
    let store = open(&path).unwrap();
    let mut meta = store.snapshot().meta().unwrap();
    meta.format_version = 0;
    store.commit(vec![Op::Meta(meta)]).unwrap();
    drop(store);
    assert_eq!(open(&path).unwrap_err(), StoreError::Version { expected: FORMAT_VERSION, got: 0 });
}

/// Makes of a store what the release with this version left: 1 had neither `listed` nor `side`, 2 neither `carried` nor
/// `pruned`. It says that it is of version `says`.
fn make_old(path: &Path, version: u32, says: u32) {
    let mut store = open(path).unwrap();
    let mut meta = store.snapshot().meta().unwrap();
    meta.format_version = says;
    store.commit(vec![Op::Meta(meta)]).unwrap();
    let new: &[&str] = if version < 2 { &["listed", "side"] } else { &[] };
    for name in [new, &["carried", "pruned"]].concat() {
        store.db.drop_cf(name).unwrap();
    }
    drop(store);
    fs::write(path.join(FILE), format!("blockhie ledger {says} ready\n")).unwrap();
}

#[test]
fn an_older_store_that_can_be_read_is_brought_to_this_version() {
    let ready = |version: u32| format!("blockhie ledger {version} ready\n");
    for version in OLDEST_FORMAT_VERSION..FORMAT_VERSION {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let store = create(&path);
        extend(&store, 1);
        drop(store);
        make_old(&path, version, version);
        for _ in 0..2 {
            let store = open(&path).unwrap();
            assert_eq!(height_of(&store), Ok(1));
            assert_eq!(store.snapshot().meta().unwrap().format_version, FORMAT_VERSION);
            assert_eq!(store.snapshot().side_page(None, 9), Ok(vec![]));
            assert_eq!(store.snapshot().pruned(), Ok(Pruned::default()));
            assert_eq!(fs::read_to_string(path.join(FILE)).unwrap(), ready(FORMAT_VERSION));
        }
        // A crash after the entry inside was written and before the marker was.
        fs::write(path.join(FILE), ready(version)).unwrap();
        assert_eq!(height_of(&open(&path).unwrap()), Ok(1));
        // A backup of such a store restores.
        make_old(&path, version, version);
        fs::write(path.join(FILE), format!("blockhie ledger {version} backup\n")).unwrap();
        let copy = folder.path().join("copy");
        let store = RocksStore::restore(&path, &copy, None, &StoreConfig::small()).unwrap();
        assert_eq!((height_of(&store), store.snapshot().meta().unwrap().format_version), (Ok(1), FORMAT_VERSION));
        // What lost a family and does not say that it is old enough is damaged, and nothing is made up for it.
        drop(store);
        for newer in version + 1..=FORMAT_VERSION {
            let damaged = folder.path().join(newer.to_string());
            copy_folder(&copy, &damaged);
            make_old(&damaged, version, newer);
            assert!(open(&damaged).is_err(), "{version} that says {newer}");
        }
    }
}

#[test]
fn what_is_no_store_is_refused_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let reason = |result: Result<RocksStore, StoreError>| match result.unwrap_err() {
        StoreError::NotAStore { reason, .. } => reason,
        other => panic!("{other}"),
    };
    assert_eq!(reason(open(&path)), "there is nothing in it yet");
    fs::create_dir(&path).unwrap();
    assert_eq!(reason(open(&path)), "there is nothing in it yet");
    fs::write(path.join("holiday.jpg"), "x").unwrap();
    assert_eq!(reason(open(&path)), "it is not empty and has no BLOCKHIE file");
    assert_eq!(reason(create_in(&path)), "it is not empty and has no BLOCKHIE file");
    assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    assert_eq!(reason(open(&path.join("holiday.jpg"))), "it is not a folder");
    for text in ["", "\u{fffd}", "blockhie ledger x ready\n", "blockhie ledger 3 perhaps\n", "blockhie ledger 3\n"] {
        fs::write(path.join(FILE), text).unwrap();
        assert!(reason(open(&path)).starts_with("its BLOCKHIE file: expected"));
    }
    // and the folders of the other kinds
    let (map, blobs, ledger) = (folder.path().join("map"), folder.path().join("blobs"), folder.path().join("a"));
    drop((KeyValue::open(&map).unwrap(), FolderBlobs::open(&blobs).unwrap(), create(&ledger)));
    assert_eq!(reason(open(&map)), "it holds a \"keyvalue\" store, expected \"ledger\"");
    assert_eq!(reason(create_in(&blobs)), "it holds a \"blobs\" store, expected \"ledger\"");
    assert!(matches!(KeyValue::open(&ledger), Err(StoreError::NotAStore { .. })));
    assert!(matches!(FolderBlobs::open(&ledger), Err(StoreError::NotAStore { .. })));
}

#[test]
fn a_store_is_not_made_over_another() {
    let folder = tempfile::tempdir().unwrap();
    drop(create(folder.path()));
    assert!(matches!(create_in(folder.path()), Err(StoreError::Io { action: "create a store", .. })));
    assert!(open(folder.path()).is_ok());
}

#[test]
fn an_interrupted_creation_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let store = create(&path);
    extend(&store, 1);
    fs::write(path.join(FILE), "blockhie ledger 3 making\n").unwrap();
    // by another, while the first is still at it: not taken from under it
    assert!(matches!(create_in(&path), Err(StoreError::Locked { .. })));
    drop(store);
    assert!(matches!(open(&path), Err(StoreError::NotAStore { .. })));
    let store = RocksStore::open_or_create(&path, &genesis(), &StoreConfig::small()).unwrap();
    assert_eq!(height_of(&store), Ok(0));
    assert_eq!(look(&path, LEDGER), Ok(State::Ready));
}

#[test]
fn a_second_open_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let store = create(&path);
    assert_eq!(open(&path).unwrap_err(), StoreError::Locked { path: path.display().to_string() });
    drop(store);
    assert!(open(&path).is_ok());
}

#[test]
fn entries_that_are_not_of_one_tip_change_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let store = create(&path);
    (1..=3).for_each(|i| extend(&store, i));
    drop(store);
    let sound = folder.path().join("sound");
    copy_folder(&path, &sound);
    let index = Op::PutIndex(
        hash(9),
        IndexRow { height: 9, ..open(&sound).unwrap().snapshot().index(&hash(3)).unwrap().unwrap() },
    );
    let meta = blockhie_core::store::Meta { tip: Some(hash(9)), ..blockhie_core::store::Meta::new(&genesis()) };
    let cases = [
        vec![Op::Height(4, Some(hash(4)))],
        vec![Op::Height(3, None)],
        vec![Op::Meta(meta.clone())],
        vec![Op::Meta(meta), index],
        vec![Op::Meta(blockhie_core::store::Meta { chain_id: hash(1), ..blockhie_core::store::Meta::new(&genesis()) })],
    ];
    for case in cases {
        copy_folder(&sound, &path);
        let store = open(&path).unwrap();
        store.commit(case.clone()).unwrap();
        drop(store);
        assert!(matches!(open(&path), Err(StoreError::Corrupt { .. })), "{case:?}");
    }
}

#[test]
fn a_missing_or_unknown_column_family_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut store = create(&path);
    store.db.create_cf("later", &rocksdb::Options::default()).unwrap();
    drop(store);
    let unknown = open(&path).unwrap_err();
    assert!(matches!(unknown, StoreError::Corrupt { .. }), "{unknown:?}");
    let path = folder.path().join("b");
    let mut store = create(&path);
    store.db.drop_cf("undo").unwrap();
    drop(store);
    let missing = open(&path).unwrap_err();
    assert!(matches!(missing, StoreError::Corrupt { .. }), "{missing:?}");
    let path = folder.path().join("c");
    drop(create(&path));
    fs::remove_file(path.join("CURRENT")).unwrap();
    let headless = open(&path).unwrap_err();
    assert!(matches!(headless, StoreError::Corrupt { .. }), "{headless:?}");
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let refused = create_in(&folder.path().join("file/ledger")).unwrap_err();
    assert!(matches!(refused, StoreError::Io { .. }), "{refused:?}");
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig { max_open_files: 3, ..StoreConfig::default() };
    let refused = RocksStore::create(folder.path(), &genesis(), &config).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "store: read the store's configuration: max_open_files: expected 32 to 1048576, got 3"
    );
    for config in [
        StoreConfig { block_cache_bytes: 0, ..StoreConfig::default() },
        StoreConfig { write_buffer_bytes: u64::MAX, ..StoreConfig::default() },
        StoreConfig { max_wal_bytes: 1, ..StoreConfig::default() },
    ] {
        assert!(config.check().is_err());
    }
    assert_eq!((StoreConfig::default().check(), StoreConfig::small().check()), (Ok(()), Ok(())));
}
