//! Preparing, sealing and checking segments.

use super::{any_samples, chain, pulse, secret, timed};
use crate::opening::MAX_SEGMENT_OPENING_BYTES;
use crate::payload::Readings;
use crate::{
    Carriage, Payload, PhdError, Place, Salt, Samples, SealError, Segment, SegmentKey, SegmentOpening, check_segment,
    prepare_segment, seal, segment_digest, unseal,
};
use blockhie_core::receipt::{Step, Verdict, Verification};
use blockhie_core::{FormError, Hash32};
use proptest::prelude::*;

const FIRST: u64 = 7;

fn prepared(samples: &Samples, carriage: Carriage) -> Segment {
    prepare_segment(&chain(), &secret(3), FIRST, samples, carriage, 1_000).unwrap()
}

fn payload(segment: &Segment) -> Readings {
    match Payload::read(&segment.transaction, &chain()) {
        Ok(Payload::Readings(readings)) => readings,
        other => panic!("{other:?}"),
    }
}

fn verification(segment: &Segment) -> Verification {
    Verification {
        verdict: Verdict::Proved,
        steps: vec![],
        transaction: Some(segment.transaction.clone()),
        chain_id: chain(),
        height: 1,
        block_time_ms: 5,
        proved_time_ms: Some(5),
        members: vec![],
    }
}

/// Name of the failed step, "" when all hold. A failed one names device and segment.
fn fault(segment: &Segment, data: &[u8], change: impl FnOnce(&mut SegmentOpening)) -> &'static str {
    let mut opening = segment.opening.clone();
    change(&mut opening);
    let mut steps = check_segment(Some(data), &opening, &verification(segment));
    let last = steps.pop().unwrap();
    if last.holds != Some(false) {
        return "";
    }
    let place = format!("segment {} of device {}: ", opening.first_seq, opening.device);
    assert!(last.detail.starts_with(&place), "{}", last.detail);
    last.name
}

#[test]
fn a_segment_is_proved_by_its_data_and_read_again() {
    for samples in [pulse(), timed()] {
        let blob = prepared(&samples, Carriage::Blob);
        let readings = payload(&blob);
        assert_eq!((readings.first_seq, readings.count, readings.sealed.len()), (FIRST, 4, 0));
        assert_eq!(readings.blob, blake3::hash(&blob.sealed).as_bytes());
        assert_eq!(usize::try_from(readings.sealed_len), Ok(blob.sealed.len()));
        assert_eq!(readings.content, blob.content.0);
        let inline = prepared(&samples, Carriage::Inline);
        assert_eq!((payload(&inline).sealed, payload(&inline).blob), (blob.sealed.clone(), vec![]));

        let (salt, data) = unseal(&blob.key, &blob.place, &blob.sealed, &blob.content).unwrap();
        assert_eq!((&salt, &data), (&blob.opening.salt, &blob.data));
        assert_eq!(Samples::decode(&data), Ok(samples));
        let steps = check_segment(Some(&data), &blob.opening, &verification(&blob));
        let names: Vec<_> = steps.iter().map(|step| (step.name, step.holds)).collect();
        let holds = Some(true);
        assert_eq!(names, [("opening", holds), ("device", holds), ("segment", holds), ("samples", holds)]);
    }
}

#[test]
fn pushed_again_it_is_the_same_and_other_data_meet_no_used_nonce() {
    let one = prepared(&pulse(), Carriage::Blob);
    let again = prepare_segment(&chain(), &secret(3), FIRST, &pulse(), Carriage::Blob, 99_000).unwrap();
    assert_eq!((&one.sealed, &one.content, &one.key), (&again.sealed, &again.content, &again.key));
    assert_ne!(one.transaction.hash(), again.transaction.hash(), "only the claimed time differs");
    let mut other = pulse();
    other.values[3] = other.values[2];
    let other = prepared(&other, Carriage::Blob);
    assert_eq!(one.key, other.key, "one key a place");
    assert_ne!(one.sealed[..24], other.sealed[..24], "its own nonce");
    assert_ne!(one.opening.salt, other.opening.salt);
    let moved = prepare_segment(&chain(), &secret(3), FIRST + 1, &pulse(), Carriage::Blob, 1_000).unwrap();
    let foreign = prepare_segment(&Hash32::ZERO, &secret(3), FIRST, &pulse(), Carriage::Blob, 1_000).unwrap();
    let stranger = prepare_segment(&chain(), &secret(4), FIRST, &pulse(), Carriage::Blob, 1_000).unwrap();
    for other in [moved, foreign, stranger] {
        assert_ne!(one.key, other.key);
        assert_ne!(one.opening.salt, other.opening.salt);
        assert!(unseal(&other.key, &one.place, &one.sealed, &one.content).is_err());
    }
}

#[test]
fn a_seal_opens_for_its_key_place_bytes_and_content_only() {
    let segment = prepared(&pulse(), Carriage::Blob);
    let (key, place, sealed, content) = (&segment.key, segment.place, &segment.sealed, &segment.content);
    let broken = Err(SealError::Broken { first_seq: FIRST });
    let places = [
        Place { first_seq: FIRST + 1, ..place },
        Place { count: 5, ..place },
        Place { chain: Hash32::ZERO, ..place },
        Place { device: secret(4).public(), ..place },
    ];
    for other in places {
        let refused = unseal(key, &other, sealed, content).map(drop);
        assert_eq!(refused, Err(SealError::Broken { first_seq: other.first_seq }));
    }
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(unseal(key, &place, &changed, content).map(drop), broken, "byte {at}");
        assert!(unseal(key, &place, &sealed[..at], content).is_err(), "cut to {at}");
    }
    // Who has the key may seal what he likes, but not what the chain commits.
    let forged = seal(key, &place, &Salt::new([1; 32]), &segment.data);
    assert!(matches!(unseal(key, &place, &forged, content), Err(SealError::Content { first_seq: FIRST, .. })));
    assert_eq!(unseal(key, &place, &[0; 71], content).map(drop), Err(SealError::Short { got: 71 }));
}

#[test]
fn each_field_of_an_opening_is_bound() {
    let segment = prepared(&pulse(), Carriage::Blob);
    let data = segment.data.to_vec();
    assert_eq!(fault(&segment, &data, |_| ()), "");
    assert_eq!(fault(&segment, &data, |opening| opening.chain_id = Hash32::ZERO), "opening");
    assert_eq!(fault(&segment, &data, |opening| opening.device = secret(4).public().into()), "device");
    assert_eq!(fault(&segment, &data, |opening| opening.first_seq += 1), "device");
    assert_eq!(fault(&segment, &data, |opening| opening.count += 1), "device");
    assert_eq!(fault(&segment, &data, |opening| opening.salt = Salt::new([0; 32])), "segment");
    assert_eq!(fault(&segment, &data, |opening| opening.length += 1), "segment");
    for at in 0..data.len() {
        let mut changed = data.clone();
        changed[at] ^= 1;
        assert_eq!(fault(&segment, &changed, |_| ()), "segment", "byte {at}");
    }
    let other = crate::retire(&chain(), &secret(3), &secret(3).public(), 1);
    let wrong = Segment { transaction: other, ..segment.clone() };
    assert_eq!(fault(&wrong, &data, |_| ()), "device");
    let steps = check_segment(None, &segment.opening, &verification(&segment));
    assert!(matches!(steps.last(), Some(Step { name: "segment", holds: None, .. })));
    let shown = Verification { transaction: None, ..verification(&segment) };
    assert_eq!(check_segment(Some(&data), &segment.opening, &shown).pop().unwrap().holds, Some(false));
}

/// A device of another maker may commit any bytes, and ours may say a wrong count: neither is taken for samples.
#[test]
fn what_is_no_encoding_of_as_many_samples_is_told() {
    let committed = |data: &[u8], count: u32| {
        let mut segment = prepared(&pulse(), Carriage::Blob);
        segment.place.count = count;
        segment.opening.count = count;
        segment.opening.length = u64::try_from(data.len()).unwrap();
        let content = segment_digest(&segment.place, &segment.opening.salt, data);
        let readings = Readings { count, content: content.0.to_vec(), ..payload(&segment) };
        let bytes = prost::Message::encode_to_vec(&readings);
        segment.transaction = blockhie_core::Transaction::sign(&chain(), &secret(3), 1, 17, None, &bytes);
        check_segment(Some(data), &segment.opening, &verification(&segment)).pop().unwrap()
    };
    let data = pulse().encode().unwrap();
    assert_eq!(committed(&data, 4).holds, Some(true));
    let wrong = committed(&data, 5);
    assert_eq!((wrong.name, wrong.holds), ("samples", Some(false)));
    assert_eq!(committed(b"HL7v2", 4).holds, None);
}

#[test]
fn what_cannot_be_prepared_is_refused() {
    let at = |first, samples: &Samples, carriage| prepare_segment(&chain(), &secret(3), first, samples, carriage, 1);
    let refused = at(u64::MAX - 3, &pulse(), Carriage::Blob).unwrap_err();
    assert_eq!(refused, PhdError::Sequence { first_seq: u64::MAX - 3, count: 4 });
    assert!(at(u64::MAX - 4, &pulse(), Carriage::Blob).is_ok());
    let mut noise = 1u64;
    let mut random = || {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        crate::Decimal::new(i64::try_from(noise >> 1).unwrap(), 0).unwrap()
    };
    let long = Samples { values: (0..9_000).map(|_| random()).collect(), ..pulse() };
    assert!(matches!(at(0, &long, Carriage::Inline), Err(PhdError::InlineTooLong { first_seq: 0, .. })));
    assert!(at(0, &long, Carriage::Blob).is_ok());
    let none = Samples { values: vec![], ..pulse() };
    assert!(matches!(at(0, &none, Carriage::Blob), Err(PhdError::Samples(_))));
}

#[test]
fn secrets_are_not_shown() {
    let segment = prepared(&pulse(), Carriage::Blob);
    let key = serde_json::to_string(&segment.key).unwrap();
    assert_eq!(serde_json::from_str::<SegmentKey>(&key).unwrap(), segment.key);
    assert_eq!(key.trim_matches('"').parse::<SegmentKey>().unwrap(), segment.key);
    let shown = format!("{segment:?} {:?} {:?}", segment.key, segment.opening);
    let salt = hex::encode(segment.opening.salt.as_bytes());
    assert!(!shown.contains(key.trim_matches('"')) && !shown.contains(&salt), "{shown}");
    let error = serde_json::from_str::<SegmentKey>("\"secret\"").unwrap_err().to_string();
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn an_opening_has_one_text() {
    let text = prepared(&pulse(), Carriage::Blob).opening.to_json();
    assert!(SegmentOpening::parse(text.as_bytes()).is_ok());
    for (from, to) in [
        (",", ", "),
        ("}\n", "}"),
        ("segment-opening/v1", "segment-opening/v2"),
        ("\"first_seq\":\"0000000000000007\"", "\"first_seq\":\"7\""),
        ("\"first_seq\":\"0000000000000007\"", "\"first_seq\":7"),
        ("\"count\":4", "\"count\":4294967296"),
        ("\"count\":4", "\"count\":04"),
        ("\"salt\":\"", "\"salt\":\"0"),
        ("{\"format\"", "{\"extra\":1,\"format\""),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(SegmentOpening::parse(text.replacen(from, to, 1).as_bytes()).is_err(), "{from} → {to}");
    }
    let long = vec![b' '; MAX_SEGMENT_OPENING_BYTES + 1];
    assert!(matches!(SegmentOpening::parse(&long), Err(FormError::Length { .. })));
}

proptest! {
    #[test]
    fn any_opening_comes_back(first_seq: u64, count: u32, length in 0u64..1 << 53) {
        let place = Place { chain: chain(), device: secret(1).public(), first_seq, count };
        let opening = SegmentOpening::new(&place, Salt::new([5; 32]), length);
        prop_assert_eq!(SegmentOpening::parse(opening.to_json().as_bytes()), Ok(opening));
    }

    #[test]
    fn any_bytes_are_no_opening_and_no_seal(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(SegmentOpening::parse(&bytes).is_err());
        let segment = prepared(&pulse(), Carriage::Blob);
        prop_assert!(unseal(&segment.key, &segment.place, &bytes, &segment.content).is_err());
    }

    #[test]
    fn any_samples_are_sealed_and_opened(samples in any_samples(), first in 0u64..1 << 60) {
        let segment = prepare_segment(&chain(), &secret(3), first, &samples, Carriage::Inline, 1).unwrap();
        let (_, data) = unseal(&segment.key, &segment.place, &segment.sealed, &segment.content).unwrap();
        prop_assert_eq!(Samples::decode(&data), Ok(samples));
    }
}
