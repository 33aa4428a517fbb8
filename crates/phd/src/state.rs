//! The state of the PHD-Chain, and questions to it by device and sequence. Keys and values in bytes:
//! - `dev/` ‖ device(32) → owner(32) ‖ 1 enrolled or 2 retired. A device that was retired stays for ever.
//! - `seg/` ‖ device(32) ‖ `/` ‖ last sequence number u64 → first sequence number u64. By the last one, because the
//!   segments of a device never meet: the first entry at or after a range's first number is then the only one that can
//!   meet it, so one read decides, and so does a query by sequence.

use blockhie_core::{PublicKey, StateRead, StoreError};

pub(crate) const ENROLLED: u8 = 1;
pub(crate) const RETIRED: u8 = 2;

/// What the chain knows of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRow {
    /// Who enrolled it.
    pub owner: PublicKey,
    /// Whether its owner ended that.
    pub retired: bool,
}

/// A segment that took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentRow {
    /// Sequence number of the first reading.
    pub first_seq: u64,
    /// Sequence number of the last reading.
    pub last_seq: u64,
}

pub(crate) fn device_row(device: &[u8]) -> Vec<u8> {
    [b"dev/", device].concat()
}

pub(crate) fn segment_row(device: &[u8; 32], last_seq: u64) -> Vec<u8> {
    [b"seg/".as_slice(), device, b"/", &last_seq.to_be_bytes()].concat()
}

/// First key after all segments of a device ('0' follows '/').
pub(crate) fn segment_end(device: &[u8; 32]) -> Vec<u8> {
    [b"seg/".as_slice(), device, b"0"].concat()
}

fn corrupt(what: &str, expected: &str, got: impl ToString) -> StoreError {
    let what = format!("{what} of the phd-chain");
    StoreError::Corrupt { what, expected: expected.into(), got: got.to_string() }
}

/// The device, if it was ever enrolled.
///
/// # Errors
/// The store's.
pub fn device_of(state: &dyn StateRead, device: &PublicKey) -> Result<Option<DeviceRow>, StoreError> {
    let Some(row) = state.get(&device_row(device.as_bytes()))? else { return Ok(None) };
    let (status, owner) = row.split_last().ok_or_else(|| corrupt("device row", "33 bytes", "none"))?;
    let owner = PublicKey::from_slice(owner).map_err(|error| corrupt("device row", "an owner's key", error))?;
    Ok(Some(DeviceRow { owner, retired: *status == RETIRED }))
}

/// At most `limit` segments of the device that hold a reading at or after `from_seq`, ascending.
///
/// # Errors
/// The store's.
pub fn segments_of(
    state: &dyn StateRead,
    device: &PublicKey,
    from_seq: u64,
    limit: usize,
) -> Result<Vec<SegmentRow>, StoreError> {
    let (start, end) = (segment_row(device.as_bytes(), from_seq), segment_end(device.as_bytes()));
    let number = |bytes: &[u8]| bytes.last_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    state
        .range(&start, Some(&end), limit)?
        .into_iter()
        .map(|(key, value)| {
            let row = number(&value).zip(number(&key)).map(|(first_seq, last_seq)| SegmentRow { first_seq, last_seq });
            row.ok_or_else(|| corrupt("segment row", "two numbers of 8 bytes", "less"))
        })
        .collect()
}
