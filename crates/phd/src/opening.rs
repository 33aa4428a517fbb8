//! `segment-opening.json`: what its holder needs, beside the data, to show that a segment is the committed one.

use crate::place::Place;
use blockhie_core::canonical::{below_2_53, parse_canonical, to_canonical};
use blockhie_core::error::FormError;
use blockhie_core::limits::MAX_RECEIPT_BYTES;
use blockhie_core::{ChainId, Hash32, Salt};
use serde::{Deserialize, Serialize};

/// The format's name and version.
pub const SEGMENT_OPENING_FORMAT: &str = "blockhie-segment-opening/v1";
/// An opening's text in bytes (protocol page: as a receipt's).
pub const MAX_SEGMENT_OPENING_BYTES: usize = MAX_RECEIPT_BYTES;

/// An opening. The order of the fields is the order of the keys. The device's key is held as it is written: whether it
/// is a key is a check, not a question of form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentOpening {
    /// [`SEGMENT_OPENING_FORMAT`].
    pub format: String,
    /// The PHD-Chain.
    pub chain_id: ChainId,
    /// Key of the device: sender of the READINGS.
    pub device: Hash32,
    /// Sequence number of the first reading; as text 16 hex digits, because it may exceed 2^53.
    #[serde(with = "hex_u64")]
    pub first_seq: u64,
    /// Readings.
    pub count: u32,
    /// The salt.
    pub salt: Salt,
    /// Length of the data in bytes.
    #[serde(with = "below_2_53")]
    pub length: u64,
}

impl SegmentOpening {
    /// For `length` bytes of data at a place.
    #[must_use]
    pub fn new(place: &Place, salt: Salt, length: u64) -> Self {
        Self {
            format: SEGMENT_OPENING_FORMAT.to_owned(),
            chain_id: place.chain,
            device: place.device.into(),
            first_seq: place.first_seq,
            count: place.count,
            salt,
            length,
        }
    }

    /// Reads the canonical text.
    ///
    /// # Errors
    /// [`FormError`] (exit code 3 of `verify`).
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        let opening: Self = parse_canonical(bytes, MAX_SEGMENT_OPENING_BYTES, "segment opening")?;
        if opening.format != SEGMENT_OPENING_FORMAT {
            let reason = format!("format: expected {SEGMENT_OPENING_FORMAT}, got {:?}", opening.format);
            return Err(FormError::Shape { what: "segment opening", reason });
        }
        Ok(opening)
    }

    /// The canonical text, final newline included. It holds the salt: it is for who may hold the readings.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_canonical(self)
    }
}

/// A u64 as 16 lowercase hex digits.
mod hex_u64 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(value.to_be_bytes()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        blockhie_core::bytes::from_hex("sequence number", &text).map(u64::from_be_bytes).map_err(D::Error::custom)
    }
}
