//! Signatures that were found good, remembered for a while.
//!
//! Whether a signature holds follows from key, message and signature alone, so that the same three need not be checked
//! twice: a block's header comes by itself and again with its block, and from several peers. Only good ones are
//! remembered: a bad one costs its sender nothing.

use crate::bytes::{Hash32, Signature, sha256};
use crate::crypto::{PublicKey, SignatureCheck, verify_signatures};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A bounded memory of good signatures. It may be shared; the oldest are forgotten first.
#[derive(Debug)]
pub struct Signatures {
    most: usize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    all: BTreeSet<Hash32>,
    order: VecDeque<Hash32>,
}

/// All of key, signature and message; the first two have fixed lengths.
fn name(key: &PublicKey, message: &[u8], signature: &Signature) -> Hash32 {
    sha256(&[b"blockhie/good-signature\0", key.as_bytes(), signature.as_bytes(), message])
}

impl Signatures {
    /// Remembers this many at most, about 100 bytes each.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it is held.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, name: Hash32) {
        let mut known = self.known();
        if known.all.insert(name) {
            known.order.push_back(name);
        }
        while known.order.len() > self.most {
            let Some(oldest) = known.order.pop_front() else { break };
            known.all.remove(&oldest);
        }
    }

    /// The verdict of [`PublicKey::verify`].
    #[must_use]
    pub fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        let name = name(key, message, signature);
        if self.known().all.contains(&name) {
            return true;
        }
        let holds = key.verify(message, signature);
        if holds {
            self.remember(name);
        }
        holds
    }

    /// The verdicts of [`verify_signatures`], in order.
    #[must_use]
    pub fn verify_all(&self, checks: Vec<SignatureCheck>) -> Vec<bool> {
        let names: Vec<Hash32> =
            checks.iter().map(|check| name(&check.key, &check.message, &check.signature)).collect();
        let mut verdicts: Vec<bool> = {
            let known = self.known();
            names.iter().map(|name| known.all.contains(name)).collect()
        };
        let (places, open): (Vec<usize>, Vec<SignatureCheck>) =
            checks.into_iter().enumerate().filter(|(at, _)| !verdicts[*at]).unzip();
        for (at, holds) in places.into_iter().zip(verify_signatures(&open)) {
            verdicts[at] = holds;
            if holds {
                self.remember(names[at]);
            }
        }
        verdicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SecretKey;

    fn check(secret: &SecretKey, message: u8) -> SignatureCheck {
        SignatureCheck { key: secret.public(), message: vec![message], signature: secret.sign(&[message]) }
    }

    #[test]
    fn a_verdict_stands_for_these_bytes_and_no_others() {
        let signatures = Signatures::new(10);
        let (secret, other) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let good = check(&secret, 1);
        for _ in 0..2 {
            assert!(signatures.verify(&good.key, &good.message, &good.signature));
            assert!(!signatures.verify(&other.public(), &good.message, &good.signature));
            assert!(!signatures.verify(&good.key, &[2], &good.signature));
            let mut bad = good.signature;
            bad.0[40] ^= 1;
            assert!(!signatures.verify(&good.key, &good.message, &bad));
        }
        assert_eq!(signatures.known().order.len(), 1, "bad ones are not remembered");
    }

    #[test]
    fn many_at_once_get_the_same_verdicts_and_the_oldest_are_forgotten() {
        let signatures = Signatures::new(3);
        let secret = SecretKey::from_seed([1; 32]);
        let first = check(&secret, 0);
        assert!(signatures.verify(&first.key, &first.message, &first.signature));
        let mut checks: Vec<SignatureCheck> = (0..6).map(|message| check(&secret, message)).collect();
        checks[4].message.push(0);
        assert_eq!(signatures.verify_all(checks), [true, true, true, true, false, true]);
        let known = signatures.known();
        assert_eq!((known.all.len(), known.order.len()), (3, 3));
        let last = check(&secret, 5);
        assert!(known.all.contains(&name(&last.key, &last.message, &last.signature)));
        assert!(!known.all.contains(&name(&first.key, &first.message, &first.signature)));
    }
}
