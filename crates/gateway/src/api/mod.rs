//! The JSON API. Every error is `{"error":{"class":…,"message":…}}`.

pub(crate) mod chains;
pub(crate) mod devices;
pub(crate) mod links;
pub(crate) mod network;
pub(crate) mod records;
pub(crate) mod service;

use crate::error::ApiError;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use blockhie_core::{ChainKind, Hash32, PublicKey};

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

/// A public key of a path or a body.
pub(crate) fn read_key(what: &str, text: &str) -> Result<PublicKey, ApiError> {
    PublicKey::new(read_hash(what, text)?.0).map_err(|error| ApiError::invalid(format!("{what}: {error}")))
}

/// Media type of JSON texts.
pub(crate) fn json() -> HeaderValue {
    HeaderValue::from_static("application/json")
}

/// A file to keep: never shown by a browser as a page of ours, whatever it says it is.
pub(crate) fn download(media_type: HeaderValue, name: &str, bytes: Vec<u8>) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, media_type);
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    headers.insert(header::CONTENT_DISPOSITION, disposition.expect("hex digits and dots are ASCII"));
    let policy = HeaderValue::from_static("default-src 'none'; sandbox; frame-ancestors 'none'");
    headers.insert(HeaderName::from_static("content-security-policy"), policy);
    (headers, bytes).into_response()
}
