//! The JSON API. Every error is `{"error":{"class":…,"message":…}}`.

pub(crate) mod chains;
pub(crate) mod records;
pub(crate) mod service;

use crate::error::ApiError;
use blockhie_core::{ChainKind, Hash32};

/// The description of the API, written by hand; a test holds it against the table of routes.
pub(crate) const OPENAPI: &str = include_str!("../../assets/openapi.json");

/// The chain of a path: `emr` or `phd`.
pub(crate) fn read_chain(text: &str) -> Result<ChainKind, ApiError> {
    let missing = || ApiError::not_found("chain: expected emr or phd");
    [ChainKind::Emr, ChainKind::Phd].into_iter().find(|kind| kind.name() == text).ok_or_else(missing)
}

/// An identifier of a path: 64 lowercase hex digits and nothing else.
pub(crate) fn read_hash(what: &str, text: &str) -> Result<Hash32, ApiError> {
    text.parse().map_err(|_| ApiError::invalid(format!("{what}: expected 64 lowercase hex digits")))
}
