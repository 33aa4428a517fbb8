//! What makes a transaction of the PHD-Chain void, and what one that is not void changes. The rows of the state are
//! in [`crate::state`].

use crate::payload::{DEVICE, Payload, RETIRE, Readings};
use crate::state::{ENROLLED, RETIRED, device_row, segment_end, segment_row};
use blockhie_core::{
    Application, ChainId, Genesis, Outcome, Position, Refused, State, StateRead, StoreError, Transaction, TxError,
    Verified,
};

/// The rules of types 16 to 18.
#[derive(Debug, Clone, Copy)]
pub struct PhdApp {
    chain: ChainId,
}

type Write = (Vec<u8>, Vec<u8>);

impl PhdApp {
    /// For the chain of this genesis: a device's signature names it.
    #[must_use]
    pub fn new(genesis: &Genesis) -> Self {
        Self { chain: genesis.chain_id() }
    }

    /// The one write that the transaction makes, or why it is void.
    fn plan(
        &self,
        tx: &Transaction<Verified>,
        payload: &Payload,
        state: &dyn StateRead,
    ) -> Result<Result<Write, String>, StoreError> {
        let owner = tx.from().as_bytes();
        match payload {
            Payload::Device(device) => {
                let key = device_row(&device.device_key);
                Ok(match state.get(&key)? {
                    None => Ok((key, [owner.as_slice(), &[ENROLLED]].concat())),
                    Some(_) => Err("this device is enrolled or was retired".into()),
                })
            }
            Payload::Retire(retire) => {
                let key = device_row(&retire.device_key);
                Ok(if state.get(&key)? == Some([owner.as_slice(), &[ENROLLED]].concat()) {
                    Ok((key, [owner.as_slice(), &[RETIRED]].concat()))
                } else {
                    Err("its sender has not enrolled this device, or it is retired".into())
                })
            }
            Payload::Readings(readings) => plan_readings(tx, readings, state),
        }
    }
}

fn plan_readings(
    tx: &Transaction<Verified>,
    readings: &Readings,
    state: &dyn StateRead,
) -> Result<Result<Write, String>, StoreError> {
    let device = tx.from().as_bytes();
    if state.get(&device_row(device))?.and_then(|row| row.last().copied()) != Some(ENROLLED) {
        return Ok(Err("its sender is not an enrolled device".into()));
    }
    // The stateless rules hold: count is at least 1 and the sum is below 2^64.
    let last = readings.first_seq.saturating_add(u64::from(readings.count)).saturating_sub(1);
    let (start, end) = (segment_row(device, readings.first_seq), segment_end(device));
    if let Some((_, first)) = state.range(&start, Some(&end), 1)?.into_iter().next()
        && first <= last.to_be_bytes().to_vec()
    {
        return Ok(Err(format!("readings {} to {last} meet a segment of this device", readings.first_seq)));
    }
    Ok(Ok((segment_row(device, last), readings.first_seq.to_be_bytes().to_vec())))
}

impl Application for PhdApp {
    fn validate(&self, tx: &Transaction<Verified>) -> Result<(), TxError> {
        Payload::read(tx, &self.chain).map(drop)
    }

    fn admit(&self, tx: &Transaction<Verified>, state: &dyn StateRead) -> Result<Result<(), Refused>, StoreError> {
        let reason = match Payload::read(tx, &self.chain) {
            Ok(payload) => match self.plan(tx, &payload, state)? {
                Ok(_) => return Ok(Ok(())),
                Err(reason) => reason,
            },
            Err(error) => error.to_string(),
        };
        Ok(Err(Refused::WouldBeVoid { reason }))
    }

    fn apply(&self, tx: &Transaction<Verified>, _: Position, state: &mut dyn State) -> Result<Outcome, StoreError> {
        let payload = match Payload::read(tx, &self.chain) {
            Ok(payload) => payload,
            // A block with it is unsound and never applied; a caller that skipped validate() changes nothing.
            Err(error) => return Ok(Outcome::Void(error.to_string())),
        };
        Ok(match self.plan(tx, &payload, state)? {
            Ok((key, value)) => {
                state.put(&key, &value);
                Outcome::Applied
            }
            Err(reason) => Outcome::Void(reason),
        })
    }

    /// Enrolments: whatever a device ever measured is shown with the proof of its own.
    fn keeps(&self, tx: &Transaction<Verified>) -> bool {
        matches!(tx.tx_type(), DEVICE | RETIRE)
    }
}
