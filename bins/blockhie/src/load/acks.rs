//! The list of acknowledged transactions, for whoever kills the node.

use crate::failure::Failure;
use blockhie_core::TxHash;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// One txhash a line, appended and handed to the system at once, so that a kill of this process loses none.
pub(crate) struct AckLog {
    path: PathBuf,
    file: Mutex<File>,
}

impl AckLog {
    /// Opens or makes the file.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::options().append(true).create(true).open(path);
        let file = file.map_err(|error| failed(path, &error).hint("you need the right to write there"))?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(file) })
    }

    /// One line in one write.
    pub(crate) fn append(&self, hash: &TxHash) -> Result<(), Failure> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(format!("{hash}\n").as_bytes()).map_err(|error| failed(&self.path, &error))
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("acks {}: cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended_at_once_over_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acks.txt");
        for byte in [1, 2] {
            let log = AckLog::open(&path).unwrap();
            log.append(&blockhie_core::Hash32([byte; 32])).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), usize::from(byte));
        }
        assert!(AckLog::open(folder.path()).is_err());
    }
}
