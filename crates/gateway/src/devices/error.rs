//! What can go wrong with devices and their segments.

use crate::error::ApiError;
use blockhie_core::{ErrorClass, PublicKey, StoreError};
use blockhie_phd::SealError;

/// Why a device or a segment is not taken, or not given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceError {
    /// No such device, or none that whoever asks may know of.
    #[error("device {device}: not here")]
    NoDevice {
        /// Its key.
        device: PublicKey,
    },
    /// No such segment, or it was erased.
    #[error("segment {first_seq} of device {device}: not here")]
    NoSegment {
        /// The device.
        device: PublicKey,
        /// First sequence number.
        first_seq: u64,
    },
    /// Its key was not given to this gateway.
    #[error("segment {first_seq} of device {device}: its key is not here, only its sealed bytes")]
    NotHeld {
        /// The device.
        device: PublicKey,
        /// First sequence number.
        first_seq: u64,
    },
    /// Somebody else enrolled it.
    #[error("device {device}: expected the owner who enrolled it here, got another")]
    OtherOwner {
        /// Its key.
        device: PublicKey,
    },
    /// Its owner retired it.
    #[error("device {device}: it was retired")]
    Retired {
        /// Its key.
        device: PublicKey,
    },
    /// The range meets another segment.
    #[error("readings {first_seq} to {last_seq}: they meet the segment {with_first} to {with_last} of this device")]
    Overlap {
        /// First of the range.
        first_seq: u64,
        /// Last of the range.
        last_seq: u64,
        /// First of the segment that is there.
        with_first: u64,
        /// Its last.
        with_last: u64,
    },
    /// The same range, other data.
    #[error("readings {first_seq} to {last_seq}: expected the content that is here, got another")]
    OtherContent {
        /// First of the range.
        first_seq: u64,
        /// Last of the range.
        last_seq: u64,
    },
    /// It was erased here, and sending it again does not bring it back.
    #[error("segment {first_seq} of device {device}: it was erased here")]
    Erased {
        /// The device.
        device: PublicKey,
        /// First sequence number.
        first_seq: u64,
    },
    /// Sealed bytes that are another segment's.
    #[error("segment {first_seq}: its sealed bytes are those of another segment")]
    OtherBlob {
        /// First sequence number.
        first_seq: u64,
    },
    /// No room.
    #[error("{what}: expected at most {limit}")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many.
        limit: u64,
    },
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system: {0}")]
    Random(#[from] getrandom::Error),
    /// A sealed segment does not open with its kept key.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A row or blob is not what it should be.
    #[error("{what}: expected {expected}, got {got}")]
    Corrupt {
        /// Of what kind.
        what: &'static str,
        /// The rule.
        expected: &'static str,
        /// What stands there.
        got: String,
    },
    /// Index or blobs.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DeviceError> for ApiError {
    fn from(error: DeviceError) -> Self {
        use DeviceError as E;
        let text = error.to_string();
        match error {
            E::NoDevice { .. } | E::NoSegment { .. } | E::NotHeld { .. } => Self::not_found(text),
            E::OtherOwner { .. }
            | E::Retired { .. }
            | E::Overlap { .. }
            | E::OtherContent { .. }
            | E::Erased { .. }
            | E::OtherBlob { .. } => Self::conflict(text),
            E::Full { .. } => Self::new(ErrorClass::Exhausted, text),
            E::Random(_) => Self::unavailable(text),
            E::Seal(_) | E::Corrupt { .. } => Self::internal(&text),
            E::Store(error) => error.into(),
        }
    }
}
