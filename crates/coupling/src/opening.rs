//! `link-opening.json`: what its audience needs, beside four receipts, to see that a record and a device are linked.

use crate::link::Seed;
use blockhie_core::canonical::{below_2_53, empty_if_none, parse_canonical, to_canonical};
use blockhie_core::error::FormError;
use blockhie_core::limits::MAX_RECEIPT_BYTES;
use blockhie_core::{ChainId, Hash32, Signature};
use blockhie_emr::BatchPath;
use serde::{Deserialize, Serialize};

/// The format's name and version.
pub const LINK_OPENING_FORMAT: &str = "blockhie-link-opening/v1";
/// An opening's text in bytes (protocol page: as a receipt's).
pub const MAX_LINK_OPENING_BYTES: usize = MAX_RECEIPT_BYTES;

/// A link's opening. The order of the fields is the order of the keys. Keys are held as they are written: whether they
/// are keys is a check, not a question of form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkOpening {
    /// [`LINK_OPENING_FORMAT`].
    pub format: String,
    /// The EMR-Chain.
    pub emr: ChainId,
    /// The PHD-Chain.
    pub phd: ChainId,
    /// The link's seed.
    pub seed: Seed,
    /// Key of the record's issuer: sender of the RECORD or RECORDS.
    pub issuer: Hash32,
    /// Key of whom the record is for, if it is for someone.
    #[serde(with = "empty_if_none")]
    pub addressee: Option<Hash32>,
    /// Digest of the record's content; the bytes themselves are not shown.
    pub content: Hash32,
    /// Set when a RECORDS commits the record.
    pub batch: Option<BatchPath>,
    /// The device's key.
    pub device: Hash32,
    /// Key of whom the link is told.
    pub audience: Hash32,
    /// Last moment it holds, ms since the epoch.
    #[serde(with = "below_2_53")]
    pub expiry_ms: u64,
    /// Signature of the device's owner over [`LinkTerms`](crate::LinkTerms).
    pub owner_signature: Signature,
    /// The same by the record's addressee, or by its issuer if it has none.
    pub holder_signature: Signature,
}

impl LinkOpening {
    /// Reads the canonical text.
    ///
    /// # Errors
    /// [`FormError`] (exit code 3 of `link verify`).
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        let opening: Self = parse_canonical(bytes, MAX_LINK_OPENING_BYTES, "link opening")?;
        if opening.format != LINK_OPENING_FORMAT {
            let reason = format!("format: expected {LINK_OPENING_FORMAT}, got {:?}", opening.format);
            return Err(FormError::Shape { what: "link opening", reason });
        }
        Ok(opening)
    }

    /// The canonical text, final newline included. It holds the seed: it is for the audience.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_canonical(self)
    }
}
