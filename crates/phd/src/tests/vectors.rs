//! The payloads of the published vectors, good and spoiled.

use crate::seal::derive_salt;
use crate::{
    ClockForm, CsvLayout, Decimal, PhdApp, Place, Salt, Samples, SegmentKey, SegmentOpening, Timing, seal,
    segment_digest, unseal,
};
use blockhie_core::{
    Application, Genesis, Hash32, PublicKey, SecretKey, Transaction, TxError, TxHash, Unverified, Verified,
};
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

fn hash(row: &Value, field: &str) -> Hash32 {
    Hash32::from_slice(&bytes(row, field)).unwrap()
}

fn place(row: &Value) -> Place {
    let count = u32::try_from(row["count"].as_u64().unwrap()).unwrap();
    let device = PublicKey::from_slice(&bytes(row, "device")).unwrap();
    Place { chain: hash(row, "chain_id"), device, first_seq: row["first_seq"].as_u64().unwrap(), count }
}

#[test]
fn contents_of_segments_are_the_published_ones() {
    for row in vectors()["commitment"]["segment"].as_array().unwrap() {
        let salt = Salt::new(hash(row, "salt").0);
        assert_eq!(segment_digest(&place(row), &salt, &bytes(row, "bytes")), hash(row, "content"));
    }
}

#[test]
fn seals_and_openings_are_the_published_ones() {
    for row in vectors()["segment_seal"].as_array().unwrap() {
        let (device, place, data) =
            (SecretKey::from_seed(hash(row, "device_secret").0), place(row), bytes(row, "bytes"));
        let key = SegmentKey::derive(&device, &place);
        assert_eq!(key.as_bytes().as_slice(), bytes(row, "key"));
        let salt = derive_salt(&device, &place, &data);
        assert_eq!(salt.as_bytes().as_slice(), bytes(row, "salt"));
        let sealed = seal(&key, &place, &salt, &data);
        assert_eq!(hex::encode(&sealed), row["sealed"].as_str().unwrap());
        let (opened_salt, opened) = unseal(&key, &place, &sealed, &hash(row, "content")).unwrap();
        assert_eq!((opened_salt, opened.to_vec()), (salt.clone(), data.clone()));
        let opening = SegmentOpening::new(&place, salt, u64::try_from(data.len()).unwrap());
        assert_eq!(opening.to_json(), row["opening"].as_str().unwrap());
        assert_eq!(SegmentOpening::parse(opening.to_json().as_bytes()), Ok(opening));
    }
}

fn decimals(row: &Value, field: &str) -> Vec<Decimal> {
    row[field].as_array().unwrap().iter().map(|text| text.as_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn the_data_of_segments_is_the_published_one() {
    for row in vectors()["segment_data"].as_array().unwrap() {
        let (code, unit) = (row["code"].as_str().unwrap(), row["unit"].as_str().unwrap());
        let timing = match row["rate"].as_str() {
            Some(rate) => Timing::Rate(rate.parse().unwrap()),
            None => Timing::Offsets(decimals(row, "offsets")),
        };
        let mut samples = Samples::new(code, unit, row["start_ms"].as_u64().unwrap(), timing, decimals(row, "values"));
        samples.skipped = row["skipped"].as_u64().unwrap();
        samples.layout = CsvLayout {
            header: row["header"].as_str().map(str::to_owned),
            crlf: row["crlf"].as_bool().unwrap(),
            final_newline: row["final_newline"].as_bool().unwrap(),
            clock: row["clock"].as_u64().map(|byte| ClockForm::from_byte(u8::try_from(byte).unwrap()).unwrap()),
        };
        assert_eq!(Samples::decode(&bytes(row, "data")), Ok(samples.clone()));
        assert_eq!(hex::encode(crate::encoding::write_body(&samples)), row["body"].as_str().unwrap());
        assert_eq!(Samples::decode(&samples.encode().unwrap()), Ok(samples));
    }
}
