use super::*;
use crate::columns::{BLOCKS, NAMES, TXS};
use crate::free_bytes;
use blockhie_core::store::conformance;
use blockhie_core::tx::StoredTx;
use blockhie_core::{SecretKey, StoreError};
use bytes::Bytes;
use std::cell::RefCell;

#[test]
fn conforms() {
    let folders = RefCell::new(Vec::new());
    conformance::run_store(&|| {
        let folder = tempfile::tempdir().unwrap();
        let store = create(&folder.path().join("ledger"));
        folders.borrow_mut().push(folder);
        Box::new(store)
    });
}

#[test]
fn reopening_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/ledger");
    let store = create(&path);
    assert_eq!(store.path(), path);
    for i in 1..=300 {
        extend(&store, i);
    }
    drop(store);
    for _ in 0..2 {
        assert_eq!(height_of(&open(&path).unwrap()), Ok(300));
    }
    let store = RocksStore::open_or_create(&path, &genesis(), &StoreConfig::default()).unwrap();
    assert_eq!(height_of(&store), Ok(300));
    assert_eq!(store.verify(), Ok(3 * 300 + 1));
}

#[test]
fn the_page_lists_every_column_family() {
    let page = include_str!("../../../../docs/store.md");
    let listed: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name))
        .take(NAMES.len())
        .collect();
    assert_eq!(listed, NAMES);
}

#[test]
fn threads_read_while_one_writes() {
    let folder = tempfile::tempdir().unwrap();
    let store = create(&folder.path().join("ledger"));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| while height_of(&store).unwrap() < 50 {});
        }
        (1..=50).for_each(|i| extend(&store, i));
    });
}

#[test]
fn a_damaged_value_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let store = create(&folder.path().join("ledger"));
    let family = |name| store.db.cf_handle(name).unwrap();
    let read = |height| store.snapshot().hash_at(height).unwrap_err();
    let key = |height: u64| height.to_be_bytes();
    store.db.put_cf(family("heights"), key(1), []).unwrap();
    store.db.put_cf(family("heights"), key(2), [9, 0]).unwrap();
    store.db.put_cf(family("heights"), key(3), [1, 32, 0]).unwrap();
    store.db.put_cf(family("heights"), key(4), [&[1, 32][..], &[0; 33]].concat()).unwrap();
    for height in 1..=4 {
        let StoreError::Corrupt { what, .. } = read(height) else { panic!("height {height}") };
        assert_eq!(what, format!("heights/{height:016x}"));
    }
    assert_eq!(
        read(2).to_string(),
        "store: heights/0000000000000002: expected value version 1, got value version 9 \
         (run fsck; restore a backup or sync anew)"
    );
    assert!(matches!(store.verify(), Err(StoreError::Corrupt { .. })));
    // a key of another length shows in scans
    store.db.put_cf(family("history_nodes"), [1, 2, 3], [1]).unwrap();
    assert!(matches!(store.snapshot().history_page(None, 9), Err(StoreError::Corrupt { .. })));
    store.db.delete_cf(family("meta"), b"meta").unwrap();
    assert!(matches!(store.snapshot().meta(), Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_value_under_another_key_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let store = create(&folder.path().join("ledger"));
    let from = SecretKey::from_seed([3; 32]).public();
    let tx = StoredTx { time_ms: 9, tx_type: 1, from, to: None, body: Bytes::from_static(b"x"), hash: hash(6) };
    store.commit(vec![Op::PutTx(tx.clone())]).unwrap();
    let moved = |name| {
        let family = store.db.cf_handle(name).unwrap();
        let value = store.db.get_cf(family, tx.hash.0).unwrap().unwrap();
        store.db.put_cf(family, hash(5).0, value).unwrap();
    };
    moved(TXS.name);
    let expected = Err(StoreError::Corrupt {
        what: format!("{}/{}", TXS.name, hash(5)),
        expected: hash(5).to_string(),
        got: tx.hash.to_string(),
    });
    assert_eq!(store.snapshot().tx(&hash(5)), expected);
    assert!(store.snapshot().tx(&tx.hash).is_ok());
    let header = blockhie_core::Header {
        previous: hash(0),
        tx_root: hash(1),
        history_root: hash(1),
        siblings_root: hash(1),
        miner: hash(1),
        height: 1,
        time_ms: 1,
        tx_count: 0,
        target: blockhie_core::CompactTarget::MOST,
        nonce: 0,
    };
    let block = blockhie_core::Block { hash: tx.hash, header, txhashes: vec![], siblings: vec![], signature: None };
    store.commit(vec![Op::PutBlock(block)]).unwrap();
    moved(BLOCKS.name);
    assert!(matches!(store.snapshot().block(&hash(5)), Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_backup_is_of_one_moment_and_comes_back_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup, other) = (folder.path().join("a"), folder.path().join("x/backup"), folder.path().join("b"));
    let store = create(&path);
    (1..=20).for_each(|i| extend(&store, i));
    store.checkpoint(&backup).unwrap();
    (21..=25).for_each(|i| extend(&store, i));
    assert!(matches!(store.checkpoint(&backup), Err(StoreError::Io { action: "make a backup", .. })));

    let chain = genesis().chain_id();
    let restore = |to: &Path| RocksStore::restore(&backup, to, Some(&chain), &StoreConfig::small());
    let copy = restore(&other).unwrap();
    assert_eq!(height_of(&copy), Ok(20));
    extend(&copy, 21);
    drop(copy);
    assert_eq!(height_of(&open(&other).unwrap()), Ok(21));
    assert_eq!(height_of(&store), Ok(25));
    // it is there to be restored again: not opened, not changed, and never over a store
    assert!(matches!(open(&backup), Err(StoreError::NotAStore { .. })));
    assert!(matches!(restore(&other), Err(StoreError::Io { action: "restore a backup", .. })));
    assert!(matches!(
        RocksStore::restore(&path, &folder.path().join("c"), None, &StoreConfig::small()),
        Err(StoreError::NotAStore { .. })
    ));
    let foreign = RocksStore::restore(&backup, &folder.path().join("d"), Some(&hash(1)), &StoreConfig::small());
    assert!(matches!(foreign, Err(StoreError::ForeignChain { .. })));
    // what that refused restoring left is replaced by the next
    assert_eq!(height_of(&restore(&folder.path().join("d")).unwrap()), Ok(20));
}

#[test]
fn a_rotten_backup_is_not_restored() {
    let folder = tempfile::tempdir().unwrap();
    let (backup, other) = (folder.path().join("backup"), folder.path().join("b"));
    let store = create(&folder.path().join("a"));
    (1..=20).for_each(|i| extend(&store, i));
    store.checkpoint(&backup).unwrap();
    let names = std::fs::read_dir(&backup).unwrap().map(|entry| entry.unwrap().path());
    let tables: Vec<_> = names.filter(|name| name.extension().is_some_and(|e| e == "sst")).collect();
    assert!(tables.len() >= 4, "{tables:?}");
    for table in tables {
        let sound = std::fs::read(&table).unwrap();
        let mut bytes = sound.clone();
        bytes[10] ^= 1; // in the first data block
        std::fs::remove_file(&table).unwrap(); // it is a hard link
        std::fs::write(&table, bytes).unwrap();
        let restored = RocksStore::restore(&backup, &other, None, &StoreConfig::small());
        assert!(matches!(restored, Err(StoreError::Corrupt { .. })), "{restored:?}");
        assert!(matches!(open(&other), Err(StoreError::NotAStore { .. })));
        std::fs::write(&table, sound).unwrap();
    }
    assert!(RocksStore::restore(&backup, &other, None, &StoreConfig::small()).is_ok());
}

#[test]
fn free_space_is_told() {
    let folder = tempfile::tempdir().unwrap();
    assert!(free_bytes(folder.path()).unwrap() > 0);
    assert!(matches!(free_bytes(&folder.path().join("absent")), Err(StoreError::Io { .. })));
}
