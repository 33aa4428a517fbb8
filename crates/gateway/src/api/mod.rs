//! The JSON API. Every error is `{"error":{"class":…,"message":…}}`.

pub(crate) mod chains;
pub(crate) mod records;
pub(crate) mod service;

use crate::error::ApiError;
use blockhie_core::Hash32;

/// The description of the API, written by hand; a test holds it against the table of routes.
pub(crate) const OPENAPI: &str = include_str!("../../assets/openapi.json");

/// An identifier of a path: 64 lowercase hex digits and nothing else.
pub(crate) fn read_hash(what: &str, text: &str) -> Result<Hash32, ApiError> {
    text.parse().map_err(|_| ApiError::invalid(format!("{what}: expected 64 lowercase hex digits")))
}
