//! Why a chain does not answer.

use blockhie_core::{ChainId, ErrorClass, StoreError};
use blockhie_transport::ClientError;

/// Why the chain does not answer. The texts name no address: they are shown to anybody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChainError {
    /// No connection.
    #[error("node: no connection: {reason}")]
    Away {
        /// What happened last.
        reason: String,
    },
    /// The node's own error.
    #[error("node: {message}")]
    Node {
        /// What it means.
        class: ErrorClass,
        /// What it said.
        message: String,
    },
    /// Another chain than the one this gateway's records are on.
    #[error("node: chain id: expected {expected}, got {got} (this data folder belongs to another chain)")]
    OtherChain {
        /// The gateway's.
        expected: ChainId,
        /// The node's.
        got: ChainId,
    },
    /// Not a genesis of this kind of chain.
    #[error("node: {reason}")]
    Genesis {
        /// What is wrong.
        reason: String,
    },
    /// The gateway's own store.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl ChainError {
    /// What it means to whoever asked.
    #[must_use]
    pub(crate) fn class(&self) -> ErrorClass {
        match self {
            Self::Node { class, .. } => *class,
            Self::Away { .. } | Self::OtherChain { .. } | Self::Genesis { .. } => ErrorClass::Unavailable,
            Self::Store(error) => error.class(),
        }
    }
}

impl From<ClientError> for ChainError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Status { class, message, address: _ } => Self::Node { class, message },
            ClientError::Unreachable { reason, address: _ } => Self::Away { reason },
            ClientError::BadAnswer { error, address: _ } => Self::Node {
                class: ErrorClass::Unavailable,
                message: format!("its answer breaks the contract: {error}"),
            },
            ClientError::Address { reason, .. } => Self::Away { reason: format!("its address: {reason}") },
        }
    }
}

impl From<ChainError> for crate::error::ApiError {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Store(error) => error.into(),
            error => Self::new(error.class(), error.to_string()),
        }
    }
}
