//! What transactions mean in a simulated chain: few keys, many conflicts, so that void ones and undo come often.
//!
//! Types of an EMR-Chain, payload `0xb1 ‖ key ‖ anything`: 1 keeps a row for its hash and is never void; 2 claims a key
//! of its sender, void if that is claimed; 3 releases it, void if it is not; 4 counts, so that the state depends on how
//! often and each undo matters.

use crate::planted::Bug;
use blockhie_core::app::Entries;
use blockhie_core::{
    Application, Outcome, Position, Refused, State, StateRead, StoreError, Transaction, TxError, Verified,
};

/// First byte of every valid payload.
pub const MARK: u8 = 0xb1;
/// Keeps a row.
pub const ROW: i32 = 1;
/// Claims.
pub const CLAIM: i32 = 2;
/// Releases.
pub const RELEASE: i32 = 3;
/// Counts.
pub const COUNT: i32 = 4;

/// The application of all simulated nodes.
#[derive(Debug, Clone, Copy, Default)]
pub struct SimApp {
    /// What this node's copy does wrong.
    pub bug: Option<Bug>,
}

fn key_of(prefix: &str, tx: &Transaction<Verified>) -> Vec<u8> {
    let key = tx.payload().get(1).copied().unwrap_or_default();
    [prefix.as_bytes(), tx.from().as_bytes(), &[key]].concat()
}

/// Why it would be void.
fn void(tx: &Transaction<Verified>, state: &dyn StateRead) -> Result<Option<&'static str>, StoreError> {
    Ok(match tx.tx_type() {
        CLAIM => state.get(&key_of("claim/", tx))?.map(|_| "claimed already"),
        RELEASE => state.get(&key_of("claim/", tx))?.is_none().then_some("not claimed"),
        _ => None,
    })
}

impl Application for SimApp {
    fn validate(&self, tx: &Transaction<Verified>) -> Result<(), TxError> {
        if tx.payload().first() == Some(&MARK) || self.bug == Some(Bug::AcceptInvalidBody) {
            return Ok(());
        }
        let got = tx.payload().first().map_or("nothing".to_owned(), |byte| format!("{byte:02x}"));
        Err(TxError::Payload { tx_type: tx.tx_type(), field: "mark", expected: format!("{MARK:02x}"), got })
    }

    fn admit(&self, tx: &Transaction<Verified>, state: &dyn StateRead) -> Result<Result<(), Refused>, StoreError> {
        Ok(match void(tx, state)? {
            Some(reason) => Err(Refused::WouldBeVoid { reason: reason.to_owned() }),
            None => Ok(()),
        })
    }

    fn apply(
        &self,
        tx: &Transaction<Verified>,
        position: Position,
        state: &mut dyn State,
    ) -> Result<Outcome, StoreError> {
        if let Some(reason) = void(tx, state)?
            && self.bug != Some(Bug::ForgetVoid)
        {
            return Ok(Outcome::Void(reason.to_owned()));
        }
        match tx.tx_type() {
            CLAIM => state.put(&key_of("claim/", tx), &position.height.to_be_bytes()),
            RELEASE => state.delete(&key_of("claim/", tx)),
            COUNT => {
                let key = key_of("count/", tx);
                let counted: Entries = state.range(&key, None, 1)?;
                let count = counted
                    .first()
                    .filter(|(found, _)| *found == key)
                    .map_or(0, |(_, value)| value.as_slice().try_into().map_or(0, u64::from_be_bytes));
                state.put(&key, &(count + 1).to_be_bytes());
            }
            _ => state.put(&[b"row/", tx.hash().as_bytes().as_slice()].concat(), tx.payload()),
        }
        Ok(Outcome::Applied)
    }

    /// Nodes that prune keep what is released for ever, as EMR nodes keep consents.
    fn keeps(&self, tx: &Transaction<Verified>) -> bool {
        tx.tx_type() == RELEASE
    }
}

/// Whether a transaction of this type commits sooner or later, whatever else does.
#[must_use]
pub fn never_void(tx_type: i32) -> bool {
    matches!(tx_type, ROW | COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockhie_core::app::MemoryState;
    use blockhie_core::{Hash32, SecretKey};

    #[test]
    fn claims_conflict_and_counts_add_up() {
        let secret = SecretKey::from_seed([1; 32]);
        let tx = |tx_type, key| Transaction::sign(&Hash32::ZERO, &secret, 0, tx_type, None, &[MARK, key]);
        let mut state = MemoryState::default();
        let app = SimApp::default();
        let mut apply = |tx_type, key| {
            let position = Position { height: 1, time_ms: 0, index: 0 };
            app.apply(&tx(tx_type, key), position, &mut state).unwrap()
        };
        assert_eq!(apply(CLAIM, 1), Outcome::Applied);
        assert!(matches!(apply(CLAIM, 1), Outcome::Void(_)));
        assert_eq!(apply(RELEASE, 1), Outcome::Applied);
        assert!(matches!(apply(RELEASE, 1), Outcome::Void(_)));
        assert_eq!(apply(COUNT, 1), Outcome::Applied);
        assert_eq!(apply(COUNT, 1), Outcome::Applied);
        let counts: Vec<_> = state.iter().map(|(_, value)| value.to_vec()).collect();
        assert_eq!(counts, [2u64.to_be_bytes().to_vec()]);
        assert!(app.validate(&Transaction::sign(&Hash32::ZERO, &secret, 0, ROW, None, &[1])).is_err());
    }
}
