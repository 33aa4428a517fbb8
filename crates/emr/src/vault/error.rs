//! What can go wrong in the vault.

use blockhie_core::crypto::KeyError;
use blockhie_core::{ErrorClass, FormError, Hash32, StoreError, TxHash};

/// Why the vault did not do it. No message holds plaintext, keys or salts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// It is not here, or was erased.
    #[error("{what} {id}: not in this vault")]
    NotFound {
        /// `record` or `transaction`.
        what: &'static str,
        /// Its commitment or hash.
        id: Hash32,
    },
    /// The bytes are not those of the opening.
    #[error("record: expected bytes whose commitment is {expected}, got {got}")]
    Mismatch {
        /// Prepared.
        expected: Hash32,
        /// Recomputed.
        got: Hash32,
    },
    /// It was erased here, and its certificate would no longer be true.
    #[error("record {record}: was erased from this vault; prepare it anew, under a new salt")]
    Erased {
        /// The record.
        record: Hash32,
    },
    /// A key in an opening.
    #[error("opening: {0}")]
    Key(#[from] KeyError),
    /// The entry is here and its blob is not.
    #[error("record {record}: expected blob {blob}, got none (restore the blob store from its backup)")]
    BlobMissing {
        /// The record.
        record: Hash32,
        /// The blob's address.
        blob: Hash32,
    },
    /// Something stored is damaged.
    #[error("vault: {what}: expected {expected}, got {got} (restore it from its backup)")]
    Corrupt {
        /// Which row or blob.
        what: String,
        /// What must stand there.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// It does not decrypt.
    #[error("record {record}: {what}: expected one sealed by this institution's key, got one that does not open")]
    WrongKey {
        /// `entry` or `blob`.
        what: &'static str,
        /// The record.
        record: Hash32,
    },
    /// A text that is no receipt or certificate.
    #[error(transparent)]
    Receipt(#[from] FormError),
    /// The receipt of another transaction.
    #[error("receipt: expected that of transaction {expected}, got that of another")]
    OtherReceipt {
        /// The transaction.
        expected: TxHash,
    },
    /// The operating system gave no key.
    #[error("no randomness from the operating system: {0}")]
    Random(#[from] getrandom::Error),
    /// Index or blob store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl VaultError {
    /// What it means to whoever asked.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } => ErrorClass::NotFound,
            Self::Mismatch { .. }
            | Self::Erased { .. }
            | Self::Key(_)
            | Self::Receipt(_)
            | Self::OtherReceipt { .. } => ErrorClass::Invalid,
            Self::BlobMissing { .. } | Self::Corrupt { .. } | Self::WrongKey { .. } => ErrorClass::Internal,
            Self::Random(_) => ErrorClass::Unavailable,
            Self::Store(error) => error.class(),
        }
    }
}
