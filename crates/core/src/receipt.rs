//! Receipts: what is handed out so that anybody can check, offline, who signed a transaction and which members built
//! on it by when. See the protocol page, "What a receipt proves", and `docs/adr/0005-what-a-receipt-proves.md`.

mod verify;

pub use verify::{Step, Trust, TrustError, Verdict, Verification, verify_receipt};

use crate::block::PREIMAGE_LEN;
use crate::bytes::{Hash32, Signature};
use crate::canonical::{below_2_53, empty_if_none, parse_canonical, to_canonical};
use crate::error::FormError;
use crate::limits::{MAX_RECEIPT_BYTES, MAX_RUN_HEADERS};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// The format's name and version.
pub const RECEIPT_FORMAT: &str = "blockhie-receipt/v1";

/// Bytes of any length, in lowercase hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HexBytes(pub Vec<u8>);

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

/// A 240-byte preimage, in lowercase hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderBytes(pub [u8; PREIMAGE_LEN]);

impl Serialize for HeaderBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for HeaderBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        crate::bytes::from_hex("header", &text).map(Self).map_err(D::Error::custom)
    }
}

/// A header with its miner's signature; "" on an open chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHeader {
    /// The preimage.
    pub header: HeaderBytes,
    /// The miner's signature over the hash.
    #[serde(with = "empty_if_none")]
    pub signature: Option<Signature>,
}

/// How the transaction came through a sibling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiblingProof {
    /// The sibling's preimage.
    pub header: HeaderBytes,
    /// Its place among the block's siblings (a hint).
    #[serde(with = "below_2_53")]
    pub index: u64,
    /// How many there are (a hint).
    #[serde(with = "below_2_53")]
    pub size: u64,
    /// Path in the block's siblings_root.
    pub path: Vec<Hash32>,
}

/// A receipt. The order of the fields is the order of the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`RECEIPT_FORMAT`].
    pub format: String,
    /// time ‖ type ‖ from ‖ (00|01‖to) ‖ u32 len(body) ‖ body.
    pub transaction: HexBytes,
    /// Place in the list that `path` belongs to.
    #[serde(with = "below_2_53")]
    pub index: u64,
    /// Path in tx_root of the sibling, else of the block.
    pub path: Vec<Hash32>,
    /// The sibling it came through.
    pub sibling: Option<SiblingProof>,
    /// The committing block.
    pub block: SignedHeader,
    /// Empty: the run starts at `block`. Else path of `block` in the history root of the first header of `run`.
    pub history: Vec<Hash32>,
    /// Headers, each the child of the one before.
    pub run: Vec<SignedHeader>,
}

impl Receipt {
    /// Reads the canonical text.
    ///
    /// # Errors
    /// [`FormError`] (exit code 3).
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        let receipt: Self = parse_canonical(bytes, MAX_RECEIPT_BYTES, "receipt")?;
        let shape = |reason| Err(FormError::Shape { what: "receipt", reason });
        if receipt.format != RECEIPT_FORMAT {
            return shape(format!("format: expected {RECEIPT_FORMAT}, got {:?}", receipt.format));
        }
        if receipt.run.len() > MAX_RUN_HEADERS {
            return shape(format!("run: expected at most {MAX_RUN_HEADERS} headers, got {}", receipt.run.len()));
        }
        Ok(receipt)
    }

    /// The canonical text.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_canonical(self)
    }
}
