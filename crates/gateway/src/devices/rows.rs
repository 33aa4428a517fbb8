//! What is kept of devices in the index: keys in bytes, values as JSON.
//!
//! - `device/row/` ‖ device → [`DeviceRow`]
//! - `device/tx/` ‖ txhash → [`TxRow`]
//! - `device/open/` ‖ u64 created_ms ‖ txhash → nothing, until it is settled
//! - `device/segment/` ‖ device ‖ u64 last sequence number → [`SegmentRow`]; by the last one, as on the chain: segments
//!   of a device never meet, so one read finds the only one that can meet a range
//! - `device/key/` ‖ device ‖ u64 last → the segment's key under the institution's: a row of its own, so that erasing
//!   it takes nothing else along
//! - `device/time/` ‖ device ‖ u64 end_ms ‖ u64 last → u64 start_ms, where the key is here
//! - `device/blob/` ‖ BLAKE3 → device ‖ u64 last: whose the sealed bytes are

use super::DeviceError;
use blockhie_core::receipt::HexBytes;
use blockhie_core::{Hash32, PublicKey, TxHash};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceRow {
    /// Who enrolled it.
    pub(crate) owner: PublicKey,
    /// When it came here, ms since the epoch.
    pub(crate) created_ms: u64,
    /// Its DEVICE.
    pub(crate) device_tx: TxHash,
    /// Whether that is final.
    pub(crate) enrolled: bool,
    /// Its RETIRE, if its owner sent one.
    pub(crate) retire_tx: Option<TxHash>,
    /// Whether that is final.
    pub(crate) retired: bool,
    /// Segments here.
    pub(crate) segments: u64,
    /// Readings in them.
    pub(crate) readings: u64,
    /// Sealed bytes of them that are here, erased ones not counted.
    pub(crate) bytes: u64,
}

impl DeviceRow {
    /// One that has just come.
    pub(super) fn new(owner: PublicKey, device_tx: TxHash, created_ms: u64) -> Self {
        let (enrolled, retire_tx, retired) = (false, None, false);
        let (segments, readings, bytes) = (0, 0, 0);
        Self { owner, created_ms, device_tx, enrolled, retire_tx, retired, segments, readings, bytes }
    }
}

/// What a transaction is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum About {
    /// A DEVICE.
    Device,
    /// A RETIRE.
    Retire,
    /// A READINGS up to this sequence number.
    Segment(u64),
}

/// A transaction and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TxRow {
    /// Canonical bytes, to submit it again.
    pub(crate) transaction: HexBytes,
    pub(crate) created_ms: u64,
    pub(crate) device: PublicKey,
    pub(crate) about: About,
    /// Committed without effect, and that is final.
    pub(crate) void: bool,
    pub(crate) receipt: Option<String>,
}

/// A segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentRow {
    pub(crate) first_seq: u64,
    pub(crate) count: u32,
    /// Digest of the data, as on the chain.
    pub(crate) content: Hash32,
    pub(crate) txhash: TxHash,
    pub(crate) created_ms: u64,
    /// Address of the sealed bytes; `None` when they are in the transaction.
    pub(crate) blob: Option<Hash32>,
    /// Their length.
    pub(crate) sealed_len: u64,
    /// Time of the first and the last reading, ms since the epoch: known where the key is here.
    pub(crate) times: Option<(u64, u64)>,
    /// When key and blob were destroyed, ms since the epoch.
    pub(crate) erased_ms: Option<u64>,
    /// Whether an erasure has been carried through in the files, too.
    pub(crate) scrubbed: bool,
}

impl SegmentRow {
    /// Sequence number of the last reading. The rules of READINGS keep it below 2^64-1.
    pub(crate) fn last_seq(&self) -> u64 {
        self.first_seq.saturating_add(u64::from(self.count)).saturating_sub(1)
    }

    /// Whether its key is here.
    pub(crate) fn held(&self) -> bool {
        self.times.is_some()
    }

    /// Whether its sealed bytes are in the transaction.
    pub(crate) fn inline(&self) -> bool {
        self.blob.is_none()
    }
}

pub(super) const DEVICES: &[u8] = b"device/row/";
pub(super) const DEVICES_END: &[u8] = b"device/row0";
pub(super) const OPEN: &[u8] = b"device/open/";
pub(super) const OPEN_END: &[u8] = b"device/open0";

pub(super) fn device_key(device: &PublicKey) -> Vec<u8> {
    [DEVICES, device.as_bytes()].concat()
}

pub(super) fn tx_key(txhash: &TxHash) -> Vec<u8> {
    [b"device/tx/".as_slice(), &txhash.0].concat()
}

pub(super) fn open_key(created_ms: u64, txhash: &TxHash) -> Vec<u8> {
    [OPEN, &created_ms.to_be_bytes(), &txhash.0].concat()
}

pub(super) fn segment_key(device: &PublicKey, last_seq: u64) -> Vec<u8> {
    [b"device/segment/".as_slice(), device.as_bytes(), &last_seq.to_be_bytes()].concat()
}

/// After every segment of a device: no segment ends at 2^64-1.
pub(super) fn segment_end(device: &PublicKey) -> Vec<u8> {
    segment_key(device, u64::MAX)
}

pub(super) fn wrapped_key(device: &PublicKey, last_seq: u64) -> Vec<u8> {
    [b"device/key/".as_slice(), device.as_bytes(), &last_seq.to_be_bytes()].concat()
}

pub(super) fn time_key(device: &PublicKey, end_ms: u64, last_seq: u64) -> Vec<u8> {
    [b"device/time/".as_slice(), device.as_bytes(), &end_ms.to_be_bytes(), &last_seq.to_be_bytes()].concat()
}

pub(super) fn blob_key(blob: &Hash32) -> Vec<u8> {
    [b"device/blob/".as_slice(), &blob.0].concat()
}

/// The first key after this one.
pub(super) fn after(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// The hash that ends an index key.
pub(super) fn trailing_hash(key: &[u8]) -> Result<Hash32, DeviceError> {
    key.last_chunk().map(|hash| Hash32(*hash)).ok_or_else(|| corrupt("index key", "32 bytes at its end", key.len()))
}

/// The number that ends an index key or is its value.
pub(super) fn trailing_u64(bytes: &[u8]) -> Result<u64, DeviceError> {
    let number = bytes.last_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    number.ok_or_else(|| corrupt("index row", "8 bytes at its end", bytes.len()))
}

pub(super) fn encode<T: Serialize>(row: &T) -> Vec<u8> {
    serde_json::to_vec(row).expect("structs of strings, integers and options have a JSON form")
}

pub(super) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, DeviceError> {
    serde_json::from_slice(bytes).map_err(|error| corrupt(what, "a row of this release", error))
}

pub(super) fn corrupt(what: &'static str, expected: &'static str, got: impl ToString) -> DeviceError {
    DeviceError::Corrupt { what, expected, got: got.to_string() }
}
