//! Links and anchors: the published vectors, the sender's rule, any bytes.

mod link;
mod outbox;

use crate::payload::{ANCHOR, Anchor, LINK, Link};
use crate::{CouplingApp, Payload};
use blockhie_core::app::MemoryState;
use blockhie_core::{
    Application, Genesis, Outcome, Position, PublicKey, Refused, SecretKey, Transaction, TxError, TxHash, Unverified,
    Verified,
};
use proptest::prelude::*;
use prost::Message;
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../docs/protocol/vectors.json")).unwrap()
}

fn bytes(row: &Value, field: &str) -> Vec<u8> {
    hex::decode(row[field].as_str().unwrap()).unwrap()
}

fn genesis(vectors: &Value, index: usize) -> Genesis {
    Genesis::from_bytes(&bytes(&vectors["chain_id"][index], "bytes")).unwrap()
}

fn transaction(row: &Value, genesis: &Genesis) -> Transaction<Verified> {
    let key = |field| PublicKey::from_slice(&bytes(row, field)).unwrap();
    let to = (!row["to"].is_null()).then(|| key("to"));
    let tx_type = i32::try_from(row["type"].as_i64().unwrap()).unwrap();
    let claimed = TxHash::from_slice(&bytes(row, "txhash")).unwrap();
    let time_ms = row["time_ms"].as_u64().unwrap();
    Transaction::<Unverified>::new(time_ms, tx_type, key("from"), to, bytes(row, "body").into(), claimed)
        .verify(&genesis.chain_id(), genesis.kind)
        .unwrap()
}

#[test]
fn every_good_payload_is_valid_and_no_spoiled_one() {
    let vectors = vectors();
    let (mut good, mut spoiled) = (0, 0);
    let emr = genesis(&vectors, 0);
    let app = CouplingApp::new(&emr);
    for row in vectors["transactions"].as_array().unwrap() {
        if row["type"].as_i64().unwrap() >= 32 {
            let tx = transaction(row, &emr);
            assert_eq!(app.validate(&tx), Ok(()), "{}", row["name"]);
            let mut state = MemoryState::default();
            let position = Position { height: 1, time_ms: 1, index: 0 };
            for _ in 0..2 {
                assert_eq!(app.apply(&tx, position, &mut state), Ok(Outcome::Applied), "never void");
            }
            assert_eq!(state, MemoryState::default());
            assert_eq!(app.admit(&tx, &state).unwrap(), Ok(()));
            good += 1;
        }
    }
    for row in vectors["transactions_invalid"].as_array().unwrap() {
        if row["type"].as_i64().unwrap() >= 32 {
            let tx = transaction(row, &emr);
            let error = app.validate(&tx).unwrap_err();
            let refused = app.admit(&tx, &MemoryState::default()).unwrap();
            assert_eq!(refused, Err(Refused::WouldBeVoid { reason: error.to_string() }));
            assert!(matches!(error, TxError::Payload { .. }), "{}: {error}", row["name"]);
            spoiled += 1;
        }
    }
    assert_eq!((good, spoiled), (2, 3));
}

#[test]
fn on_an_open_chain_anybody_anchors() {
    let vectors = vectors();
    let open = genesis(&vectors, 2);
    assert!(open.is_open());
    let anchor = Anchor { chain_id: vec![1; 32], height: 0, blockhash: vec![2; 32], work: vec![0; 32] };
    let anybody = SecretKey::from_seed([77; 32]);
    let sign =
        |genesis: &Genesis| Transaction::sign(&genesis.chain_id(), &anybody, 7, ANCHOR, None, &anchor.encode_to_vec());
    assert_eq!(CouplingApp::new(&open).validate(&sign(&open)), Ok(()));
    let closed = genesis(&vectors, 1);
    let error = CouplingApp::new(&closed).validate(&sign(&closed)).unwrap_err();
    assert!(matches!(error, TxError::Payload { field: "txfrom", .. }), "{error}");
}

#[test]
fn each_length_is_held() {
    let vectors = vectors();
    let open = genesis(&vectors, 2);
    let sender = SecretKey::from_seed([77; 32]);
    let validate = |tx_type, to, payload: Vec<u8>| {
        CouplingApp::new(&open).validate(&Transaction::sign(&open.chain_id(), &sender, 7, tx_type, to, &payload))
    };
    let link = |n| Link { commitment: vec![1; n] }.encode_to_vec();
    assert_eq!(validate(LINK, None, link(32)), Ok(()));
    assert!(validate(LINK, Some(sender.public()), link(32)).is_err());
    let anchor =
        |c, b, w| Anchor { chain_id: vec![1; c], height: 5, blockhash: vec![2; b], work: vec![3; w] }.encode_to_vec();
    assert_eq!(validate(ANCHOR, Some(sender.public()), anchor(32, 32, 32)), Ok(()));
    for n in [0, 31, 33] {
        assert!(validate(LINK, None, link(n)).is_err());
        assert!(validate(ANCHOR, None, anchor(n, 32, 32)).is_err());
        assert!(validate(ANCHOR, None, anchor(32, n, 32)).is_err());
        assert!(validate(ANCHOR, None, anchor(32, 32, n)).is_err());
    }
    assert!(matches!(validate(34, None, link(32)), Err(TxError::Type { got: 34, .. })));
}

proptest! {
    #[test]
    fn any_payload_is_answered(tx_type in 31i32..35, payload in proptest::collection::vec(any::<u8>(), 0..120)) {
        let open = genesis(&vectors(), 2);
        let sender = SecretKey::from_seed([1; 32]);
        let tx = Transaction::sign(&open.chain_id(), &sender, 7, tx_type, None, &payload);
        match Payload::read(&tx, &open) {
            Ok(Payload::Link(message)) => prop_assert_eq!(message.encode_to_vec(), payload),
            Ok(Payload::Anchor(message)) => prop_assert_eq!(message.encode_to_vec(), payload),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
