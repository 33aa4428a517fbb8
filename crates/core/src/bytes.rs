//! Byte strings of fixed length, shown and serialised in lowercase hex where a person reads them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt;

/// A text or byte string that is not of the length or alphabet a fixed byte string needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BytesError {
    /// The number of bytes differs.
    #[error("{what}: expected {expected} bytes, got {got}")]
    Length {
        /// What was being read.
        what: &'static str,
        /// Bytes needed.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// A text that is not lowercase hex.
    #[error("{what}: expected {expected} lowercase hex digits, got {got:?}")]
    Hex {
        /// What was being read.
        what: &'static str,
        /// Digits needed.
        expected: usize,
        /// The text, cut to 80 characters.
        got: String,
    },
}

/// Reads exactly `N` bytes from lowercase hex.
///
/// # Errors
/// [`BytesError::Hex`] for any other length or alphabet, upper case included: one text for each value.
pub fn from_hex<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N], BytesError> {
    let mut bytes = [0u8; N];
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    if lower && hex::decode_to_slice(text, &mut bytes).is_ok() {
        return Ok(bytes);
    }
    Err(BytesError::Hex { what, expected: 2 * N, got: text.chars().take(80).collect() })
}

/// Reads exactly `N` bytes from a slice.
///
/// # Errors
/// [`BytesError::Length`] with expected and got.
pub fn from_slice<const N: usize>(what: &'static str, bytes: &[u8]) -> Result<[u8; N], BytesError> {
    bytes.try_into().map_err(|_| BytesError::Length { what, expected: N, got: bytes.len() })
}

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Reads it from exactly as many bytes.
            ///
            /// # Errors
            /// [`BytesError::Length`] with expected and got.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, BytesError> {
                from_slice($what, bytes).map(Self)
            }

            /// The bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl std::str::FromStr for $name {
            type Err = BytesError;
            fn from_str(text: &str) -> Result<Self, BytesError> {
                from_hex($what, text).map(Self)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "{} ({} bytes, or twice as many lowercase hex digits)", $what, $len)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<$name, E> {
                        $name::from_slice(bytes).map_err(E::custom)
                    }
                }
                if deserializer.is_human_readable() {
                    deserializer.deserialize_str(Visitor)
                } else {
                    deserializer.deserialize_bytes(Visitor)
                }
            }
        }
    };
}

fixed_bytes!(
    /// 32 bytes of SHA-256, or of an identity made by it.
    Hash32,
    32,
    "hash"
);
fixed_bytes!(
    /// 64 bytes of an Ed25519 signature (R ‖ s). Its form is judged when it is verified.
    Signature,
    64,
    "signature"
);

impl Hash32 {
    /// 32 zero bytes: the genesis block's previous hash.
    pub const ZERO: Self = Self([0; 32]);
}

/// Identity of a chain: the hash of its genesis.
pub type ChainId = Hash32;
/// Hash of a block's 240-byte preimage.
pub type BlockHash = Hash32;
/// Hash of a transaction.
pub type TxHash = Hash32;

/// SHA-256 over the concatenation of `parts`; the first one is the domain string, ending in a zero byte.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> Hash32 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    Hash32(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_lowercase_and_of_one_length() {
        let text = "00".repeat(32);
        assert_eq!(text.parse::<Hash32>().unwrap(), Hash32::ZERO);
        assert!("AB".repeat(32).parse::<Hash32>().is_err());
        assert!("00".repeat(31).parse::<Hash32>().is_err());
        assert!("0g".repeat(32).parse::<Hash32>().is_err());
        let error = Hash32::from_slice(&[0; 31]).unwrap_err();
        assert_eq!(error.to_string(), "hash: expected 32 bytes, got 31");
    }

    #[test]
    fn sha256_of_nothing_is_the_published_value() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(&[]).to_string(), empty);
    }
}
