//! Durable steps on files and folders: a name is durable when the folder that holds it is synced.

use crate::errors::io;
use crate::failpoint;
use blockhie_core::StoreError;
use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Syncs a folder: names made, moved and removed in it are durable afterwards.
pub(crate) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| io("sync the folder", path, &error))
}

/// The folder that holds `path`; `.` for a bare name.
fn holder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes `path` a folder, for its owner only (a gateway keeps keys in one), with all folders above it.
///
/// The folder above is synced even when `path` is there already: who made it may have been killed before the sync.
pub(crate) fn make_folder(path: &Path) -> Result<(), StoreError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && path.parent().is_some() => {
            make_folder(holder(path))?;
            make_folder(path)
        }
        Err(error) if error.kind() != ErrorKind::AlreadyExists || !path.is_dir() => {
            Err(io("make the folder", path, &error))
        }
        made => {
            if made.is_ok() {
                failpoint::reach("folder.made");
            }
            sync_folder(holder(path))
        }
    }
}

/// Puts a whole file at `target`: written beside it as `temporary` (same file system), synced, moved, folder synced.
/// A crash leaves the old file or the new one, and perhaps `temporary`.
pub(crate) fn replace_file(temporary: &Path, target: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    failpoint::reach("file.begun");
    let write = || {
        let mut file = File::create(temporary)?;
        file.write_all(bytes)?;
        failpoint::reach("file.written");
        file.sync_all()
    };
    write().map_err(|error| io("write", temporary, &error))?;
    failpoint::reach("file.synced");
    std::fs::rename(temporary, target).map_err(|error| io("move into place", target, &error))?;
    failpoint::reach("file.moved");
    sync_folder(holder(target))?;
    failpoint::reach("file.durable");
    Ok(())
}

/// Copies a file and syncs the copy; the folder is left to the caller.
pub(crate) fn copy_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    let copy = || {
        let mut target = File::create(to)?;
        std::io::copy(&mut File::open(from)?, &mut target)?;
        failpoint::reach("copy.written");
        target.sync_all()
    };
    copy().map_err(|error| io("copy", from, &error))
}

/// Bytes that an unprivileged process may still write on the disk that holds `path`. A node compares it with its
/// low-water mark: below it stops mining and accepting, and keeps serving.
///
/// # Errors
/// [`StoreError::Io`] when `path` does not exist or cannot be asked.
pub fn free_bytes(path: &Path) -> Result<u64, StoreError> {
    let stat = rustix::fs::statvfs(path).map_err(|error| io("ask for free space", path, &error.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
