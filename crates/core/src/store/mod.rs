//! The seam to storage: snapshots to read, one atomic batch to write.

use crate::app::{Entries, TxPosition};
use crate::block::Block;
use crate::bytes::{BlockHash, ChainId, Hash32, TxHash};
use crate::genesis::Genesis;
use crate::merkle::Peaks;
use crate::tx::StoredTx;
use bytes::Bytes;
use primitive_types::U256;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub mod conformance;
mod memory;
pub use memory::{MemoryBlobs, MemoryStore};

/// Version of what is stored. A store of a version that cannot be read is refused with a hint.
pub const FORMAT_VERSION: u32 = 3;
/// The oldest version that is read. 1 had neither `listed` nor `side`: its chains had no siblings, so both are empty. 2
/// had neither `carried`, which follows from `side`, nor `pruned`.
pub const OLDEST_FORMAT_VERSION: u32 = 1;

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The medium failed: full, gone, not permitted.
    #[error("store: {action}: {reason}{}", hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default())]
    Io {
        /// What was being done.
        action: &'static str,
        /// What the medium said.
        reason: String,
        /// What an operator can do.
        hint: Option<String>,
    },
    /// Another process has it open.
    #[error("store: {path} is locked: another process has it open (stop it, or choose another --data-dir)")]
    Locked {
        /// The folder.
        path: String,
    },
    /// Another chain's data.
    #[error("store: chain id: expected {expected}, got {got} (this folder belongs to another chain)")]
    ForeignChain {
        /// The chain asked for.
        expected: ChainId,
        /// The chain stored.
        got: ChainId,
    },
    /// Another version's data.
    #[error("store: format version: expected {expected}, got {got} (use the release that wrote it, or sync anew)")]
    Version {
        /// This release's.
        expected: u32,
        /// The folder's.
        got: u32,
    },
    /// Not a store.
    #[error("store: {path} is not a BlockHIE store: {reason}")]
    NotAStore {
        /// The folder.
        path: String,
        /// Why.
        reason: String,
    },
    /// What is stored contradicts itself.
    #[error("store: {what}: expected {expected}, got {got} (run fsck; restore a backup or sync anew)")]
    Corrupt {
        /// Which entry.
        what: String,
        /// What must stand there.
        expected: String,
        /// What stands there.
        got: String,
    },
}

/// What was found out about a sound block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Judgement {
    /// Header and bodies hold; whether it is valid was not needed yet.
    Sound,
    /// It and all below it hold.
    Valid,
    /// It, or an ancestor, breaks a block rule. Kept: a sibling needs only to be sound.
    NotValid,
}

/// One row for each sound block, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexRow {
    /// The parent; zero for the genesis.
    pub parent: BlockHash,
    /// Height.
    pub height: u64,
    /// Time, ms.
    pub time_ms: u64,
    /// Sum of the work of heights 1 to this, 32 bytes big-endian.
    pub work: Hash32,
    /// λ, ms.
    pub lag_ms: i128,
    /// Key of the miner; zero for the genesis.
    pub miner: Hash32,
    /// Peaks of the log of blockhashes up to and with this block.
    pub peaks: Peaks,
    /// What is known of it.
    pub judgement: Judgement,
}

impl IndexRow {
    /// Cumulative work as an integer.
    #[must_use]
    pub fn work_u256(&self) -> U256 {
        U256::from_big_endian(&self.work.0)
    }
}

/// What a block changed, to take it back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Keys written and what stood there before, in the order of the keys.
    pub state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Transactions committed by it, siblings' included, in order of commitment.
    pub transactions: Vec<TxHash>,
    /// Newest height of its miner before it, if that is a member with an earlier block.
    pub miner_seen: Option<u64>,
}

/// The few values there is one of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// The genesis, canonical bytes.
    pub genesis: Vec<u8>,
    /// The chain's identity, for a quick refusal.
    pub chain_id: ChainId,
    /// Tip of the best chain; absent in a store that was never opened by a ledger.
    pub tip: Option<BlockHash>,
    /// Set when a reorganisation went below a final block: the height of that block. Mining waits for an operator.
    pub alarm: Option<u64>,
    /// For each member that mined on the best chain (at most 255) its newest height.
    pub last_seen: BTreeMap<Hash32, u64>,
}

impl Meta {
    /// Of a new store.
    #[must_use]
    pub fn new(genesis: &Genesis) -> Self {
        let chain_id = genesis.chain_id();
        Self {
            format_version: FORMAT_VERSION,
            genesis: genesis.to_bytes(),
            chain_id,
            tip: None,
            alarm: None,
            last_seen: BTreeMap::new(),
        }
    }
}

/// How far the bodies of the best chain are pruned. It only grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// All blocks below this height are done.
    pub below: u64,
    /// Of the block at that height so many transactions are, in order of commitment.
    pub next: u32,
}

impl Pruned {
    /// The lowest height whose bodies are all here, and below which no reorganisation can reach.
    #[must_use]
    pub fn first_whole(&self) -> u64 {
        self.below.saturating_add(u64::from(self.next > 0))
    }
}

/// A peer's address as the node remembers it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PeerRow {
    /// `ip:port`.
    pub address: String,
    /// When it first answered, ms since the epoch.
    pub since_ms: u64,
    /// When it last answered, ms since the epoch.
    pub last_seen_ms: u64,
}

/// One change. A batch of these is applied whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// `blocks`.
    PutBlock(Block),
    /// `blocks`: the block is kept no longer. Its row in `index` stays.
    DropBlock(BlockHash),
    /// `index`.
    PutIndex(BlockHash, IndexRow),
    /// `heights`; `None` removes.
    Height(u64, Option<BlockHash>),
    /// `history_nodes` at (level ≥ 1, index); `None` removes.
    HistoryNode(u8, u64, Option<Hash32>),
    /// `txs`.
    PutTx(StoredTx),
    /// `txs`: the body is kept no longer. Where it is committed stays.
    DropTx(TxHash),
    /// `tx_positions`; `None` removes.
    TxPosition(TxHash, Option<TxPosition>),
    /// `state`; `None` removes.
    State(Vec<u8>, Option<Vec<u8>>),
    /// `undo`; `None` removes.
    Undo(BlockHash, Option<Undo>),
    /// `listed`: height of the block of the best chain that lists this sibling; `None` removes.
    Listed(BlockHash, Option<u64>),
    /// `side` at (height, hash): height of the tip when the block came to stand there; `None` removes.
    Side(SideKey, Option<u64>),
    /// `carried`: whether this block, kept beside the best chain, carries this transaction.
    Carried(CarriedKey, bool),
    /// `pruned`.
    Pruned(Pruned),
    /// `pending`: first seen in ms; `None` removes.
    Pending(TxHash, Option<u64>),
    /// `peers`; `None` forgets the address.
    Peer(String, Option<PeerRow>),
    /// `meta`.
    Meta(Meta),
}

/// Changes in order; of two on one key the later stands.
pub type Batch = Vec<Op>;

/// A block beside the best chain: its height and hash.
pub type SideKey = (u64, BlockHash);

/// A transaction, and a block beside the best chain that carries it.
pub type CarriedKey = (TxHash, BlockHash);

/// An inner node of the log of blockhashes: (level, index) and hash.
pub type HistoryNode = ((u8, u64), Hash32);

/// A consistent view. Scans come in pages: at most `limit` entries with key > `after`, ascending by key.
pub trait StoreRead {
    /// A block.
    ///
    /// # Errors
    /// As every method here: [`StoreError`] of the medium.
    fn block(&self, hash: &BlockHash) -> Result<Option<Block>, StoreError>;
    /// A row of the index.
    fn index(&self, hash: &BlockHash) -> Result<Option<IndexRow>, StoreError>;
    /// The best chain's block at a height.
    fn hash_at(&self, height: u64) -> Result<Option<BlockHash>, StoreError>;
    /// A whole inner node of the best chain's log, level ≥ 1.
    fn history_node(&self, level: u8, index: u64) -> Result<Option<Hash32>, StoreError>;
    /// A transaction.
    fn tx(&self, hash: &TxHash) -> Result<Option<StoredTx>, StoreError>;
    /// Where a transaction is committed on the best chain.
    fn tx_position(&self, hash: &TxHash) -> Result<Option<TxPosition>, StoreError>;
    /// A value of the application's state.
    fn state_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// As [`crate::app::StateRead::range`].
    fn state_range(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Entries, StoreError>;
    /// A block's undo.
    fn undo(&self, hash: &BlockHash) -> Result<Option<Undo>, StoreError>;
    /// Height of the best chain's block that lists this one as a sibling.
    fn listed(&self, hash: &BlockHash) -> Result<Option<u64>, StoreError>;
    /// Height of the tip when a block came to stand beside the best chain; `None` when it does not, or is not kept.
    fn side(&self, key: &SideKey) -> Result<Option<u64>, StoreError>;
    /// At most `limit` of the blocks kept beside the best chain that carry a transaction, ascending.
    fn carriers(&self, txhash: &TxHash, limit: usize) -> Result<Vec<BlockHash>, StoreError>;
    /// How far bodies are pruned.
    fn pruned(&self) -> Result<Pruned, StoreError>;
    /// When a waiting transaction was first seen, ms; `None` when it does not wait.
    fn pending_since(&self, hash: &TxHash) -> Result<Option<u64>, StoreError>;
    /// Page of the mempool's journal: (txhash, first seen in ms).
    fn pending(&self, after: Option<&TxHash>, limit: usize) -> Result<Vec<(TxHash, u64)>, StoreError>;
    /// All remembered peers.
    fn peers(&self) -> Result<Vec<PeerRow>, StoreError>;
    /// The single values.
    fn meta(&self) -> Result<Meta, StoreError>;
    /// Page of the index.
    fn index_page(&self, after: Option<&BlockHash>, limit: usize) -> Result<Vec<(BlockHash, IndexRow)>, StoreError>;
    /// Page of the best chain: entries with height > `after`.
    fn heights_page(&self, after: Option<u64>, limit: usize) -> Result<Vec<(u64, BlockHash)>, StoreError>;
    /// Page of the positions.
    fn tx_positions_page(&self, after: Option<&TxHash>, limit: usize) -> Result<Vec<(TxHash, TxPosition)>, StoreError>;
    /// Page of the siblings that the best chain lists, and the heights of the blocks that do.
    fn listed_page(&self, after: Option<&BlockHash>, limit: usize) -> Result<Vec<(BlockHash, u64)>, StoreError>;
    /// Page of the blocks kept that are neither on the best chain nor listed by it, by (height, hash), and the height of
    /// the tip when each came to stand there.
    fn side_page(&self, after: Option<&SideKey>, limit: usize) -> Result<Vec<(SideKey, u64)>, StoreError>;
    /// Page of what the blocks of `side` carry.
    fn carried_page(&self, after: Option<&CarriedKey>, limit: usize) -> Result<Vec<CarriedKey>, StoreError>;
    /// Page of the log's inner nodes, by (level, index).
    fn history_page(&self, after: Option<(u8, u64)>, limit: usize) -> Result<Vec<HistoryNode>, StoreError>;
}

/// Where a ledger lives.
pub trait Store: Send + Sync {
    /// A view that later commits do not change.
    fn snapshot(&self) -> Box<dyn StoreRead + '_>;

    /// Applies all of it atomically, and returns when it is durable.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was applied.
    fn commit(&self, batch: Batch) -> Result<(), StoreError>;

    /// Bytes of memory that it holds now, by part, for operators to watch. Empty where that is not measured.
    fn memory(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// Ciphertext by content address (BLAKE3, 32 bytes). Synchronous; an adapter for a remote store blocks on its own
/// threads.
pub trait BlobStore: Send + Sync {
    /// Stores `bytes` durably under `address`. Storing the same again is no error.
    ///
    /// # Errors
    /// [`StoreError`].
    fn put(&self, address: &Hash32, bytes: &[u8]) -> Result<(), StoreError>;
    /// The bytes stored there.
    ///
    /// # Errors
    /// [`StoreError`].
    fn get(&self, address: &Hash32) -> Result<Option<Bytes>, StoreError>;
    /// Destroys them. Deleting what is not there is no error.
    ///
    /// # Errors
    /// [`StoreError`].
    fn delete(&self, address: &Hash32) -> Result<(), StoreError>;
}
