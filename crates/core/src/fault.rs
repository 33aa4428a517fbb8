//! In which way whoever sent something is to blame. Errors name the kind; how much it weighs is the engine's to say.

use crate::error::{BlockError, SubmitError};
use crate::tx::TxError;

/// A kind of misbehaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A message that breaks the contract by its form.
    Message,
    /// A transaction that is invalid wherever it stands.
    Transaction,
    /// A block whose hash, work, signature or header rules do not hold: nobody makes one by accident.
    Block,
    /// Something else than what was asked for.
    Answer,
}

impl BlockError {
    /// How the sender is to blame; `None`: not at all. A "not yet" never is; neither is a block that is sound and not
    /// valid, which an honest peer may relay while it knows less than we do.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.misbehaviour().then_some(Fault::Block)
    }
}

impl SubmitError {
    /// How whoever relayed it is to blame; `None`: not at all. What a node admits is its own affair.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.misbehaviour().then_some(Fault::Transaction)
    }
}

impl TxError {
    /// How the sender is to blame.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Transaction
    }
}
