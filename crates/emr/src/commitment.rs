//! What a record's identity is computed from (protocol page, "EMR-Chain").

use blockhie_core::{ChainId, Hash32, PublicKey, sha256};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;
use std::str::FromStr;
use zeroize::{Zeroize, ZeroizeOnDrop};

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

/// 32 random bytes without which nobody can test a guess against a commitment. Wiped when dropped, not shown by
/// `Debug`.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Salt([u8; 32]);

impl Salt {
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
        let mut salt = Self([0; 32]);
        getrandom::fill(&mut salt.0)?;
        Ok(salt)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(redacted)")
    }
}

impl Serialize for Salt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Hash32(self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Salt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = zeroize::Zeroizing::new(String::deserialize(deserializer)?);
        // The text is not repeated: a salt must not get into logs by way of an error.
        let bytes = blockhie_core::bytes::from_hex("salt", &text)
            .map_err(|_| D::Error::custom("salt: expected 64 lowercase hex digits"))?;
        Ok(Self(bytes))
    }
}

/// `H("blockhie/content/v1\0" ‖ salt ‖ u16 len ‖ media type ‖ u64 len ‖ bytes)`, over the exact bytes.
#[must_use]
pub fn content_digest(salt: &Salt, media_type: &MediaType, bytes: &[u8]) -> Hash32 {
    let media = media_type.as_str().as_bytes();
    let media_len = u16::try_from(media.len()).expect("a media type has at most 255 bytes");
    let len = u64::try_from(bytes.len()).expect("a slice is shorter than 2^63");
    sha256(&[b"blockhie/content/v1\0", &salt.0, &media_len.to_be_bytes(), media, &len.to_be_bytes(), bytes])
}

/// `H("blockhie/record/v1\0" ‖ chain_id ‖ issuer ‖ (0x00 or 0x01‖addressee) ‖ content)`: the record's identity.
#[must_use]
pub fn commitment(chain: &ChainId, issuer: &PublicKey, addressee: Option<&PublicKey>, content: &Hash32) -> Hash32 {
    let to = addressee.map_or_else(|| vec![0], |key| [&[1], key.as_bytes().as_slice()].concat());
    sha256(&[b"blockhie/record/v1\0", chain.as_bytes(), issuer.as_bytes(), &to, content.as_bytes()])
}
