//! The payload structs of the chains' crates have the wire of `proto/payload.proto`.
//!
//! Each literal below names every field and leaves none out, so a field that is added on one side only fails to compile
//! or is unknown to the other.

use blockhie_coupling::payload::{Anchor, Link};
use blockhie_emr::payload::{Access, Amend, Grant, Record, Records, Retract, RetractReason, Revoke};
use blockhie_phd::payload::{Device, Readings, Retire};
use prost::Message;
use protox::prost_reflect::{DescriptorPool, DynamicMessage, Kind, Value};

fn pool() -> DescriptorPool {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
    let path = std::path::Path::new(root).join("payload.proto");
    DescriptorPool::from_file_descriptor_set(protox::compile([path], [root]).unwrap()).unwrap()
}

/// `full` has no field at its default.
fn same<M: Message + Default + PartialEq>(name: &str, full: &M) {
    let descriptor = pool().get_message_by_name(&format!("blockhie.v1.{name}")).unwrap();
    // Ours, read by the contract.
    let bytes = full.encode_to_vec();
    let read = DynamicMessage::decode(descriptor.clone(), &bytes[..]).unwrap();
    assert_eq!(read.unknown_fields().count(), 0, "{name}: a field that payload.proto has not");
    for field in descriptor.fields() {
        assert!(read.has_field(&field), "{name}.{}", field.name());
    }
    assert_eq!(read.encode_to_vec(), bytes, "{name}");
    // The contract's, read by ours: nothing, the least and the most of each field.
    for most in [None, Some(false), Some(true)] {
        let mut made = DynamicMessage::new(descriptor.clone());
        for field in descriptor.fields() {
            match most {
                Some(true) => made.set_field(&field, largest(&field.kind())),
                Some(false) => made.set_field(&field, smallest(&field.kind())),
                None => (),
            }
        }
        let bytes = made.encode_to_vec();
        assert_eq!(M::decode(&bytes[..]).unwrap().encode_to_vec(), bytes, "{name}");
    }
}

fn largest(kind: &Kind) -> Value {
    match kind {
        Kind::Bytes => Value::Bytes(vec![0xff; 300].into()),
        Kind::Uint64 => Value::U64(u64::MAX),
        Kind::Uint32 => Value::U32(u32::MAX),
        Kind::Enum(listed) => Value::EnumNumber(listed.values().map(|value| value.number()).max().unwrap()),
        other => panic!("a kind of field that this test does not know: {other:?}"),
    }
}

fn smallest(kind: &Kind) -> Value {
    match kind {
        Kind::Bytes => Value::Bytes(vec![0].into()),
        Kind::Uint64 => Value::U64(1),
        Kind::Uint32 => Value::U32(1),
        Kind::Enum(_) => Value::EnumNumber(1),
        other => panic!("a kind of field that this test does not know: {other:?}"),
    }
}

#[test]
fn payloads_of_the_emr_chain() {
    let hash = || vec![7; 32];
    same("Record", &Record { commitment: hash() });
    same("Records", &Records { root: hash(), count: 1 << 20 });
    same("Amend", &Amend { commitment: hash(), previous: vec![8; 32] });
    for reason in
        [RetractReason::EnteredInError, RetractReason::WrongPatient, RetractReason::Superseded, RetractReason::Legal]
    {
        same("Retract", &Retract { record: hash(), reason: reason.into() });
    }
    same("Grant", &Grant { consent: hash(), expires_ms: 5 });
    same("Revoke", &Revoke { grant: hash() });
    same("Access", &Access { root: hash(), count: 2, from_ms: 3, to_ms: u64::MAX });
}

#[test]
fn the_reasons_have_their_numbers() {
    let listed = pool().get_enum_by_name("blockhie.v1.RetractReason").unwrap();
    assert_eq!(listed.values().count(), 5);
    for (name, number) in [
        ("RETRACT_REASON_UNSPECIFIED", RetractReason::Unspecified),
        ("ENTERED_IN_ERROR", RetractReason::EnteredInError),
        ("WRONG_PATIENT", RetractReason::WrongPatient),
        ("SUPERSEDED", RetractReason::Superseded),
        ("LEGAL", RetractReason::Legal),
    ] {
        assert_eq!(listed.get_value_by_name(name).unwrap().number(), i32::from(number));
    }
}

#[test]
fn payloads_of_the_phd_chain() {
    same("Device", &Device { device_key: vec![1; 32], device_signature: vec![2; 64] });
    let readings = Readings {
        first_seq: 1,
        count: 2,
        content: vec![3; 32],
        sealed: vec![4; 72],
        blob: vec![5; 32],
        sealed_len: 6,
    };
    same("Readings", &readings);
    same("Retire", &Retire { device_key: vec![1; 32] });
}

#[test]
fn payloads_of_the_coupling() {
    same("Link", &Link { commitment: vec![1; 32] });
    same("Anchor", &Anchor { chain_id: vec![1; 32], height: 2, blockhash: vec![3; 32], work: vec![4; 32] });
}

#[test]
fn every_payload_of_the_contract_is_compared() {
    let mut names: Vec<String> = pool().all_messages().map(|message| message.name().to_owned()).collect();
    names.sort();
    let compared = [
        "Access", "Amend", "Anchor", "Device", "Grant", "Link", "Readings", "Record", "Records", "Retire", "Retract",
        "Revoke",
    ];
    assert_eq!(names, compared);
}
