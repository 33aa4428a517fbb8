//! Values, openings and their checks, against the published vectors.

use super::{bytes, genesis, vectors};
use crate::opening::{LINK_OPENING_FORMAT, LinkOpening, MAX_LINK_OPENING_BYTES};
use crate::{CouplingApp, LinkReceipts, LinkTerms, Payload, Seed, check_link, link_commitment, link_transaction};
use blockhie_core::app::MemoryState;
use blockhie_core::receipt::{Step, Verdict, Verification};
use blockhie_core::{
    Application, FormError, Genesis, Hash32, Outcome, Position, PublicKey, Receipt, SecretKey, Signature, Transaction,
    Trust, verify_receipt,
};
use blockhie_emr::BatchPath;
use proptest::prelude::*;
use serde_json::Value;

const STEPS: [&str; 9] =
    ["chains", "expiry", "audience", "record", "device", "link-emr", "link-phd", "owner signature", "holder signature"];

fn hash(row: &Value, field: &str) -> Hash32 {
    row[field].as_str().unwrap().parse().unwrap()
}

fn key(row: &Value, field: &str) -> PublicKey {
    row[field].as_str().unwrap().parse().unwrap()
}

fn verify(vectors: &Value, name: &str, genesis: &Genesis) -> Verification {
    let receipt = Receipt::parse(vectors["link"]["receipts"][name].as_str().unwrap().as_bytes()).unwrap();
    let trust = Trust { genesis: Some(genesis), ..Trust::default() };
    verify_receipt(&receipt, &trust).unwrap()
}

/// The receipts of the vectors by name, each verified with the genesis it belongs to.
struct Verified4([Verification; 4]);

impl Verified4 {
    fn new(vectors: &Value, names: &Value) -> Self {
        let genesis = [genesis(vectors, 0), genesis(vectors, 1)];
        let of = |at: usize| {
            let name = names[at].as_str().unwrap();
            let on_phd = name.ends_with("DEVICE") || name.starts_with("link-phd");
            let verification = verify(vectors, name, &genesis[usize::from(on_phd)]);
            assert_eq!(verification.verdict, Verdict::Proved, "{name}: {:?}", verification.steps);
            verification
        };
        Self([of(0), of(1), of(2), of(3)])
    }

    fn receipts(&self) -> LinkReceipts<'_> {
        let [record, device, link_emr, link_phd] = &self.0;
        LinkReceipts { record, device, link_emr, link_phd }
    }
}

fn failed(steps: &[Step]) -> Option<&'static str> {
    steps.iter().find(|step| step.holds == Some(false)).map(|step| step.name)
}

#[test]
fn values_and_transactions_are_the_published_ones() {
    let vectors = vectors();
    let rows = vectors["commitment"]["link"].as_array().unwrap();
    let value = |row: &Value| {
        let seed = Seed::new(hash(row, "seed").0);
        link_commitment(&hash(row, "chain_id"), &seed, &hash(row, "record"), &key(row, "device"))
    };
    for row in rows {
        assert_eq!(value(row), hash(row, "commitment"));
    }
    assert_ne!(value(&rows[0]), value(&rows[1]), "an equal value would join the chains");
    let row = &rows[0];
    let one_time = SecretKey::from_seed([8; 32]);
    let (chain, seed) = (hash(row, "chain_id"), Seed::new(hash(row, "seed").0));
    let tx = link_transaction(&chain, &one_time, &seed, &hash(row, "record"), &key(row, "device"), 77);
    assert_eq!((tx.time_ms(), *tx.from(), tx.to()), (77, one_time.public(), None));
    let Payload::Link(link) = Payload::read(&tx, &genesis(&vectors, 0)).unwrap() else { panic!() };
    assert_eq!(link.commitment, hash(row, "commitment").0);
}

#[test]
fn terms_are_signed_as_published() {
    let vectors = vectors();
    let rows = vectors["link"]["terms"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let terms = LinkTerms {
            emr: hash(row, "emr"),
            phd: hash(row, "phd"),
            seed: Seed::new(hash(row, "seed").0),
            record: hash(row, "record"),
            device: key(row, "device"),
            audience: key(row, "audience"),
            expiry_ms: row["expiry_ms"].as_u64().unwrap(),
        };
        assert_eq!(*terms.sign_bytes(), bytes(row, "signing_bytes"));
        assert_eq!(terms.seed.link_id(), hash(row, "id"));
        let owner = SecretKey::from_seed(hash(row, "owner_secret").0);
        let signature = terms.sign(&owner);
        assert_eq!(signature, Signature::from_slice(&bytes(row, "owner_signature")).unwrap());
        assert!(terms.is_signed_by(&owner.public(), &signature));
        assert!(!terms.is_signed_by(&terms.audience, &signature));
    }
}

#[test]
fn every_case_of_the_vectors_is_answered_as_published() {
    let vectors = vectors();
    let cases = vectors["link"]["cases"].as_array().unwrap();
    assert!(cases.len() >= 30);
    for case in cases {
        let name = case["opening"].as_str().unwrap();
        let text = vectors["link"]["openings"][name].as_str().unwrap();
        let expected = case["failed"].as_str();
        let opening = match LinkOpening::parse(text.as_bytes()) {
            Ok(opening) => opening,
            Err(error) => {
                assert_eq!(expected, Some("form"), "{name}: {error}");
                continue;
            }
        };
        assert_eq!(opening.to_json(), text);
        let verified = Verified4::new(&vectors, &case["receipts"]);
        let audience = (!case["audience"].is_null()).then(|| key(case, "audience"));
        let now_ms = case["now_ms"].as_u64().unwrap();
        let steps = check_link(&opening, &verified.receipts(), audience.as_ref(), now_ms);
        assert_eq!(failed(&steps), expected, "{case}: {steps:?}");
        let names: Vec<_> = steps.iter().map(|step| step.name).collect();
        assert_eq!(names, STEPS[..names.len()], "the steps have an order");
        if expected.is_none() {
            assert_eq!(names.len(), STEPS.len());
            let undecided = steps.iter().filter(|step| step.holds.is_none()).map(|step| step.name);
            assert_eq!(undecided.collect::<Vec<_>>(), if audience.is_none() { vec!["audience"] } else { vec![] });
        }
    }
}

/// The record that a RECORD commits.
fn record_of(verification: &Verification) -> Hash32 {
    let tx = verification.transaction.as_ref().unwrap();
    Hash32::from_slice(&tx.payload()[2..]).unwrap()
}

/// Whoever sends a value that he saw on a chain again proves nothing with it and spoils nothing: the value says what it
/// says under any one-time key, and only owner and holder can tell it to somebody.
#[test]
fn a_value_copied_by_a_stranger_changes_nothing() {
    let vectors = vectors();
    let case = vectors["link"]["cases"].as_array().unwrap().iter().find(|case| case["failed"].is_null()).unwrap();
    let mut opening =
        LinkOpening::parse(vectors["link"]["openings"][case["opening"].as_str().unwrap()].as_str().unwrap().as_bytes())
            .unwrap();
    let mut verified = Verified4::new(&vectors, &case["receipts"]);
    let stranger = SecretKey::from_seed([99; 32]);
    let original = verified.0[3].transaction.take().unwrap();
    let copy = Transaction::sign(&opening.phd, &stranger, 5, original.tx_type(), None, original.payload());
    let app = CouplingApp::new(&genesis(&vectors, 1));
    let (mut state, position) = (MemoryState::default(), Position { height: 1, time_ms: 1, index: 0 });
    for tx in [&original, &copy] {
        assert_eq!(app.apply(tx, position, &mut state), Ok(Outcome::Applied));
    }
    verified.0[3].transaction = Some(copy);
    let now_ms = case["now_ms"].as_u64().unwrap();
    assert_eq!(failed(&check_link(&opening, &verified.receipts(), None, now_ms)), None);
    let told = |opening: &LinkOpening| LinkTerms {
        emr: opening.emr,
        phd: opening.phd,
        seed: opening.seed.clone(),
        record: record_of(&verified.0[0]),
        device: PublicKey::new(opening.device.0).unwrap(),
        audience: PublicKey::new(opening.audience.0).unwrap(),
        expiry_ms: opening.expiry_ms,
    };
    let owner = *verified.0[1].transaction.as_ref().unwrap().from();
    assert!(told(&opening).is_signed_by(&owner, &opening.owner_signature), "these are the terms that were signed");
    opening.audience = stranger.public().into();
    assert_eq!(failed(&check_link(&opening, &verified.receipts(), None, now_ms)), Some("owner signature"));
    let terms = told(&opening);
    (opening.owner_signature, opening.holder_signature) = (terms.sign(&stranger), terms.sign(&stranger));
    assert_eq!(failed(&check_link(&opening, &verified.receipts(), None, now_ms)), Some("owner signature"));
}

#[test]
fn any_changed_byte_of_an_opening_is_refused() {
    let vectors = vectors();
    for case in vectors["link"]["cases"].as_array().unwrap() {
        let name = case["opening"].as_str().unwrap();
        if !case["failed"].is_null() || case["audience"].is_null() {
            continue;
        }
        let (verified, audience) = (Verified4::new(&vectors, &case["receipts"]), key(case, "audience"));
        let now_ms = case["now_ms"].as_u64().unwrap();
        let text = vectors["link"]["openings"][name].as_str().unwrap().as_bytes();
        for at in 0..text.len() {
            let mut changed = text.to_vec();
            changed[at] ^= 1;
            // Exit code 3 (form) or 1 (a step fails), never 0.
            if let Ok(opening) = LinkOpening::parse(&changed) {
                let steps = check_link(&opening, &verified.receipts(), Some(&audience), now_ms);
                assert!(failed(&steps).is_some(), "{name}: byte {at}");
            }
        }
    }
}

#[test]
fn refuted_receipts_and_receipts_without_transaction_prove_no_link() {
    let vectors = vectors();
    let case = &vectors["link"]["cases"][0];
    let opening = LinkOpening::parse(vectors["link"]["openings"]["addressed"].as_str().unwrap().as_bytes()).unwrap();
    for at in 0..4 {
        let mut verified = Verified4::new(&vectors, &case["receipts"]);
        verified.0[at].verdict = Verdict::Refuted;
        assert_eq!(failed(&check_link(&opening, &verified.receipts(), None, 0)), Some("chains"));
        verified.0[at].verdict = Verdict::NotFinal;
        assert_eq!(failed(&check_link(&opening, &verified.receipts(), None, 0)), None);
        verified.0[at].transaction = None;
        assert_eq!(failed(&check_link(&opening, &verified.receipts(), None, 0)), Some("chains"));
    }
}

#[test]
fn seeds_are_not_shown() {
    let vectors = vectors();
    let text = vectors["link"]["openings"]["addressed"].as_str().unwrap();
    let opening = LinkOpening::parse(text.as_bytes()).unwrap();
    let seed = hex::encode(opening.seed.as_bytes());
    assert!(text.contains(&seed) && !format!("{opening:?}").contains(&seed));
    let error = LinkOpening::parse(text.replace(&seed, &seed[1..]).as_bytes()).unwrap_err().to_string();
    assert!(error.contains("seed") && !error.contains(&seed[1..]), "{error}");
    assert_ne!(Seed::generate().unwrap(), Seed::generate().unwrap());
}

#[test]
fn an_opening_has_one_text() {
    let vectors = vectors();
    let text = vectors["link"]["openings"]["batched"].as_str().unwrap();
    for (from, to) in [
        (",", ", "),
        ("}\n", "}"),
        ("\n", "\n\n"),
        ("link-opening/v1", "link-opening/v2"),
        ("\"index\":1", "\"index\":01"),
        ("\"index\":1", "\"index\":1.0"),
        ("\"expiry_ms\":", "\"expiry_ms\":9999"),
        ("\"addressee\":\"\"", "\"addressee\":null"),
        ("{\"format\"", "{\"extra\":1,\"format\""),
        ("\"emr\"", "\"EMR\""),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(LinkOpening::parse(text.replacen(from, to, 1).as_bytes()).is_err(), "{from} → {to}");
    }
    let long = vec![b' '; MAX_LINK_OPENING_BYTES + 1];
    assert!(matches!(LinkOpening::parse(&long), Err(FormError::Length { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(LinkOpening::parse(&bytes).is_err());
    }

    /// Text with a piece cut, doubled or put elsewhere is refused, or is another opening with exactly this text.
    #[test]
    fn a_cut_text_is_refused_or_its_own(a in 0usize..1200, b in 0usize..1200, to in 0usize..1200) {
        let vectors = vectors();
        let text = vectors["link"]["openings"]["batched"].as_str().unwrap().as_bytes();
        let (a, b) = (a.min(b).min(text.len()), a.max(b).min(text.len()));
        let mut changed = [&text[..a], &text[b..]].concat();
        let to = to.min(changed.len());
        changed.splice(to..to, text[a..b].iter().copied());
        if let Ok(opening) = LinkOpening::parse(&changed) {
            prop_assert_eq!(opening.to_json().into_bytes(), changed);
        }
    }

    #[test]
    fn openings_come_back(
        bytes in proptest::collection::vec(any::<[u8; 32]>(), 8),
        signature: [u8; 32],
        expiry: u64,
        addressee: bool,
        batch in proptest::option::of((any::<u64>(), 0usize..4)),
    ) {
        let opening = LinkOpening {
            format: LINK_OPENING_FORMAT.into(),
            emr: Hash32(bytes[0]),
            phd: Hash32(bytes[1]),
            seed: Seed::new(bytes[2]),
            issuer: Hash32(bytes[3]),
            addressee: addressee.then_some(Hash32(bytes[4])),
            content: Hash32(bytes[5]),
            batch: batch.map(|(index, n)| BatchPath { index: index >> 11, path: vec![Hash32(bytes[6]); n] }),
            device: Hash32(bytes[6]),
            audience: Hash32(bytes[7]),
            expiry_ms: expiry >> 11,
            owner_signature: Signature([signature, bytes[0]].concat().try_into().unwrap()),
            holder_signature: Signature([bytes[1], signature].concat().try_into().unwrap()),
        };
        prop_assert_eq!(LinkOpening::parse(opening.to_json().as_bytes()).unwrap(), opening);
    }
}
