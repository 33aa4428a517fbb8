//! Errors of the transport, and the one table between error classes and gRPC codes.

use crate::convert::ConversionError;
use crate::limits::MAX_STATUS_CHARS;
use blockhie_core::ErrorClass;
use std::error::Error;
use tonic::{Code, Status};

/// What a service answers instead of a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ServiceError {
    /// What it means to the caller.
    pub class: ErrorClass,
    /// What is wrong, with expected and got where something was given.
    pub message: String,
}

impl ServiceError {
    /// An error of `class`.
    #[must_use]
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

/// The gRPC code of a class.
#[must_use]
pub fn code_of(class: ErrorClass) -> Code {
    match class {
        ErrorClass::Invalid => Code::InvalidArgument,
        ErrorClass::NotYet => Code::FailedPrecondition,
        ErrorClass::NotFound => Code::NotFound,
        ErrorClass::Exhausted => Code::ResourceExhausted,
        ErrorClass::Unavailable => Code::Unavailable,
        ErrorClass::Internal => Code::Internal,
    }
}

/// The class of a gRPC code. Codes that our servers never choose, but that gRPC libraries do, fall to the nearest class:
/// OUT_OF_RANGE is a message above a limit, DEADLINE_EXCEEDED and CANCELLED a request given up.
#[must_use]
pub fn class_of(code: Code) -> ErrorClass {
    match code {
        Code::InvalidArgument | Code::OutOfRange => ErrorClass::Invalid,
        Code::FailedPrecondition => ErrorClass::NotYet,
        Code::NotFound => ErrorClass::NotFound,
        Code::ResourceExhausted => ErrorClass::Exhausted,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => ErrorClass::Unavailable,
        _ => ErrorClass::Internal,
    }
}

impl From<ServiceError> for Status {
    fn from(error: ServiceError) -> Self {
        Self::new(code_of(error.class), cut(error.message))
    }
}

impl From<ConversionError> for Status {
    fn from(error: ConversionError) -> Self {
        Self::invalid_argument(cut(error.to_string()))
    }
}

/// A text of at most [`MAX_STATUS_CHARS`], marked where it was cut.
pub(crate) fn cut(message: String) -> String {
    match message.char_indices().nth(MAX_STATUS_CHARS) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message,
    }
}

/// Why a client got no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The node answered with an error.
    #[error("{address}: {message}")]
    Status {
        /// Who answered.
        address: String,
        /// What it means.
        class: ErrorClass,
        /// What it said.
        message: String,
    },
    /// No answer: not there, gone in the middle, or too slow.
    #[error("{address}: no answer: {reason}")]
    Unreachable {
        /// Who was asked.
        address: String,
        /// What happened.
        reason: String,
    },
    /// An answer that breaks the contract.
    #[error("{address}: answer breaks the contract: {error}")]
    BadAnswer {
        /// Who answered.
        address: String,
        /// What is wrong with it.
        error: ConversionError,
    },
    /// The text given is no address.
    #[error("node address: expected ip:port or http://host:port, got {got:?}: {reason}")]
    Address {
        /// The text.
        got: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ClientError {
    /// What it means to whoever asked.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Status { class, .. } => *class,
            Self::Unreachable { .. } => ErrorClass::Unavailable,
            Self::BadAnswer { .. } | Self::Address { .. } => ErrorClass::Invalid,
        }
    }

    /// Whether the node asked is to blame.
    #[must_use]
    pub fn misbehaviour(&self) -> bool {
        matches!(self, Self::BadAnswer { .. })
    }

    /// A status that came from the network tells its own code; one that was made on this side has a source.
    pub(crate) fn from_status(address: &str, status: &Status) -> Self {
        let address = address.to_owned();
        let Some(source) = status.source() else {
            return Self::Status { address, class: class_of(status.code()), message: status.message().to_owned() };
        };
        if let Some(error) = source.downcast_ref::<ConversionError>() {
            return Self::BadAnswer { address, error: error.clone() };
        }
        Self::Unreachable { address, reason: root_cause(source) }
    }
}

/// The innermost error: tonic's outer ones say only "transport error".
pub(crate) fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

/// Why a server stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The embedded descriptors are not readable: a broken build.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport.
    #[error("grpc server: {0}")]
    Transport(#[from] tonic::transport::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_own_code_and_comes_back() {
        use ErrorClass::{Exhausted, Internal, Invalid, NotFound, NotYet, Unavailable};
        let all = [Invalid, NotYet, NotFound, Exhausted, Unavailable, Internal];
        for class in all {
            assert_eq!(class_of(code_of(class)), class);
        }
        assert_eq!(class_of(Code::OutOfRange), Invalid);
        assert_eq!(class_of(Code::Unimplemented), Internal);
    }

    #[test]
    fn long_texts_are_cut_for_the_wire() {
        let status = Status::from(ServiceError::new(ErrorClass::Invalid, "é".repeat(5_000)));
        assert_eq!(status.message().chars().count(), MAX_STATUS_CHARS + 1);
        assert_eq!(Status::from(ServiceError::new(ErrorClass::Invalid, "short")).message(), "short");
    }
}
