mod app;
mod copy;
mod record;
mod vault;
mod vectors;

use crate::{Draft, Issuer, MediaType};
use blockhie_core::{
    ChainId, ChainKind, CompactTarget, Genesis, Hash32, Member, PublicKey, SecretKey, Transaction, TxHash, Unverified,
};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../docs/protocol/vectors.json")).unwrap()
}

fn bytes(row: &Value, field: &str) -> Vec<u8> {
    hex::decode(row[field].as_str().unwrap()).unwrap()
}

fn hash(row: &Value, field: &str) -> Hash32 {
    row[field].as_str().unwrap().parse().unwrap()
}

/// `None` where a key field holds no key.
fn transaction(row: &Value) -> Option<Transaction<Unverified>> {
    let key = |field| PublicKey::from_slice(&bytes(row, field)).ok();
    let to = if row["to"].is_null() { None } else { Some(key("to")?) };
    let tx_type = i32::try_from(row["type"].as_i64().unwrap()).unwrap();
    let (time_ms, claimed): (u64, TxHash) = (row["time_ms"].as_u64().unwrap(), hash(row, "txhash"));
    Some(Transaction::<Unverified>::new(time_ms, tx_type, key("from")?, to, bytes(row, "body").into(), claimed))
}

fn secret(n: u8) -> SecretKey {
    SecretKey::from_seed([n; 32])
}

/// Members are secrets 1 and 2.
fn genesis() -> Genesis {
    let member = |n: u8| Member { key: secret(n).public(), name: format!("hospital {n}") };
    let members = vec![member(1), member(2)];
    Genesis::with_defaults(ChainKind::Emr, "test", Hash32([9; 32]), 1_000, CompactTarget::MOST, members)
}

fn chain() -> ChainId {
    genesis().chain_id()
}

fn fhir() -> MediaType {
    "application/fhir+json".parse().unwrap()
}

fn issuer(secret: &SecretKey) -> Issuer<'_> {
    Issuer { chain: chain(), secret, certificate: None }
}

fn draft(bytes: &[u8]) -> Draft<'_> {
    Draft { media_type: fhir(), bytes, addressee: Some(secret(50).public()) }
}
