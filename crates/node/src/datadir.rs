//! The folder of a node: `config.toml`, `genesis.toml`, `key` (0600), `store/`, and `address` while it runs.

use crate::config::{Config, ConfigError};
use blockhie_core::genesis::GenesisError;
use blockhie_core::keyfile::{self, KeyFileError};
use blockhie_core::{Genesis, Ledger, LedgerError, OpaqueApp, SecretKey, StoreError};
use blockhie_pow::ProofOfWork;
use blockhie_store::{RocksStore, failpoint};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a data folder cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// The file system.
    #[error("{path}: {action}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Made before.
    #[error("{path}: expected a new or empty folder, got one with {found} (choose another --data-dir)")]
    NotEmpty {
        /// The folder.
        path: String,
        /// A name in it.
        found: String,
    },
    /// Never made.
    #[error("{path}: expected a node's data folder, got one without {missing} (run `init --data-dir {path}` first)")]
    NotInitialised {
        /// The folder.
        path: String,
        /// The file that lacks.
        missing: &'static str,
    },
    /// The genesis file.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The paths of a node's folder.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
}

fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> DataDirError {
    let path = path.display().to_string();
    move |source| DataDirError::Io { path, action, source }
}

/// Writes a new file and syncs it and its name.
fn write_new(path: &Path, text: &str) -> Result<(), DataDirError> {
    let mut file = std::fs::File::create_new(path).map_err(io(path, "create"))?;
    file.write_all(text.as_bytes()).map_err(io(path, "write"))?;
    file.sync_all().map_err(io(path, "sync"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder, "sync the folder"))
}

fn read_text(path: &Path) -> Result<String, DataDirError> {
    std::fs::read_to_string(path).map_err(io(path, "read"))
}

/// Reads and checks a genesis file (TOML).
///
/// # Errors
/// [`DataDirError`].
pub fn read_genesis(path: &Path) -> Result<Genesis, DataDirError> {
    Ok(Genesis::from_toml(&read_text(path)?)?)
}

/// Writes a genesis file that must not be there yet.
///
/// # Errors
/// [`DataDirError`].
pub fn write_genesis(path: &Path, genesis: &Genesis) -> Result<(), DataDirError> {
    let text = format!(
        "# A BlockHIE genesis. Chain id {}: it changes with every value below.\n{}",
        genesis.chain_id(),
        genesis.to_toml()
    );
    write_new(path, &text)
}

impl DataDir {
    /// A folder, made or to be made.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes the folder: key (`secret`), genesis, commented configuration, a store with block 0.
    ///
    /// # Errors
    /// [`DataDirError`]; a folder with anything in it is left alone.
    pub fn init(&self, genesis: &Genesis, secret: &SecretKey, defaults: &Config) -> Result<(), DataDirError> {
        std::fs::create_dir_all(&self.path).map_err(io(&self.path, "create the folder"))?;
        let mut entries = std::fs::read_dir(&self.path).map_err(io(&self.path, "list the folder"))?;
        if let Some(entry) = entries.next() {
            let found = entry.map_err(io(&self.path, "list the folder"))?.file_name().display().to_string();
            return Err(DataDirError::NotEmpty { path: self.path.display().to_string(), found });
        }
        keyfile::write_new(&self.file("key"), secret)?;
        failpoint::reach("init.key");
        let mine = genesis.is_open() || genesis.member_index(&secret.public()).is_some();
        let config = Config { mine, ..defaults.clone() };
        write_new(&self.file("config.toml"), &config.commented())?;
        failpoint::reach("init.config");
        let store = Arc::new(RocksStore::create(&self.file("store"), genesis, &config.store)?);
        // Block 0 is written when a ledger is opened; a store without it is not what fsck re-derives. No application
        // sees anything of it.
        drop(Ledger::open(store, Arc::new(ProofOfWork::new(genesis)), Arc::new(OpaqueApp))?);
        failpoint::reach("init.store");
        // Last: a folder without it is one whose making was cut short.
        write_genesis(&self.file("genesis.toml"), genesis)?;
        failpoint::reach("init.done");
        Ok(())
    }

    fn initialised(&self, name: &'static str) -> Result<PathBuf, DataDirError> {
        let path = self.file(name);
        if path.exists() {
            return Ok(path);
        }
        Err(DataDirError::NotInitialised { path: self.path.display().to_string(), missing: name })
    }

    /// The genesis.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn genesis(&self) -> Result<Genesis, DataDirError> {
        read_genesis(&self.initialised("genesis.toml")?)
    }

    /// The configuration, from its own file or another.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn config(&self, other: Option<&Path>) -> Result<Config, DataDirError> {
        let path = match other {
            Some(path) => path.to_owned(),
            None => self.initialised("config.toml")?,
        };
        Ok(Config::from_toml(&read_text(&path)?)?)
    }

    /// The node's key.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn key(&self) -> Result<SecretKey, DataDirError> {
        Ok(keyfile::read(&self.initialised("key")?)?)
    }

    /// Opens the store; refuses another chain's.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn store(&self, config: &Config) -> Result<RocksStore, DataDirError> {
        let genesis = self.genesis()?;
        Ok(RocksStore::open(&self.file("store"), Some(&genesis.chain_id()), &config.store)?)
    }

    /// Where the store lies.
    #[must_use]
    pub fn store_path(&self) -> PathBuf {
        self.file("store")
    }

    /// Notes where the node listens, for `status` and `peers`; removed by [`DataDir::forget_address`].
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn note_address(&self, address: std::net::SocketAddr) -> Result<(), DataDirError> {
        let path = self.file("address");
        std::fs::write(&path, format!("{address}\n")).map_err(io(&path, "write"))
    }

    /// The node does not run any more.
    pub fn forget_address(&self) {
        // A leftover is harmless: nobody answers there.
        drop(std::fs::remove_file(self.file("address")));
    }

    /// Where a node of this folder listens, if one runs.
    ///
    /// # Errors
    /// [`DataDirError::NotInitialised`] when none is noted.
    pub fn address(&self) -> Result<String, DataDirError> {
        let path = self.initialised("address")?;
        Ok(read_text(&path)?.trim().to_owned())
    }
}
