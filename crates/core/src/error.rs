//! What can go wrong in the ledger, typed, with what a caller has to do about it.

mod block;

pub use block::BlockError;

use crate::app::Refused;
use crate::block::HeaderError;
use crate::bytes::TxHash;
use crate::crypto::PublicKey;
use crate::genesis::GenesisError;
use crate::store::StoreError;
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
