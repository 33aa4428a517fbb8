//! Devices and their segments, as this gateway keeps them.
//!
//! Durable before it is answered, as records are: the signed transaction, the sealed bytes and the wrapped key are
//! stored first, then the [sweeper](crate::sweeper) submits the transaction until the node has it and keeps the receipt
//! when it is final. A key that was handed in is wrapped under the institution's; without one only sealed bytes are
//! here. See `docs/adr/0020-devices-and-links-in-the-gateway.md`.

mod add;
mod erase;
mod error;
pub(crate) mod export;
pub(crate) mod intake;
mod rows;
pub(crate) mod view;

pub(crate) use add::TakenSegment;
pub(crate) use erase::Erased;
pub(crate) use error::DeviceError;
pub(crate) use rows::{DeviceRow, SegmentRow};

use crate::index::Index;
use crate::limits::{MAX_DEVICES, SWEEP_PAGE};
use crate::sweeper::Unsettled;
use blockhie_core::receipt::HexBytes;
use blockhie_core::{BlobStore, ChainId, Hash32, PublicKey, SecretKey, Transaction, TxHash, Unverified};
use blockhie_emr::vault::{IndexChange, KeyWrap, VaultIndex};
use blockhie_phd::{Payload, Place, Salt, SegmentKey, unseal};
use intake::{DeviceOrder, Signed};
use rows::{About, TxRow, corrupt, decode, encode};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

type Result<T> = std::result::Result<T, DeviceError>;

/// What a change left: the transaction that stands for it, and the same to be submitted if it is new.
pub(crate) struct Taken {
    pub(crate) txhash: TxHash,
    pub(crate) fresh: Option<Transaction<Unverified>>,
}

/// The store. Any number of threads may read; changes go one by one.
pub(crate) struct Devices {
    index: Arc<Index>,
    blobs: Arc<dyn BlobStore>,
    wrap: KeyWrap,
    /// Held while rows are read and written again.
    writing: Mutex<Waiting>,
}

/// Transactions that are not settled.
#[derive(Debug, Default)]
struct Waiting {
    total: usize,
    by_device: HashMap<PublicKey, usize>,
}

impl Waiting {
    fn of(&self, device: &PublicKey) -> usize {
        self.by_device.get(device).copied().unwrap_or(0)
    }

    fn add(&mut self, device: PublicKey, count: usize) {
        self.total += count;
        *self.by_device.entry(device).or_default() += count;
    }

    fn remove(&mut self, device: &PublicKey) {
        self.total = self.total.saturating_sub(1);
        if let Some(count) = self.by_device.get_mut(device) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_device.remove(device);
            }
        }
    }
}

impl fmt::Debug for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Devices")
    }
}

impl Devices {
    /// Opens what the index holds; another institution's key does not open the segment keys.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn open(index: Arc<Index>, blobs: Arc<dyn BlobStore>, institution: &SecretKey) -> Result<Self> {
        let wrap = KeyWrap::new(institution, "blockhie/segment-wrap/v1");
        let devices = Self { index, blobs, wrap, writing: Mutex::default() };
        let mut after = None;
        loop {
            let page = devices.open_rows(after, SWEEP_PAGE)?;
            let Some((last, row)) = page.last() else { break };
            after = Some((row.created_ms, *last));
            let mut waiting = devices.lock();
            page.iter().for_each(|(_, row)| waiting.add(row.device, 1));
        }
        Ok(devices)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A device that is here.
    pub(crate) fn device(&self, device: &PublicKey) -> Result<DeviceRow> {
        let row = self.index.get(&rows::device_key(device))?;
        let row = row.ok_or(DeviceError::NoDevice { device: *device })?;
        decode("device row", &row)
    }

    /// Every device, by key.
    pub(crate) fn list(&self) -> Result<Vec<(PublicKey, DeviceRow)>> {
        let found = self.index.range(rows::DEVICES, rows::DEVICES_END, MAX_DEVICES)?;
        let read = |(key, row): (Vec<u8>, Vec<u8>)| {
            let device = PublicKey::new(rows::trailing_hash(&key)?.0);
            let device = device.map_err(|error| corrupt("device row", "a device's key", error))?;
            Ok((device, decode("device row", &row)?))
        };
        found.into_iter().map(read).collect()
    }

    fn tx(&self, txhash: &TxHash) -> Result<Option<TxRow>> {
        let row = self.index.get(&rows::tx_key(txhash))?;
        row.map(|row| decode("transaction row of a device", &row)).transpose()
    }

    /// The receipt of a transaction, once it is here.
    pub(crate) fn receipt(&self, txhash: &TxHash) -> Result<Option<String>> {
        Ok(self.tx(txhash)?.and_then(|row| row.receipt))
    }

    /// Takes an owner's transaction.
    pub(crate) fn take(&self, order: &Signed<DeviceOrder>, now_ms: u64) -> Result<Taken> {
        match &order.says {
            DeviceOrder::Enrol(device) => self.enrol(order, *device, now_ms),
            DeviceOrder::Retire(device) => self.retire(order, *device, now_ms),
        }
    }

    fn enrol(&self, order: &Signed<DeviceOrder>, device: PublicKey, now_ms: u64) -> Result<Taken> {
        let owner = *order.transaction.from();
        let mut waiting = self.lock();
        let (mut row, mut changes) = match self.device(&device) {
            Err(DeviceError::NoDevice { .. }) => {
                if self.index.range(rows::DEVICES, rows::DEVICES_END, MAX_DEVICES)?.len() >= MAX_DEVICES {
                    let limit = u64::try_from(MAX_DEVICES).unwrap_or(u64::MAX);
                    return Err(DeviceError::Full { what: "devices of this gateway", limit });
                }
                (DeviceRow::new(owner, order.transaction.hash(), now_ms), vec![])
            }
            Err(error) => return Err(error),
            Ok(row) => match self.tx(&row.device_tx)? {
                // What was sent before stands, unless nothing came of it.
                Some(kept) if !kept.void && row.owner == owner => {
                    return Ok(Taken { txhash: row.device_tx, fresh: None });
                }
                Some(kept) if !kept.void => return Err(DeviceError::OtherOwner { device }),
                _ if row.device_tx == order.transaction.hash() => {
                    return Ok(Taken { txhash: row.device_tx, fresh: None });
                }
                _ => {
                    let gone = (rows::tx_key(&row.device_tx), None);
                    let device_tx = order.transaction.hash();
                    (DeviceRow { owner, device_tx, retire_tx: None, retired: false, ..row }, vec![gone])
                }
            },
        };
        row.enrolled = false;
        let taken = self.queue(order, device, About::Device, now_ms, &mut changes);
        changes.push((rows::device_key(&device), Some(encode(&row))));
        self.index.put_all(changes)?;
        waiting.add(device, 1);
        Ok(taken)
    }

    fn retire(&self, order: &Signed<DeviceOrder>, device: PublicKey, now_ms: u64) -> Result<Taken> {
        let mut waiting = self.lock();
        let mut row = self.device(&device)?;
        if row.owner != *order.transaction.from() {
            return Err(DeviceError::NoDevice { device });
        }
        let mut changes = Vec::new();
        if let Some(before) = row.retire_tx {
            if self.tx(&before)?.is_some_and(|kept| !kept.void) || before == order.transaction.hash() {
                return Ok(Taken { txhash: before, fresh: None });
            }
            changes.push((rows::tx_key(&before), None));
        }
        row.retire_tx = Some(order.transaction.hash());
        let taken = self.queue(order, device, About::Retire, now_ms, &mut changes);
        changes.push((rows::device_key(&device), Some(encode(&row))));
        self.index.put_all(changes)?;
        waiting.add(device, 1);
        Ok(taken)
    }

    /// The changes that queue a transaction.
    fn queue<T>(
        &self,
        order: &Signed<T>,
        device: PublicKey,
        about: About,
        created_ms: u64,
        changes: &mut Vec<IndexChange>,
    ) -> Taken {
        let txhash = order.transaction.hash();
        let transaction = HexBytes(order.transaction.to_bytes());
        let row = TxRow { transaction, created_ms, device, about, void: false, receipt: None };
        changes.push((rows::tx_key(&txhash), Some(encode(&row))));
        changes.push((rows::open_key(created_ms, &txhash), Some(vec![])));
        Taken { txhash, fresh: Some(order.transaction.clone().into_unverified()) }
    }

    /// A segment that is here, erased or not.
    pub(crate) fn segment(&self, device: &PublicKey, first_seq: u64) -> Result<SegmentRow> {
        let missing = DeviceError::NoSegment { device: *device, first_seq };
        let found = self.segments(device, first_seq, 1)?.into_iter().next();
        found.filter(|row| row.first_seq == first_seq).ok_or(missing)
    }

    /// At most `limit` segments that hold a reading at or after `from_seq`, ascending.
    pub(crate) fn segments(&self, device: &PublicKey, from_seq: u64, limit: usize) -> Result<Vec<SegmentRow>> {
        let (start, end) = (rows::segment_key(device, from_seq), rows::segment_end(device));
        let found = self.index.range(&start, &end, limit)?;
        found.into_iter().map(|(_, row)| decode("segment row", &row)).collect()
    }

    /// The last sequence numbers of at most `limit` segments whose keys are here and that hold a reading with
    /// `from_ms` ≤ time < `to_ms` (ms since the epoch), ascending.
    pub(crate) fn at_times(&self, device: &PublicKey, from_ms: u64, to_ms: u64, limit: usize) -> Result<Vec<u64>> {
        let (start, end) = (rows::time_key(device, from_ms, 0), rows::time_key(device, u64::MAX, u64::MAX));
        let mut found = Vec::new();
        for (key, value) in self.index.range(&start, &end, limit)? {
            if rows::trailing_u64(&value)? < to_ms {
                found.push(rows::trailing_u64(&key)?);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The sealed bytes of a segment, and its place and content.
    pub(crate) fn sealed(&self, chain: &ChainId, device: &PublicKey, row: &SegmentRow) -> Result<Vec<u8>> {
        let first_seq = row.first_seq;
        match &row.blob {
            Some(_) if row.erased_ms.is_some() => Err(DeviceError::NoSegment { device: *device, first_seq }),
            Some(blob) => {
                let bytes = self.blobs.get(blob)?.ok_or_else(|| corrupt("sealed segment", "its blob", "none"))?;
                Ok(bytes.to_vec())
            }
            None => {
                let kept = self.tx(&row.txhash)?;
                let kept = kept.ok_or_else(|| corrupt("segment row", "its transaction", "none"))?;
                let read = |error: String| corrupt("transaction of a segment", "one that was checked", error);
                let tx = Transaction::<Unverified>::from_bytes(&kept.transaction.0, chain).map_err(read)?;
                let tx = tx.verify(chain, blockhie_core::ChainKind::Phd).map_err(|error| read(error.to_string()))?;
                match Payload::read(&tx, chain).map_err(|error| read(error.to_string()))? {
                    Payload::Readings(readings) => Ok(readings.sealed),
                    _ => Err(read("another type".into())),
                }
            }
        }
    }

    /// Opens a segment whose key is here.
    pub(crate) fn unsealed(
        &self,
        chain: &ChainId,
        device: &PublicKey,
        row: &SegmentRow,
    ) -> Result<(Place, Salt, Zeroizing<Vec<u8>>)> {
        let (device, first_seq) = (*device, row.first_seq);
        if row.erased_ms.is_some() {
            return Err(DeviceError::NoSegment { device, first_seq });
        }
        let wrapped = self.index.get(&rows::wrapped_key(&device, row.last_seq()))?;
        let wrapped = wrapped.ok_or(DeviceError::NotHeld { device, first_seq })?;
        let context = rows::wrapped_key(&device, row.last_seq());
        let key = self.wrap.unwrap(&context, &wrapped).and_then(|key| key.first_chunk().copied());
        let key = key.ok_or_else(|| corrupt("segment key", "one wrapped by this institution", "another"))?;
        let place = Place { chain: *chain, device, first_seq, count: row.count };
        let sealed = self.sealed(chain, &device, row)?;
        let (salt, data) = unseal(&SegmentKey::new(key), &place, &sealed, &row.content)?;
        Ok((place, salt, data))
    }

    /// Transactions of a page of those that are not settled, oldest first.
    fn open_rows(&self, after: Option<(u64, TxHash)>, limit: usize) -> Result<Vec<(Hash32, TxRow)>> {
        let start = after.map_or(rows::OPEN.to_vec(), |(created, hash)| rows::after(rows::open_key(created, &hash)));
        let mut page = Vec::new();
        for (key, _) in self.index.range(&start, rows::OPEN_END, limit)? {
            let txhash = rows::trailing_hash(&key)?;
            page.extend(self.tx(&txhash)?.map(|row| (txhash, row)));
        }
        Ok(page)
    }

    /// What to submit again, and to ask for.
    pub(crate) fn unsettled(&self, after: Option<(u64, TxHash)>, limit: usize) -> Result<Vec<Unsettled>> {
        let page = self.open_rows(after, limit)?.into_iter();
        let show = |(txhash, row): (TxHash, TxRow)| Unsettled {
            created_ms: row.created_ms,
            txhash,
            transaction: row.transaction.0,
        };
        Ok(page.map(show).collect())
    }

    /// Keeps the receipt of a transaction: it is final.
    pub(crate) fn set_receipt(&self, txhash: &TxHash, receipt: &str) -> Result<()> {
        self.settle(txhash, |row| row.receipt = Some(receipt.to_owned()))
    }

    /// Notes that it is final that a transaction has no effect.
    pub(crate) fn settle_void(&self, txhash: &TxHash) -> Result<()> {
        self.settle(txhash, |row| row.void = true)
    }

    fn settle(&self, txhash: &TxHash, change: impl FnOnce(&mut TxRow)) -> Result<()> {
        let mut waiting = self.lock();
        // It may have been replaced in the meantime.
        let Some(mut row) = self.tx(txhash)? else { return Ok(()) };
        let open = rows::open_key(row.created_ms, txhash);
        let was_open = self.index.get(&open)?.is_some();
        change(&mut row);
        let mut changes = vec![(rows::tx_key(txhash), Some(encode(&row))), (open, None)];
        if row.receipt.is_some() {
            changes.extend(self.note_final(&row)?);
        }
        self.index.put_all(changes)?;
        if was_open {
            waiting.remove(&row.device);
        }
        Ok(())
    }

    /// What a final DEVICE or RETIRE changes in the device's row.
    fn note_final(&self, tx: &TxRow) -> Result<Option<IndexChange>> {
        let mut row = self.device(&tx.device)?;
        match tx.about {
            About::Device => row.enrolled = true,
            About::Retire => row.retired = true,
            About::Segment(_) => return Ok(None),
        }
        Ok(Some((rows::device_key(&tx.device), Some(encode(&row)))))
    }
}
