//! What comes in, judged by itself: signed transactions, and the sealed bytes and keys that go with them.

use crate::error::ApiError;
use crate::limits::{MAX_AHEAD_MS, MAX_SEALED_BYTES};
use blockhie_core::{ChainId, ChainKind, Hash32, PublicKey, Transaction, Unverified, Verified};
use blockhie_phd::payload::Readings;
use blockhie_phd::{Payload, Place, Samples, SegmentKey, unseal};
use serde::Deserialize;

/// `{"transaction":HEX}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceBody {
    transaction: String,
}

/// `{"segments":[…]}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadingsBody {
    pub(crate) segments: Vec<SegmentBody>,
}

/// One segment of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentBody {
    transaction: String,
    sealed: Option<String>,
    key: Option<SegmentKey>,
}

/// What an owner asks for.
pub(crate) enum DeviceOrder {
    /// To enrol this device.
    Enrol(PublicKey),
    /// To end that.
    Retire(PublicKey),
}

/// A transaction whose signature and rules hold.
pub(crate) struct Signed<T> {
    pub(crate) transaction: Transaction<Verified>,
    pub(crate) says: T,
}

/// A segment, checked by itself.
pub(crate) struct NewSegment {
    pub(crate) transaction: Transaction<Verified>,
    pub(crate) place: Place,
    pub(crate) content: Hash32,
    /// With blob carriage: the address and the bytes.
    pub(crate) blob: Option<(Hash32, Vec<u8>)>,
    pub(crate) sealed_len: u64,
    /// Where the key was given: it, and the time of the first and the last reading in ms.
    pub(crate) key: Option<(SegmentKey, (u64, u64))>,
}

impl NewSegment {
    pub(crate) fn last_seq(&self) -> u64 {
        self.place.first_seq.saturating_add(u64::from(self.place.count)).saturating_sub(1)
    }
}

/// Reads the bytes of a receipt's transaction and checks form, signature, chain and the rules of its type.
fn read_transaction(what: &str, text: &str, chain: &ChainId, now_ms: u64) -> Result<Signed<Payload>, ApiError> {
    let bytes = hex::decode(text).ok().filter(|_| !text.bytes().any(|byte| byte.is_ascii_uppercase()));
    let bytes =
        bytes.ok_or_else(|| ApiError::invalid(format!("{what}: transaction: expected lowercase hex digits")))?;
    let refused = |error: &dyn std::fmt::Display| ApiError::invalid(format!("{what}: {error}"));
    let transaction = Transaction::<Unverified>::from_bytes(&bytes, chain).map_err(|error| refused(&error))?;
    let transaction = transaction.verify(chain, ChainKind::Phd).map_err(|error| refused(&error))?;
    let says = Payload::read(&transaction, chain).map_err(|error| refused(&error))?;
    let limit = now_ms.saturating_add(MAX_AHEAD_MS);
    if transaction.time_ms() > limit {
        let got = transaction.time_ms();
        return Err(ApiError::invalid(format!("{what}: time: expected at most {limit} ms, got {got}")));
    }
    Ok(Signed { transaction, says })
}

impl DeviceBody {
    /// Checks it.
    pub(crate) fn read(&self, chain: &ChainId, now_ms: u64) -> Result<Signed<DeviceOrder>, ApiError> {
        let Signed { transaction, says } = read_transaction("device", &self.transaction, chain, now_ms)?;
        let key = |bytes: &[u8]| PublicKey::from_slice(bytes).map_err(|error| ApiError::invalid(error.to_string()));
        let says = match says {
            Payload::Device(device) => DeviceOrder::Enrol(key(&device.device_key)?),
            Payload::Retire(retire) => DeviceOrder::Retire(key(&retire.device_key)?),
            Payload::Readings(_) => {
                return Err(ApiError::invalid("device: expected a transaction of type 16 or 18, got 17"));
            }
        };
        Ok(Signed { transaction, says })
    }
}

impl SegmentBody {
    /// Checks it; `index` is its 0-based place in the request.
    pub(crate) fn read(
        self,
        index: usize,
        chain: &ChainId,
        device: &PublicKey,
        now_ms: u64,
    ) -> Result<NewSegment, ApiError> {
        let what = format!("segments[{index}]");
        let invalid = |text: String| ApiError::invalid(format!("{what}: {text}"));
        let Signed { transaction, says } = read_transaction(&what, &self.transaction, chain, now_ms)?;
        let Payload::Readings(readings) = says else {
            return Err(invalid(format!("expected a transaction of type 17, got {}", transaction.tx_type())));
        };
        if transaction.from() != device {
            return Err(invalid(format!("expected a transaction of device {device}, got one of another sender")));
        }
        let place = Place { chain: *chain, device: *device, first_seq: readings.first_seq, count: readings.count };
        let content = Hash32::from_slice(&readings.content).map_err(|error| invalid(error.to_string()))?;
        let given = self.sealed.map(hex::decode).transpose();
        let given = given.map_err(|_| invalid("sealed: expected hex digits".into()))?;
        let blob = check_carriage(&readings, given).map_err(invalid)?;
        let sealed = blob.as_ref().map_or(readings.sealed.as_slice(), |(_, bytes)| bytes);
        let sealed_len = u64::try_from(sealed.len()).unwrap_or(u64::MAX);
        let times = match &self.key {
            None => None,
            Some(key) => Some(open(key, &place, sealed, &content).map_err(invalid)?),
        };
        Ok(NewSegment { transaction, place, content, blob, sealed_len, key: self.key.zip(times) })
    }
}

/// The sealed bytes are in the transaction, or beside it and those that it names.
fn check_carriage(readings: &Readings, given: Option<Vec<u8>>) -> Result<Option<(Hash32, Vec<u8>)>, String> {
    match (readings.blob.is_empty(), given) {
        (true, None) => Ok(None),
        (true, Some(_)) => Err("sealed: expected none, since they are in the transaction".into()),
        (false, None) => Err("sealed: expected the bytes that the transaction names".into()),
        (false, Some(bytes)) if bytes.len() > MAX_SEALED_BYTES => {
            Err(format!("sealed: expected at most {MAX_SEALED_BYTES} bytes, got {}", bytes.len()))
        }
        (false, Some(bytes)) => {
            if u64::try_from(bytes.len()) != Ok(readings.sealed_len) {
                return Err(format!("sealed: expected {} bytes, got {}", readings.sealed_len, bytes.len()));
            }
            let address = Hash32(*blake3::hash(&bytes).as_bytes());
            if address.0 != *readings.blob {
                return Err(format!("sealed: expected BLAKE3 {}, got {address}", hex::encode(&readings.blob)));
            }
            Ok(Some((address, bytes)))
        }
    }
}

/// That the key opens the bytes to what the transaction commits, and that these are readings; their first and last time.
fn open(key: &SegmentKey, place: &Place, sealed: &[u8], content: &Hash32) -> Result<(u64, u64), String> {
    let (_, data) = unseal(key, place, sealed, content).map_err(|error| format!("key: {error}"))?;
    let samples = Samples::decode(&data).map_err(|error| error.to_string())?;
    if u32::try_from(samples.len()) != Ok(place.count) {
        return Err(format!("count: expected {} samples, got {}", place.count, samples.len()));
    }
    Ok((samples.time_us(0) / 1_000, samples.end_us() / 1_000))
}
