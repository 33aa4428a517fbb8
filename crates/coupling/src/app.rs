//! The rules of links and anchors. Neither is ever void: validity never depends on the other chain.

use crate::payload::Payload;
use blockhie_core::{
    Application, ChainKind, Genesis, Outcome, Position, Refused, State, StateRead, StoreError, Transaction, TxError,
    Verified,
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
        let expected = match self.genesis.kind {
            ChainKind::Emr => "1 to 7",
            ChainKind::Phd => "no type of the phd-chain yet",
        };
        Ok(Err(Refused::NotBuilt { tx_type: tx.tx_type(), expected: expected.into() }))
    }

    fn apply(&self, tx: &Transaction<Verified>, _: Position, _: &mut dyn State) -> Result<Outcome, StoreError> {
        Ok(match self.validate(tx) {
            Ok(()) => Outcome::Applied,
            // A block with it is unsound and never applied.
            Err(error) => Outcome::Void(error.to_string()),
        })
    }
}
