//! Salts of commitments: records' and segments' alike.

use crate::bytes::Hash32;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 32 secret bytes without which nobody can test a guess against a commitment. Wiped when dropped, not shown by
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
        let bytes = crate::bytes::from_hex("salt", &text)
            .map_err(|_| D::Error::custom("salt: expected 64 lowercase hex digits"))?;
        Ok(Self(bytes))
    }
}
