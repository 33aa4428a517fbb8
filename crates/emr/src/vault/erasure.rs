//! The certificate of an erasure: what was destroyed, and what the vault cannot reach.

use blockhie_core::canonical::{below_2_53, empty_if_none, parse_canonical, to_canonical};
use blockhie_core::error::FormError;
use blockhie_core::{ChainId, Hash32, PublicKey, SecretKey, Signature};
use serde::{Deserialize, Serialize};

/// The format's name and version.
pub const ERASURE_FORMAT: &str = "blockhie-erasure/v1";
/// A certificate's text in bytes: about 1 KiB is written.
pub const MAX_ERASURE_BYTES: usize = 16 << 10;

const DESTROYED: [&str; 4] = ["data key", "salt", "sealed record", "vault entry"];
const NOT_REACHED: [&str; 4] = [
    "copies that were handed out",
    "backups of the vault, until they expire",
    "freed space of the storage medium, until it is overwritten",
    "the commitment on the chain, which nobody can open without the salt",
];

/// Signed by the institution. The order of the fields is the order of the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasureCertificate {
    /// [`ERASURE_FORMAT`].
    pub format: String,
    /// The chain that holds the commitment.
    pub chain_id: ChainId,
    /// Key of the institution.
    pub institution: Hash32,
    /// The record's commitment.
    pub record: Hash32,
    /// When, ms since the epoch.
    #[serde(with = "below_2_53")]
    pub erased_ms: u64,
    /// What was destroyed.
    pub destroyed: Vec<String>,
    /// What it cannot reach.
    pub not_reached: Vec<String>,
    /// Over `"blockhie/erasure/v1\0"` ‖ this text with `"signature":""`.
    #[serde(with = "empty_if_none")]
    pub signature: Option<Signature>,
}

impl ErasureCertificate {
    pub(super) fn sign(institution: &SecretKey, chain_id: ChainId, record: Hash32, erased_ms: u64) -> Self {
        let mut certificate = Self {
            format: ERASURE_FORMAT.to_owned(),
            chain_id,
            institution: institution.public().into(),
            record,
            erased_ms,
            destroyed: DESTROYED.map(str::to_owned).to_vec(),
            not_reached: NOT_REACHED.map(str::to_owned).to_vec(),
            signature: None,
        };
        certificate.signature = Some(institution.sign(&certificate.sign_bytes()));
        certificate
    }

    fn sign_bytes(&self) -> Vec<u8> {
        let unsigned = Self { signature: None, ..self.clone() };
        [b"blockhie/erasure/v1\0", to_canonical(&unsigned).as_bytes()].concat()
    }

    /// Whether the institution named in it signed it.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        let Some(signature) = &self.signature else { return false };
        PublicKey::new(self.institution.0).is_ok_and(|key| key.verify(&self.sign_bytes(), signature))
    }

    /// Reads the canonical text.
    ///
    /// # Errors
    /// [`FormError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        let certificate: Self = parse_canonical(bytes, MAX_ERASURE_BYTES, "erasure certificate")?;
        if certificate.format != ERASURE_FORMAT {
            let reason = format!("format: expected {ERASURE_FORMAT}, got {:?}", certificate.format);
            return Err(FormError::Shape { what: "erasure certificate", reason });
        }
        Ok(certificate)
    }

    /// The canonical text, final newline included.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_canonical(self)
    }
}
