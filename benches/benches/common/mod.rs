//! A chain of four members and transactions for it, always the same ones.

#![allow(dead_code, reason = "each benchmark uses its part")]

use blockhie_core::{
    Application, ChainKind, CompactTarget, Genesis, Hash32, Member, Router, SecretKey, Transaction, Verified, sha256,
};
use blockhie_emr::EmrApp;
use std::sync::Arc;

/// Time of block 0, ms since the epoch.
pub(crate) const START_MS: u64 = 1_700_000_000_000;
/// Members of the chain.
pub(crate) const MEMBERS: u64 = 4;

pub(crate) fn member(index: u64) -> SecretKey {
    SecretKey::from_seed(sha256(&[b"member", &index.to_be_bytes()]).0)
}

pub(crate) fn sender(index: u64) -> SecretKey {
    SecretKey::from_seed(sha256(&[b"sender", &index.to_be_bytes()]).0)
}

pub(crate) fn genesis() -> Genesis {
    let members: Vec<Member> =
        (0..MEMBERS).map(|i| Member { key: member(i).public(), name: format!("hospital {i}") }).collect();
    Genesis::with_defaults(ChainKind::Emr, "benches", Hash32([7; 32]), START_MS, CompactTarget::MOST, members)
}

pub(crate) fn application() -> Arc<dyn Application> {
    Arc::new(Router::new(ChainKind::Emr).route(1..=7, Box::new(EmrApp)))
}

/// A RECORD of its own commitment: a body of 99 bytes, the commonest transaction.
pub(crate) fn record(genesis: &Genesis, secret: &SecretKey, time_ms: u64, number: u64) -> Transaction<Verified> {
    let commitment = sha256(&[b"commitment", &number.to_be_bytes()]);
    let payload = [&[0x0a, 0x20], commitment.as_bytes().as_slice()].concat();
    Transaction::sign(&genesis.chain_id(), secret, time_ms, 1, None, &payload)
}
