//! The gateway's own durable map: the vault's entries, and beside them a few of its own.
//!
//! - `vault/…`: the vault's
//! - `gateway/genesis`, `gateway/genesis/phd` → canonical bytes of the genesis of the EMR-Chain (the name it had before
//!   there was another) and of the PHD-Chain, from the first contact with the node
//! - `gateway/idempotency/` ‖ SHA-256 of the key → [`Replay`]
//! - `gateway/accepted/` ‖ txhash → what the node said last: [`ACCEPTED`] or [`VOID`]; absent until it took it

use blockhie_core::{ChainKind, Hash32, StoreError, TxHash, sha256};
use blockhie_emr::vault::{IndexChange, IndexEntries, VaultIndex};
use blockhie_store::KeyValue;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The node has the transaction.
pub(crate) const ACCEPTED: &[u8] = b"accepted";
/// It was committed and is void: nothing more comes of it.
pub(crate) const VOID: &[u8] = b"void";

/// What was answered under an idempotency key. No digest of the bytes is kept: whether they are the same is seen from
/// the commitment, and no longer once the record is erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replay {
    /// The transaction.
    pub(crate) txhash: TxHash,
    /// Its records, in the order of the files.
    pub(crate) records: Vec<Hash32>,
}

/// The map in `D/index`.
#[derive(Debug)]
pub(crate) struct Index(KeyValue);

impl VaultIndex for Index {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key)
    }

    fn put_all(&self, changes: Vec<IndexChange>) -> Result<(), StoreError> {
        self.0.put_all(changes)
    }

    fn range(&self, start: &[u8], end: &[u8], limit: usize) -> Result<IndexEntries, StoreError> {
        self.0.range(start, Some(end), limit)
    }

    fn scrub(&self, keys: &[&[u8]]) -> Result<(), StoreError> {
        self.0.scrub(keys)
    }
}

impl Index {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        KeyValue::open(path).map(Self)
    }

    pub(crate) fn genesis(&self, kind: ChainKind) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(genesis_key(kind))
    }

    pub(crate) fn set_genesis(&self, kind: ChainKind, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.put_all(vec![(genesis_key(kind).to_vec(), Some(bytes.to_vec()))])
    }

    pub(crate) fn replay(&self, key: &Hash32) -> Result<Option<Replay>, StoreError> {
        let Some(bytes) = self.0.get(&replay_key(key))? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| StoreError::Corrupt {
            what: "idempotency row".into(),
            expected: "a row of this release".into(),
            got: error.to_string(),
        })
    }

    /// What the node said of a transaction.
    pub(crate) fn accepted(&self, txhash: &TxHash) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(&accepted_key(txhash))
    }

    pub(crate) fn set_accepted(&self, txhash: &TxHash, word: Option<&[u8]>) -> Result<(), StoreError> {
        self.0.put_all(vec![(accepted_key(txhash), word.map(<[u8]>::to_vec))])
    }
}

/// The change that keeps what is answered under a key.
pub(crate) fn keep_replay(key: &Hash32, replay: &Replay) -> IndexChange {
    let row = serde_json::to_vec(replay).expect("hashes have a JSON form");
    (replay_key(key), Some(row))
}

/// The digest under which an idempotency key is kept: of fixed length, and not the text that a client chose.
pub(crate) fn idempotency_digest(key: &str) -> Hash32 {
    sha256(&[b"blockhie/idempotency/v1\0", key.as_bytes()])
}

fn genesis_key(kind: ChainKind) -> &'static [u8] {
    match kind {
        ChainKind::Emr => b"gateway/genesis",
        ChainKind::Phd => b"gateway/genesis/phd",
    }
}

fn replay_key(key: &Hash32) -> Vec<u8> {
    [b"gateway/idempotency/".as_slice(), &key.0].concat()
}

fn accepted_key(txhash: &TxHash) -> Vec<u8> {
    [b"gateway/accepted/".as_slice(), &txhash.0].concat()
}
