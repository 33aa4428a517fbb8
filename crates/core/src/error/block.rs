//! Why a block is not taken, and whether its sender is to blame.

use super::ErrorClass;
use crate::bytes::{BlockHash, Hash32, TxHash};
use crate::consensus::WorkError;
use crate::crypto::{KeyError, PublicKey};
use crate::store::StoreError;
use crate::target::{CompactTarget, TargetError};
use crate::tx::TxError;

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
