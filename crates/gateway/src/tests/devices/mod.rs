//! Devices and their readings.

use super::{Answer, Both, Chain, PATIENCE, Rig};
use crate::clock::now_ms;
use crate::limits::{MAX_SEALED_BYTES, MAX_SEGMENTS};
use axum::http::StatusCode;
use blockhie_core::{PublicKey, Receipt, SecretKey, Transaction, Trust, Verdict, Verified, verify_receipt};
use blockhie_phd::{
    Carriage, Decimal, Samples, Segment, SegmentOpening, Timing, check_segment, enrol, prepare_segment, retire, unseal,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

mod flow;
mod refused;

const START_MS: u64 = 1_700_000_000_000;

/// An owner and a device, and the chain they are on.
pub(super) struct Pair {
    pub(super) owner: SecretKey,
    pub(super) device: SecretKey,
    chain: blockhie_core::ChainId,
}

impl Pair {
    pub(super) fn new(phd: &Chain) -> Self {
        let (owner, device) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        Self { owner, device, chain: phd.node.genesis.chain_id() }
    }

    pub(super) fn chain(&self) -> blockhie_core::ChainId {
        self.chain
    }

    pub(super) fn key(&self) -> PublicKey {
        self.device.public()
    }

    pub(super) fn path(&self) -> String {
        format!("/api/v1/devices/{}", self.key())
    }

    pub(super) async fn register(&self, rig: &Rig) -> Value {
        let tx = enrol(&self.chain, &self.owner, &self.device, now_ms());
        let answer = rig.post_json("/api/v1/devices", &transaction(&tx)).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        answer.json()
    }

    /// Readings at one a second; the values tell where they stand.
    pub(super) fn segment(&self, first_seq: u64, count: u64, carriage: Carriage) -> Segment {
        let values = (first_seq..first_seq + count).map(|seq| format!("{seq}.50").parse().unwrap()).collect();
        let one: Decimal = "1".parse().unwrap();
        let mut samples = Samples::new("8867-4", "/min", START_MS, Timing::Rate(one), values);
        samples.skipped = first_seq;
        prepare_segment(&self.chain, &self.device, first_seq, &samples, carriage, now_ms()).unwrap()
    }

    async fn push(&self, rig: &Rig, segments: &[Value]) -> Answer {
        rig.post_json(&format!("{}/readings", self.path()), &json!({ "segments": segments })).await
    }

    async fn push_taken(&self, rig: &Rig, segments: &[Value]) -> Value {
        let answer = self.push(rig, segments).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        answer.json()["segments"].clone()
    }

    /// Pushes a segment, reads it back, and is refused another.
    pub(super) async fn push_one(&self, rig: &Rig) -> Segment {
        let segment = self.segment(0, 5, Carriage::Blob);
        self.push_taken(rig, &[blob(&segment)]).await;
        self.push(rig, &[blob(&self.segment(1, 5, Carriage::Blob))]).await.expect_error(409, "conflict");
        for rest in ["/data", "/opening", "/sealed"] {
            assert_eq!(rig.signed(&self.owner, "GET", &self.segment_path(0, rest)).await.status, StatusCode::OK);
        }
        segment
    }

    fn segment_path(&self, first_seq: u64, rest: &str) -> String {
        format!("{}/segments/{first_seq}{rest}", self.path())
    }
}

pub(super) fn transaction(tx: &Transaction<Verified>) -> Value {
    json!({ "transaction": hex::encode(tx.to_bytes()) })
}

/// As it is sent: with its key, or sealed only.
pub(super) fn sent(segment: &Segment, carriage: Carriage, with_key: bool) -> Value {
    let key = with_key.then(|| hex::encode(segment.key.as_bytes()));
    let sealed = (carriage == Carriage::Blob).then(|| hex::encode(&segment.sealed));
    json!({ "transaction": hex::encode(segment.transaction.to_bytes()), "sealed": sealed, "key": key })
}

pub(super) fn blob(segment: &Segment) -> Value {
    sent(segment, Carriage::Blob, true)
}

/// Registers a device and waits until it is enrolled.
pub(super) async fn enrolled(both: &Both) -> Pair {
    let pair = Pair::new(&both.phd);
    let taken = pair.register(&both.rig).await;
    both.phd.node.mine(0);
    both.rig.wait_at(taken["status_url"].as_str().unwrap(), "final").await;
    wait_until(async || both.rig.get(&pair.path()).await.json()["state"] == "enrolled").await;
    pair
}

pub(super) async fn wait_until(is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Checks the three documents of a segment, offline.
async fn expect_segment_proved(both: &Both, pair: &Pair, segment: &Segment) {
    let get = async |rest: &str| {
        let path = pair.segment_path(segment.place.first_seq, rest);
        let answer = both.rig.signed(&pair.owner, "GET", &path).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.body
    };
    let data = get("/data").await;
    assert_eq!(data, *segment.data);
    let opening = SegmentOpening::parse(&get("/opening").await).unwrap();
    assert_eq!(opening, segment.opening);
    let receipt = Receipt::parse(&get("/receipt").await).unwrap();
    let trust = Trust { genesis: Some(&both.phd.node.genesis), ..Trust::default() };
    let checked = verify_receipt(&receipt, &trust).unwrap();
    assert_eq!(checked.verdict, Verdict::Proved, "{:?}", checked.steps);
    let steps = check_segment(Some(&data), &opening, &checked);
    assert!(steps.iter().all(|step| step.holds == Some(true)), "{steps:?}");
}

/// Whether a file under `folder` holds these bytes, plain or in hex.
pub(super) fn holds(folder: &std::path::Path, bytes: &[u8]) -> bool {
    let text = hex::encode(bytes);
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        let found = std::fs::read(path).unwrap_or_default();
        found.windows(bytes.len()).any(|window| window == bytes)
            || found.windows(text.len()).any(|window| window == text.as_bytes())
    })
}
