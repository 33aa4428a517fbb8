//! Ed25519 by ZIP-215, with the key rules of this protocol.
//!
//! ZIP-215 is taken because there batch and single verification agree; a disagreement would fork the chain.
//! ZIP-215 itself admits keys of small order and non-canonical encodings; [`PublicKey`] does not, because with the
//! identity as key one signature fits every message (see `docs/adr/0004-zip215-and-small-order-keys.md`).

use crate::bytes::{BytesError, Signature, from_hex};
use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_zebra::{SigningKey, VerificationKey, VerificationKeyBytes, batch};
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Why 32 bytes are not a key, or a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Wrong length or alphabet.
    #[error(transparent)]
    Bytes(#[from] BytesError),
    /// The bytes are no point of the curve.
    #[error("public key {got}: expected a point of the curve")]
    NotOnCurve {
        /// The key in hex.
        got: String,
    },
    /// The point has another, canonical encoding.
    #[error("public key {got}: expected the canonical encoding (y < p)")]
    NotCanonical {
        /// The key in hex.
        got: String,
    },
    /// 8·A is the identity.
    #[error("public key {got}: expected a point that is not of small order")]
    SmallOrder {
        /// The key in hex.
        got: String,
    },
}

/// A public key that decodes, re-encodes identically and is not of small order. 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "crate::bytes::Hash32", into = "crate::bytes::Hash32")]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Checks the three rules.
    ///
    /// # Errors
    /// [`KeyError`] naming the rule that fails.
    pub fn new(bytes: [u8; 32]) -> Result<Self, KeyError> {
        let got = || hex::encode(bytes);
        let point = CompressedEdwardsY(bytes).decompress().ok_or_else(|| KeyError::NotOnCurve { got: got() })?;
        if point.compress().0 != bytes {
            return Err(KeyError::NotCanonical { got: got() });
        }
        if point.is_small_order() {
            return Err(KeyError::SmallOrder { got: got() });
        }
        Ok(Self(bytes))
    }

    /// The same from a slice of exactly 32 bytes.
    ///
    /// # Errors
    /// [`KeyError`] with expected and got.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, KeyError> {
        Self::new(crate::bytes::from_slice("public key", bytes)?)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `signature` over `message` is valid by ZIP-215.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        VerificationKey::try_from(self.0)
            .is_ok_and(|key| key.verify(&ed25519_zebra::Signature::from(signature.0), message).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl std::str::FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::new(from_hex("public key", text)?)
    }
}

impl TryFrom<crate::bytes::Hash32> for PublicKey {
    type Error = KeyError;
    fn try_from(bytes: crate::bytes::Hash32) -> Result<Self, KeyError> {
        Self::new(bytes.0)
    }
}

impl From<PublicKey> for crate::bytes::Hash32 {
    fn from(key: PublicKey) -> Self {
        Self(key.0)
    }
}

/// An Ed25519 secret (32-byte seed). Wiped when dropped; `Debug` does not show it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// From a 32-byte seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(seed)
    }

    /// A fresh one from the operating system.
    ///
    /// # Errors
    /// What the operating system said when it had no randomness to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Self(seed))
    }

    /// The seed, for a key file or a key derivation.
    #[must_use]
    pub fn seed(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public key that belongs to it.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        // A clamped scalar times the base point is of prime order, so the three rules of PublicKey hold.
        PublicKey(VerificationKeyBytes::from(&SigningKey::from_bytes(&self.0)).into())
    }

    /// Signs `message` (deterministic, RFC 8032).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(SigningKey::from_bytes(&self.0).sign(message).into())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public())
    }
}

/// One signature to check: key, message, signature.
pub struct SignatureCheck {
    /// The signer.
    pub key: PublicKey,
    /// What was signed.
    pub message: Vec<u8>,
    /// The signature.
    pub signature: Signature,
}

/// Checks many signatures at once; answers for each, in order. The same verdict as [`PublicKey::verify`] on each:
/// ZIP-215 promises that, and when a batch fails each one is looked at by itself.
#[must_use]
pub fn verify_signatures(checks: &[SignatureCheck]) -> Vec<bool> {
    let mut verifier = batch::Verifier::new();
    for check in checks {
        let signature = ed25519_zebra::Signature::from(check.signature.0);
        verifier.queue((VerificationKeyBytes::from(check.key.0), signature, &check.message));
    }
    let rng = rand_core::UnwrapErr(getrandom::SysRng);
    if verifier.verify(rng).is_ok() {
        return vec![true; checks.len()];
    }
    checks.iter().map(|check| check.key.verify(&check.message, &check.signature)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_small_order_and_other_encodings_are_refused() {
        let mut identity = [0u8; 32];
        identity[0] = 1;
        assert!(matches!(PublicKey::new(identity), Err(KeyError::SmallOrder { .. })));
        assert!(matches!(PublicKey::new([0; 32]), Err(KeyError::SmallOrder { .. })));
        // y = p + 1 encodes the identity a second time.
        let mut second = [0xff; 32];
        second[0] = 0xee;
        second[31] = 0x7f;
        assert!(matches!(PublicKey::new(second), Err(KeyError::NotCanonical { .. })));
        let mut off = [0u8; 32];
        off[0] = 2;
        assert!(matches!(PublicKey::new(off), Err(KeyError::NotOnCurve { .. })));
        assert!(PublicKey::from_slice(&[1; 31]).is_err());
    }

    #[test]
    fn a_batch_names_the_bad_ones() {
        let secret = SecretKey::from_seed([7; 32]);
        let mut checks: Vec<SignatureCheck> = (0u8..40)
            .map(|i| SignatureCheck { key: secret.public(), message: vec![i], signature: secret.sign(&[i]) })
            .collect();
        assert!(verify_signatures(&checks).into_iter().all(|ok| ok));
        checks[17].message.push(0);
        let verdicts = verify_signatures(&checks);
        assert!(verdicts.iter().enumerate().all(|(i, ok)| *ok == (i != 17)));
        assert!(verify_signatures(&[]).is_empty());
    }

    #[test]
    fn secrets_are_not_shown() {
        let secret = SecretKey::from_seed([0xab; 32]);
        assert!(!format!("{secret:?}").contains("abab"));
    }
}
