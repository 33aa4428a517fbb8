//! Segments coming in.

use super::rows::{self, About, SegmentRow, TxRow, encode};
use super::{DeviceError, Devices, Result, Waiting};
use crate::devices::DeviceRow;
use crate::devices::intake::NewSegment;
use crate::limits::{MAX_DEVICE_BYTES, MAX_DEVICE_WAITING, MAX_WAITING};
use blockhie_core::receipt::HexBytes;
use blockhie_core::{Hash32, PublicKey, Transaction, TxHash, Unverified};
use blockhie_emr::vault::{IndexChange, VaultIndex};
use std::collections::{BTreeMap, BTreeSet};

/// What became of a segment of a request.
pub(crate) struct TakenSegment {
    pub(crate) first_seq: u64,
    pub(crate) count: u32,
    pub(crate) txhash: TxHash,
    /// To be submitted; `None` when it was here before.
    pub(crate) fresh: Option<Transaction<Unverified>>,
}

/// What a request changes, until all of it is known to be good.
struct Staged {
    row: DeviceRow,
    segments: BTreeMap<u64, SegmentRow>,
    blobs: BTreeSet<Hash32>,
    changes: Vec<IndexChange>,
    /// Blobs of segments that were replaced, to be deleted when the change is durable.
    dropped: Vec<Hash32>,
    fresh: usize,
}

impl Devices {
    /// Takes all of these segments of one device, or none. The same again is answered as before; a key that comes later
    /// than its segment is kept.
    pub(crate) fn add(&self, device: &PublicKey, new: Vec<NewSegment>, now_ms: u64) -> Result<Vec<TakenSegment>> {
        // Bytes that get no row, after a crash or a refusal, are ciphertext that nobody asks for.
        let mut waiting = self.lock();
        let row = self.device(device)?;
        if row.retire_tx.is_some() {
            return Err(DeviceError::Retired { device: *device });
        }
        let (segments, blobs) = (BTreeMap::new(), BTreeSet::new());
        let mut staged = Staged { row, segments, blobs, changes: vec![], dropped: vec![], fresh: 0 };
        let mut taken = Vec::with_capacity(new.len());
        for segment in &new {
            taken.push(self.stage(device, segment, now_ms, &mut staged)?);
        }
        if staged.changes.is_empty() {
            return Ok(taken);
        }
        check_room(&waiting, device, &staged)?;
        for (address, bytes) in new.iter().filter_map(|segment| segment.blob.as_ref()) {
            if staged.blobs.contains(address) {
                self.blobs.put(address, bytes)?;
            }
        }
        let (fresh, dropped) = (staged.fresh, staged.dropped);
        staged.changes.push((rows::device_key(device), Some(encode(&staged.row))));
        self.index.put_all(staged.changes)?;
        waiting.add(*device, fresh);
        for blob in dropped {
            self.blobs.delete(&blob)?;
        }
        Ok(taken)
    }

    /// What this segment changes, after those before it in the request.
    fn stage(
        &self,
        device: &PublicKey,
        segment: &NewSegment,
        now_ms: u64,
        staged: &mut Staged,
    ) -> Result<TakenSegment> {
        let (first_seq, count, last_seq) = (segment.place.first_seq, segment.place.count, segment.last_seq());
        if let Some(old) = self.meets(device, segment, staged)? {
            if let Some(answer) = self.again(device, segment, &old, staged)? {
                return Ok(answer);
            }
            self.replace(device, &old, staged)?;
            // A range may meet several that are void.
            return self.stage(device, segment, now_ms, staged);
        }
        if let Some((address, _)) = &segment.blob {
            let used = self.index.get(&rows::blob_key(address))?.is_some();
            let others = used && !staged.dropped.contains(address);
            if others || !staged.blobs.insert(*address) {
                return Err(DeviceError::OtherBlob { first_seq });
            }
            staged.dropped.retain(|dropped| dropped != address);
            let whose = [device.as_bytes().as_slice(), &last_seq.to_be_bytes()].concat();
            staged.changes.push((rows::blob_key(address), Some(whose)));
        }
        let txhash = segment.transaction.hash();
        let mut row = SegmentRow {
            first_seq,
            count,
            content: segment.content,
            txhash,
            created_ms: now_ms,
            blob: segment.blob.as_ref().map(|(address, _)| *address),
            sealed_len: segment.sealed_len,
            times: None,
            erased_ms: None,
            scrubbed: false,
        };
        self.keep_key(device, segment, &mut row, staged)?;
        let transaction = HexBytes(segment.transaction.to_bytes());
        let about = About::Segment(last_seq);
        let tx = TxRow { transaction, created_ms: now_ms, device: *device, about, void: false, receipt: None };
        staged.changes.push((rows::tx_key(&txhash), Some(encode(&tx))));
        staged.changes.push((rows::open_key(now_ms, &txhash), Some(vec![])));
        staged.changes.push((rows::segment_key(device, last_seq), Some(encode(&row))));
        staged.row.segments += 1;
        staged.row.readings = staged.row.readings.saturating_add(count.into());
        staged.row.bytes = staged.row.bytes.saturating_add(segment.sealed_len);
        staged.fresh += 1;
        staged.segments.insert(last_seq, row);
        Ok(TakenSegment { first_seq, count, txhash, fresh: Some(segment.transaction.clone().into_unverified()) })
    }

    /// The first segment, of those here and those before it in the request, that meets this one.
    fn meets(&self, device: &PublicKey, segment: &NewSegment, staged: &Staged) -> Result<Option<SegmentRow>> {
        let (first, last) = (segment.place.first_seq, segment.last_seq());
        // What is staged stands for what the store has at its place: look behind as many as there are.
        let stored = self.segments(device, first, staged.segments.len() + 1)?;
        let kept = stored.into_iter().find(|row| !staged.segments.contains_key(&row.last_seq()));
        let fresh = staged.segments.range(first..).map(|(_, row)| row).find(|row| row.count > 0).cloned();
        let found = [kept, fresh].into_iter().flatten().filter(|row| row.first_seq <= last);
        Ok(found.min_by_key(|row| row.first_seq))
    }

    /// The answer if `old` stands in the way of `segment` or is the same; `None` if nothing came of it.
    fn again(
        &self,
        device: &PublicKey,
        segment: &NewSegment,
        old: &SegmentRow,
        staged: &mut Staged,
    ) -> Result<Option<TakenSegment>> {
        let (first_seq, last_seq, count) = (segment.place.first_seq, segment.last_seq(), segment.place.count);
        let void = self.tx(&old.txhash)?.is_some_and(|kept| kept.void);
        if void && old.txhash != segment.transaction.hash() {
            return Ok(None);
        }
        if (old.first_seq, old.count) != (first_seq, count) {
            let (with_first, with_last) = (old.first_seq, old.last_seq());
            return Err(DeviceError::Overlap { first_seq, last_seq, with_first, with_last });
        }
        if old.content != segment.content {
            return Err(DeviceError::OtherContent { first_seq, last_seq });
        }
        if old.erased_ms.is_some() {
            return Err(DeviceError::Erased { device: *device, first_seq });
        }
        if !old.held() && segment.key.is_some() && !staged.segments.contains_key(&last_seq) {
            let mut row = old.clone();
            self.keep_key(device, segment, &mut row, staged)?;
            staged.changes.push((rows::segment_key(device, last_seq), Some(encode(&row))));
            staged.segments.insert(last_seq, row);
        }
        Ok(Some(TakenSegment { first_seq, count, txhash: old.txhash, fresh: None }))
    }

    /// Takes a segment away whose transaction is void for good: it occupies nothing.
    fn replace(&self, device: &PublicKey, old: &SegmentRow, staged: &mut Staged) -> Result<()> {
        let last_seq = old.last_seq();
        staged.changes.extend([
            (rows::segment_key(device, last_seq), None),
            (rows::tx_key(&old.txhash), None),
            (rows::wrapped_key(device, last_seq), None),
        ]);
        staged.changes.extend(old.times.map(|(_, end)| (rows::time_key(device, end, last_seq), None)));
        if let Some(blob) = old.blob.filter(|_| old.erased_ms.is_none()) {
            staged.changes.push((rows::blob_key(&blob), None));
            staged.dropped.push(blob);
        }
        staged.row.segments = staged.row.segments.saturating_sub(1);
        staged.row.readings = staged.row.readings.saturating_sub(old.count.into());
        if old.erased_ms.is_none() {
            staged.row.bytes = staged.row.bytes.saturating_sub(old.sealed_len);
        }
        // A count of 0 says that it is gone.
        staged.segments.insert(last_seq, SegmentRow { count: 0, ..old.clone() });
        Ok(())
    }

    /// Wraps the key that came with a segment, and indexes it by time.
    fn keep_key(
        &self,
        device: &PublicKey,
        segment: &NewSegment,
        row: &mut SegmentRow,
        staged: &mut Staged,
    ) -> Result<()> {
        let Some((key, (start_ms, end_ms))) = &segment.key else { return Ok(()) };
        let place = rows::wrapped_key(device, segment.last_seq());
        let wrapped = self.wrap.wrap(&place, key.as_bytes())?;
        staged.changes.push((place, Some(wrapped)));
        let by_time = rows::time_key(device, *end_ms, segment.last_seq());
        staged.changes.push((by_time, Some(start_ms.to_be_bytes().to_vec())));
        row.times = Some((*start_ms, *end_ms));
        Ok(())
    }
}

fn check_room(waiting: &Waiting, device: &PublicKey, staged: &Staged) -> Result<()> {
    let full = |what, limit: usize| Err(DeviceError::Full { what, limit: u64::try_from(limit).unwrap_or(u64::MAX) });
    if waiting.of(device).saturating_add(staged.fresh) > MAX_DEVICE_WAITING {
        return full("segments of this device that are not final yet", MAX_DEVICE_WAITING);
    }
    if waiting.total.saturating_add(staged.fresh) > MAX_WAITING {
        return full("segments of all devices that are not final yet", MAX_WAITING);
    }
    if staged.fresh > 0 && staged.row.bytes > MAX_DEVICE_BYTES {
        return Err(DeviceError::Full { what: "sealed bytes of this device", limit: MAX_DEVICE_BYTES });
    }
    Ok(())
}
