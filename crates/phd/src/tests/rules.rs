//! Void rules, and decoders against any bytes.

use super::{genesis, secret};
use crate::payload::{READINGS, Readings};
use crate::{DeviceRow, Payload, PhdApp, device_of, enrol, segments_of};
use blockhie_core::app::MemoryState;
use blockhie_core::{Application, Outcome, Position, Refused, SecretKey, Transaction, Verified};
use proptest::prelude::*;
use prost::Message;

const POSITION: Position = Position { height: 1, time_ms: 1, index: 0 };

fn signed(by: &SecretKey, tx_type: i32, payload: &impl Message) -> Transaction<Verified> {
    Transaction::sign(&genesis().chain_id(), by, 7, tx_type, None, &payload.encode_to_vec())
}

fn device(owner: &SecretKey, device: &SecretKey) -> Transaction<Verified> {
    enrol(&genesis().chain_id(), owner, device, 7)
}

fn retire(owner: &SecretKey, device: &SecretKey) -> Transaction<Verified> {
    crate::retire(&genesis().chain_id(), owner, &device.public(), 7)
}

fn readings(device: &SecretKey, first_seq: u64, count: u32) -> Transaction<Verified> {
    let sealed = vec![0; 72];
    let payload = Readings { first_seq, count, content: vec![1; 32], sealed, blob: vec![], sealed_len: 0 };
    signed(device, READINGS, &payload)
}

/// Applies; true when it took effect. Admission must have said the same, and what is void leaves the state alone.
fn applied(state: &mut MemoryState, tx: &Transaction<Verified>) -> bool {
    let app = PhdApp::new(&genesis());
    app.validate(tx).unwrap();
    let before = state.clone();
    let admitted = app.admit(tx, state).unwrap();
    assert_eq!(*state, before);
    match app.apply(tx, POSITION, state).unwrap() {
        Outcome::Applied => {
            assert_ne!(*state, before);
            assert_eq!(admitted, Ok(()));
            true
        }
        Outcome::Void(reason) => {
            assert!(!reason.is_empty());
            assert_eq!(*state, before);
            assert_eq!(admitted, Err(Refused::WouldBeVoid { reason }));
            false
        }
    }
}

#[test]
fn a_device_is_enrolled_once_and_retired_by_its_owner() {
    let (owner, other, sensor) = (secret(1), secret(2), secret(3));
    let mut state = MemoryState::default();
    assert!(!applied(&mut state, &retire(&owner, &sensor)), "not enrolled");
    assert!(!applied(&mut state, &readings(&sensor, 0, 1)), "not enrolled");
    assert!(applied(&mut state, &device(&owner, &sensor)));
    assert!(!applied(&mut state, &device(&owner, &sensor)), "enrolled");
    assert!(!applied(&mut state, &device(&other, &sensor)), "enrolled by another");
    assert!(!applied(&mut state, &retire(&other, &sensor)), "not its owner");
    assert!(applied(&mut state, &readings(&sensor, 0, 1)));
    assert!(!applied(&mut state, &readings(&owner, 0, 1)), "an owner is no device");
    assert!(applied(&mut state, &retire(&owner, &sensor)));
    assert!(!applied(&mut state, &retire(&owner, &sensor)), "retired");
    assert!(!applied(&mut state, &device(&owner, &sensor)), "a retired key stays retired");
    assert!(!applied(&mut state, &readings(&sensor, 10, 1)), "retired");
}

#[test]
fn segments_of_a_device_never_meet() {
    let (owner, a, b) = (secret(1), secret(2), secret(3));
    let mut state = MemoryState::default();
    assert!(applied(&mut state, &device(&owner, &a)));
    assert!(applied(&mut state, &device(&owner, &b)));
    assert!(applied(&mut state, &readings(&a, 100, 50)));
    for (first, count) in [(100, 50), (100, 1), (149, 1), (149, 9), (99, 2), (0, 101), (0, 1_000), (120, 3)] {
        assert!(!applied(&mut state, &readings(&a, first, count)), "{first} + {count}");
    }
    assert!(applied(&mut state, &readings(&b, 100, 50)), "another device");
    assert!(applied(&mut state, &readings(&a, 150, 1)));
    assert!(applied(&mut state, &readings(&a, 99, 1)));
    assert!(applied(&mut state, &readings(&a, u64::MAX - 1, 1)), "the last number there is");
    assert!(!applied(&mut state, &readings(&a, u64::MAX - 2, 2)));
}

#[test]
fn devices_and_segments_are_found_by_key_and_sequence() {
    let (owner, a, b) = (secret(1), secret(2), secret(3));
    let mut state = MemoryState::default();
    assert_eq!(device_of(&state, &a.public()), Ok(None));
    assert!(applied(&mut state, &device(&owner, &a)));
    assert!(applied(&mut state, &device(&owner, &b)));
    for (first, count) in [(100, 50), (10, 5), (u64::MAX - 1, 1)] {
        assert!(applied(&mut state, &readings(&a, first, count)));
    }
    assert!(applied(&mut state, &readings(&b, 7, 1)));
    let found = |from, limit| -> Vec<(u64, u64)> {
        let rows = segments_of(&state, &a.public(), from, limit).unwrap();
        rows.into_iter().map(|row| (row.first_seq, row.last_seq)).collect()
    };
    assert_eq!(found(0, 9), [(10, 14), (100, 149), (u64::MAX - 1, u64::MAX - 1)]);
    assert_eq!(found(14, 1), [(10, 14)]);
    assert_eq!(found(15, 1), [(100, 149)]);
    assert_eq!(found(150, 9), [(u64::MAX - 1, u64::MAX - 1)]);
    assert_eq!(device_of(&state, &a.public()).unwrap(), Some(DeviceRow { owner: owner.public(), retired: false }));
    assert!(applied(&mut state, &retire(&owner, &a)));
    assert!(device_of(&state, &a.public()).unwrap().unwrap().retired);
    assert!(!device_of(&state, &b.public()).unwrap().unwrap().retired);
}

proptest! {
    #[test]
    fn segments_agree_with_a_plain_list(ranges in proptest::collection::vec((0u64..60, 1u32..12), 1..40)) {
        let (owner, sensor) = (secret(1), secret(2));
        let mut state = MemoryState::default();
        prop_assert!(applied(&mut state, &device(&owner, &sensor)));
        let mut taken: Vec<(u64, u64)> = vec![];
        for (first, count) in ranges {
            let last = first + u64::from(count) - 1;
            let free = taken.iter().all(|(f, l)| last < *f || *l < first);
            prop_assert_eq!(applied(&mut state, &readings(&sensor, first, count)), free);
            if free {
                taken.push((first, last));
            }
        }
    }

    #[test]
    fn any_payload_is_answered(tx_type in 15i32..20, payload in proptest::collection::vec(any::<u8>(), 0..160)) {
        let chain = genesis().chain_id();
        let tx = Transaction::sign(&chain, &secret(1), 7, tx_type, None, &payload);
        match Payload::read(&tx, &chain) {
            Ok(Payload::Device(message)) => prop_assert_eq!(message.encode_to_vec(), payload),
            Ok(Payload::Readings(message)) => prop_assert_eq!(message.encode_to_vec(), payload),
            Ok(Payload::Retire(message)) => prop_assert_eq!(message.encode_to_vec(), payload),
            Err(_) => {
                let mut state = MemoryState::default();
                prop_assert!(matches!(PhdApp::new(&genesis()).admit(&tx, &state), Ok(Err(_))));
                let outcome = PhdApp::new(&genesis()).apply(&tx, POSITION, &mut state).unwrap();
                prop_assert!(matches!(outcome, Outcome::Void(_)));
                prop_assert_eq!(state, MemoryState::default());
            }
        }
    }

    #[test]
    fn a_canonical_payload_has_no_second_form(
        first_seq in 0u64..u64::MAX / 2,
        count in 1u32..,
        sealed in proptest::collection::vec(any::<u8>(), 72..90),
        again in 1u8..128,
    ) {
        let chain = genesis().chain_id();
        let message = Readings { first_seq, count, content: vec![1; 32], sealed, blob: vec![], sealed_len: 0 };
        let payload = message.encode_to_vec();
        let tx = Transaction::sign(&chain, &secret(1), 7, READINGS, None, &payload);
        prop_assert_eq!(Payload::read(&tx, &chain), Ok(Payload::Readings(message)));
        // The count a second time: protobuf lets the last one win, this protocol does not.
        let tx = Transaction::sign(&chain, &secret(1), 7, READINGS, None, &[payload, vec![0x10, again]].concat());
        prop_assert!(Payload::read(&tx, &chain).is_err());
    }
}
