//! The ledger store on RocksDB.

use crate::columns::{
    self, BLOCKS, CARRIED, HEIGHTS, HISTORY_NODES, INDEX, LISTED, META, NAMES, Only, PEERS, PENDING, PRUNED, SIDE,
    SINCE, STATE, TX_POSITIONS, TXS, UNDO, View,
};
use crate::config::{StoreConfig, options};
use crate::errors::{io, not_a_store, occupied, rocks};
use crate::failpoint;
use crate::files::{copy_file, make_folder, sync_folder};
use crate::manifest::{self, Manifest, Noted};
use crate::marker::{self, Kind, LEDGER, State};
use blockhie_core::store::{Batch, FORMAT_VERSION, Meta, Op};
use blockhie_core::{ChainId, Genesis, Store, StoreError, StoreRead};
use bytes::Bytes;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::properties::{BLOCK_CACHE_USAGE, CUR_SIZE_ALL_MEM_TABLES, ESTIMATE_TABLE_READERS_MEM};
use rocksdb::{DB, DEFAULT_COLUMN_FAMILY_NAME, Options, WriteBatch, WriteOptions};
use std::path::{Path, PathBuf};

/// A [`Store`] in a folder. One process has it open at a time; within it any number of threads read.
pub struct RocksStore {
    pub(crate) db: DB,
    path: PathBuf,
    manifest: Noted,
}

impl std::fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl RocksStore {
    /// Makes a store for the chain of `genesis` in `path`, which is absent, empty, or left by an interrupted creation.
    ///
    /// # Errors
    /// [`StoreError::Io`] when there is a store already, [`StoreError::NotAStore`] when there is something else,
    /// [`StoreError::Locked`], and those of the medium.
    pub fn create(path: &Path, genesis: &Genesis, config: &StoreConfig) -> Result<Self, StoreError> {
        begin("create a store", path, LEDGER)?;
        failpoint::reach("create.marked");
        let db = open_families(&options(config, true)?, path, &NAMES)?;
        let store = Self { db, path: path.to_owned(), manifest: Noted::new(DEFAULT_COLUMN_FAMILY_NAME) };
        failpoint::reach("create.made");
        store.commit(vec![Op::Meta(Meta::new(genesis))])?;
        failpoint::reach("create.genesis");
        marker::write(path, LEDGER, State::Ready)?;
        failpoint::reach("create.ready");
        Ok(store)
    }

    /// Opens the store in `path`; `expected` refuses every other chain. A store of an older version that can be read is
    /// brought to this release's; an older release refuses it from then on.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Version`], [`StoreError::Locked`], [`StoreError::ForeignChain`],
    /// [`StoreError::Corrupt`] when a checksum or the tip's entries do not agree, [`StoreError::Io`].
    pub fn open(path: &Path, expected: Option<&ChainId>, config: &StoreConfig) -> Result<Self, StoreError> {
        marker::expect_ready(path, LEDGER)?;
        let written = marker::version(path)?;
        let store = Self::open_checked(path, expected, config, written)?;
        if written < FORMAT_VERSION {
            marker::write(path, LEDGER, State::Ready)?;
        }
        Ok(store)
    }

    /// Opens the store in `path` if there is one, and makes it otherwise.
    ///
    /// # Errors
    /// As [`RocksStore::open`] and [`RocksStore::create`].
    pub fn open_or_create(path: &Path, genesis: &Genesis, config: &StoreConfig) -> Result<Self, StoreError> {
        match marker::look(path, LEDGER)? {
            State::Nothing | State::Making => Self::create(path, genesis, config),
            State::Ready | State::Backup => Self::open(path, Some(&genesis.chain_id()), config),
        }
    }

    /// Makes a backup in `path`, which must be absent: a consistent copy of this moment, while the store is in use.
    /// On the same file system table files are hard links and cost no space, so a copy elsewhere is what survives the
    /// disk.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn checkpoint(&self, path: &Path) -> Result<(), StoreError> {
        let action = "make a backup";
        if path.symlink_metadata().is_ok() {
            return Err(occupied(action, path));
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            make_folder(parent)?;
        }
        failpoint::reach("backup.begun");
        let made = Checkpoint::new(&self.db).and_then(|checkpoint| checkpoint.create_checkpoint(path));
        made.map_err(|error| rocks(action, path, error))?;
        failpoint::reach("backup.copied");
        marker::write(path, LEDGER, State::Backup)?;
        failpoint::reach("backup.ready");
        Ok(())
    }

    /// Copies the backup in `backup` to `path` (absent, empty, or left by an interrupted creation), reads everything
    /// once, and opens it. The backup is not changed.
    ///
    /// # Errors
    /// As [`RocksStore::open`] and [`RocksStore::create`]; [`StoreError::NotAStore`] when `backup` is no backup.
    pub fn restore(
        backup: &Path,
        path: &Path,
        expected: Option<&ChainId>,
        config: &StoreConfig,
    ) -> Result<Self, StoreError> {
        match marker::look(backup, LEDGER)? {
            State::Backup => {}
            State::Ready => return Err(not_a_store(backup, "it is a store in use, expected a backup made from one")),
            State::Nothing | State::Making => return Err(not_a_store(backup, "there is no whole backup in it")),
        }
        begin("restore a backup", path, LEDGER)?;
        failpoint::reach("restore.marked");
        for entry in std::fs::read_dir(backup).map_err(|error| io("list", backup, &error))? {
            let entry = entry.map_err(|error| io("list", backup, &error))?;
            let name = entry.file_name();
            // A backup is flat. Its marker says "backup", and the copy has its own.
            if entry.path().is_file() && name != marker::FILE {
                copy_file(&entry.path(), &path.join(name))?;
            }
        }
        sync_folder(path)?;
        failpoint::reach("restore.copied");
        let store = Self::open_checked(path, expected, config, marker::version(backup)?)?;
        failpoint::reach("restore.opened");
        store.verify()?;
        failpoint::reach("restore.verified");
        marker::write(path, LEDGER, State::Ready)?;
        failpoint::reach("restore.ready");
        Ok(store)
    }

    /// Reads every entry once and checks its checksum and form; answers how many there are. What the entries say is
    /// fsck's part.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for the first that does not hold.
    pub fn verify(&self) -> Result<u64, StoreError> {
        manifest::verify(&self.db, DEFAULT_COLUMN_FAMILY_NAME, &self.path)?;
        columns::check_all(&self.view())
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn view(&self) -> View<'_> {
        View::new(&self.db, &self.path)
    }

    /// Opens a folder whose marker was looked at, and says that it is `written` in this version.
    fn open_checked(
        path: &Path,
        expected: Option<&ChainId>,
        config: &StoreConfig,
        written: u32,
    ) -> Result<Self, StoreError> {
        let mut options = options(config, false)?;
        options.create_missing_column_families(written < FORMAT_VERSION);
        if written < FORMAT_VERSION {
            expect_families(path, written)?;
        }
        failpoint::reach("open.begun");
        let found = Manifest::of(path);
        let opened = failpoint::at_each_new_file("open.recovering", path, || open_families(&options, path, &NAMES));
        let store = Self { db: opened?, path: path.to_owned(), manifest: Noted::new(DEFAULT_COLUMN_FAMILY_NAME) };
        failpoint::reach("open.recovered");
        manifest::check(&store.db, DEFAULT_COLUMN_FAMILY_NAME, path, found)?;
        let view = store.view();
        let mut meta = view.meta()?;
        if !(written..=FORMAT_VERSION).contains(&meta.format_version) {
            return Err(StoreError::Version { expected: FORMAT_VERSION, got: meta.format_version });
        }
        let genesis = Genesis::from_bytes(&meta.genesis).map_err(|error| StoreError::Corrupt {
            what: "meta: genesis".into(),
            expected: "canonical bytes of a genesis".into(),
            got: error.to_string(),
        })?;
        if genesis.chain_id() != meta.chain_id {
            return Err(StoreError::Corrupt {
                what: "meta: chain id".into(),
                expected: genesis.chain_id().to_string(),
                got: meta.chain_id.to_string(),
            });
        }
        if let Some(expected) = expected.filter(|expected| **expected != meta.chain_id) {
            return Err(StoreError::ForeignChain { expected: *expected, got: meta.chain_id });
        }
        check_tip(&view, &meta)?;
        drop(view);
        // What opening wrote; a store that only reads from now on has it in the log, too.
        store.commit(Vec::new())?;
        failpoint::reach("open.checked");
        if meta.format_version < FORMAT_VERSION {
            // What is new is empty in an older store, or follows from what is there.
            note_carried(&store)?;
            meta.format_version = FORMAT_VERSION;
            store.commit(vec![Op::Meta(meta)])?;
        }
        Ok(store)
    }
}

/// A store of an older version gets the families that are new; one that lacks others is damaged.
fn expect_families(path: &Path, written: u32) -> Result<(), StoreError> {
    let there = DB::list_cf(&Options::default(), path).map_err(|error| rocks("open", path, error))?;
    let newer = |name: &str| SINCE.iter().any(|(new, since)| *new == name && *since > written);
    match NAMES.iter().find(|name| !newer(name) && !there.iter().any(|there| there == *name)) {
        None => Ok(()),
        Some(name) => Err(StoreError::Corrupt {
            what: format!("column family {name}"),
            expected: format!("it in a store of version {written}"),
            got: "none".into(),
        }),
    }
}

/// Notes what the blocks beside the best chain carry, as this version does when they come: one batch a block, and the same
/// again where it was interrupted.
fn note_carried(store: &RocksStore) -> Result<(), StoreError> {
    let mut after = None;
    while let Some((key, _)) = store.view().side_page(after.as_ref(), 1)?.pop() {
        if let Some(block) = store.view().block(&key.1)? {
            store.commit(block.txhashes.iter().map(|txhash| Op::Carried((*txhash, key.1), true)).collect())?;
        }
        after = Some(key);
    }
    Ok(())
}

/// The entries that one tip change writes must be of one batch: a medium that lost part of one shows here.
fn check_tip(view: &View<'_>, meta: &Meta) -> Result<(), StoreError> {
    let Some(tip) = meta.tip else { return Ok(()) };
    let corrupt = |what: String, expected: String, got: String| Err(StoreError::Corrupt { what, expected, got });
    let Some(row) = view.index(&tip)? else {
        return corrupt(format!("index of the tip {tip}"), "an entry".into(), "none".into());
    };
    let at_tip = view.hash_at(row.height)?;
    if at_tip != Some(tip) {
        let got = at_tip.map_or("none".into(), |hash| hash.to_string());
        return corrupt(format!("heights/{}", row.height), format!("the tip {tip}"), got);
    }
    match HEIGHTS.last(view)? {
        Some(last) if last != row.height => {
            corrupt("heights: the highest".into(), format!("{} of the tip", row.height), last.to_string())
        }
        _ => Ok(()),
    }
}

impl Store for RocksStore {
    fn snapshot(&self) -> Box<dyn StoreRead + '_> {
        Box::new(self.view())
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let mut writes = WriteBatch::default();
        let prunes = batch.iter().any(|op| matches!(op, Op::Pruned(_)));
        for op in batch {
            self.add(&mut writes, op)?;
        }
        let manifest = self.manifest.add(&self.db, &self.path, &mut writes);
        if prunes {
            failpoint::reach("prune.begun");
        }
        write_synced(&self.db, &self.path, writes)?;
        if prunes {
            failpoint::reach("prune.durable");
        }
        self.manifest.remember(manifest);
        Ok(())
    }

    fn memory(&self) -> Vec<(&'static str, u64)> {
        memory(&self.db)
    }
}

impl RocksStore {
    fn add(&self, batch: &mut WriteBatch, op: Op) -> Result<(), StoreError> {
        let db = &self.db;
        match op {
            Op::PutBlock(block) => BLOCKS.put(db, batch, &block.hash, &block),
            Op::DropBlock(hash) => BLOCKS.set(db, batch, &hash, None),
            Op::PutIndex(hash, row) => INDEX.put(db, batch, &hash, &row),
            Op::Height(height, hash) => HEIGHTS.set(db, batch, &height, hash.as_ref()),
            Op::HistoryNode(level, index, hash) => HISTORY_NODES.set(db, batch, &(level, index), hash.as_ref()),
            Op::PutTx(tx) => TXS.put(db, batch, &tx.hash, &tx),
            Op::DropTx(hash) => TXS.set(db, batch, &hash, None),
            Op::TxPosition(hash, position) => TX_POSITIONS.set(db, batch, &hash, position.as_ref()),
            Op::State(key, value) => STATE.set(db, batch, &key, value.map(Bytes::from).as_ref()),
            Op::Undo(hash, undo) => UNDO.set(db, batch, &hash, undo.as_ref()),
            Op::Listed(hash, height) => LISTED.set(db, batch, &hash, height.as_ref()),
            Op::Side(key, since) => SIDE.set(db, batch, &key, since.as_ref()),
            Op::Carried(key, carried) => CARRIED.set(db, batch, &key, carried.then_some(&())),
            Op::Pruned(pruned) => PRUNED.put(db, batch, &Only, &pruned),
            Op::Pending(hash, since) => PENDING.set(db, batch, &hash, since.as_ref()),
            Op::Peer(address, row) => PEERS.set(db, batch, &address, row.as_ref()),
            Op::Meta(meta) => META.put(db, batch, &Only, &meta),
        }
    }
}

/// Takes a folder for a new store: makes it, marks it, and empties what an interrupted creation left.
pub(crate) fn begin(action: &'static str, path: &Path, kind: Kind) -> Result<(), StoreError> {
    match marker::look(path, kind)? {
        State::Nothing => {}
        // Refused while another process is in the middle of it: destroying takes the lock.
        State::Making => DB::destroy(&Options::default(), path).map_err(|error| rocks(action, path, error))?,
        State::Ready | State::Backup => return Err(occupied(action, path)),
    }
    marker::write(path, kind, State::Making)
}

/// Opens a database with these column families, and `default`, which RocksDB always has.
///
/// It is named so that it gets our options too. With its own, of 64 MiB a write buffer, RocksDB would wait for 64 MiB
/// of free space before it writes again after a full disk.
pub(crate) fn open_families(options: &Options, path: &Path, names: &[&str]) -> Result<DB, StoreError> {
    let names = [DEFAULT_COLUMN_FAMILY_NAME].iter().chain(names);
    let families = names.map(|name| (*name, options.clone()));
    DB::open_cf_with_opts(options, path, families).map_err(|error| rocks("open", path, error))
}

/// What RocksDB says of its memory. `block_cache` is all that is charged to the cache, write buffers included, which
/// bounds it by `block_cache_bytes + write_buffer_bytes`; `memtables` is the part of them in use, and `table_readers` is
/// what lies beside the cache. What RocksDB does not answer is left out.
fn memory(db: &DB) -> Vec<(&'static str, u64)> {
    let families: Vec<_> = NAMES.iter().filter_map(|name| db.cf_handle(name)).collect();
    // The cache is one, shared by all.
    let cache = families.first().and_then(|family| db.property_int_value_cf(family, BLOCK_CACHE_USAGE).ok().flatten());
    let sum = |property| -> u64 {
        families.iter().filter_map(|family| db.property_int_value_cf(family, property).ok().flatten()).sum()
    };
    let cache = cache.map(|bytes| ("block_cache", bytes));
    let others = [("memtables", sum(CUR_SIZE_ALL_MEM_TABLES)), ("table_readers", sum(ESTIMATE_TABLE_READERS_MEM))];
    cache.into_iter().chain(others).collect()
}

/// One atomic batch, durable when this returns.
pub(crate) fn write_synced(db: &DB, path: &Path, batch: WriteBatch) -> Result<(), StoreError> {
    failpoint::reach("batch.begun");
    let mut options = WriteOptions::default();
    // Only where a crash between the two is asked for they are two steps.
    let apart = failpoint::is_armed("batch.written");
    options.set_sync(!apart);
    let mut written = db.write_opt(batch, &options);
    if apart {
        failpoint::reach("batch.written");
        written = written.and_then(|()| db.flush_wal(true));
    }
    written.map_err(|error| rocks("write", path, error))?;
    failpoint::reach("batch.synced");
    Ok(())
}
