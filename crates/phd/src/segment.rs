//! Transactions of owners and devices.

use crate::opening::SegmentOpening;
use crate::payload::{DEVICE, Device, READINGS, RETIRE, Readings, Retire, device_sign_bytes};
use crate::place::{Place, segment_digest};
use crate::samples::{Samples, SamplesError};
use crate::seal::{SegmentKey, derive_salt, seal};
use blockhie_core::limits::{BODY_PREFIX_BYTES, MAX_BODY_BYTES};
use blockhie_core::{ChainId, ErrorClass, Hash32, PublicKey, SecretKey, Transaction, Verified};
use prost::Message;
use std::fmt;
use zeroize::Zeroizing;

/// Why no segment was prepared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhdError {
    /// The samples.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// The sequence ends.
    #[error("segment {first_seq}: expected a range of sequence numbers up to 2^64-2, got {count} from {first_seq} on")]
    Sequence {
        /// First sequence number.
        first_seq: u64,
        /// Readings.
        count: usize,
    },
    /// Too long for a transaction.
    #[error(
        "segment {first_seq}: expected a payload of at most {limit} bytes inline, got {got} (fewer samples a segment, \
         or a blob)"
    )]
    InlineTooLong {
        /// First sequence number.
        first_seq: u64,
        /// Most bytes.
        limit: usize,
        /// Its length.
        got: usize,
    },
}

impl PhdError {
    /// What it means to whoever asked.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// Where the sealed bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    /// BLAKE3 and length on the chain, the bytes in a blob store: they can be erased.
    Blob,
    /// On the chain, for ever.
    Inline,
}

/// A segment ready to be stored and submitted. `Debug` shows neither key nor data.
#[derive(Clone)]
pub struct Segment {
    /// Where it stands.
    pub place: Place,
    /// Its key.
    pub key: SegmentKey,
    /// Digest of the data, in the transaction.
    pub content: Hash32,
    /// The sealed bytes, whichever way they travel.
    pub sealed: Vec<u8>,
    /// Its opening.
    pub opening: SegmentOpening,
    /// The encoded samples.
    pub data: Zeroizing<Vec<u8>>,
    /// The READINGS.
    pub transaction: Transaction<Verified>,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, content) = (&self.place, &self.content);
        f.debug_struct("Segment").field("place", place).field("content", content).finish_non_exhaustive()
    }
}

/// The DEVICE by which `owner` enrols `device`. `now_ms` is the time claimed, ms since the epoch.
#[must_use]
pub fn enrol(chain: &ChainId, owner: &SecretKey, device: &SecretKey, now_ms: u64) -> Transaction<Verified> {
    let signature = device.sign(&device_sign_bytes(chain, &owner.public(), &device.public()));
    let payload =
        Device { device_key: device.public().as_bytes().to_vec(), device_signature: signature.as_bytes().to_vec() };
    Transaction::sign(chain, owner, now_ms, DEVICE, None, &payload.encode_to_vec())
}

/// The RETIRE by which `owner` ends the enrolment of `device`.
#[must_use]
pub fn retire(chain: &ChainId, owner: &SecretKey, device: &PublicKey, now_ms: u64) -> Transaction<Verified> {
    let payload = Retire { device_key: device.as_bytes().to_vec() };
    Transaction::sign(chain, owner, now_ms, RETIRE, None, &payload.encode_to_vec())
}

/// Encodes and seals `samples` as the readings from `first_seq` on, and signs the READINGS. Everything but the claimed
/// time of the transaction depends on device, place and samples only: the same segment prepared again has the same
/// content and the same sealed bytes.
///
/// # Errors
/// [`PhdError`].
pub fn prepare_segment(
    chain: &ChainId,
    device: &SecretKey,
    first_seq: u64,
    samples: &Samples,
    carriage: Carriage,
    now_ms: u64,
) -> Result<Segment, PhdError> {
    let data = Zeroizing::new(samples.encode()?);
    let sequence = || PhdError::Sequence { first_seq, count: samples.len() };
    let count = u32::try_from(samples.len()).map_err(|_| sequence())?;
    let place = Place { chain: *chain, device: device.public(), first_seq, count };
    place.end_seq().ok_or_else(sequence)?;
    let salt = derive_salt(device, &place, &data);
    let content = segment_digest(&place, &salt, &data);
    let key = SegmentKey::derive(device, &place);
    let sealed = seal(&key, &place, &salt, &data);
    let mut payload =
        Readings { first_seq, count, content: content.0.to_vec(), sealed: vec![], blob: vec![], sealed_len: 0 };
    match carriage {
        Carriage::Inline => payload.sealed.clone_from(&sealed),
        Carriage::Blob => {
            payload.blob = blake3::hash(&sealed).as_bytes().to_vec();
            payload.sealed_len = u64::try_from(sealed.len()).expect("a vector is shorter than 2^63");
        }
    }
    let payload = payload.encode_to_vec();
    let limit = MAX_BODY_BYTES - BODY_PREFIX_BYTES;
    if payload.len() > limit {
        return Err(PhdError::InlineTooLong { first_seq, limit, got: payload.len() });
    }
    let transaction = Transaction::sign(chain, device, now_ms, READINGS, None, &payload);
    let length = u64::try_from(data.len()).expect("a vector is shorter than 2^63");
    let opening = SegmentOpening::new(&place, salt, length);
    Ok(Segment { place, key, content, sealed, opening, data, transaction })
}
