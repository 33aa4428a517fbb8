//! Erasing a segment.

use super::rows::{self, encode};
use super::{Devices, Result};
use crate::clock::iso;
use blockhie_core::PublicKey;
use blockhie_emr::vault::VaultIndex;
use serde::Serialize;

/// What was destroyed, and what is out of reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Erased {
    pub(crate) device: PublicKey,
    pub(crate) first_seq: u64,
    pub(crate) count: u32,
    pub(crate) erased_ms: u64,
    pub(crate) erased: String,
    pub(crate) destroyed: Vec<&'static str>,
    pub(crate) not_reached: Vec<&'static str>,
}

impl Devices {
    /// Destroys key and sealed bytes of a segment. The key goes first, so that the rest is unreadable from then on; when
    /// a store fails, erasing again finishes it. Erasing twice answers the same.
    pub(crate) fn erase(&self, device: &PublicKey, first_seq: u64, now_ms: u64) -> Result<Erased> {
        let _writing = self.lock();
        let mut row = self.segment(device, first_seq)?;
        let (place, last_seq) = (rows::segment_key(device, row.last_seq()), row.last_seq());
        let key_row = rows::wrapped_key(device, last_seq);
        let erased_ms = row.erased_ms.unwrap_or(now_ms);
        if row.erased_ms.is_none() {
            let mut owner = self.device(device)?;
            owner.bytes = owner.bytes.saturating_sub(row.sealed_len);
            let mut changes = vec![(key_row.clone(), None), (rows::device_key(device), Some(encode(&owner)))];
            changes.extend(row.times.take().map(|(_, end)| (rows::time_key(device, end, last_seq), None)));
            row.erased_ms = Some(erased_ms);
            changes.push((place.clone(), Some(encode(&row))));
            self.index.put_all(changes)?;
        }
        if !row.scrubbed {
            let mut changes = Vec::new();
            if let Some(blob) = &row.blob {
                self.blobs.delete(blob)?;
                changes.push((rows::blob_key(blob), None));
            }
            self.index.scrub(&[key_row.as_slice()])?;
            row.scrubbed = true;
            changes.push((place, Some(encode(&row))));
            self.index.put_all(changes)?;
        }
        let mut not_reached = vec![
            "the device, which derives the segment's key from its own",
            "copies that were handed out",
            "backups of the gateway, until they expire",
            "the commitment on the chain, which nobody can open without the salt",
        ];
        let mut destroyed = vec!["segment key"];
        if row.inline() {
            not_reached.insert(0, "the sealed bytes: they are on the chain, for ever; without a key they stay closed");
        } else {
            destroyed.push("sealed bytes");
        }
        let (device, count, erased) = (*device, row.count, iso(erased_ms));
        Ok(Erased { device, first_seq, count, erased_ms, erased, destroyed, not_reached })
    }
}
