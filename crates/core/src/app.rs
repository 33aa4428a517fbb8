//! The seam to what transactions mean.

mod memory;
pub mod rules;

pub use memory::MemoryState;

use crate::bytes::BlockHash;
use crate::genesis::ChainKind;
use crate::store::StoreError;
use crate::tx::{Transaction, TxError, Verified};
use std::ops::RangeInclusive;

/// Where a transaction is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Height of the committing block.
    pub height: u64,
    /// Time of the committing block, ms.
    pub time_ms: u64,
    /// 0-based place in the block's order of commitment (siblings' lists first).
    pub index: u32,
}

/// What applying did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Applied,
    /// A stateful rule makes it void: it stays, marked, without effect. The reason is for people.
    Void(String),
}

/// Why a node does not take a transaction into its mempool, though it may be valid in a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The type's application is not built.
    #[error("transaction type {tx_type}: not taken by this node yet; expected one of {expected}")]
    NotBuilt {
        /// The type.
        tx_type: i32,
        /// What it takes.
        expected: String,
    },
    /// It would be void where the chain stands now.
    #[error("transaction would be void: {reason}")]
    WouldBeVoid {
        /// The rule.
        reason: String,
    },
}

/// Keys and values of an ordered byte map, ascending by key.
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// Read access to an ordered byte map.
pub trait StateRead {
    /// The value of `key`.
    ///
    /// # Errors
    /// The store's.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// At most `limit` entries with start ≤ key (and key < end, if given), ascending.
    ///
    /// # Errors
    /// The store's.
    fn range(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Entries, StoreError>;
}

/// Write access. Undo is recorded by the ledger from the keys written.
pub trait State: StateRead {
    /// Sets `key`.
    fn put(&mut self, key: &[u8], value: &[u8]);
    /// Removes `key`.
    fn delete(&mut self, key: &[u8]);
}

/// The meaning of a range of transaction types.
pub trait Application: Send + Sync {
    /// Stateless rules: a transaction that fails them makes a block unsound.
    ///
    /// # Errors
    /// [`TxError::Payload`] or [`TxError::Type`].
    fn validate(&self, tx: &Transaction<Verified>) -> Result<(), TxError>;

    /// Guards the mempool; never consensus.
    ///
    /// # Errors
    /// `Ok(Err(_))` when refused, `Err(_)` when the store fails.
    fn admit(&self, tx: &Transaction<Verified>, state: &dyn StateRead) -> Result<Result<(), Refused>, StoreError>;

    /// Applies a committed transaction, or says why it is void and leaves the state alone.
    ///
    /// # Errors
    /// The store's.
    fn apply(
        &self,
        tx: &Transaction<Verified>,
        position: Position,
        state: &mut dyn State,
    ) -> Result<Outcome, StoreError>;

    /// Whether a node that prunes keeps the body of such a transaction all the same, because others are proved with it
    /// for years: an enrolment, a consent. Never consensus.
    fn keeps(&self, _tx: &Transaction<Verified>) -> bool {
        false
    }
}

/// Composes applications by ranges of types.
pub struct Router {
    kind: ChainKind,
    routes: Vec<(RangeInclusive<i32>, Box<dyn Application>)>,
}

impl Router {
    /// A router for a kind of chain; routes are added with [`Router::route`].
    #[must_use]
    pub fn new(kind: ChainKind) -> Self {
        Self { kind, routes: Vec::new() }
    }

    /// Adds an application for these types. Of overlapping ranges the first added wins.
    #[must_use]
    pub fn route(mut self, types: RangeInclusive<i32>, application: Box<dyn Application>) -> Self {
        self.routes.push((types, application));
        self
    }

    fn find(&self, tx_type: i32) -> Option<&dyn Application> {
        self.routes.iter().find(|(types, _)| types.contains(&tx_type)).map(|(_, app)| app.as_ref())
    }
}

impl Application for Router {
    fn validate(&self, tx: &Transaction<Verified>) -> Result<(), TxError> {
        match self.find(tx.tx_type()) {
            Some(app) => app.validate(tx),
            None => Err(TxError::Type { chain: self.kind.name(), got: tx.tx_type() }),
        }
    }

    fn admit(&self, tx: &Transaction<Verified>, state: &dyn StateRead) -> Result<Result<(), Refused>, StoreError> {
        match self.find(tx.tx_type()) {
            Some(app) => app.admit(tx, state),
            None => Ok(Err(Refused::NotBuilt { tx_type: tx.tx_type(), expected: "the routed types".into() })),
        }
    }

    fn apply(
        &self,
        tx: &Transaction<Verified>,
        position: Position,
        state: &mut dyn State,
    ) -> Result<Outcome, StoreError> {
        match self.find(tx.tx_type()) {
            Some(app) => app.apply(tx, position, state),
            // validate() refused such a block before.
            None => Ok(Outcome::Void(format!("no application for type {}", tx.tx_type()))),
        }
    }

    fn keeps(&self, tx: &Transaction<Verified>) -> bool {
        self.find(tx.tx_type()).is_some_and(|app| app.keeps(tx))
    }
}

/// For embedders: every listed type carries bytes that the ledger orders and proves and never reads.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpaqueApp;

impl Application for OpaqueApp {
    fn validate(&self, _: &Transaction<Verified>) -> Result<(), TxError> {
        Ok(())
    }
    fn admit(&self, _: &Transaction<Verified>, _: &dyn StateRead) -> Result<Result<(), Refused>, StoreError> {
        Ok(Ok(()))
    }
    fn apply(&self, _: &Transaction<Verified>, _: Position, _: &mut dyn State) -> Result<Outcome, StoreError> {
        Ok(Outcome::Applied)
    }
}

/// Where a committed transaction stands, as the store keeps it for ever.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TxPosition {
    /// Height of the committing block.
    pub height: u64,
    /// The committing block.
    pub block: BlockHash,
    /// 0-based place in that block's order of commitment.
    pub index: u32,
    /// The sibling through which it came, if any.
    pub via_sibling: Option<BlockHash>,
    /// Why it is void, if it is.
    pub void: Option<String>,
    /// When this node first saw it, ms; absent when it came with its block.
    pub first_seen_ms: Option<u64>,
}
