//! Why a node does not start, or did not stop cleanly.

use crate::config::ConfigError;
use blockhie_core::{LedgerError, StoreError};
use blockhie_transport::ServeError;

/// Why a node does not start, or did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The ledger or its store.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The address cannot be served.
    #[error("listen on {address}: {reason} (is another node running? choose another with {option})")]
    Listen {
        /// The address.
        address: String,
        /// The option that names it.
        option: &'static str,
        /// What the system said.
        reason: String,
    },
    /// A peer's name cannot be resolved.
    #[error("peer {peer}: {reason}")]
    Peer {
        /// As configured.
        peer: String,
        /// What the resolver said.
        reason: String,
    },
    /// A key is needed or is not a member's.
    #[error("mining: expected {expected}, got {got} (or set mine = false)")]
    Miner {
        /// What the genesis needs.
        expected: &'static str,
        /// What there is.
        got: String,
    },
    /// Threads or randomness.
    #[error("start: {0}")]
    System(String),
    /// gRPC ended.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A part did not end in time.
    #[error("stop: {part} did not end within {seconds} s")]
    Hung {
        /// Which.
        part: &'static str,
        /// How long it was waited for.
        seconds: u64,
    },
}

impl From<StoreError> for NodeError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}
