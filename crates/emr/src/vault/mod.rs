//! The hospital's copy: every record sealed under a key of its own, which the institution's key wraps.
//!
//! The sealed bytes lie in a [`BlobStore`] under their BLAKE3; key and salt, wrapped, in a [`VaultIndex`]. So erasing
//! one record touches no other, and a stolen blob store shows lengths and nothing else.

mod erasure;
mod error;
mod index;
mod rows;
mod seal;

pub use erasure::{ERASURE_FORMAT, ErasureCertificate, MAX_ERASURE_BYTES};
pub use error::VaultError;
pub use index::{IndexChange, IndexEntries, MemoryIndex, VaultIndex};
pub use seal::KeyWrap;

use crate::commitment::{MediaType, Salt, commitment, content_digest};
use crate::opening::Opening;
use crate::publish::Prepared;
use blockhie_core::receipt::{HexBytes, Receipt};
use blockhie_core::{BlobStore, ChainId, Hash32, PublicKey, SecretKey, TxHash};
use rows::{EntryRow, ErasedRow, SaltlessOpening, TxRow, decode, encode, entry_key, erased_key, tx_key};
use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// Entries in one page of a list at most.
pub const MAX_PAGE: usize = 1_000;

/// How far a record's transaction has come, as the vault knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordState {
    /// Handed in, or to be handed in again.
    Submitted,
    /// Its receipt is here.
    Final,
}

/// What the vault shows of a record without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The record's commitment.
    pub record: Hash32,
    /// The chain.
    pub chain_id: ChainId,
    /// Key of the issuer.
    pub issuer: Hash32,
    /// Key of the addressee, if any.
    pub addressee: Option<Hash32>,
    /// Media type of the bytes.
    pub media_type: MediaType,
    /// Length of the bytes.
    pub length: u64,
    /// The RECORD or RECORDS.
    pub txhash: TxHash,
    /// How far that has come.
    pub state: RecordState,
    /// When it was stored, ms since the epoch.
    pub created_ms: u64,
}

/// A transaction whose receipt is not here yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// When it was stored, ms since the epoch.
    pub created_ms: u64,
    /// Its hash.
    pub txhash: TxHash,
    /// Its canonical bytes, to submit it again.
    pub transaction: Vec<u8>,
}

/// The vault. Any number of threads may read; changes go one by one.
pub struct Vault {
    index: Arc<dyn VaultIndex>,
    blobs: Arc<dyn BlobStore>,
    institution: SecretKey,
    wrapping: seal::Key,
    /// Held while rows are read and written again.
    writing: Mutex<()>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault(of {})", self.institution.public())
    }
}

impl Vault {
    /// Opens the vault of an institution: another key does not open what this one sealed.
    #[must_use]
    pub fn new(index: Arc<dyn VaultIndex>, blobs: Arc<dyn BlobStore>, institution: &SecretKey) -> Self {
        let (institution, wrapping) = (institution.clone(), seal::wrapping_key(institution));
        Self { index, blobs, institution, wrapping, writing: Mutex::new(()) }
    }

    /// Stores records with their bytes, sealed, before their transactions are submitted. `also` is written in the same
    /// atomic change (an idempotency key, an audit line). What is here already is left as it is.
    ///
    /// # Errors
    /// [`VaultError::Mismatch`] when bytes are not those of their opening, [`VaultError::Erased`] for a record that was
    /// erased; then nothing is stored.
    pub fn store(
        &self,
        records: &[(&Prepared, &[u8])],
        created_ms: u64,
        also: Vec<IndexChange>,
    ) -> Result<(), VaultError> {
        for (prepared, bytes) in records {
            check_bytes(prepared, bytes)?;
        }
        // Sealing and storing blobs takes time, and needs no lock. A blob that gets no entry, after a crash or because
        // another thread was first, is ciphertext whose key never was stored.
        let mut sealed = BTreeMap::new();
        for (prepared, bytes) in records {
            let record = &prepared.commitment;
            self.refuse_erased(record)?;
            if !sealed.contains_key(record) && self.entry_row(record)?.is_none() {
                sealed.insert(*record, (*prepared, self.seal(prepared, bytes, created_ms)?));
            }
        }
        let _writing = self.lock();
        let mut changes = also;
        let mut transactions: BTreeMap<TxHash, TxRow> = BTreeMap::new();
        for (record, (prepared, row)) in sealed {
            self.refuse_erased(&record)?;
            if self.entry_row(&record)?.is_some() {
                continue;
            }
            let tx = match transactions.entry(row.txhash) {
                btree_map::Entry::Occupied(known) => known.into_mut(),
                btree_map::Entry::Vacant(vacant) => {
                    let transaction = HexBytes(prepared.transaction.to_bytes());
                    let new = TxRow { transaction, created_ms, records: 0, receipt: None };
                    vacant.insert(self.tx_row(&row.txhash)?.unwrap_or(new))
                }
            };
            tx.records += 1;
            changes.push((entry_key(&record), Some(encode(&row))));
            changes.push((rows::time_key(created_ms, &record), Some(vec![])));
        }
        for (txhash, row) in transactions {
            if row.receipt.is_none() {
                changes.push((rows::open_key(row.created_ms, &txhash), Some(vec![])));
            }
            changes.push((tx_key(&txhash), Some(encode(&row))));
        }
        Ok(self.index.put_all(changes)?)
    }

    /// What is known of a record; `None` when it is not here or was erased.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn entry(&self, record: &Hash32) -> Result<Option<Entry>, VaultError> {
        match self.entry_row(record)? {
            Some(row) => self.show(record, row).map(Some),
            None => Ok(None),
        }
    }

    /// The exact bytes of a record.
    ///
    /// # Errors
    /// [`VaultError::NotFound`], or what is wrong with blob or key.
    pub fn record_bytes(&self, record: &Hash32) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let row = self.existing(record)?;
        let (key, _) = self.unwrap_keys(record, &row)?;
        let missing = || VaultError::BlobMissing { record: *record, blob: row.blob };
        let sealed = self.blobs.get(&row.blob)?.ok_or_else(missing)?;
        let got = Hash32(blake3::hash(&sealed).into());
        if got != row.blob {
            let (what, expected) = (format!("blob of record {record}"), row.blob.to_string());
            return Err(VaultError::Corrupt { what, expected, got: got.to_string() });
        }
        let bytes = seal::unseal(&key, &blob_context(record), &sealed);
        bytes.ok_or(VaultError::WrongKey { what: "blob", record: *record })
    }

    /// The opening of a record. It holds the salt.
    ///
    /// # Errors
    /// [`VaultError::NotFound`], or what is wrong with the key.
    pub fn opening(&self, record: &Hash32) -> Result<Opening, VaultError> {
        let row = self.existing(record)?;
        let (_, salt) = self.unwrap_keys(record, &row)?;
        Ok(row.opening.with(salt))
    }

    /// Text of the receipt of a record's transaction, once it is here.
    ///
    /// # Errors
    /// [`VaultError::NotFound`].
    pub fn receipt(&self, record: &Hash32) -> Result<Option<String>, VaultError> {
        let row = self.existing(record)?;
        Ok(self.existing_tx(&row.txhash)?.receipt)
    }

    /// Keeps the receipt of a transaction; its records are then final.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] for a transaction that is not here, [`VaultError::Receipt`] and
    /// [`VaultError::OtherReceipt`] for a text that is not its receipt.
    pub fn set_receipt(&self, txhash: &TxHash, receipt: &str) -> Result<(), VaultError> {
        let parsed = Receipt::parse(receipt.as_bytes())?;
        let _writing = self.lock();
        let mut row = self.existing_tx(txhash)?;
        if parsed.transaction != row.transaction {
            return Err(VaultError::OtherReceipt { expected: *txhash });
        }
        row.receipt = Some(receipt.to_owned());
        let changes = vec![(tx_key(txhash), Some(encode(&row))), (rows::open_key(row.created_ms, txhash), None)];
        Ok(self.index.put_all(changes)?)
    }

    /// A page of at most `limit` (and [`MAX_PAGE`]) records, newest first, after the one with this time of storing
    /// and commitment.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn list(&self, after: Option<(u64, Hash32)>, limit: usize) -> Result<Vec<Entry>, VaultError> {
        let start = after.map_or(rows::TIME_PREFIX.to_vec(), |(created_ms, record)| {
            rows::after(rows::time_key(created_ms, &record))
        });
        let mut page = Vec::new();
        for (key, _) in self.index.range(&start, rows::TIME_END, limit.min(MAX_PAGE))? {
            let record = rows::trailing_hash(&key)?;
            // It may have been erased since the page was read.
            page.extend(self.entry(&record)?);
        }
        Ok(page)
    }

    /// A page of at most `limit` (and [`MAX_PAGE`]) transactions without a receipt, oldest first, after the one with
    /// this time of storing and hash: what to submit again after a restart, and to ask for.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn unsettled(&self, after: Option<(u64, TxHash)>, limit: usize) -> Result<Vec<Unsettled>, VaultError> {
        let start = after
            .map_or(rows::OPEN_PREFIX.to_vec(), |(created_ms, hash)| rows::after(rows::open_key(created_ms, &hash)));
        let mut page = Vec::new();
        for (key, _) in self.index.range(&start, rows::OPEN_END, limit.min(MAX_PAGE))? {
            let txhash = rows::trailing_hash(&key)?;
            if let Some(row) = self.tx_row(&txhash)? {
                page.push(Unsettled { created_ms: row.created_ms, txhash, transaction: row.transaction.0 });
            }
        }
        Ok(page)
    }

    /// Destroys key, salt, sealed bytes and entry of a record, and certifies it. The key goes first, so that the rest
    /// is unreadable from then on, and is scrubbed from the index's files; when a store fails, erasing again finishes it.
    /// Erasing twice answers the same certificate.
    ///
    /// # Errors
    /// [`VaultError::NotFound`], or the store's.
    pub fn erase(&self, record: &Hash32, now_ms: u64) -> Result<ErasureCertificate, VaultError> {
        let _writing = self.lock();
        let mut erased = match self.erased_row(record)? {
            Some(erased) => erased,
            None => {
                let row = self.existing(record)?;
                let certificate = ErasureCertificate::sign(&self.institution, row.opening.chain_id, *record, now_ms);
                let erased = ErasedRow { blob: Some(row.blob), certificate: certificate.to_json() };
                let mut changes = vec![
                    (entry_key(record), None),
                    (rows::time_key(row.created_ms, record), None),
                    (erased_key(record), Some(encode(&erased))),
                ];
                changes.extend(self.release_tx(&row.txhash)?);
                self.index.put_all(changes)?;
                erased
            }
        };
        if let Some(blob) = erased.blob.take() {
            self.blobs.delete(&blob)?;
            self.index.scrub(&[entry_key(record).as_slice()])?;
            self.index.put_all(vec![(erased_key(record), Some(encode(&erased)))])?;
        }
        Ok(ErasureCertificate::parse(erased.certificate.as_bytes())?)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seals the bytes under a fresh key, stores them, and wraps key and salt.
    fn seal(&self, prepared: &Prepared, bytes: &[u8], created_ms: u64) -> Result<EntryRow, VaultError> {
        let record = &prepared.commitment;
        let key = seal::random_key()?;
        let sealed = seal::seal(&key, &blob_context(record), bytes)?;
        let blob = Hash32(blake3::hash(&sealed).into());
        self.blobs.put(&blob, &sealed)?;
        let mut secrets = Zeroizing::new([0; 64]);
        secrets[..32].copy_from_slice(key.as_slice());
        secrets[32..].copy_from_slice(prepared.opening.salt.as_bytes());
        let wrapped = HexBytes(seal::seal(&self.wrapping, record.as_bytes(), secrets.as_slice())?);
        let opening = SaltlessOpening::of(&prepared.opening);
        Ok(EntryRow { opening, txhash: prepared.transaction.hash(), created_ms, wrapped, blob })
    }

    fn unwrap_keys(&self, record: &Hash32, row: &EntryRow) -> Result<(seal::Key, Salt), VaultError> {
        let secrets = seal::unseal(&self.wrapping, record.as_bytes(), &row.wrapped.0);
        let halves = secrets
            .as_deref()
            .and_then(|secrets| Some((secrets.first_chunk::<32>()?, secrets.get(32..)?.try_into().ok()?)));
        let (key, salt) = halves.ok_or(VaultError::WrongKey { what: "entry", record: *record })?;
        Ok((Zeroizing::new(*key), Salt::new(salt)))
    }

    fn show(&self, record: &Hash32, row: EntryRow) -> Result<Entry, VaultError> {
        let is_final = self.tx_row(&row.txhash)?.is_some_and(|tx| tx.receipt.is_some());
        let state = if is_final { RecordState::Final } else { RecordState::Submitted };
        let EntryRow { opening, txhash, created_ms, wrapped: _, blob: _ } = row;
        Ok(Entry {
            record: *record,
            chain_id: opening.chain_id,
            issuer: opening.issuer,
            addressee: opening.addressee,
            media_type: opening.media_type,
            length: opening.length,
            txhash,
            state,
            created_ms,
        })
    }

    fn entry_row(&self, record: &Hash32) -> Result<Option<EntryRow>, VaultError> {
        self.index.get(&entry_key(record))?.map(|bytes| decode("entry", record, &bytes)).transpose()
    }

    fn existing(&self, record: &Hash32) -> Result<EntryRow, VaultError> {
        self.entry_row(record)?.ok_or(VaultError::NotFound { what: "record", id: *record })
    }

    fn tx_row(&self, txhash: &TxHash) -> Result<Option<TxRow>, VaultError> {
        self.index.get(&tx_key(txhash))?.map(|bytes| decode("transaction", txhash, &bytes)).transpose()
    }

    fn existing_tx(&self, txhash: &TxHash) -> Result<TxRow, VaultError> {
        self.tx_row(txhash)?.ok_or(VaultError::NotFound { what: "transaction", id: *txhash })
    }

    fn erased_row(&self, record: &Hash32) -> Result<Option<ErasedRow>, VaultError> {
        self.index.get(&erased_key(record))?.map(|bytes| decode("erasure", record, &bytes)).transpose()
    }

    /// An erased record is not stored again, or its certificate would no longer be true.
    fn refuse_erased(&self, record: &Hash32) -> Result<(), VaultError> {
        match self.index.get(&erased_key(record))? {
            Some(_) => Err(VaultError::Erased { record: *record }),
            None => Ok(()),
        }
    }

    /// One record fewer names this transaction; with the last one it goes.
    fn release_tx(&self, txhash: &TxHash) -> Result<Vec<IndexChange>, VaultError> {
        let Some(mut row) = self.tx_row(txhash)? else { return Ok(vec![]) };
        row.records = row.records.saturating_sub(1);
        if row.records > 0 {
            return Ok(vec![(tx_key(txhash), Some(encode(&row)))]);
        }
        Ok(vec![(tx_key(txhash), None), (rows::open_key(row.created_ms, txhash), None)])
    }
}

/// What a sealed record is bound to, so that no blob passes for another's.
fn blob_context(record: &Hash32) -> Vec<u8> {
    [b"blockhie/vault/v1\0", record.as_bytes().as_slice()].concat()
}

/// The vault keeps nothing that its opening does not open.
fn check_bytes(prepared: &Prepared, bytes: &[u8]) -> Result<(), VaultError> {
    let opening = &prepared.opening;
    let content = content_digest(&opening.salt, &opening.media_type, bytes);
    let issuer = PublicKey::new(opening.issuer.0)?;
    let addressee = opening.addressee.map(|key| PublicKey::new(key.0)).transpose()?;
    let got = commitment(&opening.chain_id, &issuer, addressee.as_ref(), &content);
    if got == prepared.commitment {
        return Ok(());
    }
    Err(VaultError::Mismatch { expected: prepared.commitment, got })
}
