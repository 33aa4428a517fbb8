//! The published vectors of this chain.

use super::{bytes, hash, transaction, vectors};
use crate::opening::issuer_sign_bytes;
use crate::{Certificate, EmrApp, MediaType, Opening, Salt, check_record, commitment, content_digest};
use blockhie_core::merkle;
use blockhie_core::{
    Application, Genesis, Hash32, PublicKey, Receipt, SecretKey, Signature, Trust, TxError, Verdict, verify_receipt,
};

#[test]
fn every_good_payload_is_valid_and_no_spoiled_one() {
    let vectors = vectors();
    let genesis = Genesis::from_bytes(&bytes(&vectors["chain_id"][0], "bytes")).unwrap();
    let (chain, kind) = (genesis.chain_id(), genesis.kind);
    let (mut good, mut spoiled) = (0, 0);
    for row in vectors["transactions"].as_array().unwrap() {
        if (1..=7).contains(&row["type"].as_i64().unwrap()) {
            let tx = transaction(row).unwrap().verify(&chain, kind).unwrap();
            assert_eq!(EmrApp.validate(&tx), Ok(()), "{}", row["name"]);
            good += 1;
        }
    }
    for row in vectors["transactions_invalid"].as_array().unwrap() {
        // The others fail before the application is asked: keys, lengths, types, signatures.
        let Some(Ok(tx)) = transaction(row).map(|tx| tx.verify(&chain, kind)) else { continue };
        if tx.tx_type() > 7 {
            continue;
        }
        assert!(matches!(EmrApp.validate(&tx), Err(TxError::Payload { .. })), "{}", row["name"]);
        spoiled += 1;
    }
    assert_eq!((good, spoiled), (8, 15));
}

#[test]
fn commitments_are_the_published_ones() {
    let vectors = vectors();
    for row in vectors["commitment"]["record"].as_array().unwrap() {
        let salt = Salt::new(hash(row, "salt").0);
        let media_type: MediaType = row["media_type"].as_str().unwrap().parse().unwrap();
        let content = content_digest(&salt, &media_type, &bytes(row, "bytes"));
        assert_eq!(content, hash(row, "content"), "{}", row["name"]);
        let issuer = PublicKey::from_slice(&bytes(row, "issuer")).unwrap();
        let addressee = (!row["addressee"].is_null()).then(|| PublicKey::from_slice(&bytes(row, "addressee")).unwrap());
        let got = commitment(&hash(row, "chain_id"), &issuer, addressee.as_ref(), &content);
        assert_eq!(got, hash(row, "commitment"), "{}", row["name"]);
    }
    let batch = &vectors["commitment"]["batch"];
    let list = |value: &serde_json::Value| -> Vec<Hash32> {
        value.as_array().unwrap().iter().map(|hash| hash.as_str().unwrap().parse().unwrap()).collect()
    };
    let commitments = list(&batch["commitments"]);
    assert_eq!(merkle::head(&commitments), hash(batch, "root"));
    for (index, path) in batch["paths"].as_array().unwrap().iter().enumerate() {
        assert_eq!(merkle::path(&commitments, index), Some(list(path)));
    }
}

#[test]
fn a_certificate_is_the_published_one() {
    let row = &vectors()["commitment"]["issuer_certificate"];
    let (chain, issuer) = (hash(row, "chain_id"), PublicKey::from_slice(&bytes(row, "issuer")).unwrap());
    let (from, to) = (row["from_ms"].as_u64().unwrap(), row["to_ms"].as_u64().unwrap());
    let member = SecretKey::from_seed(hash(row, "member_secret").0);
    let certificate = Certificate::sign(&member, &chain, &issuer, from, to);
    assert_eq!(certificate.signature, Signature::from_slice(&bytes(row, "signature")).unwrap());
    assert!(member.public().verify(&issuer_sign_bytes(&chain, &issuer, from, to), &certificate.signature));
}

#[test]
fn the_published_record_opens_and_any_changed_byte_does_not() {
    let row = &vectors()["chain"];
    let genesis = Genesis::from_bytes(&bytes(row, "genesis")).unwrap();
    let (record, text) = (bytes(row, "record"), row["opening"].as_str().unwrap());
    let receipt = Receipt::parse(row["receipts"]["full"].as_str().unwrap().as_bytes()).unwrap();
    let trust = Trust { genesis: Some(&genesis), ..Trust::default() };
    let verification = verify_receipt(&receipt, &trust).unwrap();
    assert_eq!(verification.verdict, Verdict::Proved);

    let opening = Opening::parse(text.as_bytes()).unwrap();
    assert_eq!(opening.to_json(), text);
    let steps = check_record(Some(&record), &opening, &verification, Some(&genesis));
    let names: Vec<_> = steps.iter().map(|step| (step.name, step.holds)).collect();
    let holds = Some(true);
    assert_eq!(names, [("opening", holds), ("issuer", holds), ("record", holds), ("authenticity", holds)]);
    assert_eq!(steps[3].detail, "unknown key");

    for at in 0..record.len() {
        let mut changed = record.clone();
        changed[at] ^= 1;
        let steps = check_record(Some(&changed), &opening, &verification, Some(&genesis));
        let last = steps.last().unwrap();
        assert_eq!((last.name, last.holds), ("record", Some(false)), "byte {at}");
    }
    for at in 0..text.len() {
        for bit in [1, 2, 4, 16] {
            let mut changed = text.as_bytes().to_vec();
            changed[at] ^= bit;
            // Exit code 3 (form) or 1 (a step fails), never 0.
            if let Ok(opening) = Opening::parse(&changed) {
                let steps = check_record(Some(&record), &opening, &verification, Some(&genesis));
                assert_eq!(steps.last().unwrap().holds, Some(false), "byte {at}");
            }
        }
    }
}
