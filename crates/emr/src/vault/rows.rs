//! What the vault writes into its index: keys in bytes, values as JSON.
//!
//! - `vault/entry/` ‖ commitment → [`EntryRow`]
//! - `vault/time/` ‖ u64 2^64-1-created_ms ‖ commitment → nothing: newest first
//! - `vault/tx/` ‖ txhash → [`TxRow`], shared by the records of a batch
//! - `vault/open/` ‖ u64 created_ms ‖ txhash → nothing, until the receipt is there
//! - `vault/erased/` ‖ commitment → [`ErasedRow`]

use crate::commitment::{MediaType, Salt};
use crate::opening::{BatchPath, Certificate, OPENING_FORMAT, Opening};
use crate::vault::VaultError;
use blockhie_core::receipt::HexBytes;
use blockhie_core::{ChainId, Hash32, TxHash};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Everything of an [`Opening`] but the salt, which only the wrapped bytes hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SaltlessOpening {
    pub(super) chain_id: ChainId,
    pub(super) issuer: Hash32,
    pub(super) addressee: Option<Hash32>,
    pub(super) media_type: MediaType,
    pub(super) length: u64,
    batch: Option<BatchPath>,
    certificate: Option<Certificate>,
}

impl SaltlessOpening {
    pub(super) fn of(opening: &Opening) -> Self {
        let Opening { chain_id, issuer, addressee, media_type, length, batch, certificate, format: _, salt: _ } =
            opening.clone();
        Self { chain_id, issuer, addressee, media_type, length, batch, certificate }
    }

    pub(super) fn with(self, salt: Salt) -> Opening {
        let Self { chain_id, issuer, addressee, media_type, length, batch, certificate } = self;
        let format = OPENING_FORMAT.to_owned();
        Opening { format, chain_id, issuer, addressee, salt, media_type, length, batch, certificate }
    }
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EntryRow {
    pub(super) opening: SaltlessOpening,
    pub(super) txhash: TxHash,
    pub(super) created_ms: u64,
    /// Data key ‖ salt under the wrapping key.
    pub(super) wrapped: HexBytes,
    /// BLAKE3 of the sealed record: its address in the blob store.
    pub(super) blob: Hash32,
}

/// A transaction and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TxRow {
    /// Canonical bytes, to submit it again.
    pub(super) transaction: HexBytes,
    pub(super) created_ms: u64,
    /// Entries that name it; with the last one it goes.
    pub(super) records: u64,
    pub(super) receipt: Option<String>,
}

/// A record that was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ErasedRow {
    /// The blob, until it is known to be deleted.
    pub(super) blob: Option<Hash32>,
    /// Text of the certificate.
    pub(super) certificate: String,
}

pub(super) fn entry_key(record: &Hash32) -> Vec<u8> {
    [b"vault/entry/".as_slice(), &record.0].concat()
}

pub(super) const TIME_PREFIX: &[u8] = b"vault/time/";
pub(super) const TIME_END: &[u8] = b"vault/time0";

pub(super) fn time_key(created_ms: u64, record: &Hash32) -> Vec<u8> {
    [TIME_PREFIX, &(u64::MAX - created_ms).to_be_bytes(), &record.0].concat()
}

pub(super) fn tx_key(txhash: &TxHash) -> Vec<u8> {
    [b"vault/tx/".as_slice(), &txhash.0].concat()
}

pub(super) const OPEN_PREFIX: &[u8] = b"vault/open/";
pub(super) const OPEN_END: &[u8] = b"vault/open0";

pub(super) fn open_key(created_ms: u64, txhash: &TxHash) -> Vec<u8> {
    [OPEN_PREFIX, &created_ms.to_be_bytes(), &txhash.0].concat()
}

pub(super) fn erased_key(record: &Hash32) -> Vec<u8> {
    [b"vault/erased/".as_slice(), &record.0].concat()
}

/// The first key after this one.
pub(super) fn after(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// The hash that ends an index key.
pub(super) fn trailing_hash(key: &[u8]) -> Result<Hash32, VaultError> {
    key.last_chunk().map(|hash| Hash32(*hash)).ok_or_else(|| VaultError::Corrupt {
        what: "index key".into(),
        expected: "32 bytes at its end".into(),
        got: format!("{} bytes", key.len()),
    })
}

pub(super) fn encode<T: Serialize>(row: &T) -> Vec<u8> {
    serde_json::to_vec(row).expect("structs of strings, integers and lists have a JSON form")
}

pub(super) fn decode<T: DeserializeOwned>(what: &str, id: &Hash32, bytes: &[u8]) -> Result<T, VaultError> {
    serde_json::from_slice(bytes).map_err(|error| VaultError::Corrupt {
        what: format!("{what} {id}"),
        expected: "a row of this release".into(),
        got: error.to_string(),
    })
}
