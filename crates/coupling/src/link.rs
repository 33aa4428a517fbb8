//! What a link is made of (protocol page, "Coupling").

use crate::payload::{LINK, Link};
use blockhie_core::{ChainId, Hash32, PublicKey, SecretKey, Signature, Transaction, Verified, sha256};
use prost::Message;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// 32 random bytes without which nobody can test a guess of who belongs to a link. Wiped when dropped, not shown by
/// `Debug`.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl Seed {
    /// From its bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A fresh one from the operating system.
    ///
    /// # Errors
    /// What the operating system said when it had no randomness to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut seed = Self([0; 32]);
        getrandom::fill(&mut seed.0)?;
        Ok(seed)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// `H("blockhie/link-id/v1\0" ‖ seed)`: names the link where it is kept and asked for. It is on no chain.
    #[must_use]
    pub fn link_id(&self) -> Hash32 {
        sha256(&[b"blockhie/link-id/v1\0", &self.0])
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(redacted)")
    }
}

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Hash32(self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        // The text is not repeated: a seed must not get into logs by way of an error.
        let bytes = blockhie_core::bytes::from_hex("seed", &text)
            .map_err(|_| D::Error::custom("seed: expected 64 lowercase hex digits"))?;
        Ok(Self(bytes))
    }
}

/// The link's value on `chain`: `H("blockhie/link/v1\0" ‖ chain_id ‖ salt ‖ record ‖ device)` with
/// `salt = H("blockhie/link-salt/v1\0" ‖ seed ‖ chain_id)`. Another one on each chain: an equal one would join the two
/// for everybody.
#[must_use]
pub fn link_commitment(chain: &ChainId, seed: &Seed, record: &Hash32, device: &PublicKey) -> Hash32 {
    let salt = sha256(&[b"blockhie/link-salt/v1\0", &seed.0, chain.as_bytes()]);
    sha256(&[b"blockhie/link/v1\0", chain.as_bytes(), salt.as_bytes(), record.as_bytes(), device.as_bytes()])
}

/// The LINK of one chain, signed by `one_time`. Take a fresh key for each chain and forget it afterwards; `time_ms` (ms
/// since the epoch, public) has to be another one on each chain too, or it joins them.
#[must_use]
pub fn link_transaction(
    chain: &ChainId,
    one_time: &SecretKey,
    seed: &Seed,
    record: &Hash32,
    device: &PublicKey,
    time_ms: u64,
) -> Transaction<Verified> {
    let payload = Link { commitment: link_commitment(chain, seed, record, device).0.to_vec() };
    Transaction::sign(chain, one_time, time_ms, LINK, None, &payload.encode_to_vec())
}

/// What the device's owner and the record's holder sign: that record and device are of one person, told to this
/// audience until this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTerms {
    /// The EMR-Chain.
    pub emr: ChainId,
    /// The PHD-Chain.
    pub phd: ChainId,
    /// The link's seed.
    pub seed: Seed,
    /// The record's commitment.
    pub record: Hash32,
    /// The device's key.
    pub device: PublicKey,
    /// Whom it is told.
    pub audience: PublicKey,
    /// Last moment it holds, ms since the epoch, below 2^53.
    pub expiry_ms: u64,
}

impl LinkTerms {
    /// `"blockhie/link-open/v1\0" ‖ emr ‖ phd ‖ seed ‖ record ‖ device ‖ audience ‖ u64 expiry_ms`. They hold the seed.
    #[must_use]
    pub fn sign_bytes(&self) -> Zeroizing<Vec<u8>> {
        let (emr, phd, record) = (self.emr.as_bytes(), self.phd.as_bytes(), self.record.as_bytes());
        let (device, audience, expiry) =
            (self.device.as_bytes(), self.audience.as_bytes(), self.expiry_ms.to_be_bytes());
        let domain = b"blockhie/link-open/v1\0".as_slice();
        Zeroizing::new([domain, emr, phd, &self.seed.0, record, device, audience, &expiry].concat())
    }

    /// Signs them, as the device's owner or as the record's holder.
    #[must_use]
    pub fn sign(&self, secret: &SecretKey) -> Signature {
        secret.sign(&self.sign_bytes())
    }

    /// Whether `signature` is of `key` over these terms.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey, signature: &Signature) -> bool {
        key.verify(&self.sign_bytes(), signature)
    }
}
