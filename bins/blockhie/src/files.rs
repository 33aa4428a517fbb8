//! Files: read within a bound, written whole or not at all.

use crate::failure::Failure;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

/// Reads a file of at most `limit` bytes. What is wrong is exit code 3: the file, not the command.
pub(crate) fn read(path: &Path, limit: usize, what: &str) -> Result<Vec<u8>, Failure> {
    let failure = |error: std::io::Error| {
        let hint = match error.kind() {
            ErrorKind::NotFound => "check the path",
            ErrorKind::PermissionDenied => "you need the right to read it",
            ErrorKind::IsADirectory => "it is a folder; name the files in it",
            _ => "",
        };
        Failure::form(format!("{what} {}: cannot be read: {error}", path.display())).hint(hint)
    };
    let file = std::fs::File::open(path).map_err(failure)?;
    let mut bytes = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(bound).read_to_end(&mut bytes).map_err(failure)?;
    if bytes.len() > limit {
        return Err(Failure::form(format!("{what} {}: expected at most {limit} bytes, got more", path.display())));
    }
    Ok(bytes)
}

/// As [`read`], where a file that is not there is an answer.
pub(crate) fn read_if_there(path: &Path, limit: usize, what: &str) -> Result<Option<Vec<u8>>, Failure> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        _ => read(path, limit, what).map(Some),
    }
}

/// Writes a file readable by its owner only. At every moment there is the old one or the new one, whole; when this
/// returns the new one is on disk.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let (temporary, folder) = prepare(path, bytes)?;
    temporary.persist(path).map_err(|error| failed(path, &error.error))?;
    sync(&folder, path)
}

/// As [`write()`], but leaves a file that is there alone and answers false.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<bool, Failure> {
    let (temporary, folder) = prepare(path, bytes)?;
    match temporary.persist_noclobber(path) {
        Ok(_) => sync(&folder, path).map(|()| true),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(path, &error.error)),
    }
}

/// Renames, on disk when this returns.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    std::fs::rename(from, to).map_err(|error| failed(from, &error))?;
    sync(&folder_of(to), to)
}

fn folder_of(path: &Path) -> std::path::PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => ".".into(),
    }
}

fn prepare(path: &Path, bytes: &[u8]) -> Result<(tempfile::NamedTempFile, std::path::PathBuf), Failure> {
    let folder = folder_of(path);
    let mut temporary = tempfile::Builder::new()
        .prefix(".blockhie-")
        .suffix(".part")
        .tempfile_in(&folder)
        .map_err(|error| failed(path, &error))?;
    temporary.write_all(bytes).and_then(|()| temporary.as_file().sync_all()).map_err(|error| failed(path, &error))?;
    Ok((temporary, folder))
}

/// A rename is durable when the folder is.
fn sync(folder: &Path, path: &Path) -> Result<(), Failure> {
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    let hint = match error.kind() {
        ErrorKind::StorageFull => "make room and run the same command again: nothing is lost",
        ErrorKind::PermissionDenied => "you need the right to write there",
        _ => "run the same command again when that is put right: nothing is lost",
    };
    Failure::failed(format!("{}: cannot be written: {error}", path.display())).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::EXIT_FORM;

    #[test]
    fn files_are_bounded_replaced_whole_and_never_clobbered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert!(read_if_there(&path, 10, "file").unwrap().is_none());
        assert_eq!(read(&path, 10, "file").unwrap_err().code, EXIT_FORM);
        assert!(write_new(&path, b"one").unwrap());
        assert!(!write_new(&path, b"two").unwrap());
        assert_eq!(read(&path, 3, "file").unwrap(), b"one");
        write(&path, b"three").unwrap();
        assert_eq!(read_if_there(&path, 5, "file").unwrap().unwrap(), b"three");
        assert_eq!(read(&path, 4, "file").unwrap_err().code, EXIT_FORM);
        assert_eq!(read(folder.path(), 4, "file").unwrap_err().code, EXIT_FORM);
        rename(&path, &folder.path().join("b")).unwrap();
        let names: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["b"], "no temporary file stays");
        assert!(write(&folder.path().join("none").join("a"), b"x").is_err());
    }
}
