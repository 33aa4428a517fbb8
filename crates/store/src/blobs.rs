//! Ciphertext in a folder, one file a blob.

use crate::errors::{io, not_a_store};
use crate::failpoint;
use crate::files::{make_folder, replace_file, sync_folder};
use crate::marker::{self, BLOBS, State};
use blockhie_core::{BlobStore, Hash32, StoreError};
use bytes::Bytes;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Folder of files not yet moved into place; emptied at open.
const TEMPORARY: &str = "tmp";
/// The file whose lock says that a process has the folder open.
const LOCK: &str = "LOCK";

/// A [`BlobStore`] in a folder: the blob with address `abcd…` is the file `ab/cd/abcd…`, so that no folder gets more
/// than 1/65,536 of them. A blob is there whole or not at all, also after a power cut.
///
/// An address is the BLAKE3 hash of the bytes, checked when they are put and when they are read.
#[derive(Debug)]
pub struct FolderBlobs {
    path: PathBuf,
    /// Makes names in [`TEMPORARY`] unique; the lock keeps other processes out.
    next: AtomicU64,
    _lock: File,
}

impl FolderBlobs {
    /// Opens the blobs in `path`, or makes the folder where there is nothing. What a crash left half-written goes.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`] when something else is there, [`StoreError::Version`], [`StoreError::Locked`],
    /// [`StoreError::Io`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        match marker::look(path, BLOBS)? {
            State::Nothing => marker::write(path, BLOBS, State::Ready)?,
            State::Ready => {}
            State::Making | State::Backup => return Err(not_a_store(path, "expected a folder of blobs in use")),
        }
        let lock = File::create(path.join(LOCK)).map_err(|error| io("open the lock", path, &error))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StoreError::Locked { path: path.display().to_string() },
            TryLockError::Error(error) => io("lock", path, &error),
        })?;
        let temporary = path.join(TEMPORARY);
        make_folder(&temporary)?;
        for entry in std::fs::read_dir(&temporary).map_err(|error| io("list", &temporary, &error))? {
            let left = entry.map_err(|error| io("list", &temporary, &error))?.path();
            std::fs::remove_file(&left).map_err(|error| io("remove", &left, &error))?;
        }
        Ok(Self { path: path.to_owned(), next: AtomicU64::new(0), _lock: lock })
    }

    fn file(&self, address: &Hash32) -> PathBuf {
        let name = address.to_string();
        self.path.join(&name[..2]).join(&name[2..4]).join(name)
    }
}

fn check(address: &Hash32, bytes: &[u8]) -> Result<(), StoreError> {
    let got = Hash32(*blake3::hash(bytes).as_bytes());
    if got == *address {
        return Ok(());
    }
    Err(StoreError::Corrupt { what: format!("blob {address}"), expected: address.to_string(), got: got.to_string() })
}

impl BlobStore for FolderBlobs {
    /// Bytes that do not hash to `address` are refused with [`StoreError::Corrupt`]. What is there already is written
    /// anew: that mends a damaged file.
    fn put(&self, address: &Hash32, bytes: &[u8]) -> Result<(), StoreError> {
        check(address, bytes)?;
        let target = self.file(address);
        make_folder(target.parent().expect("a blob's file is two folders below the root"))?;
        // The folder above the last is in the root, which must hold its name durably too.
        sync_folder(&self.path)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let temporary = self.path.join(TEMPORARY).join(number.to_string());
        let put = replace_file(&temporary, &target, bytes);
        if put.is_err() {
            // On a full disk the half-written file is what fills it. Failing again changes nothing: open removes it.
            let _ = std::fs::remove_file(&temporary);
        }
        put
    }

    fn get(&self, address: &Hash32) -> Result<Option<Bytes>, StoreError> {
        let file = self.file(address);
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io("read", &file, &error)),
        };
        check(address, &bytes)?;
        Ok(Some(bytes.into()))
    }

    fn delete(&self, address: &Hash32) -> Result<(), StoreError> {
        let file = self.file(address);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io("remove", &file, &error)),
            Ok(()) | Err(_) => {}
        }
        failpoint::reach("blob.removed");
        // Also when it was gone: whoever removed it may have been killed before the sync.
        let folder = file.parent().expect("a blob's file is two folders below the root");
        if folder.is_dir() { sync_folder(folder) } else { Ok(()) }
    }
}
