//! What an operator can set, and everything that RocksDB is told.

use blockhie_core::StoreError;
use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options, WriteBufferManager};
use serde::{Deserialize, Serialize};

/// Least `write_buffer_bytes`, `block_cache_bytes` and `max_wal_bytes`: below it RocksDB flushes tiny files all day.
const MIN_BUDGET_BYTES: u64 = 1 << 20;
/// Largest of them: a typing mistake, not a machine.
const MAX_BUDGET_BYTES: u64 = 1 << 40;
/// Least `max_open_files`: RocksDB keeps some 10 for itself, and each table in use needs one.
const MIN_OPEN_FILES: u32 = 32;
/// Largest: what fits RocksDB's own type with room.
const MAX_OPEN_FILES: u32 = 1 << 20;
/// RocksDB's own log files kept, and the size of each: they say why it refused to open, and must not fill a disk.
const LOG_FILES: usize = 4;
const LOG_FILE_BYTES: usize = 1 << 20;
/// Bits a key in the Bloom filters: 1 % of look-ups for what is not there read the disk.
const BLOOM_BITS: f64 = 10.0;

/// The budgets of one store. RocksDB's own defaults grow with the data; with these, memory stays below
/// `block_cache_bytes + write_buffer_bytes` and a few MiB, whatever the length of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Bytes for data, indexes and filters read from disk, shared by all column families. Default 64 MiB.
    pub block_cache_bytes: u64,
    /// Bytes for written data not yet in table files, shared by all column families. Default 32 MiB.
    pub write_buffer_bytes: u64,
    /// Bytes of write-ahead log after which old entries are moved to tables: opening after a crash reads at most about
    /// this much. Default 64 MiB.
    pub max_wal_bytes: u64,
    /// Files open at once. Default 512, which fits the usual `ulimit -n` of 1,024.
    pub max_open_files: u32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { block_cache_bytes: 64 << 20, write_buffer_bytes: 32 << 20, max_wal_bytes: 64 << 20, max_open_files: 512 }
    }
}

impl StoreConfig {
    /// For a few thousand small records (a gateway's): an eighth of the default.
    #[must_use]
    pub fn small() -> Self {
        Self { block_cache_bytes: 8 << 20, write_buffer_bytes: 4 << 20, max_wal_bytes: 8 << 20, max_open_files: 64 }
    }

    /// Refuses values that cannot work.
    ///
    /// # Errors
    /// [`StoreError::Io`] with the field, what is expected and what was given.
    pub fn check(&self) -> Result<(), StoreError> {
        let budgets = MIN_BUDGET_BYTES..=MAX_BUDGET_BYTES;
        let files = u64::from(MIN_OPEN_FILES)..=u64::from(MAX_OPEN_FILES);
        let fields = [
            ("block_cache_bytes", self.block_cache_bytes, &budgets),
            ("write_buffer_bytes", self.write_buffer_bytes, &budgets),
            ("max_wal_bytes", self.max_wal_bytes, &budgets),
            ("max_open_files", u64::from(self.max_open_files), &files),
        ];
        for (name, got, range) in fields {
            if !range.contains(&got) {
                let reason = format!("{name}: expected {} to {}, got {got}", range.start(), range.end());
                return Err(StoreError::Io { action: "read the store's configuration", reason, hint: None });
            }
        }
        Ok(())
    }
}

/// All settings of a database and of each of its column families.
pub(crate) fn options(config: &StoreConfig, create: bool) -> Result<Options, StoreError> {
    config.check()?;
    let bytes = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let mut options = Options::default();
    durability(&mut options);
    options.create_if_missing(create);
    options.create_missing_column_families(create);

    // Memory. The write buffers are charged to the cache, so one number bounds both.
    let cache = Cache::new_lru_cache(bytes(config.block_cache_bytes + config.write_buffer_bytes));
    let buffers = bytes(config.write_buffer_bytes);
    options.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager_with_cache(
        buffers,
        false, // never stall a writer: it holds the ledger. Flushing starts early and the excess is one batch
        cache.clone(),
    ));
    options.set_write_buffer_size(buffers / 4);
    options.set_max_total_wal_size(config.max_wal_bytes);
    options.set_max_open_files(i32::try_from(config.max_open_files).unwrap_or(i32::MAX));
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&cache);
    // Otherwise indexes and filters live outside the cache and grow with the data.
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_bloom_filter(BLOOM_BITS, false);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);

    // RocksDB's own log.
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(LOG_FILES);
    options.set_max_log_file_size(LOG_FILE_BYTES);
    options.set_stats_dump_period_sec(0);
    Ok(options)
}

/// What a power cut and a failing disk are met with.
///
/// Every commit is synced before it is acknowledged, so after a power cut only the record in flight, acknowledged to
/// nobody, can be torn, and it stands at the very end of the last log.
/// - `AbsoluteConsistency` would refuse to open for that torn end: no node would come back from a power cut by itself.
/// - `PointInTime` (RocksDB's default) would drop everything after *any* damage without a word: acknowledged
///   transactions lost to a flipped bit.
/// - `SkipAnyCorruptedRecord` would leave holes.
/// - `TolerateCorruptedTailRecords` drops a record that the log's end cuts off and refuses every checksum that does not
///   match. This one. What it cannot tell from a torn end is a synced log that was cut off later, or a length flipped
///   so that it points past the end of the last log: then the store is an older whole one, and the peers fill it up.
fn durability(options: &mut Options) {
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // A log that was finished and synced must be there in full length.
    options.set_track_and_verify_wals_in_manifest(true);
    // A damaged table or log is an error, never skipped; reads verify block checksums by default.
    options.set_paranoid_checks(true);
}
