//! What a request is answered when it is not answered: one type, one table from error classes to HTTP.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use blockhie_core::{ErrorClass, FormError, StoreError};
use blockhie_emr::publish::PublishError;
use blockhie_emr::vault::VaultError;
use serde::Serialize;

/// An answer that is an error: `{"error":{"class":…,"message":…}}`, with `status` where something is not that far yet.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    status: StatusCode,
    class: &'static str,
    message: String,
    far: Option<Box<serde_json::Value>>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: Fields<'a>,
}

#[derive(Serialize)]
struct Fields<'a> {
    class: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a serde_json::Value>,
}

/// The one table: HTTP status and name of a class.
#[must_use]
pub(crate) fn http_of(class: ErrorClass) -> (StatusCode, &'static str) {
    match class {
        ErrorClass::Invalid => (StatusCode::BAD_REQUEST, "invalid"),
        ErrorClass::NotYet => (StatusCode::CONFLICT, "not_yet"),
        ErrorClass::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        ErrorClass::Exhausted => (StatusCode::TOO_MANY_REQUESTS, "exhausted"),
        ErrorClass::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        ErrorClass::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

impl ApiError {
    fn with(status: StatusCode, class: &'static str, message: impl Into<String>) -> Self {
        Self { status, class, message: message.into(), far: None }
    }

    /// An error of `class`.
    #[must_use]
    pub(crate) fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        let (status, name) = http_of(class);
        Self::with(status, name, message)
    }

    /// The request is wrong.
    #[must_use]
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Invalid, message)
    }

    /// There is no such thing.
    #[must_use]
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::NotFound, message)
    }

    /// Not now.
    #[must_use]
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Unavailable, message)
    }

    /// A fault of this gateway: the log says more than the answer.
    #[must_use]
    pub(crate) fn internal(detail: &dyn std::fmt::Display) -> Self {
        tracing::error!(%detail, "request failed");
        Self::new(ErrorClass::Internal, "internal error (the gateway's log says which)")
    }

    /// A transaction has not come as far as the request needs; `status` says how far it has.
    #[must_use]
    pub(crate) fn not_yet(message: impl Into<String>, status: &impl Serialize) -> Self {
        let far = serde_json::to_value(status).ok().map(Box::new);
        Self { far, ..Self::new(ErrorClass::NotYet, message) }
    }

    /// Who asks is not known. The same for what is there and what is not.
    #[must_use]
    pub(crate) fn unauthenticated() -> Self {
        let hint = "expected `Authorization: Bearer TOKEN`, the token of the gateway's data folder, or a session";
        Self::with(StatusCode::UNAUTHORIZED, "unauthenticated", hint)
    }

    /// The same on a route that keys may call; `reason` is about a signature that was given.
    #[must_use]
    pub(crate) fn unsigned(reason: Option<String>) -> Self {
        let hint = "expected `Authorization: Bearer TOKEN` or a signed request, `Authorization: BlockHIE key=…`";
        Self::with(StatusCode::UNAUTHORIZED, "unauthenticated", reason.unwrap_or_else(|| hint.into()))
    }

    /// Not sent by one of this gateway's own pages.
    #[must_use]
    pub(crate) fn cross_site() -> Self {
        Self::with(StatusCode::FORBIDDEN, "forbidden", "expected the page's own X-CSRF-Token; reload the page")
    }

    /// It contradicts what is there.
    #[must_use]
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::with(StatusCode::CONFLICT, "conflict", message)
    }

    /// Longer than allowed.
    #[must_use]
    pub(crate) fn too_large(what: &str, limit: usize) -> Self {
        Self::with(StatusCode::PAYLOAD_TOO_LARGE, "too_large", format!("{what}: expected at most {limit} bytes"))
    }

    /// The form of a body is not one that this route reads.
    #[must_use]
    pub(crate) fn media(message: impl Into<String>) -> Self {
        Self::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
    }

    /// A document that is not of its form (exit code 3 of `verify`).
    #[must_use]
    pub(crate) fn unreadable(error: &FormError) -> Self {
        Self::with(StatusCode::UNPROCESSABLE_ENTITY, "unreadable", error.to_string())
    }

    /// A method that the route has not.
    #[must_use]
    pub(crate) fn method() -> Self {
        Self::with(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this route has no such method")
    }

    /// The status.
    #[must_use]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The text.
    #[must_use]
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = Fields { class: self.class, message: &self.message, status: self.far.as_deref() };
        let mut response = (self.status, Json(Body { error })).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("2"));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.class() == ErrorClass::Unavailable {
            // Its text names folders: that is for the log.
            tracing::error!(%error, "store");
            return Self::unavailable("the gateway's store does not take it at the moment");
        }
        Self::internal(&error)
    }
}

impl From<VaultError> for ApiError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Store(error) => error.into(),
            VaultError::NotFound { .. } => Self::not_found(error.to_string()),
            error if error.class() == ErrorClass::Internal => Self::internal(&error),
            error => Self::new(error.class(), error.to_string()),
        }
    }
}

impl From<PublishError> for ApiError {
    fn from(error: PublishError) -> Self {
        Self::new(error.class(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_own_status() {
        use ErrorClass::{Exhausted, Internal, Invalid, NotFound, NotYet, Unavailable};
        let all = [Invalid, NotYet, NotFound, Exhausted, Unavailable, Internal];
        let statuses: std::collections::BTreeSet<_> = all.iter().map(|class| http_of(*class).0).collect();
        assert_eq!(statuses.len(), all.len());
    }

    #[test]
    fn what_a_store_says_of_folders_stays_in_the_log() {
        let hint = Some("free space".to_owned());
        let error = StoreError::Io { action: "write", reason: "/secret/place: full".into(), hint };
        assert!(!ApiError::from(error).message().contains("/secret"));
    }
}
