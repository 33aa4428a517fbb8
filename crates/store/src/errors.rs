//! What RocksDB and the operating system say, turned into what an operator can act on. The only place that reads
//! error texts: RocksDB hands out nothing else.

use blockhie_core::StoreError;
use std::path::Path;

/// Part of an error's text, and the hint for it.
const HINTS: [(&str, &str); 8] = [
    ("No space left on device", "free space on that disk, or move the folder to a larger one"),
    ("Disk quota exceeded", "free space within the quota, or raise it"),
    ("Permission denied", "the user running this must own the folder and everything in it"),
    ("Operation not permitted", "the user running this must own the folder and everything in it"),
    ("Read-only file system", "remount it writable, or choose another folder; a failing disk is remounted read-only"),
    ("Too many open files", "raise `ulimit -n`, or lower max_open_files in the configuration"),
    ("Input/output error", "the disk fails: see the kernel's log, then restore a backup or sync anew"),
    ("No such file or directory", "check the path"),
];

fn failed(action: &'static str, path: &Path, reason: String) -> StoreError {
    let hint = HINTS.iter().find(|(text, _)| reason.contains(text)).map(|(_, hint)| (*hint).to_owned());
    let folder = path.display().to_string();
    let reason = if reason.contains(&folder) { reason } else { format!("{folder}: {reason}") };
    StoreError::Io { action, reason, hint }
}

/// An error of the operating system while doing `action` in or on `path`.
pub(crate) fn io(action: &'static str, path: &Path, error: &std::io::Error) -> StoreError {
    failed(action, path, error.to_string())
}

/// An error of RocksDB while doing `action` on the database in `path`.
pub(crate) fn rocks(action: &'static str, path: &Path, error: rocksdb::Error) -> StoreError {
    let kind = error.kind();
    classify(action, path, &kind, error.into_string())
}

fn classify(action: &'static str, path: &Path, kind: &rocksdb::ErrorKind, text: String) -> StoreError {
    // The first text is for a second open in this process, the other two for one in another process.
    let other = text.contains("lock file") && text.contains("Resource temporarily unavailable");
    if text.contains("lock hold by current process") || other {
        return StoreError::Locked { path: path.display().to_string() };
    }
    let absent = "does not exist (create_if_missing is false)";
    match kind {
        rocksdb::ErrorKind::Corruption => corrupt(path, "files that agree with their checksums", text),
        rocksdb::ErrorKind::InvalidArgument if text.contains(absent) => corrupt(path, "RocksDB's CURRENT file", text),
        rocksdb::ErrorKind::InvalidArgument if text.to_lowercase().contains("column famil") => {
            corrupt(path, "the column families of this format version", text)
        }
        _ => failed(action, path, text),
    }
}

fn corrupt(path: &Path, expected: &str, got: String) -> StoreError {
    StoreError::Corrupt { what: path.display().to_string(), expected: expected.into(), got }
}

/// `path` is not what was asked for.
pub(crate) fn not_a_store(path: &Path, reason: impl Into<String>) -> StoreError {
    StoreError::NotAStore { path: path.display().to_string(), reason: reason.into() }
}

/// `path` must be new or empty, and is not.
pub(crate) fn occupied(action: &'static str, path: &Path) -> StoreError {
    let hint = Some("choose a new or empty folder, or open what is there".to_owned());
    StoreError::Io { action, reason: format!("{} is not empty", path.display()), hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rocksdb::ErrorKind;

    fn said(kind: &ErrorKind, text: &str) -> StoreError {
        classify("write", Path::new("/data/ledger"), kind, text.into())
    }

    #[test]
    fn a_full_disk_and_a_wrong_owner_come_with_a_hint() {
        let full = said(&ErrorKind::IOError, "IO error: No space left on device: While appending: /data/ledger/4.log");
        assert_eq!(
            full.to_string(),
            "store: write: IO error: No space left on device: While appending: /data/ledger/4.log \
             (free space on that disk, or move the folder to a larger one)"
        );
        let denied = io("read", Path::new("/data/blobs"), &std::io::Error::from_raw_os_error(13));
        assert_eq!(
            denied.to_string(),
            "store: read: /data/blobs: Permission denied (os error 13) \
             (the user running this must own the folder and everything in it)"
        );
        let StoreError::Io { hint, .. } = said(&ErrorKind::IOError, "IO error: something new") else { panic!() };
        assert_eq!(hint, None);
    }

    #[test]
    fn kinds_are_told_apart() {
        let locked = StoreError::Locked { path: "/data/ledger".into() };
        let other = "IO error: While lock file: /data/ledger/LOCK: Resource temporarily unavailable";
        let own = "IO error: lock hold by current process, acquire time 1 acquiring thread 2: /data/ledger/LOCK: No locks available";
        assert_eq!(said(&ErrorKind::IOError, other), locked);
        assert_eq!(said(&ErrorKind::IOError, own), locked);
        // a file system without locks is not another process
        let none = "IO error: While lock file: /data/ledger/LOCK: No locks available";
        assert!(matches!(said(&ErrorKind::IOError, none), StoreError::Io { .. }));
        assert!(matches!(said(&ErrorKind::Corruption, "Corruption: block checksum"), StoreError::Corrupt { .. }));
        let absent = "Invalid argument: Column family not found: undo";
        assert!(matches!(said(&ErrorKind::InvalidArgument, absent), StoreError::Corrupt { .. }));
    }
}
