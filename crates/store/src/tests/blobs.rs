use super::hash;
use crate::FolderBlobs;
use blockhie_core::store::conformance;
use blockhie_core::{BlobStore, Hash32, StoreError};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

fn address(bytes: &[u8]) -> Hash32 {
    Hash32(*blake3::hash(bytes).as_bytes())
}

fn file(root: &Path, address: &Hash32) -> PathBuf {
    let name = address.to_string();
    root.join(&name[..2]).join(&name[2..4]).join(name)
}

/// The suite puts contents under an address that is not theirs; this gives each its own.
struct ByContent(FolderBlobs, Mutex<BTreeMap<Hash32, Hash32>>);

impl ByContent {
    fn own(&self, given: &Hash32) -> Hash32 {
        self.1.lock().unwrap().get(given).copied().unwrap_or(*given)
    }
}

impl BlobStore for ByContent {
    fn put(&self, given: &Hash32, bytes: &[u8]) -> Result<(), StoreError> {
        self.1.lock().unwrap().insert(*given, address(bytes));
        self.0.put(&address(bytes), bytes)
    }
    fn get(&self, given: &Hash32) -> Result<Option<Bytes>, StoreError> {
        self.0.get(&self.own(given))
    }
    fn delete(&self, given: &Hash32) -> Result<(), StoreError> {
        self.0.delete(&self.own(given))
    }
}

#[test]
fn conforms() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = FolderBlobs::open(&folder.path().join("vault")).unwrap();
    conformance::run_blobs(&ByContent(blobs, Mutex::default()));
}

#[test]
fn blobs_stay_and_destroyed_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/vault");
    let blobs = FolderBlobs::open(&path).unwrap();
    let all: Vec<Vec<u8>> = (0..50u8).map(|i| vec![i; usize::from(i)]).collect();
    for bytes in &all {
        blobs.put(&address(bytes), bytes).unwrap();
    }
    blobs.delete(&address(&all[7])).unwrap();
    assert!(!file(&path, &address(&all[7])).exists());
    drop(blobs);
    let blobs = FolderBlobs::open(&path).unwrap();
    for (i, bytes) in all.iter().enumerate() {
        let expected = (i != 7).then(|| Bytes::from(bytes.clone()));
        assert_eq!(blobs.get(&address(bytes)), Ok(expected));
    }
    assert_eq!(fs::read_dir(path.join("tmp")).unwrap().count(), 0);
}

#[test]
fn an_address_is_the_hash_of_the_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = FolderBlobs::open(folder.path()).unwrap();
    let bytes = b"ciphertext";
    let home = address(bytes);
    assert!(matches!(blobs.put(&hash(1), bytes), Err(StoreError::Corrupt { .. })));
    assert_eq!(blobs.get(&hash(1)), Ok(None));
    blobs.put(&home, bytes).unwrap();
    fs::write(file(folder.path(), &home), b"cipherteyt").unwrap();
    let expected = StoreError::Corrupt {
        what: format!("blob {home}"),
        expected: home.to_string(),
        got: address(b"cipherteyt").to_string(),
    };
    assert_eq!(blobs.get(&home), Err(expected));
    // put again from a good copy, it is sound again
    blobs.put(&home, bytes).unwrap();
    assert_eq!(blobs.get(&home), Ok(Some(Bytes::from_static(bytes))));
}

#[test]
fn what_a_crash_left_half_written_goes() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = FolderBlobs::open(folder.path()).unwrap();
    let locked = FolderBlobs::open(folder.path()).unwrap_err();
    assert_eq!(locked, StoreError::Locked { path: folder.path().display().to_string() });
    drop(blobs);
    fs::write(folder.path().join("tmp/0"), b"half").unwrap();
    let blobs = FolderBlobs::open(folder.path()).unwrap();
    assert!(!folder.path().join("tmp/0").exists());
    blobs.put(&address(b"whole"), b"whole").unwrap();
    assert_eq!(blobs.get(&address(b"whole")), Ok(Some(Bytes::from_static(b"whole"))));
}

#[test]
fn a_failed_put_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = FolderBlobs::open(folder.path()).unwrap();
    let home = address(b"x");
    // a folder where the file should be: the move fails, as on a failing medium
    fs::create_dir_all(file(folder.path(), &home).join("in the way")).unwrap();
    assert!(matches!(blobs.put(&home, b"x"), Err(StoreError::Io { action: "move into place", .. })));
    assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn threads_put_the_same_and_others_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = FolderBlobs::open(folder.path()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..8u8).for_each(|i| blobs.put(&address(&[i; 9]), &[i; 9]).unwrap()));
        }
    });
    for i in 0..8u8 {
        assert_eq!(blobs.get(&address(&[i; 9])), Ok(Some(Bytes::from(vec![i; 9]))));
    }
}

#[test]
fn it_refuses_what_is_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    drop(FolderBlobs::open(folder.path()).unwrap());
    fs::write(folder.path().join("BLOCKHIE"), "blockhie blobs 2 ready\n").unwrap();
    assert_eq!(FolderBlobs::open(folder.path()).unwrap_err(), StoreError::Version { expected: 1, got: 2 });
    fs::remove_file(folder.path().join("BLOCKHIE")).unwrap();
    assert!(matches!(FolderBlobs::open(folder.path()), Err(StoreError::NotAStore { .. })));
}
