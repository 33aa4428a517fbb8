//! Void rules, and payload decoders against any bytes.

use super::{chain, secret};
use crate::payload::{
    ACCESS, AMEND, Access, Amend, GRANT, Grant, MAX_BATCH, RECORD, RECORDS, RETRACT, REVOKE, Record, Records, Retract,
    RetractReason, Revoke,
};
use crate::{EmrApp, Payload};
use blockhie_core::app::MemoryState;
use blockhie_core::{Application, Outcome, Position, Refused, SecretKey, Transaction, TxError, Verified};
use proptest::prelude::*;
use prost::Message;

const POSITION: Position = Position { height: 1, time_ms: 1, index: 0 };

fn signed(by: &SecretKey, tx_type: i32, payload: &impl Message) -> Transaction<Verified> {
    Transaction::sign(&chain(), by, 7, tx_type, None, &payload.encode_to_vec())
}

/// Applies; true when it took effect. Admission must have said the same, and what is void leaves the state alone.
fn applied(state: &mut MemoryState, tx: &Transaction<Verified>) -> bool {
    EmrApp.validate(tx).unwrap();
    let before = state.clone();
    let admitted = EmrApp.admit(tx, state).unwrap();
    assert_eq!(*state, before);
    match EmrApp.apply(tx, POSITION, state).unwrap() {
        Outcome::Applied => {
            assert_eq!(admitted, Ok(()));
            true
        }
        Outcome::Void(reason) => {
            assert_eq!(admitted, Err(Refused::WouldBeVoid { reason }));
            assert_eq!(*state, before);
            false
        }
    }
}

fn record(by: &SecretKey, n: u8) -> Transaction<Verified> {
    signed(by, RECORD, &Record { commitment: vec![n; 32] })
}

#[test]
fn a_sender_commits_a_record_once() {
    let (a, b) = (secret(1), secret(2));
    let mut state = MemoryState::default();
    assert!(applied(&mut state, &record(&a, 1)));
    assert!(!applied(&mut state, &record(&a, 1)));
    assert!(applied(&mut state, &record(&a, 2)));
    assert!(applied(&mut state, &record(&b, 1)), "a copier harms nobody");
}

#[test]
fn of_two_successors_the_first_stands() {
    let (a, b) = (secret(1), secret(2));
    let amend = |by, new: u8, previous: u8| {
        signed(by, AMEND, &Amend { commitment: vec![new; 32], previous: vec![previous; 32] })
    };
    let mut state = MemoryState::default();
    assert!(applied(&mut state, &amend(&a, 2, 1)), "whether the record is there is not asked");
    assert!(!applied(&mut state, &amend(&a, 3, 1)));
    assert!(applied(&mut state, &amend(&a, 3, 2)));
    assert!(applied(&mut state, &amend(&b, 3, 1)));
}

#[test]
fn a_sender_retracts_a_record_once() {
    let (a, b) = (secret(1), secret(2));
    let retract =
        |by, n: u8, reason: RetractReason| signed(by, RETRACT, &Retract { record: vec![n; 32], reason: reason.into() });
    let mut state = MemoryState::default();
    assert!(applied(&mut state, &retract(&a, 1, RetractReason::EnteredInError)));
    assert!(!applied(&mut state, &retract(&a, 1, RetractReason::Legal)));
    assert!(applied(&mut state, &retract(&b, 1, RetractReason::WrongPatient)));
    assert!(applied(&mut state, &retract(&a, 2, RetractReason::Superseded)));
}

#[test]
fn a_grant_is_made_once_and_revoked_once_by_its_sender() {
    let (a, b) = (secret(1), secret(2));
    let grant = |by, n: u8, expires_ms| signed(by, GRANT, &Grant { consent: vec![n; 32], expires_ms });
    let revoke = |by, grant: &Transaction<Verified>| signed(by, REVOKE, &Revoke { grant: grant.hash().0.to_vec() });
    let first = grant(&a, 1, 0);
    let mut state = MemoryState::default();
    assert!(!applied(&mut state, &revoke(&a, &first)), "no such grant");
    assert!(applied(&mut state, &first));
    assert!(!applied(&mut state, &grant(&a, 1, 99)), "the same consent");
    assert!(!applied(&mut state, &revoke(&b, &first)), "another's grant");
    assert!(applied(&mut state, &grant(&b, 1, 0)));
    assert!(applied(&mut state, &revoke(&a, &first)));
    assert!(!applied(&mut state, &revoke(&a, &first)), "revoked");
    assert!(!applied(&mut state, &first), "a revoked consent is not granted again");
    assert!(!applied(&mut state, &revoke(&a, &record(&a, 1))), "a record is no grant");
}

#[test]
fn records_and_access_are_never_void() {
    let a = secret(1);
    let records = signed(&a, RECORDS, &Records { root: vec![1; 32], count: 1 });
    let access = signed(&a, ACCESS, &Access { root: vec![1; 32], count: 0, from_ms: 9, to_ms: 2 });
    let mut state = MemoryState::default();
    for tx in [&records, &records, &access, &access] {
        assert!(applied(&mut state, tx));
    }
    assert_eq!(state, MemoryState::default());
}

#[test]
fn each_stateless_rule_is_held() {
    let (a, to) = (secret(1), Some(secret(2).public()));
    let field = |tx_type, to, payload: Vec<u8>| match EmrApp.validate(&Transaction::sign(
        &chain(),
        &a,
        7,
        tx_type,
        to,
        &payload,
    )) {
        Ok(()) => "",
        Err(TxError::Payload { field, .. }) => field,
        Err(TxError::Type { .. }) => "type",
        Err(error) => panic!("{error}"),
    };
    let record = |n| Record { commitment: vec![1; n] }.encode_to_vec();
    let amend = |n, m| Amend { commitment: vec![1; n], previous: vec![2; m] }.encode_to_vec();
    let retract = |n, reason| Retract { record: vec![1; n], reason }.encode_to_vec();
    let records = |n, count| Records { root: vec![1; n], count }.encode_to_vec();
    let grant = |n| Grant { consent: vec![1; n], expires_ms: 5 }.encode_to_vec();
    let revoke = |n| Revoke { grant: vec![1; n] }.encode_to_vec();
    let access = |n| Access { root: vec![1; n], count: 1, from_ms: 2, to_ms: 3 }.encode_to_vec();
    let good =
        [(RECORD, record(32)), (AMEND, amend(32, 32)), (RETRACT, retract(32, 4)), (RECORDS, records(32, MAX_BATCH))];
    for (tx_type, payload) in good {
        assert_eq!(field(tx_type, None, payload.clone()), "");
        assert_eq!(field(tx_type, to, payload), "txto");
    }
    for (tx_type, payload) in [(GRANT, grant(32)), (REVOKE, revoke(32)), (ACCESS, access(32))] {
        assert_eq!(field(tx_type, None, payload.clone()), "");
        assert_eq!(field(tx_type, to, payload), "");
    }
    for n in [0, 31, 33] {
        assert_eq!(field(RECORD, None, record(n)), "commitment");
        assert_eq!(field(AMEND, None, amend(n, 32)), "commitment");
        assert_eq!(field(AMEND, None, amend(32, n)), "previous");
        assert_eq!(field(RETRACT, None, retract(n, 1)), "record");
        assert_eq!(field(RECORDS, None, records(n, 1)), "root");
        assert_eq!(field(GRANT, None, grant(n)), "consent");
        assert_eq!(field(REVOKE, None, revoke(n)), "grant");
        assert_eq!(field(ACCESS, None, access(n)), "root");
    }
    for reason in [0, 5, -1] {
        assert_eq!(field(RETRACT, None, retract(32, reason)), "reason");
    }
    for count in [0, MAX_BATCH + 1, u64::MAX] {
        assert_eq!(field(RECORDS, None, records(32, count)), "count");
    }
    // A default written, a field twice, an unknown field, a cut.
    let canonical = record(32);
    for spoiled in [
        [canonical.clone(), vec![0x10, 0]].concat(),
        [canonical.clone(), canonical.clone()].concat(),
        [canonical.clone(), vec![0x10, 1]].concat(),
        canonical[..20].to_vec(),
    ] {
        assert_eq!(field(RECORD, None, spoiled), "payload");
    }
    assert_eq!(field(0, None, canonical.clone()), "type");
    assert_eq!(field(8, None, canonical), "type");
}

proptest! {
    #[test]
    fn any_payload_is_answered(tx_type in 0i32..9, payload in proptest::collection::vec(any::<u8>(), 0..120)) {
        let tx = Transaction::sign(&chain(), &secret(1), 7, tx_type, None, &payload);
        let again = match Payload::read(&tx) {
            Ok(Payload::Record(message)) => message.encode_to_vec(),
            Ok(Payload::Amend(message)) => message.encode_to_vec(),
            Ok(Payload::Retract(message)) => message.encode_to_vec(),
            Ok(Payload::Grant(message)) => message.encode_to_vec(),
            Ok(Payload::Revoke(message)) => message.encode_to_vec(),
            Ok(Payload::Access(message)) => message.encode_to_vec(),
            Ok(Payload::Records(message)) => message.encode_to_vec(),
            Err(_) => {
                let mut state = MemoryState::default();
                prop_assert!(matches!(EmrApp.apply(&tx, POSITION, &mut state), Ok(Outcome::Void(_))));
                prop_assert!(matches!(EmrApp.admit(&tx, &state), Ok(Err(_))));
                prop_assert_eq!(state, MemoryState::default());
                payload.clone()
            }
        };
        prop_assert_eq!(again, payload);
    }
}
