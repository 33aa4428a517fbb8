//! `opening.json`: what its holder needs, beside the bytes, to show that a record is the committed one.

use crate::commitment::{MediaType, Salt};
use blockhie_core::canonical::{below_2_53, empty_if_none, parse_canonical, to_canonical};
use blockhie_core::error::FormError;
use blockhie_core::limits::MAX_RECEIPT_BYTES;
use blockhie_core::{ChainId, Hash32, PublicKey, SecretKey, Signature};
use serde::{Deserialize, Serialize};

/// The format's name and version.
pub const OPENING_FORMAT: &str = "blockhie-opening/v1";
/// An opening's text in bytes (protocol page: as a receipt's).
pub const MAX_OPENING_BYTES: usize = MAX_RECEIPT_BYTES;

/// Where a record stands in a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchPath {
    /// 0-based place.
    #[serde(with = "below_2_53")]
    pub index: u64,
    /// Inclusion path in the root of the RECORDS; its count is the size.
    pub path: Vec<Hash32>,
}

/// A member's word that a key belongs to it or to one of its own for some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Key of the member.
    pub member: Hash32,
    /// First moment, ms since the epoch.
    #[serde(with = "below_2_53")]
    pub from_ms: u64,
    /// Last moment, ms since the epoch.
    #[serde(with = "below_2_53")]
    pub to_ms: u64,
    /// The member's signature over [`issuer_sign_bytes`].
    pub signature: Signature,
}

/// What a member signs to certify an issuer's key on `chain`.
#[must_use]
pub fn issuer_sign_bytes(chain: &ChainId, issuer: &PublicKey, from_ms: u64, to_ms: u64) -> Vec<u8> {
    let (from, to) = (from_ms.to_be_bytes(), to_ms.to_be_bytes());
    [b"blockhie/issuer/v1\0", chain.as_bytes().as_slice(), issuer.as_bytes(), &from, &to].concat()
}

impl Certificate {
    /// Certifies `issuer` on `chain` from `from_ms` to `to_ms` (ms since the epoch, below 2^53, both included).
    #[must_use]
    pub fn sign(member: &SecretKey, chain: &ChainId, issuer: &PublicKey, from_ms: u64, to_ms: u64) -> Self {
        let signature = member.sign(&issuer_sign_bytes(chain, issuer, from_ms, to_ms));
        Self { member: member.public().into(), from_ms, to_ms, signature }
    }
}

/// An opening. The order of the fields is the order of the keys. Keys are held as they are written: whether they are
/// keys is a check, not a question of form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// [`OPENING_FORMAT`].
    pub format: String,
    /// The chain.
    pub chain_id: ChainId,
    /// Key of the issuer: sender of the RECORD or RECORDS.
    pub issuer: Hash32,
    /// Key of whom the record is for, if it is for someone.
    #[serde(with = "empty_if_none")]
    pub addressee: Option<Hash32>,
    /// The salt.
    pub salt: Salt,
    /// Media type of the bytes.
    pub media_type: MediaType,
    /// Length of the bytes.
    #[serde(with = "below_2_53")]
    pub length: u64,
    /// Set when a RECORDS commits it.
    pub batch: Option<BatchPath>,
    /// Set when a member certifies the issuer.
    pub certificate: Option<Certificate>,
}

impl Opening {
    /// Reads the canonical text.
    ///
    /// # Errors
    /// [`FormError`] (exit code 3 of `verify`).
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        let opening: Self = parse_canonical(bytes, MAX_OPENING_BYTES, "opening")?;
        if opening.format != OPENING_FORMAT {
            let reason = format!("format: expected {OPENING_FORMAT}, got {:?}", opening.format);
            return Err(FormError::Shape { what: "opening", reason });
        }
        Ok(opening)
    }

    /// The canonical text, final newline included. It holds the salt: it is for who may hold the record.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_canonical(self)
    }
}
