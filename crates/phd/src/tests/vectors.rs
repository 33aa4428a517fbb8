//! The payloads of the published vectors, good and spoiled.

use crate::PhdApp;
use blockhie_core::{Application, Genesis, PublicKey, Transaction, TxError, TxHash, Unverified, Verified};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../docs/protocol/vectors.json")).unwrap()
}

fn bytes(row: &Value, field: &str) -> Vec<u8> {
    hex::decode(row[field].as_str().unwrap()).unwrap()
}

fn transaction(row: &Value, genesis: &Genesis) -> Option<Result<Transaction<Verified>, TxError>> {
    let key = |field| PublicKey::from_slice(&bytes(row, field)).ok();
    let to = if row["to"].is_null() { None } else { Some(key("to")?) };
    let tx_type = i32::try_from(row["type"].as_i64().unwrap()).unwrap();
    let claimed = TxHash::from_slice(&bytes(row, "txhash")).unwrap();
    let time_ms = row["time_ms"].as_u64().unwrap();
    let tx = Transaction::<Unverified>::new(time_ms, tx_type, key("from")?, to, bytes(row, "body").into(), claimed);
    Some(tx.verify(&genesis.chain_id(), genesis.kind))
}

fn genesis(vectors: &Value, index: usize) -> Genesis {
    Genesis::from_bytes(&bytes(&vectors["chain_id"][index], "bytes")).unwrap()
}

#[test]
fn every_good_payload_is_valid_and_no_spoiled_one() {
    let vectors = vectors();
    let phd = genesis(&vectors, 1);
    let app = PhdApp::new(&phd);
    let (mut good, mut spoiled) = (0, 0);
    for row in vectors["transactions"].as_array().unwrap() {
        if row["chain_id"] == phd.chain_id().to_string() && (16..=18).contains(&row["type"].as_i64().unwrap()) {
            let tx = transaction(row, &phd).unwrap().unwrap();
            assert_eq!(app.validate(&tx), Ok(()), "{}", row["name"]);
            good += 1;
        }
    }
    for row in vectors["transactions_invalid"].as_array().unwrap() {
        if row["genesis"] == 1 && (16..=18).contains(&row["type"].as_i64().unwrap()) {
            // One of them fails before the application is asked: its body is too long.
            match transaction(row, &phd).unwrap() {
                Ok(tx) => assert!(matches!(app.validate(&tx), Err(TxError::Payload { .. })), "{}", row["name"]),
                Err(error) => assert!(matches!(error, TxError::BodyLength { .. }), "{}", row["name"]),
            }
            spoiled += 1;
        }
    }
    assert_eq!((good, spoiled), (4, 12));
}

#[test]
fn a_device_signed_for_this_chain_is_refused_on_another() {
    let vectors = vectors();
    let (phd, other) = (genesis(&vectors, 1), genesis(&vectors, 4));
    let row = vectors["transactions"].as_array().unwrap().iter().find(|row| row["name"] == "DEVICE").unwrap();
    let tx = transaction(row, &phd).unwrap().unwrap();
    assert!(PhdApp::new(&other).validate(&tx).is_err());
}
