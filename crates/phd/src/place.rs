//! Where a segment stands, and the digest that names its contents (protocol page, "PHD-Chain").

use blockhie_core::{ChainId, Hash32, PublicKey, Salt, sha256};

/// Length of [`Place::to_bytes`].
pub const PLACE_BYTES: usize = 76;

/// What a seal is bound to: a range of one device's readings on one chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The PHD-Chain.
    pub chain: ChainId,
    /// The device.
    pub device: PublicKey,
    /// Sequence number of the first reading.
    pub first_seq: u64,
    /// Readings, at least 1.
    pub count: u32,
}

impl Place {
    /// `chain_id ‖ device_key ‖ u64 first_seq ‖ u32 count`: the associated data of the seal.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; PLACE_BYTES] {
        let mut bytes = [0; PLACE_BYTES];
        bytes[..32].copy_from_slice(self.chain.as_bytes());
        bytes[32..64].copy_from_slice(self.device.as_bytes());
        bytes[64..72].copy_from_slice(&self.first_seq.to_be_bytes());
        bytes[72..].copy_from_slice(&self.count.to_be_bytes());
        bytes
    }

    /// Sequence number after the last reading; `None` past 2^64-1, which no READINGS may reach.
    #[must_use]
    pub fn end_seq(&self) -> Option<u64> {
        self.first_seq.checked_add(u64::from(self.count))
    }
}

/// `H("blockhie/segment/v1\0" ‖ place ‖ salt ‖ u64 len ‖ data)`: `content` of a READINGS. It is in the payload because
/// the cipher does not commit: one ciphertext can be made to open under two keys.
#[must_use]
pub fn segment_digest(place: &Place, salt: &Salt, data: &[u8]) -> Hash32 {
    let len = u64::try_from(data.len()).expect("a slice is shorter than 2^63");
    sha256(&[b"blockhie/segment/v1\0", &place.to_bytes(), salt.as_bytes(), &len.to_be_bytes(), data])
}
