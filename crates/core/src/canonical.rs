//! Documents with exactly one text: parsed, written again, compared.

use crate::error::FormError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads a canonical JSON document: ASCII, no white space, keys in the order of the struct's fields, one final
/// newline. Give the struct `#[serde(deny_unknown_fields)]`.
///
/// # Errors
/// [`FormError`]: too long, not of the shape, or not the canonical text.
pub fn parse_canonical<T: DeserializeOwned + Serialize>(
    bytes: &[u8],
    limit: usize,
    what: &'static str,
) -> Result<T, FormError> {
    if bytes.len() > limit {
        return Err(FormError::Length { what, limit, got: bytes.len() });
    }
    let parsed: T =
        serde_json::from_slice(bytes).map_err(|error| FormError::Shape { what, reason: error.to_string() })?;
    let again = to_canonical(&parsed);
    let again = again.as_bytes();
    if again == bytes && bytes.is_ascii() {
        return Ok(parsed);
    }
    let at = again.iter().zip(bytes).position(|(a, b)| a != b).unwrap_or_else(|| again.len().min(bytes.len()));
    Err(FormError::NotCanonical { what, at })
}

/// Writes the canonical text, final newline included.
#[must_use]
pub fn to_canonical<T: Serialize>(document: &T) -> String {
    let mut text = serde_json::to_string(document).expect("structs of strings, integers and lists have a JSON form");
    text.push('\n');
    text
}

/// For `#[serde(with = "…")]`: an integer below 2^53.
pub mod below_2_53 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes it as it is.
    ///
    /// # Errors
    /// The serialiser's.
    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(*value)
    }

    /// Reads it and checks the bound.
    ///
    /// # Errors
    /// The deserialiser's, or expected and got.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let value = u64::deserialize(deserializer)?;
        if value >= crate::limits::JSON_INTEGER_END {
            return Err(D::Error::custom(format!("expected an integer below 2^53, got {value}")));
        }
        Ok(value)
    }
}

/// For `#[serde(with = "…")]`: an optional value whose absence is the empty string.
pub mod empty_if_none {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::fmt::Display;
    use std::str::FromStr;

    /// Writes the value's text, or "".
    ///
    /// # Errors
    /// The serialiser's.
    pub fn serialize<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_str(""),
        }
    }

    /// Reads the text.
    ///
    /// # Errors
    /// The deserialiser's, or the value's own.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr,
        T::Err: Display,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
    }
}
