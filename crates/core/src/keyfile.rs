//! Key files: one line of 64 lowercase hex digits, the 32-byte Ed25519 seed, readable by its owner only (0600).

use crate::crypto::SecretKey;
use std::io::{ErrorKind, Write};
use std::path::Path;
use zeroize::Zeroizing;

/// Longest key file read, bytes: the line and some white space.
const MAX_FILE_BYTES: u64 = 256;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file system.
    #[error("key file {path}: {action}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is one already; a key is never overwritten.
    #[error("key file {path}: there is one already (a key is never overwritten; choose another --out)")]
    Exists {
        /// The file.
        path: String,
    },
    /// Others can read it.
    #[error("key file {path}: expected permissions 0600, got {got:04o} (run: chmod 600 {path})")]
    Permissions {
        /// The file.
        path: String,
        /// Its permission bits.
        got: u32,
    },
    /// Not a key. What stands there is not repeated: it may be a secret.
    #[error("key file {path}: expected one line of 64 lowercase hex digits")]
    Form {
        /// The file.
        path: String,
    },
    /// No randomness.
    #[error("key: the operating system gave no randomness: {0}")]
    Random(#[from] getrandom::Error),
}

/// Reads a secret.
///
/// # Errors
/// [`KeyFileError`]; a file that others can read is refused.
pub fn read(path: &Path) -> Result<SecretKey, KeyFileError> {
    let name = || path.display().to_string();
    let io = |action| move |source| KeyFileError::Io { path: path.display().to_string(), action, source };
    let meta = std::fs::metadata(path).map_err(io("open"))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let got = meta.permissions().mode() & 0o777;
        if got & 0o077 != 0 {
            return Err(KeyFileError::Permissions { path: name(), got });
        }
    }
    if meta.len() > MAX_FILE_BYTES {
        return Err(KeyFileError::Form { path: name() });
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(io("read"))?);
    parse(&text).ok_or_else(|| KeyFileError::Form { path: name() })
}

/// The secret that the text of a key file says; `None` for any other text, which is never repeated in an error.
#[must_use]
pub fn parse(text: &str) -> Option<SecretKey> {
    crate::bytes::from_hex("key", text.trim()).ok().map(SecretKey::from_seed)
}

/// Writes a secret to a new file (0600), whole or not at all: a crash in between leaves no half a key under its name.
/// It is written beside it, synced, and linked into place, which unlike a rename never replaces a file.
///
/// # Errors
/// [`KeyFileError`]; [`KeyFileError::Exists`] when there is a file already.
pub fn write_new(path: &Path, secret: &SecretKey) -> Result<(), KeyFileError> {
    let io = |action| move |source| KeyFileError::Io { path: path.display().to_string(), action, source };
    let exists = || KeyFileError::Exists { path: path.display().to_string() };
    if path.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let mut random = [0; 8];
    getrandom::fill(&mut random)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", hex::encode(random)));
    let written = write_synced(Path::new(&temporary), secret).map_err(io("write"));
    let linked = written.and_then(|()| {
        std::fs::hard_link(&temporary, path).map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => exists(),
            _ => io("create")(source),
        })
    });
    // Also after a failure; then the file may not be there.
    let _ = std::fs::remove_file(&temporary);
    linked?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("sync the folder"))
}

fn write_synced(path: &Path, secret: &SecretKey) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let line = Zeroizing::new(hex::encode(secret.seed()) + "\n");
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

/// Makes a fresh secret and writes it to a new file.
///
/// # Errors
/// [`KeyFileError`].
pub fn generate(path: &Path) -> Result<SecretKey, KeyFileError> {
    let secret = SecretKey::generate()?;
    write_new(path, &secret)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_and_is_never_overwritten() {
        let folder = std::env::temp_dir().join(format!("blockhie-keyfile-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("key");
        let secret = generate(&path).unwrap();
        assert_eq!(read(&path).unwrap().public(), secret.public());
        assert!(matches!(generate(&path), Err(KeyFileError::Exists { .. })));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "no half-written file is left beside it");
        assert!(matches!(generate(&folder.join("no/key")), Err(KeyFileError::Io { .. })));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            assert!(matches!(read(&path), Err(KeyFileError::Permissions { got: 0o644, .. })));
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        std::fs::write(&path, "no key\n").unwrap();
        let error = read(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Form { .. }) && !error.to_string().contains("no key"));
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(matches!(read(&path), Err(KeyFileError::Io { .. })));
    }
}
