//! What can go wrong in the ledger, typed, with what a caller has to do about it.

use crate::app::Refused;
use crate::block::HeaderError;
use crate::bytes::{BlockHash, Hash32, TxHash};
use crate::consensus::WorkError;
use crate::crypto::{KeyError, PublicKey};
use crate::genesis::GenesisError;
use crate::store::StoreError;
use crate::target::{CompactTarget, TargetError};
use crate::tx::TxError;

/// What an error means to whoever asked. A transport maps it to its own codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The message is wrong and will stay so.
    Invalid,
    /// Not now: something it needs is missing, or the time has not come.
    NotYet,
    /// There is no such thing here.
    NotFound,
    /// A bound is reached; later there may be room.
    Exhausted,
    /// This node cannot do it at the moment.
    Unavailable,
    /// A fault of this node.
    Internal,
}

impl StoreError {
    /// What it means to whoever asked.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Io { .. } | Self::Locked { .. } => ErrorClass::Unavailable,
            _ => ErrorClass::Internal,
        }
    }
}

/// Why a ledger does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored genesis.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// Pruning so near to the tip would take what a branch may still need.
    #[error("pruning depth: expected at least {least} blocks, got {got}")]
    PruneDepth {
        /// The least.
        least: u64,
        /// Asked for.
        got: u64,
    },
    /// The genesis asks for what this release has not built.
    #[error("genesis: {feature}: not built in this release; expected {expected}, got {got}")]
    NotBuilt {
        /// What it asks for.
        feature: &'static str,
        /// What can be had.
        expected: String,
        /// What it says.
        got: String,
    },
}

/// Why a transaction is not taken into the mempool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Invalid wherever it stands.
    #[error(transparent)]
    Invalid(#[from] TxError),
    /// Its claimed time lies too far ahead.
    #[error("transaction time: expected at most {limit_ms} ms, got {got_ms} ms since the epoch")]
    TimeAhead {
        /// Local clock and tolerance.
        limit_ms: u64,
        /// Claimed.
        got_ms: u64,
    },
    /// The application does not admit it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No room.
    #[error("mempool full: expected at most {limit} {unit}, got {got}")]
    Full {
        /// The bound.
        limit: u64,
        /// Of what.
        unit: &'static str,
        /// What there would be.
        got: u64,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SubmitError {
    /// What it means to whoever asked.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Invalid(_) | Self::TimeAhead { .. } | Self::Refused(Refused::NotBuilt { .. }) => ErrorClass::Invalid,
            Self::Refused(Refused::WouldBeVoid { .. }) => ErrorClass::NotYet,
            Self::Full { .. } => ErrorClass::Exhausted,
            Self::Store(error) => error.class(),
        }
    }

    /// Whether whoever relayed it should have known better.
    #[must_use]
    pub fn misbehaviour(&self) -> bool {
        matches!(self, Self::Invalid(_))
    }
}

/// Why a block is not taken. The numbers are the order of checks of the protocol page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// (1) A list is longer than the genesis allows.
    #[error("block {field}: expected at most {limit}, got {got}")]
    TooMany {
        /// Which list.
        field: &'static str,
        /// The bound.
        limit: u64,
        /// Its length.
        got: u64,
    },
    /// (1) Signature missing where members sign, or present on an open chain.
    #[error("block minersignature: expected {expected}, got {got}")]
    SignaturePresence {
        /// What this chain needs.
        expected: &'static str,
        /// What came.
        got: &'static str,
    },
    /// (1) The miner's key.
    #[error("block miner: {0}")]
    MinerKey(KeyError),
    /// (1) The target is not canonical.
    #[error("block difficulty: {0}")]
    Target(#[from] TargetError),
    /// (2) Its parent is not here.
    #[error("block parent {parent}: not known here")]
    UnknownParent {
        /// The parent.
        parent: BlockHash,
    },
    /// (3) The hash is not the hash.
    #[error("blockhash: expected {expected}, got {got}")]
    Hash {
        /// Recomputed.
        expected: BlockHash,
        /// Claimed.
        got: BlockHash,
    },
    /// (3) The history root it states is not that of its ancestors.
    #[error("block historyroot: expected {expected}, got {got}")]
    HistoryRoot {
        /// Recomputed.
        expected: Hash32,
        /// Claimed.
        got: Hash32,
    },
    /// (4) Not the target that the rule gives.
    #[error("block target: expected {expected}, got {got}")]
    WrongTarget {
        /// By the rule.
        expected: CompactTarget,
        /// Claimed.
        got: CompactTarget,
    },
    /// (4) The hash does not answer the target.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// (5) The signature does not hold.
    #[error("block {block}: expected a signature of miner {miner}, got one that does not verify")]
    Signature {
        /// The block.
        block: BlockHash,
        /// Its miner.
        miner: PublicKey,
    },
    /// (6) A header rule along its ancestors.
    #[error("block {block}: {rule}: expected {expected}, got {got}")]
    Unsound {
        /// The block.
        block: BlockHash,
        /// The rule.
        rule: &'static str,
        /// What it wants.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// (7) Its time has not come.
    #[error("block time: expected at most {limit_ms} ms, got {got_ms} ms since the epoch (not yet)")]
    TooFarAhead {
        /// Local clock and tolerance.
        limit_ms: u64,
        /// The block's.
        got_ms: u64,
    },
    /// (8) Bodies that this node lacks.
    #[error("block bodies: expected all, {} missing: {}", missing.len(), list(missing))]
    MissingBodies {
        /// Their hashes, in the block's order.
        missing: Vec<TxHash>,
    },
    /// (9) Siblings that it lists, or blocks of its branch, that this node does not hold. It is kept: once they are here
    /// it is judged.
    #[error("block siblings: expected all, {} missing: {} (not yet)", missing.len(), list(missing))]
    MissingBlocks {
        /// Their hashes, the first to be had first.
        missing: Vec<BlockHash>,
    },
    /// (8) A transaction of it is invalid.
    #[error("block {block}: transaction {txhash}: {error}")]
    Body {
        /// The block.
        block: BlockHash,
        /// The transaction.
        txhash: TxHash,
        /// What is wrong with it.
        error: TxError,
    },
    /// (9) A rule between it and its ancestors.
    #[error("block {block} is sound and not valid: {rule}: expected {expected}, got {got}")]
    NotValid {
        /// The block that breaks it: this one or an ancestor.
        block: BlockHash,
        /// The rule.
        rule: &'static str,
        /// What it wants.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// It belongs to a heavier chain that leaves ours where this node has pruned what it takes to go back. Nobody's fault.
    #[error(
        "block {block}: its chain leaves ours at height {fork_height}, expected at least {least}: this node has pruned the \
         bodies below (sync anew from a node that keeps all)"
    )]
    BelowPruned {
        /// The block.
        block: BlockHash,
        /// The last block in common.
        fork_height: u64,
        /// The lowest that this node can go back to.
        least: u64,
    },
    /// It was found unsound before.
    #[error("block {block}: found unsound before")]
    KnownUnsound {
        /// The block.
        block: BlockHash,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The first few of a list of hashes.
fn list(hashes: &[TxHash]) -> String {
    let mut text: Vec<String> = hashes.iter().take(4).map(ToString::to_string).collect();
    if hashes.len() > text.len() {
        text.push("…".into());
    }
    text.join(", ")
}

impl BlockError {
    /// What it means to whoever sent it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::UnknownParent { .. }
            | Self::TooFarAhead { .. }
            | Self::MissingBodies { .. }
            | Self::MissingBlocks { .. } => ErrorClass::NotYet,
            Self::BelowPruned { .. } => ErrorClass::Unavailable,
            Self::Store(error) => error.class(),
            _ => ErrorClass::Invalid,
        }
    }

    /// Whether the sender is to blame. A "not yet" never is; neither is a block that is sound and not valid, which an
    /// honest peer may relay while it knows less than we do.
    #[must_use]
    pub fn misbehaviour(&self) -> bool {
        self.class() == ErrorClass::Invalid && !matches!(self, Self::NotValid { .. })
    }
}

/// Why there is nothing to mine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A block that comes after its parent would itself lie too far ahead.
    #[error("the tip's time is ahead of the local clock: wait until {until_ms} ms since the epoch")]
    Wait {
        /// When to ask again, ms since the epoch.
        until_ms: u64,
    },
    /// The spacing rule.
    #[error("spacing: {miner} mined block {height}, one of the last {spacing}; other members have to go first")]
    NotMyTurn {
        /// This node's key.
        miner: PublicKey,
        /// Its block.
        height: u64,
        /// The rule.
        spacing: u8,
    },
    /// Not a member.
    #[error("mining: expected a member of the genesis, got {miner}")]
    NotAMember {
        /// This node's key.
        miner: PublicKey,
    },
    /// A final block was abandoned.
    #[error("mining is stopped: a reorganisation abandoned the final block at height {height}; an operator must act")]
    Alarm {
        /// Height of that block.
        height: u64,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why there is no receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not on the best chain.
    #[error("receipt of {txhash}: not committed yet")]
    NotCommitted {
        /// The transaction.
        txhash: TxHash,
    },
    /// Committed without effect.
    #[error("receipt of {txhash}: committed, but void: {reason}")]
    Void {
        /// The transaction.
        txhash: TxHash,
        /// Why.
        reason: String,
    },
    /// Committed, and its body is not kept here any more.
    #[error(
        "receipt of {txhash}: committed at height {height}, but this node has pruned the bodies below {below}: ask a node \
         that keeps them (receipts that were handed out stay good)"
    )]
    Pruned {
        /// The transaction.
        txhash: TxHash,
        /// Where it is committed.
        height: u64,
        /// The lowest height whose bodies are all here.
        below: u64,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ReceiptError {
    /// What it means to whoever asked.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotCommitted { .. } | Self::Void { .. } => ErrorClass::NotYet,
            Self::Pruned { .. } => ErrorClass::NotFound,
            Self::Store(error) => error.class(),
        }
    }
}

/// Why a text is not a document of the form it claims (exit code 3 of `verify`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Too long.
    #[error("{what}: expected at most {limit} bytes, got {got}")]
    Length {
        /// The document.
        what: &'static str,
        /// The bound.
        limit: usize,
        /// Its length.
        got: usize,
    },
    /// Not JSON of the right shape.
    #[error("{what}: {reason}")]
    Shape {
        /// The document.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// It parses and does not come back the same.
    #[error("{what}: expected the one canonical text (differs at byte {at})")]
    NotCanonical {
        /// The document.
        what: &'static str,
        /// First differing byte.
        at: usize,
    },
    /// A header in it.
    #[error("{what}: {error}")]
    Header {
        /// The document.
        what: &'static str,
        /// What is wrong.
        error: HeaderError,
    },
}
