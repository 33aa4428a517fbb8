//! Transactions: their bytes, hashes and signatures.

mod verify;

pub use verify::{verify_batch, verify_batch_by};

use crate::bytes::{ChainId, Hash32, TxHash, sha256};
use crate::crypto::{PublicKey, SecretKey};
use crate::genesis::ChainKind;
use crate::limits::{BODY_PREFIX_BYTES, MAX_BODY_BYTES};
use bytes::Bytes;
use std::marker::PhantomData;

/// As received: nothing but the lengths of its fields is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unverified;
/// Hash, listed type and signature were checked against the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified;

/// Why a transaction is invalid wherever it stands. Misbehaviour of whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TxError {
    /// The body's length.
    #[error("transaction body: expected {BODY_PREFIX_BYTES} to {MAX_BODY_BYTES} bytes, got {got}")]
    BodyLength {
        /// Bytes given.
        got: usize,
    },
    /// The body's first byte.
    #[error("transaction body version: expected 1, got {got}")]
    Version {
        /// The byte.
        got: u8,
    },
    /// A type that this kind of chain does not list.
    #[error("transaction type: expected one of the {chain}-chain, got {got}")]
    Type {
        /// `emr` or `phd`.
        chain: &'static str,
        /// The type.
        got: i32,
    },
    /// The hash claimed is not the hash.
    #[error("txhash: expected {expected}, got {got}")]
    Hash {
        /// Recomputed.
        expected: TxHash,
        /// Claimed.
        got: TxHash,
    },
    /// The signature does not hold for this chain, sender and payload.
    #[error("transaction {txhash}: expected a signature of {from} for this chain, got one that does not verify")]
    Signature {
        /// The transaction.
        txhash: TxHash,
        /// Its sender.
        from: PublicKey,
    },
    /// A stateless rule of its type.
    #[error("transaction type {tx_type}: {field}: expected {expected}, got {got}")]
    Payload {
        /// The type.
        tx_type: i32,
        /// The field.
        field: &'static str,
        /// What the rule wants.
        expected: String,
        /// What stands there.
        got: String,
    },
}

/// A transaction; `S` says how far it was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction<S> {
    time_ms: u64,
    tx_type: i32,
    from: PublicKey,
    to: Option<PublicKey>,
    body: Bytes,
    hash: TxHash,
    stage: PhantomData<S>,
}

impl<S> Transaction<S> {
    /// Milliseconds since the epoch, claimed by the sender.
    #[must_use]
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }
    /// The type number of the protocol page.
    #[must_use]
    pub fn tx_type(&self) -> i32 {
        self.tx_type
    }
    /// The sender.
    #[must_use]
    pub fn from(&self) -> &PublicKey {
        &self.from
    }
    /// The addressee, if any.
    #[must_use]
    pub fn to(&self) -> Option<&PublicKey> {
        self.to.as_ref()
    }
    /// `0x01 ‖ signature(64) ‖ payload`.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }
    /// The hash; of an unverified transaction the one it claims.
    #[must_use]
    pub fn hash(&self) -> TxHash {
        self.hash
    }

    /// The bytes that receipts carry: time ‖ type ‖ from ‖ (00|01‖to) ‖ u32 len(body) ‖ body.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.head(self.body.len());
        out.extend_from_slice(&self.body);
        out
    }

    /// time ‖ type ‖ from ‖ (0x00 or 0x01‖to) ‖ u32 len.
    fn head(&self, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(81 + len);
        out.extend(self.time_ms.to_be_bytes());
        out.extend(self.tx_type.to_be_bytes());
        out.extend(self.from.as_bytes());
        match &self.to {
            None => out.push(0),
            Some(to) => {
                out.push(1);
                out.extend(to.as_bytes());
            }
        }
        out.extend(u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
        out
    }

    fn signed_bytes(&self, chain: &ChainId, payload: &[u8]) -> Vec<u8> {
        [b"blockhie/tx-sign/v1\0", chain.as_bytes().as_slice(), &self.head(payload.len()), payload].concat()
    }

    fn compute_hash(&self, chain: &ChainId) -> TxHash {
        sha256(&[b"blockhie/tx/v1\0", chain.as_bytes(), &self.to_bytes()])
    }

    fn restage<T>(self) -> Transaction<T> {
        let Self { time_ms, tx_type, from, to, body, hash, stage: _ } = self;
        Transaction { time_ms, tx_type, from, to, body, hash, stage: PhantomData }
    }
}

impl Transaction<Unverified> {
    /// From fields of checked length; `claimed` is the hash the sender gave.
    #[must_use]
    pub fn new(
        time_ms: u64,
        tx_type: i32,
        from: PublicKey,
        to: Option<PublicKey>,
        body: Bytes,
        claimed: TxHash,
    ) -> Self {
        Self { time_ms, tx_type, from, to, body, hash: claimed, stage: PhantomData }
    }

    /// Reads the bytes of a receipt; the claimed hash is computed for `chain`.
    ///
    /// # Errors
    /// A text that says what is wrong with the form.
    pub fn from_bytes(bytes: &[u8], chain: &ChainId) -> Result<Self, String> {
        let fixed = |at: usize, len: usize| {
            bytes
                .get(at..at + len)
                .ok_or_else(|| format!("transaction: expected {} bytes, got {}", at + len, bytes.len()))
        };
        let time_ms = u64::from_be_bytes(fixed(0, 8)?.try_into().expect("8 bytes"));
        let tx_type = i32::from_be_bytes(fixed(8, 4)?.try_into().expect("4 bytes"));
        let from = PublicKey::from_slice(fixed(12, 32)?).map_err(|error| error.to_string())?;
        let (to, at) = match fixed(44, 1)? {
            [0] => (None, 45),
            [1] => (Some(PublicKey::from_slice(fixed(45, 32)?).map_err(|error| error.to_string())?), 77),
            other => return Err(format!("transaction addressee: expected 00 or 01, got {}", hex::encode(other))),
        };
        let len = u32::from_be_bytes(fixed(at, 4)?.try_into().expect("4 bytes"));
        let body = &bytes[at + 4..];
        if usize::try_from(len) != Ok(body.len()) {
            return Err(format!("transaction body: expected {len} bytes, got {}", body.len()));
        }
        let mut tx = Self::new(time_ms, tx_type, from, to, Bytes::copy_from_slice(body), Hash32::ZERO);
        tx.hash = tx.compute_hash(chain);
        Ok(tx)
    }
}

impl Transaction<Verified> {
    /// Signs a payload. `to` must be absent where the protocol page says so; the ledger checks it.
    #[must_use]
    pub fn sign(
        chain: &ChainId,
        secret: &SecretKey,
        time_ms: u64,
        tx_type: i32,
        to: Option<PublicKey>,
        payload: &[u8],
    ) -> Self {
        let mut tx = Self {
            time_ms,
            tx_type,
            from: secret.public(),
            to,
            body: Bytes::new(),
            hash: Hash32::ZERO,
            stage: PhantomData,
        };
        let signature = secret.sign(&tx.signed_bytes(chain, payload));
        tx.body = Bytes::from([&[1], signature.as_bytes().as_slice(), payload].concat());
        tx.hash = tx.compute_hash(chain);
        tx
    }

    /// The payload: what the application reads.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.body[BODY_PREFIX_BYTES..]
    }

    /// Back to what goes on a wire.
    #[must_use]
    pub fn into_unverified(self) -> Transaction<Unverified> {
        self.restage()
    }

    /// From a store that took it only after it was verified.
    #[must_use]
    pub(crate) fn from_stored(stored: StoredTx) -> Self {
        let StoredTx { time_ms, tx_type, from, to, body, hash } = stored;
        Self { time_ms, tx_type, from, to, body, hash, stage: PhantomData }
    }

    pub(crate) fn to_stored(&self) -> StoredTx {
        let Self { time_ms, tx_type, from, to, body, hash, stage: _ } = self.clone();
        StoredTx { time_ms, tx_type, from, to, body, hash }
    }
}

/// A transaction as a [`Store`](crate::store::Store) keeps it: only verified ones get there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoredTx {
    /// Claimed time, ms.
    pub time_ms: u64,
    /// Type number.
    pub tx_type: i32,
    /// Sender.
    pub from: PublicKey,
    /// Addressee.
    pub to: Option<PublicKey>,
    /// Version, signature, payload.
    pub body: Bytes,
    /// Its hash.
    pub hash: TxHash,
}

impl StoredTx {
    /// Checks it anew as if it came from a stranger (fsck).
    ///
    /// # Errors
    /// As [`Transaction::verify`].
    pub fn verify(self, chain: &ChainId, kind: ChainKind) -> Result<Transaction<Verified>, TxError> {
        let Self { time_ms, tx_type, from, to, body, hash } = self;
        Transaction::<Unverified>::new(time_ms, tx_type, from, to, body, hash).verify(chain, kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHAIN: ChainId = Hash32([3; 32]);

    fn sample() -> Transaction<Verified> {
        Transaction::sign(&CHAIN, &SecretKey::from_seed([1; 32]), 5, 1, None, b"payload")
    }

    #[test]
    fn signed_ones_verify_and_only_on_their_chain() {
        let tx = sample().into_unverified();
        assert!(tx.clone().verify(&CHAIN, ChainKind::Emr).is_ok());
        assert!(matches!(tx.clone().verify(&CHAIN, ChainKind::Phd), Err(TxError::Type { got: 1, .. })));
        assert!(matches!(tx.verify(&Hash32::ZERO, ChainKind::Emr), Err(TxError::Hash { .. })));
    }

    #[test]
    fn a_hash_that_fits_does_not_save_a_signature_of_another_chain() {
        let tx = sample();
        let replay = Transaction::<Unverified>::from_bytes(&tx.to_bytes(), &Hash32::ZERO).unwrap();
        assert!(matches!(replay.verify(&Hash32::ZERO, ChainKind::Emr), Err(TxError::Signature { .. })));
    }

    #[test]
    fn a_batch_answers_each() {
        let mut all: Vec<_> = (0..10).map(|_| sample().into_unverified()).collect();
        all[3].hash = Hash32::ZERO;
        all[5].body = Bytes::from_static(b"\x01short");
        let mut body = all[7].body.to_vec();
        body[20] ^= 1;
        all[7].body = Bytes::from(body);
        all[7].hash = all[7].compute_hash(&CHAIN);
        let verdicts = verify_batch(all, &CHAIN, ChainKind::Emr);
        assert!(matches!(verdicts[3], Err(TxError::Hash { .. })));
        assert!(matches!(verdicts[5], Err(TxError::BodyLength { got: 6 })));
        assert!(matches!(verdicts[7], Err(TxError::Signature { .. })));
        assert_eq!(verdicts.iter().filter(|verdict| verdict.is_ok()).count(), 7);
    }

    proptest! {
        #[test]
        fn bytes_come_back(time: u64, tx_type: i32, to: bool, payload in proptest::collection::vec(any::<u8>(), 0..90)) {
            let to = to.then(|| SecretKey::from_seed([2; 32]).public());
            let tx = Transaction::sign(&CHAIN, &SecretKey::from_seed([1; 32]), time, tx_type, to, &payload);
            let back = Transaction::<Unverified>::from_bytes(&tx.to_bytes(), &CHAIN).unwrap();
            prop_assert_eq!(back, tx.into_unverified());
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(tx) = Transaction::<Unverified>::from_bytes(&bytes, &CHAIN) {
                prop_assert_eq!(tx.to_bytes(), bytes);
            }
        }
    }
}
