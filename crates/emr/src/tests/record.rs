//! Publishing and checking records, openings, certificates.

use super::{chain, draft, fhir, genesis, issuer, secret};
use crate::opening::MAX_OPENING_BYTES;
use crate::publish::{MAX_RECORD_BYTES, PublishError};
use crate::{
    Certificate, Draft, EmrApp, MediaType, Opening, Payload, Prepared, Salt, check_record, commitment, content_digest,
    prepare, prepare_batch,
};
use blockhie_core::receipt::{Step, Verdict, Verification};
use blockhie_core::{Application, FormError, Hash32, merkle};
use proptest::prelude::*;

const TIME_MS: u64 = 5_000;
const RECORD: &[u8] = br#"{"resourceType":"Observation","valueQuantity":{"value":1.50}}"#;

fn verification(prepared: &Prepared) -> Verification {
    Verification {
        verdict: Verdict::Proved,
        steps: vec![],
        transaction: Some(prepared.transaction.clone()),
        chain_id: chain(),
        height: 1,
        block_time_ms: TIME_MS,
        proved_time_ms: Some(TIME_MS),
        members: vec![],
    }
}

fn steps(record: &[u8], prepared: &Prepared, opening: &Opening) -> Vec<Step> {
    check_record(Some(record), opening, &verification(prepared), Some(&genesis()))
}

/// Name of the failed step, "" when all hold.
fn fault(record: &[u8], prepared: &Prepared, change: impl FnOnce(&mut Opening)) -> &'static str {
    let mut opening = prepared.opening.clone();
    change(&mut opening);
    let steps = steps(record, prepared, &opening);
    let last = steps.last().unwrap();
    if last.holds == Some(false) { last.name } else { "" }
}

#[test]
fn a_record_is_proved_by_its_exact_bytes() {
    let secret = secret(1);
    let prepared = prepare(&issuer(&secret), &draft(RECORD), 7).unwrap();
    assert_eq!(EmrApp.validate(&prepared.transaction), Ok(()));
    assert_eq!(prepared.transaction.to(), None, "the addressee stays off the chain");
    assert_eq!(Opening::parse(prepared.opening.to_json().as_bytes()).unwrap(), prepared.opening);
    assert_eq!(fault(RECORD, &prepared, |_| ()), "");
    assert_eq!(steps(RECORD, &prepared, &prepared.opening).last().unwrap().detail, "member hospital 1");
    // Canonical JSON would make 1.5 of it; the precision is clinical.
    let shorter = String::from_utf8(RECORD.to_vec()).unwrap().replace("1.50", "1.5");
    assert_eq!(fault(shorter.as_bytes(), &prepared, |opening| opening.length -= 1), "record");
    assert_eq!(fault(shorter.as_bytes(), &prepared, |_| ()), "record");
}

#[test]
fn each_field_of_an_opening_is_bound() {
    let secret = secret(1);
    let prepared = prepare(&issuer(&secret), &draft(RECORD), 7).unwrap();
    assert_eq!(fault(RECORD, &prepared, |opening| opening.chain_id = Hash32::ZERO), "opening");
    assert_eq!(fault(RECORD, &prepared, |opening| opening.issuer = super::secret(2).public().into()), "issuer");
    assert_eq!(fault(RECORD, &prepared, |opening| opening.issuer = Hash32::ZERO), "issuer");
    assert_eq!(fault(RECORD, &prepared, |opening| opening.addressee = None), "record");
    assert_eq!(fault(RECORD, &prepared, |opening| opening.addressee = Some(Hash32::ZERO)), "record");
    assert_eq!(fault(RECORD, &prepared, |opening| opening.salt = Salt::new([0; 32])), "record");
    assert_eq!(fault(RECORD, &prepared, |opening| opening.media_type = "text/plain".parse().unwrap()), "record");
    assert_eq!(fault(RECORD, &prepared, |opening| opening.length += 1), "record");
    let batch = crate::BatchPath { index: 0, path: vec![] };
    assert_eq!(fault(RECORD, &prepared, |opening| opening.batch = Some(batch)), "record");
}

#[test]
fn without_bytes_or_transaction_nothing_is_claimed() {
    let secret = secret(1);
    let prepared = prepare(&issuer(&secret), &draft(RECORD), 7).unwrap();
    let steps = check_record(None, &prepared.opening, &verification(&prepared), Some(&genesis()));
    assert!(steps.iter().any(|step| step.name == "record" && step.holds.is_none()));
    let refuted = Verification { transaction: None, ..verification(&prepared) };
    let steps = check_record(Some(RECORD), &prepared.opening, &refuted, Some(&genesis()));
    assert_eq!(steps.last().unwrap().holds, Some(false));
}

#[test]
fn only_record_and_records_prove_a_record() {
    let secret = secret(1);
    let mut prepared = prepare(&issuer(&secret), &draft(RECORD), 7).unwrap();
    let amend = crate::payload::Amend { commitment: prepared.commitment.0.to_vec(), previous: vec![1; 32] };
    let payload = prost::Message::encode_to_vec(&amend);
    prepared.transaction = blockhie_core::Transaction::sign(&chain(), &secret, 7, 2, None, &payload);
    assert_eq!(fault(RECORD, &prepared, |_| ()), "record");
}

#[test]
fn a_batch_shares_one_transaction() {
    let secret = secret(1);
    for n in [1usize, 2, 5, 8, 13] {
        let records: Vec<Vec<u8>> = (0..n).map(|i| format!("record {i}").into_bytes()).collect();
        let drafts: Vec<Draft<'_>> = records.iter().map(|record| draft(record)).collect();
        let prepared = prepare_batch(&issuer(&secret), &drafts, 7).unwrap();
        let commitments: Vec<Hash32> = prepared.iter().map(|one| one.commitment).collect();
        let Payload::Records(payload) = Payload::read(&prepared[0].transaction).unwrap() else { panic!() };
        assert_eq!((payload.root, payload.count), (merkle::head(&commitments).0.to_vec(), n as u64));
        for (i, one) in prepared.iter().enumerate() {
            assert_eq!(one.transaction, prepared[0].transaction);
            assert_eq!(one.opening.batch.as_ref().unwrap().path, merkle::path(&commitments, i).unwrap());
            assert_eq!(fault(&records[i], one, |_| ()), "", "{i} of {n}");
            assert_eq!(fault(&records[i], one, |opening| opening.batch = None), "record");
            assert_eq!(fault(&records[i], one, |opening| opening.batch.as_mut().unwrap().index += 1), "record");
            let longer = |opening: &mut Opening| opening.batch.as_mut().unwrap().path.push(Hash32::ZERO);
            assert_eq!(fault(&records[i], one, longer), "record");
        }
    }
}

#[test]
fn what_cannot_be_published_is_refused() {
    let secret = secret(1);
    let long = vec![0; MAX_RECORD_BYTES + 1];
    let refused = prepare(&issuer(&secret), &draft(&long), 7).unwrap_err();
    assert_eq!(refused, PublishError::TooLong { index: 0, got: MAX_RECORD_BYTES + 1 });
    assert!(matches!(prepare_batch(&issuer(&secret), &[], 7), Err(PublishError::BatchSize { got: 0 })));
    let longest = "x".repeat(255);
    for (text, good) in
        [("", false), ("a\"b", false), ("a\\b", false), ("ä", false), ("a\n", false), ("a/b; c=d", true)]
    {
        assert_eq!(text.parse::<MediaType>().is_ok(), good, "{text:?}");
    }
    assert!(longest.parse::<MediaType>().is_ok());
    assert!((longest + "x").parse::<MediaType>().is_err());
}

#[test]
fn an_issuer_is_named_by_roster_or_certificate() {
    let (doctor, member, stranger) = (secret(30), secret(2), secret(40));
    let certified = |by, from, to| {
        let mut issuer = issuer(&doctor);
        issuer.certificate = Some(Certificate::sign(by, &chain(), &doctor.public(), from, to));
        prepare(&issuer, &draft(RECORD), 7).unwrap()
    };
    let named = |prepared: &Prepared| steps(RECORD, prepared, &prepared.opening).pop().unwrap();
    assert_eq!(named(&certified(&member, 0, u64::MAX >> 11)).detail, "certified by member hospital 2");
    assert_eq!(named(&certified(&member, TIME_MS, TIME_MS)).holds, Some(true), "both ends belong to it");
    for (from, to) in [(0, TIME_MS - 1), (TIME_MS + 1, 9_000)] {
        let step = named(&certified(&member, from, to));
        assert_eq!((step.name, step.holds), ("authenticity", Some(false)));
    }
    assert!(named(&certified(&stranger, 0, 9_000)).detail.starts_with("unknown key (certified by"));
    assert_eq!(named(&prepare(&issuer(&doctor), &draft(RECORD), 7).unwrap()).detail, "unknown key");

    let prepared = certified(&member, 0, 9_000);
    type Change = fn(&mut Certificate);
    let changes: [Change; 4] =
        [|c| c.from_ms += 1, |c| c.to_ms += 1, |c| c.member = secret(1).public().into(), |c| c.signature.0[40] ^= 1];
    for change in changes {
        assert_eq!(fault(RECORD, &prepared, |o| change(o.certificate.as_mut().unwrap())), "authenticity");
    }
    // A roster of another chain names nobody.
    let mut other = genesis();
    other.name = "other".into();
    let steps = check_record(Some(RECORD), &prepared.opening, &verification(&prepared), Some(&other));
    assert!(steps.last().unwrap().detail.starts_with("unknown key"));
}

/// V1: the bytes of a record are often easy to guess; without the salt no guess can be tested.
#[test]
fn the_same_record_twice_has_two_commitments_and_no_guess_is_confirmed() {
    let secret = secret(1);
    let record = b"HIV test: positive";
    let one = prepare(&issuer(&secret), &draft(record), 7).unwrap();
    let two = prepare(&issuer(&secret), &draft(record), 7).unwrap();
    assert_ne!(one.commitment, two.commitment);
    assert_ne!(one.opening.salt, two.opening.salt);
    let twice = prepare_batch(&issuer(&secret), &[draft(record), draft(record)], 7).unwrap();
    assert_ne!(twice[0].commitment, twice[1].commitment);
    // The guesser knows issuer, addressee, media type and the record itself, and tries what a weak salt would be.
    for guess in 0u32..2_000 {
        let mut salt = [0; 32];
        salt[28..].copy_from_slice(&guess.to_be_bytes());
        let content = content_digest(&Salt::new(salt), &fhir(), record);
        let addressee = one.opening.addressee.map(|key| blockhie_core::PublicKey::new(key.0).unwrap());
        let tried = commitment(&chain(), &secret.public(), addressee.as_ref(), &content);
        assert!(tried != one.commitment && tried != two.commitment);
    }
}

#[test]
fn salts_are_not_shown() {
    let secret = secret(1);
    let prepared = prepare(&issuer(&secret), &draft(RECORD), 7).unwrap();
    let salt = hex::encode(prepared.opening.salt.as_bytes());
    assert!(!format!("{prepared:?}").contains(&salt));
    let cut = prepared.opening.to_json().replace(&salt, &salt[1..]);
    let error = Opening::parse(cut.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("salt") && !error.contains(&salt[1..]), "{error}");
}

#[test]
fn an_opening_has_one_text() {
    let secret = secret(1);
    let mut issuer = issuer(&secret);
    issuer.certificate = Some(Certificate::sign(&secret, &chain(), &secret.public(), 0, (1 << 53) - 1));
    let text = prepare_batch(&issuer, &[draft(RECORD), draft(b"")], 7).unwrap()[0].opening.to_json();
    assert!(Opening::parse(text.as_bytes()).is_ok());
    let spoil = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Opening::parse(text.replacen(from, to, 1).as_bytes())
    };
    for (from, to) in [
        (",", ", "),
        ("}\n", "}"),
        ("\n", "\n\n"),
        ("opening/v1", "opening/v2"),
        ("\"length\":61", "\"length\":61.0"),
        ("\"length\":61", "\"length\":9007199254740992"),
        ("\"length\":61", "\"length\":-61"),
        ("\"to_ms\":9007199254740991", "\"to_ms\":9007199254740992"),
        ("\"index\":0", "\"index\":00"),
        ("\"chain_id\"", "\"chain\""),
        ("application/fhir", "application\\/fhir"),
        ("application/fhir+json", ""),
        ("{\"format\"", "{\"extra\":1,\"format\""),
        (",\"certificate\":{", ",\"certificate\":{\"member\":\"\","),
    ] {
        assert!(spoil(from, to).is_err(), "{from} → {to}");
    }
    let upper = text.replace(&prepared_hex(&text), &prepared_hex(&text).to_uppercase());
    assert!(Opening::parse(upper.as_bytes()).is_err());
    let long = vec![b' '; MAX_OPENING_BYTES + 1];
    assert!(matches!(Opening::parse(&long), Err(FormError::Length { .. })));
}

/// The chain id as the text holds it.
fn prepared_hex(text: &str) -> String {
    let at = text.find("\"chain_id\":\"").unwrap() + 12;
    text[at..at + 64].to_owned()
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Opening::parse(&bytes).is_err());
    }

    #[test]
    fn openings_come_back(length in 0u64..1 << 53, addressee: bool, index: u64, media in "[ -!#-\\[\\]-~]{1,255}") {
        let opening = Opening {
            format: crate::opening::OPENING_FORMAT.into(),
            chain_id: chain(),
            issuer: Hash32([3; 32]),
            addressee: addressee.then_some(Hash32([4; 32])),
            salt: Salt::new([5; 32]),
            media_type: media.parse().unwrap(),
            length,
            batch: Some(crate::BatchPath { index: index >> 11, path: vec![Hash32([6; 32])] }),
            certificate: None,
        };
        prop_assert_eq!(Opening::parse(opening.to_json().as_bytes()).unwrap(), opening);
    }
}
