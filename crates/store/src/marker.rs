//! The file `BLOCKHIE` in each folder of ours: one line `blockhie KIND VERSION STATE`.
//!
//! It is read before anything else in the folder is touched, so a folder of another kind, of another version, or of
//! somebody else is refused unchanged; and it makes creation and restoring atomic: `making` until all is durable.

use crate::errors::{io, not_a_store};
use crate::files::{make_folder, replace_file};
use blockhie_core::StoreError;
use blockhie_core::store::{FORMAT_VERSION, OLDEST_FORMAT_VERSION};
use std::io::ErrorKind;
use std::path::Path;

/// Name of the file.
pub(crate) const FILE: &str = "BLOCKHIE";
const TEMPORARY: &str = "BLOCKHIE.new";
/// Names that do not make a folder occupied: what a crash in [`write`] and a fresh ext4 leave.
const IGNORED: [&str; 2] = [TEMPORARY, "lost+found"];

/// What a folder holds, and the format version that this release writes for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    /// The oldest that it reads.
    pub(crate) oldest: u32,
}

/// A [`crate::RocksStore`].
pub(crate) const LEDGER: Kind = Kind { name: "ledger", version: FORMAT_VERSION, oldest: OLDEST_FORMAT_VERSION };
/// A [`crate::KeyValue`].
pub(crate) const KEY_VALUE: Kind = Kind { name: "keyvalue", version: 2, oldest: 1 };
/// A [`crate::FolderBlobs`].
pub(crate) const BLOBS: Kind = Kind { name: "blobs", version: 1, oldest: 1 };

/// What is in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing: absent or empty.
    Nothing,
    /// An unfinished creation or restoring: worth nothing.
    Making,
    /// A whole store.
    Ready,
    /// A backup: complete, to be restored from, never opened.
    Backup,
}

impl State {
    const WRITTEN: [(&str, Self); 3] = [("making", Self::Making), ("ready", Self::Ready), ("backup", Self::Backup)];
}

/// Looks at a folder.
///
/// # Errors
/// [`StoreError::NotAStore`] for another kind or none, [`StoreError::Version`], [`StoreError::Io`].
pub(crate) fn look(path: &Path, kind: Kind) -> Result<State, StoreError> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(State::Nothing),
        Err(error) => return Err(io("look at", path, &error)),
        Ok(data) if !data.is_dir() => return Err(not_a_store(path, "it is not a folder")),
        Ok(_) => {}
    }
    match std::fs::read(path.join(FILE)) {
        Ok(bytes) => parse(path, kind, &bytes),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io("read", &path.join(FILE), &error)),
        Err(_) if is_empty(path)? => Ok(State::Nothing),
        Err(_) => Err(not_a_store(path, format!("it is not empty and has no {FILE} file"))),
    }
}

fn parse(path: &Path, kind: Kind, bytes: &[u8]) -> Result<State, StoreError> {
    let text = String::from_utf8_lossy(bytes);
    let unreadable = || {
        let got: String = text.chars().take(80).collect();
        not_a_store(
            path,
            format!("its {FILE} file: expected \"blockhie {} {} ready\", got {got:?}", kind.name, kind.version),
        )
    };
    let words: Vec<&str> = text.trim_end().split(' ').collect();
    let ["blockhie", name, version, state] = words[..] else { return Err(unreadable()) };
    if name != kind.name {
        return Err(not_a_store(path, format!("it holds a {name:?} store, expected {:?}", kind.name)));
    }
    let got: u32 = version.parse().map_err(|_| unreadable())?;
    if !(kind.oldest..=kind.version).contains(&got) {
        return Err(StoreError::Version { expected: kind.version, got });
    }
    let state = State::WRITTEN.iter().find(|(word, _)| *word == state);
    state.map(|(_, state)| *state).ok_or_else(unreadable)
}

fn is_empty(path: &Path) -> Result<bool, StoreError> {
    let entries = std::fs::read_dir(path).map_err(|error| io("list", path, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| io("list", path, &error))?;
        if !IGNORED.iter().any(|name| entry.file_name() == *name) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The version in which a folder that was looked at is written.
pub(crate) fn version(path: &Path) -> Result<u32, StoreError> {
    let text = std::fs::read_to_string(path.join(FILE)).map_err(|error| io("read", &path.join(FILE), &error))?;
    let version = text.split(' ').nth(2).and_then(|version| version.parse().ok());
    version.ok_or_else(|| not_a_store(path, format!("its {FILE} file has changed while it was read")))
}

/// Durably says what the folder is from now on; makes the folder if it is absent.
pub(crate) fn write(path: &Path, kind: Kind, state: State) -> Result<(), StoreError> {
    make_folder(path)?;
    let word = State::WRITTEN.iter().find(|(_, known)| *known == state).map(|(word, _)| *word);
    let word = word.expect("nobody marks a folder as Nothing");
    let line = format!("blockhie {} {} {word}\n", kind.name, kind.version);
    replace_file(&path.join(TEMPORARY), &path.join(FILE), line.as_bytes())
}

/// Refuses all but [`State::Ready`].
pub(crate) fn expect_ready(path: &Path, kind: Kind) -> Result<(), StoreError> {
    match look(path, kind)? {
        State::Ready => Ok(()),
        State::Nothing => Err(not_a_store(path, "there is nothing in it yet")),
        State::Making => Err(not_a_store(path, "its creation was interrupted: create or restore it again")),
        State::Backup => Err(not_a_store(path, "it is a backup: restore it into a new folder and open that")),
    }
}
