//! The one door between wire messages and checked values, one `TryFrom` a type, in both directions.
//!
//! What passes has every required field, each of its exact length, lists within their bounds and counts that agree.
//! Hashes, signatures, targets and the rules of a chain are the ledger's to check.

mod block;
mod bulk;
mod ledger;
mod message;
mod node;
mod sync;
mod transaction;
mod waits;

pub use bulk::{BlockCollector, block_pieces, header_pieces};
pub use ledger::{HeaderRange, headers_within};
pub use waits::WaitsRange;

use blockhie_core::crypto::KeyError;
use blockhie_core::{Hash32, PublicKey};
use bytes::Bytes;
use std::borrow::Cow;

/// A message that breaks the contract. Misbehaviour of whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}, got {got}")]
pub struct ConversionError {
    /// Where.
    pub field: &'static str,
    /// What the contract wants.
    pub expected: Cow<'static, str>,
    /// What came, shortened.
    pub got: String,
}

/// Characters of a foreign text that are repeated in an error.
const MAX_GOT_CHARS: usize = 80;

impl ConversionError {
    /// An error at `field`.
    #[must_use]
    pub fn new(field: &'static str, expected: impl Into<Cow<'static, str>>, got: impl Into<String>) -> Self {
        let mut got = got.into();
        if let Some((end, _)) = got.char_indices().nth(MAX_GOT_CHARS) {
            got.truncate(end);
            got.push('…');
        }
        Self { field, expected: expected.into(), got }
    }
}

/// The value of a field that has to be there.
fn present<T>(field: &'static str, value: Option<T>) -> Result<T, ConversionError> {
    value.ok_or_else(|| ConversionError::new(field, "a value", "none (field absent)"))
}

/// Exactly `N` bytes.
pub(crate) fn fixed<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], ConversionError> {
    bytes.try_into().map_err(|_| ConversionError::new(field, format!("{N} bytes"), format!("{} bytes", bytes.len())))
}

/// Exactly `N` bytes of a field that has to be there.
fn required<const N: usize>(field: &'static str, value: Option<&Bytes>) -> Result<[u8; N], ConversionError> {
    match value {
        Some(bytes) => fixed(field, bytes),
        None => Err(ConversionError::new(field, format!("{N} bytes"), "none (field absent)")),
    }
}

/// A key by the rules of the protocol page.
fn key(field: &'static str, bytes: [u8; 32]) -> Result<PublicKey, ConversionError> {
    PublicKey::new(bytes).map_err(|error| {
        let expected = match error {
            KeyError::Bytes(_) | KeyError::NotOnCurve { .. } => "a point of the curve",
            KeyError::NotCanonical { .. } => "the canonical encoding of a point (y < p)",
            KeyError::SmallOrder { .. } => "a point that is not of small order",
        };
        ConversionError::new(field, expected, Hash32(bytes).to_string())
    })
}

/// A stated count that has to be there and agree with the list, which has to be within its bound.
fn counted(field: &'static str, number: Option<i32>, len: usize, most: usize) -> Result<(), ConversionError> {
    let number = present(field, number)?;
    if len > most {
        return Err(ConversionError::new(field, format!("a list of at most {most}"), len.to_string()));
    }
    if usize::try_from(number) != Ok(len) {
        return Err(ConversionError::new(field, format!("the count of the list, {len}"), number.to_string()));
    }
    Ok(())
}

/// A list of 32-byte hashes.
fn hashes(field: &'static str, list: &[Bytes]) -> Result<Vec<Hash32>, ConversionError> {
    list.iter().map(|bytes| fixed(field, bytes).map(Hash32)).collect()
}

/// A list of hashes for the wire, in one allocation.
fn hash_bytes(list: &[Hash32]) -> Vec<Bytes> {
    let all: Bytes = list.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>().into();
    (0..list.len()).map(|i| all.slice(32 * i..32 * (i + 1))).collect()
}

/// A value for the wire.
fn wire(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_short_and_say_expected_and_got() {
        let error = ConversionError::new("field", "this", "é".repeat(1_000));
        assert_eq!(error.got.chars().count(), MAX_GOT_CHARS + 1);
        let error = required::<8>("transaction.unixtime", Some(&Bytes::from_static(b"1234567"))).unwrap_err();
        assert_eq!(error.to_string(), "transaction.unixtime: expected 8 bytes, got 7 bytes");
        let error = required::<8>("transaction.unixtime", None).unwrap_err();
        assert_eq!(error.to_string(), "transaction.unixtime: expected 8 bytes, got none (field absent)");
    }

    #[test]
    fn counts_agree() {
        assert!(counted("n", Some(2), 2, 2).is_ok());
        for (number, len, most) in [(None, 0, 9), (Some(1), 2, 9), (Some(-1), 1, 9), (Some(-1), 0, 9), (Some(3), 3, 2)]
        {
            assert!(counted("n", number, len, most).is_err(), "{number:?} {len} {most}");
        }
    }
}
