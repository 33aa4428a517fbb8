use crate::KeyValue;
use crate::marker::FILE;
use blockhie_core::StoreError;
use std::fs;

fn pair(key: &str, value: &str) -> (Vec<u8>, Option<Vec<u8>>) {
    (key.into(), Some(value.into()))
}

#[test]
fn it_is_an_ordered_map_that_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    let map = KeyValue::open(&path).unwrap();
    assert_eq!(map.get(b"a"), Ok(None));
    map.put_all(vec![pair("b", "2"), pair("a", "1"), pair("c", "3"), pair("x", "?"), (b"x".to_vec(), None)]).unwrap();
    map.put_all(vec![]).unwrap();
    drop(map);
    let map = KeyValue::open(&path).unwrap();
    assert_eq!(map.get(b"a"), Ok(Some(b"1".to_vec())));
    assert_eq!(map.get(b"x"), Ok(None));
    let keys = |start: &str, end: Option<&str>, limit| {
        let entries = map.range(start.as_bytes(), end.map(str::as_bytes), limit).unwrap();
        entries.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect::<String>()
    };
    assert_eq!(keys("", None, 9), "abc");
    assert_eq!(keys("b", None, 9), "bc");
    assert_eq!(keys("a", Some("c"), 9), "ab");
    assert_eq!(keys("", None, 2), "ab");
    assert_eq!(keys("c", Some("a"), 9), "");
    map.put_all(vec![(b"a".to_vec(), None), (b"never there".to_vec(), None)]).unwrap();
    assert_eq!(keys("", None, 9), "bc");
}

#[test]
fn it_refuses_what_is_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    let map = KeyValue::open(&path).unwrap();
    assert_eq!(KeyValue::open(&path).unwrap_err(), StoreError::Locked { path: path.display().to_string() });
    map.put_all(vec![pair("a", "1")]).unwrap();
    drop(map);
    fs::write(path.join(FILE), "blockhie keyvalue 3 ready\n").unwrap();
    assert_eq!(KeyValue::open(&path).unwrap_err(), StoreError::Version { expected: 2, got: 3 });
    fs::write(path.join(FILE), "blockhie ledger 1 ready\n").unwrap();
    assert!(matches!(KeyValue::open(&path), Err(StoreError::NotAStore { .. })));
    fs::write(path.join(FILE), "blockhie keyvalue 2 backup\n").unwrap();
    assert!(matches!(KeyValue::open(&path), Err(StoreError::NotAStore { .. })));
    fs::write(path.join(FILE), "blockhie keyvalue 2 ready\n").unwrap();
    assert_eq!(KeyValue::open(&path).unwrap().get(b"a"), Ok(Some(b"1".to_vec())));
    // an interrupted creation holds nothing
    fs::write(path.join(FILE), "blockhie keyvalue 2 making\n").unwrap();
    assert_eq!(KeyValue::open(&path).unwrap().get(b"a"), Ok(None));
    fs::remove_file(path.join("CURRENT")).unwrap();
    assert!(matches!(KeyValue::open(&path), Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_map_whose_manifest_lost_its_end_is_refused_or_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("map"), folder.path().join("copy"));
    let map = KeyValue::open(&path).unwrap();
    for round in 0..3 {
        map.put_all(vec![pair(&format!("key {round}"), "kept")]).unwrap();
        map.scrub(&[b"another"]).unwrap();
    }
    map.put_all(vec![pair("last", "in the log")]).unwrap();
    drop(map);
    let files = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
    let manifest =
        files.filter(|file| file.file_name().unwrap().to_string_lossy().starts_with("MANIFEST")).max().unwrap();
    let whole = fs::metadata(&manifest).unwrap().len();
    let mut refused = 0;
    for length in (0..whole).rev().step_by(7) {
        drop(fs::remove_dir_all(&copy));
        fs::create_dir(&copy).unwrap();
        for entry in fs::read_dir(&path).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        let cut = fs::OpenOptions::new().write(true).open(copy.join(manifest.file_name().unwrap())).unwrap();
        cut.set_len(length).unwrap();
        match KeyValue::open(&copy) {
            Err(_) => refused += 1,
            Ok(map) => {
                let kept = map.range(b"", None, 9).unwrap();
                assert_eq!(kept.len(), 4, "cut at {length} of {whole}: {kept:?}");
            }
        }
    }
    assert!(refused > 0);
}

/// Whether a file of the folder holds these bytes.
fn any_file_holds(folder: &std::path::Path, bytes: &[u8]) -> bool {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files.into_iter().any(|path| fs::read(path).unwrap().windows(bytes.len()).any(|window| window == bytes))
}

#[test]
fn what_was_removed_is_in_no_file_once_it_is_scrubbed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    let map = KeyValue::open(&path).unwrap();
    let secret = b"0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    map.put_all(vec![pair("a", "1"), (b"key".to_vec(), Some(secret.to_vec())), pair("z", "2")]).unwrap();
    map.put_all(vec![(b"key".to_vec(), None)]).unwrap();
    assert!(any_file_holds(&path, secret), "removing alone leaves it in the log, or this test shows nothing");
    map.scrub(&[b"key"]).unwrap();
    // An old log is removed by a thread of the database right after the flush.
    let gone = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        !any_file_holds(&path, secret)
    });
    assert!(gone);
    assert_eq!((map.get(b"a").unwrap(), map.get(b"z").unwrap()), (Some(b"1".to_vec()), Some(b"2".to_vec())));
    // Also when it stood in a table, and was set anew instead of removed.
    map.put_all(vec![(b"key".to_vec(), Some(secret.to_vec()))]).unwrap();
    map.scrub(&[b"key"]).unwrap();
    map.put_all(vec![pair("key", "new")]).unwrap();
    map.scrub(&[b"key"]).unwrap();
    drop(map);
    assert!(!any_file_holds(&path, secret));
    assert_eq!(KeyValue::open(&path).unwrap().get(b"key").unwrap(), Some(b"new".to_vec()));
}
