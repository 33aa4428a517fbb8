//! The devices of the gateway's HTTP interface, spoken.

use crate::failure::Failure;
use crate::http::{Access, Client, GatewayError, MAX_STATUS_BYTES};
use crate::status::{State, Status};
use blockhie_core::limits::MAX_RECEIPT_BYTES;
use blockhie_core::{ChainId, PublicKey, Transaction, TxHash, Verified};
use blockhie_phd::SeqRange;
use serde::Deserialize;
use serde_json::json;

/// Longest answer about a device read, bytes: about 200 a segment.
const MAX_VIEW_BYTES: u64 = 64 << 20;
/// Longest sealed segment or its data read, bytes.
const MAX_SEGMENT_BYTES: u64 = 64 << 20;
/// Longest file of readings read, bytes: it is held in memory.
const MAX_READINGS_BYTES: u64 = 1 << 30;

/// A gateway, asked about devices.
pub(super) struct Api {
    client: Client,
}

/// What an owner's transaction was answered with.
#[derive(Debug, Deserialize)]
pub(super) struct Taken {
    pub(super) txhash: TxHash,
}

/// A segment as taken in.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct TakenSegment {
    pub(super) first_seq: u64,
    pub(super) count: u32,
    pub(super) txhash: TxHash,
    pub(super) fresh: bool,
}

#[derive(Deserialize)]
struct TakenSegments {
    segments: Vec<TakenSegment>,
}

/// A device as the gateway knows it.
#[derive(Debug, Deserialize)]
pub(super) struct DeviceView {
    pub(super) owner: PublicKey,
    /// `pending`, `enrolled` or `retired`.
    pub(super) state: String,
    #[serde(default)]
    pub(super) segments: Vec<SegmentView>,
    #[serde(default)]
    pub(super) gaps: Vec<SeqRange>,
    /// Where the next page of segments begins.
    next_seq: Option<u64>,
}

/// Which transaction of a device.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    /// That enrolled it.
    Device,
    /// That retired it.
    Retire,
}

/// A segment as the gateway knows it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct SegmentView {
    pub(super) first_seq: u64,
    pub(super) count: u32,
    pub(super) state: State,
    /// Whether its key is there.
    pub(super) held: bool,
    /// Time of the first and the last reading, where the key is there.
    pub(super) start_ms: Option<u64>,
    pub(super) end_ms: Option<u64>,
}

#[derive(Deserialize)]
struct TipView {
    chain_id: ChainId,
}

impl Api {
    pub(super) fn new(base: &str) -> Result<Self, Failure> {
        Ok(Self { client: Client::new(base)? })
    }

    /// The PHD-Chain behind this gateway.
    pub(super) fn chain(&self) -> Result<ChainId, GatewayError> {
        let tip: TipView = self.client.json("/api/v1/chains/phd/tip", Access::Public, MAX_STATUS_BYTES)?;
        Ok(tip.chain_id)
    }

    /// Hands in an owner's transaction.
    pub(super) fn hand_in(&self, tx: &Transaction<Verified>) -> Result<Taken, GatewayError> {
        let body = json!({ "transaction": hex::encode(tx.to_bytes()) }).to_string();
        self.client.post_json("/api/v1/devices", Access::Public, body.as_bytes(), MAX_STATUS_BYTES)
    }

    /// Where a device's transaction stands: the one that enrolled it, or the one that retired it.
    pub(super) fn status(&self, device: &PublicKey, of: Of) -> Result<Status, GatewayError> {
        let query = match of {
            Of::Device => "",
            Of::Retire => "?of=retire",
        };
        self.client.json(&format!("/api/v1/devices/{device}/status{query}"), Access::Public, MAX_STATUS_BYTES)
    }

    /// What is known of a device, with all its segments.
    pub(super) fn device(&self, device: &PublicKey, access: Access<'_>) -> Result<DeviceView, GatewayError> {
        let mut view: DeviceView = self.client.json(&format!("/api/v1/devices/{device}"), access, MAX_VIEW_BYTES)?;
        let mut seen = 0;
        while let Some(from_seq) = view.next_seq.filter(|from_seq| *from_seq > seen) {
            // Ascending, so a gateway that never ends does not keep us for ever.
            seen = from_seq;
            let path = format!("/api/v1/devices/{device}?from_seq={from_seq}");
            let page: DeviceView = self.client.json(&path, access, MAX_VIEW_BYTES)?;
            view.segments.extend(page.segments);
            view.next_seq = page.next_seq;
        }
        Ok(view)
    }

    /// Hands in segments: the JSON body of the interface.
    pub(super) fn push(&self, device: &PublicKey, body: &[u8]) -> Result<Vec<TakenSegment>, GatewayError> {
        let path = format!("/api/v1/devices/{device}/readings");
        let taken: TakenSegments = self.client.post_json(&path, Access::Public, body, MAX_VIEW_BYTES)?;
        Ok(taken.segments)
    }

    /// Readings as a file, by time.
    pub(super) fn readings(
        &self,
        device: &PublicKey,
        query: &str,
        access: Access<'_>,
    ) -> Result<Vec<u8>, GatewayError> {
        self.client.get(&format!("/api/v1/devices/{device}/readings?{query}"), access, MAX_READINGS_BYTES)
    }

    /// Where a segment stands.
    pub(super) fn segment_status(&self, device: &PublicKey, first_seq: u64) -> Result<Status, GatewayError> {
        self.client.json(&segment_path(device, first_seq, "status"), Access::Public, MAX_STATUS_BYTES)
    }

    /// The text of a segment's receipt.
    pub(super) fn receipt(
        &self,
        device: &PublicKey,
        first_seq: u64,
        access: Access<'_>,
    ) -> Result<String, GatewayError> {
        self.client.text(&segment_path(device, first_seq, "receipt"), access, MAX_RECEIPT_BYTES as u64)
    }

    /// The text of a segment's opening, where the key is there.
    pub(super) fn opening(
        &self,
        device: &PublicKey,
        first_seq: u64,
        access: Access<'_>,
    ) -> Result<Vec<u8>, GatewayError> {
        self.client.get(&segment_path(device, first_seq, "opening"), access, MAX_RECEIPT_BYTES as u64)
    }

    /// A segment's `data`, where the key is there, or its `sealed` bytes.
    pub(super) fn bytes(
        &self,
        device: &PublicKey,
        first_seq: u64,
        what: &str,
        access: Access<'_>,
    ) -> Result<Vec<u8>, GatewayError> {
        self.client.get(&segment_path(device, first_seq, what), access, MAX_SEGMENT_BYTES)
    }

    /// An answer that breaks the interface.
    pub(super) fn bad_answer(&self, reason: String) -> Failure {
        self.client.bad_answer(reason).failure()
    }
}

fn segment_path(device: &PublicKey, first_seq: u64, what: &str) -> String {
    format!("/api/v1/devices/{device}/segments/{first_seq}/{what}")
}
