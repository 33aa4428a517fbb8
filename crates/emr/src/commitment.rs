//! What a record's identity is computed from (protocol page, "EMR-Chain").

pub use blockhie_core::salt::Salt;

use blockhie_core::{ChainId, Hash32, PublicKey, sha256};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use std::fmt;
use std::str::FromStr;

/// Longest media type in bytes: its length is one byte in people's minds and two on the wire.
pub const MAX_MEDIA_TYPE_BYTES: usize = 255;

/// A text that is no media type of this protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("media type: expected 1 to {MAX_MEDIA_TYPE_BYTES} printable ASCII characters without \" and \\, got {got:?}")]
pub struct MediaTypeError {
    /// The text, cut to 80 characters.
    pub got: String,
}

/// 1 to 255 bytes of printable ASCII without `"` and `\`, so that its JSON form is itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct MediaType(String);

impl MediaType {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MediaType {
    type Err = MediaTypeError;
    fn from_str(text: &str) -> Result<Self, MediaTypeError> {
        let printable = text.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\');
        if printable && (1..=MAX_MEDIA_TYPE_BYTES).contains(&text.len()) {
            return Ok(Self(text.to_owned()));
        }
        Err(MediaTypeError { got: text.chars().take(80).collect() })
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// `H("blockhie/content/v1\0" ‖ salt ‖ u16 len ‖ media type ‖ u64 len ‖ bytes)`, over the exact bytes.
#[must_use]
pub fn content_digest(salt: &Salt, media_type: &MediaType, bytes: &[u8]) -> Hash32 {
    let media = media_type.as_str().as_bytes();
    let media_len = u16::try_from(media.len()).expect("a media type has at most 255 bytes");
    let len = u64::try_from(bytes.len()).expect("a slice is shorter than 2^63");
    sha256(&[b"blockhie/content/v1\0", salt.as_bytes(), &media_len.to_be_bytes(), media, &len.to_be_bytes(), bytes])
}

/// `H("blockhie/record/v1\0" ‖ chain_id ‖ issuer ‖ (0x00 or 0x01‖addressee) ‖ content)`: the record's identity.
#[must_use]
pub fn commitment(chain: &ChainId, issuer: &PublicKey, addressee: Option<&PublicKey>, content: &Hash32) -> Hash32 {
    let to = addressee.map_or_else(|| vec![0], |key| [&[1], key.as_bytes().as_slice()].concat());
    sha256(&[b"blockhie/record/v1\0", chain.as_bytes(), issuer.as_bytes(), &to, content.as_bytes()])
}
