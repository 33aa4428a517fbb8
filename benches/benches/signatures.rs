//! Verification of whole transactions (form, txhash, signature), one by one and in batches. Each has its own sender,
//! which is the slow case: a batch decompresses each key, and adds up the terms of those that are alike.
//!
//! Ceiling: ed25519-zebra on the same keys, messages and signatures.

mod common;

use blockhie_benches::{Comparison, criterion, timed_with};
use blockhie_core::{ChainId, ChainKind, Transaction, Unverified, Verified, verify_batch};
use ed25519_zebra::{Signature, VerificationKey, VerificationKeyBytes, batch};
use std::time::Duration;

const BATCHES: [usize; 4] = [1, 16, 256, 1_024];

/// What zebra takes.
struct Check {
    key: VerificationKeyBytes,
    signature: Signature,
    message: Vec<u8>,
}

impl Check {
    fn of(tx: &Transaction<Verified>, chain: &ChainId) -> Self {
        let (bytes, payload) = (tx.to_bytes(), tx.payload());
        // What is signed has the payload and its length where `to_bytes` has the body and its.
        let head = &bytes[..bytes.len() - tx.body().len() - 4];
        let len = u32::try_from(payload.len()).expect("a payload has at most 65,471 bytes").to_be_bytes();
        let message = [b"blockhie/tx-sign/v1\0", chain.0.as_slice(), head, &len, payload].concat();
        let signature: [u8; 64] = *tx.body()[1..].first_chunk().expect("a body begins with version and signature");
        Self { key: VerificationKeyBytes::from(*tx.from().as_bytes()), signature: signature.into(), message }
    }

    fn alone(&self) {
        let key = VerificationKey::try_from(self.key).expect("a good key");
        key.verify(&self.signature, &self.message).expect("a good signature");
    }
}

fn together(checks: &[Check]) {
    let mut verifier = batch::Verifier::new();
    for check in checks {
        verifier.queue((check.key, check.signature, &check.message));
    }
    verifier.verify(rand_core::UnwrapErr(getrandom::SysRng)).expect("good signatures");
}

fn main() {
    let mut criterion = criterion(Duration::from_secs(1));
    let mut group = Comparison::new(&mut criterion, "signatures");
    let genesis = common::genesis();
    let chain = genesis.chain_id();
    let most = BATCHES.into_iter().max().unwrap_or_default();
    let all: Vec<Transaction<Verified>> =
        (0..most as u64).map(|i| common::record(&genesis, &common::sender(i), common::START_MS, i)).collect();
    let checks: Vec<Check> = all.iter().map(|tx| Check::of(tx, &chain)).collect();
    let received: Vec<Transaction<Unverified>> = all.into_iter().map(Transaction::into_unverified).collect();

    let single = |tx: Transaction<Unverified>| tx.verify(&chain, ChainKind::Emr).expect("a good one");
    let ours = group.ours("single", "signatures", 1, timed_with(|| received[0].clone(), single));
    group.ceiling(&ours, "zebra verify", timed_with(|| (), |()| checks[0].alone()));
    for size in BATCHES {
        let fresh = || received[..size].to_vec();
        let ours = group.ours(&format!("batch of {size}"), "signatures", size as u64, {
            timed_with(fresh, |batch| {
                let verdicts = verify_batch(batch, &chain, ChainKind::Emr);
                assert!(verdicts.iter().all(Result::is_ok));
                verdicts
            })
        });
        group.ceiling(&ours, "zebra batch", timed_with(|| (), |()| together(&checks[..size])));
    }
    group.finish();
    criterion.final_summary();
}
