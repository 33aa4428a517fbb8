//! What makes a transaction of the EMR-Chain void, and what one that is not void changes.
//!
//! State, keys and values in bytes; `from` is the sender's key (32):
//! - `rec/` ‖ from ‖ commitment → nothing
//! - `amend/` ‖ from ‖ previous → commitment of the successor that stands
//! - `retract/` ‖ from ‖ record → reason (1)
//! - `grant/` ‖ from ‖ consent → txhash of the GRANT
//! - `granted/` ‖ from ‖ txhash of the GRANT → consent, until it is revoked
//!
//! Every rule looks at entries of the same sender only, so what one institution sends never makes another's void.

use crate::payload::{AMEND, GRANT, Payload, RETRACT, REVOKE};
use blockhie_core::{
    Application, Outcome, Position, Refused, State, StateRead, StoreError, Transaction, TxError, Verified,
};

/// The rules of types 1 to 7.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmrApp;

/// Keys written, with `None` for those removed.
type Writes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// What the transaction changes, or why it is void.
fn plan(
    tx: &Transaction<Verified>,
    payload: &Payload,
    state: &dyn StateRead,
) -> Result<Result<Writes, &'static str>, StoreError> {
    let key = |prefix: &str, id: &[u8]| [prefix.as_bytes(), tx.from().as_bytes(), id].concat();
    // The first of its sender with this key stands, later ones are void.
    let first = |key: Vec<u8>, value: &[u8], void: &'static str| {
        Ok(if state.get(&key)?.is_some() { Err(void) } else { Ok(vec![(key, Some(value.to_vec()))]) })
    };
    match payload {
        Payload::Record(record) => {
            first(key("rec/", &record.commitment), &[], "its sender committed this record before")
        }
        Payload::Amend(amend) => {
            let void = "another successor of that record stands";
            first(key("amend/", &amend.previous), &amend.commitment, void)
        }
        Payload::Retract(retract) => {
            let reason = u8::try_from(retract.reason).unwrap_or_default();
            first(key("retract/", &retract.record), &[reason], "its sender retracted this record before")
        }
        Payload::Grant(grant) => {
            let hash = tx.hash();
            let made = first(key("grant/", &grant.consent), &hash.0, "its sender granted this consent before")?;
            Ok(made.map(|mut writes| {
                writes.push((key("granted/", &hash.0), Some(grant.consent.clone())));
                writes
            }))
        }
        Payload::Revoke(revoke) => {
            let granted = key("granted/", &revoke.grant);
            Ok(match state.get(&granted)? {
                Some(_) => Ok(vec![(granted, None)]),
                None => Err("its sender made no such grant, or it is revoked"),
            })
        }
        Payload::Access(_) | Payload::Records(_) => Ok(Ok(vec![])),
    }
}

impl Application for EmrApp {
    fn validate(&self, tx: &Transaction<Verified>) -> Result<(), TxError> {
        Payload::read(tx).map(drop)
    }

    fn admit(&self, tx: &Transaction<Verified>, state: &dyn StateRead) -> Result<Result<(), Refused>, StoreError> {
        let reason = match Payload::read(tx) {
            Ok(payload) => match plan(tx, &payload, state)? {
                Ok(_) => return Ok(Ok(())),
                Err(reason) => reason.to_owned(),
            },
            Err(error) => error.to_string(),
        };
        Ok(Err(Refused::WouldBeVoid { reason }))
    }

    fn apply(&self, tx: &Transaction<Verified>, _: Position, state: &mut dyn State) -> Result<Outcome, StoreError> {
        let payload = match Payload::read(tx) {
            Ok(payload) => payload,
            // A block with it is unsound and never applied; a caller that skipped validate() changes nothing.
            Err(error) => return Ok(Outcome::Void(error.to_string())),
        };
        let writes = match plan(tx, &payload, state)? {
            Ok(writes) => writes,
            Err(reason) => return Ok(Outcome::Void(reason.to_owned())),
        };
        for (key, value) in writes {
            match value {
                Some(value) => state.put(&key, &value),
                None => state.delete(&key),
            }
        }
        Ok(Outcome::Applied)
    }

    /// What says of other records and of consents whether they still hold: few, and asked for years later.
    fn keeps(&self, tx: &Transaction<Verified>) -> bool {
        matches!(tx.tx_type(), AMEND | RETRACT | GRANT | REVOKE)
    }
}
