//! Texts that people hand around: receipts, openings, genesis files, keys, signed requests.

use crate::same;
use blockhie_core::{
    BlockHash, Genesis, Hash32, PublicKey, Receipt, Signature, SignedRequest, Trust, Verdict, keyfile, verify_receipt,
};
use blockhie_coupling::LinkOpening;
use blockhie_emr::copy::Recipient;
use blockhie_emr::vault::ErasureCertificate;
use blockhie_emr::{MediaType, Opening};
use blockhie_phd::{Decimal, SegmentOpening};
use std::sync::LazyLock;

static VECTORS: LazyLock<serde_json::Value> = LazyLock::new(|| {
    let text = include_str!("../../../docs/protocol/vectors.json");
    serde_json::from_str(text).expect("the committed vectors are JSON")
});

fn bytes_of(value: &serde_json::Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_default();
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex of the vectors");
    (0..text.len()).step_by(2).map(digits).collect()
}

static GENESIS: LazyLock<Genesis> =
    LazyLock::new(|| Genesis::from_bytes(&bytes_of(&VECTORS["chain"]["genesis"])).expect("the genesis of the vectors"));

/// The transactions that were really committed on the chain of the vectors.
static COMMITTED: LazyLock<Vec<String>> = LazyLock::new(|| {
    let rows = VECTORS["chain"]["transactions"].as_array().expect("a list");
    rows.iter().map(|row| row["txhash"].as_str().expect("a hash").to_owned()).collect()
});

/// A receipt: one text for each, and nothing that was not committed is ever proved.
pub fn receipt(bytes: &[u8]) {
    let Ok(receipt) = Receipt::parse(bytes) else { return };
    same(receipt.to_json().as_bytes(), bytes);
    let checkpoint = receipt.run.last().map_or(&receipt.block, |last| last);
    let checkpoint: BlockHash = blockhie_core::sha256(&[&checkpoint.header.0]);
    for trust in [
        Trust { genesis: Some(&GENESIS), ..Trust::default() },
        Trust { genesis: Some(&GENESIS), quorum: Some(1), checkpoint: None },
        Trust { genesis: Some(&GENESIS), quorum: None, checkpoint: Some(checkpoint) },
        Trust { checkpoint: Some(checkpoint), ..Trust::default() },
    ] {
        let verification = verify_receipt(&receipt, &trust).expect("a genesis with members, or a checkpoint");
        assert!(!verification.steps.is_empty());
        // A checkpoint alone is somebody's word for a header; who trusts the members needs their signatures.
        if verification.verdict == Verdict::Proved && trust.genesis.is_some() {
            let tx = verification.transaction.expect("what is proved was checked");
            assert!(COMMITTED.contains(&tx.hash().to_string()), "{} was never committed", tx.hash());
        }
    }
}

/// The openings and certificates: one text for each.
pub fn openings(bytes: &[u8]) {
    if let Ok(opening) = Opening::parse(bytes) {
        same(opening.to_json().as_bytes(), bytes);
    }
    if let Ok(opening) = SegmentOpening::parse(bytes) {
        same(opening.to_json().as_bytes(), bytes);
    }
    if let Ok(opening) = LinkOpening::parse(bytes) {
        same(opening.to_json().as_bytes(), bytes);
    }
    if let Ok(certificate) = ErasureCertificate::parse(bytes) {
        same(certificate.to_json().as_bytes(), bytes);
        let _ = certificate.is_signed();
    }
}

/// The editor form of a genesis.
pub fn genesis_toml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(genesis) = Genesis::from_toml(text) {
        same(&Genesis::from_toml(&genesis.to_toml()).expect("its own editor form"), &genesis);
        same(&Genesis::from_bytes(&genesis.to_bytes()).expect("its own bytes"), &genesis);
    }
}

/// Short texts: key files, keys, hashes, signed requests, recipients, media types, decimals.
pub fn texts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(secret) = keyfile::parse(text) {
        assert_eq!(text.trim().len(), 64);
        let _ = secret.public();
    }
    if let Ok(hash) = text.parse::<Hash32>() {
        same(&hash.to_string()[..], text);
    }
    if let Ok(key) = text.parse::<PublicKey>() {
        same(&key.to_string()[..], text);
    }
    if let Ok(signature) = text.parse::<Signature>() {
        same(&signature.to_string()[..], text);
    }
    if let Ok(request) = text.parse::<SignedRequest>() {
        same(&request.to_string()[..], text);
        let judged = SignedRequest::check(text, "GET", "/not/what/was/signed", b"", request.time_ms);
        assert!(judged.is_err(), "{text}");
    }
    if let Ok(recipient) = text.parse::<Recipient>() {
        let again: Recipient = recipient.to_string().parse().expect("its own text");
        same(&again.to_string(), &recipient.to_string());
    }
    if let Ok(media_type) = text.parse::<MediaType>() {
        same(media_type.as_str(), text);
    }
    if let Ok(decimal) = text.parse::<Decimal>() {
        same(&decimal.to_string()[..], text);
    }
}
