//! The rules of links and anchors. Neither is ever void: validity never depends on the other chain.

use crate::payload::{LINK, Payload};
use blockhie_core::{
    Application, Genesis, Outcome, Position, Refused, State, StateRead, StoreError, Transaction, TxError, Verified,
};

/// The rules of types 32 and 33, on either chain.
#[derive(Debug, Clone)]
pub struct CouplingApp {
    genesis: Genesis,
}

impl CouplingApp {
    /// For the chain of this genesis: its members may send anchors.
    #[must_use]
    pub fn new(genesis: &Genesis) -> Self {
        Self { genesis: genesis.clone() }
    }
}

impl Application for CouplingApp {
    fn validate(&self, tx: &Transaction<Verified>) -> Result<(), TxError> {
        Payload::read(tx, &self.genesis).map(drop)
    }

    fn admit(&self, tx: &Transaction<Verified>, _: &dyn StateRead) -> Result<Result<(), Refused>, StoreError> {
        // No state makes one void, so what is valid is admitted.
        Ok(self.validate(tx).map_err(|error| Refused::WouldBeVoid { reason: error.to_string() }))
    }

    fn apply(&self, tx: &Transaction<Verified>, _: Position, _: &mut dyn State) -> Result<Outcome, StoreError> {
        Ok(match self.validate(tx) {
            Ok(()) => Outcome::Applied,
            // A block with it is unsound and never applied.
            Err(error) => Outcome::Void(error.to_string()),
        })
    }

    /// Halves of links: each is shown with the proof of the other, until the link expires.
    fn keeps(&self, tx: &Transaction<Verified>) -> bool {
        tx.tx_type() == LINK
    }
}
