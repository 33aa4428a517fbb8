//! The vault: bytes come back exactly, nothing leaks, erasure is whole, damage is named.

use super::{bytes, draft, issuer, secret, transaction, vectors};
use crate::vault::{ErasureCertificate, MemoryIndex, RecordState, Vault, VaultError, VaultIndex};
use crate::{Draft, Opening, Prepared, prepare, prepare_batch};
use blockhie_core::{BlobStore, Genesis, Hash32, MemoryBlobs, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const RECORD: &[u8] = br#"{"name":"Canary Patient","value":1.50}"#;

struct House {
    index: Arc<MemoryIndex>,
    blobs: Arc<MemoryBlobs>,
    vault: Vault,
}

fn house() -> House {
    let (index, blobs) = (Arc::new(MemoryIndex::default()), Arc::new(MemoryBlobs::default()));
    let vault = Vault::new(index.clone(), blobs.clone(), &secret(1));
    House { index, blobs, vault }
}

fn prepared(record: &[u8]) -> Prepared {
    prepare(&issuer(&secret(1)), &draft(record), 7).unwrap()
}

/// Everything in the index, keys and values, as one text.
fn everything(index: &MemoryIndex) -> Vec<u8> {
    index.dump().into_iter().flat_map(|(key, value)| [key, value].concat()).collect()
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}

fn blob_address(house: &House, record: &Hash32) -> Hash32 {
    let row = house.index.get(&[b"vault/entry/".as_slice(), &record.0].concat()).unwrap().unwrap();
    let row: serde_json::Value = serde_json::from_slice(&row).unwrap();
    row["blob"].as_str().unwrap().parse().unwrap()
}

#[test]
fn what_is_stored_comes_back_exactly() {
    let house = house();
    for record in [RECORD, b"", &[0xff; 70_000]] {
        let one = prepared(record);
        house.vault.store(&[(&one, record)], 11, vec![(b"gateway/key".to_vec(), Some(vec![1]))]).unwrap();
        assert_eq!(house.vault.record_bytes(&one.commitment).unwrap().as_slice(), record);
        assert_eq!(house.vault.opening(&one.commitment).unwrap(), one.opening);
        let entry = house.vault.entry(&one.commitment).unwrap().unwrap();
        assert_eq!((entry.length, entry.created_ms), (record.len() as u64, 11));
        assert_eq!((entry.txhash, entry.state), (one.transaction.hash(), RecordState::Submitted));
        assert_eq!(house.vault.receipt(&one.commitment).unwrap(), None);
        assert_eq!(house.index.get(b"gateway/key").unwrap(), Some(vec![1]));
    }
}

#[test]
fn neither_index_nor_blobs_show_plaintext_or_salt() {
    let house = house();
    let one = prepared(RECORD);
    house.vault.store(&[(&one, RECORD)], 11, vec![]).unwrap();
    let sealed = house.blobs.get(&blob_address(&house, &one.commitment)).unwrap().unwrap();
    assert_eq!(blake3::hash(&sealed), blake3::Hash::from(blob_address(&house, &one.commitment).0));
    let salt = one.opening.salt.as_bytes();
    for hay in [everything(&house.index), sealed.to_vec()] {
        for needle in [b"Canary".as_slice(), salt, hex::encode(salt).as_bytes(), secret(1).seed()] {
            assert!(!contains(&hay, needle));
        }
    }
    assert!(!format!("{:?}", house.vault).contains(&hex::encode(secret(1).seed())));
    // The same record again: another key, another blob.
    let two = prepared(RECORD);
    house.vault.store(&[(&two, RECORD)], 12, vec![]).unwrap();
    assert_ne!(blob_address(&house, &one.commitment), blob_address(&house, &two.commitment));
}

#[test]
fn storing_again_changes_nothing_and_other_bytes_are_refused() {
    let house = house();
    let one = prepared(RECORD);
    let refused = house.vault.store(&[(&one, b"other")], 11, vec![(b"k".to_vec(), Some(vec![]))]).unwrap_err();
    assert!(matches!(refused, VaultError::Mismatch { .. }));
    assert!(house.index.dump().is_empty());
    house.vault.store(&[(&one, RECORD), (&one, RECORD)], 11, vec![]).unwrap();
    let before = house.index.dump();
    house.vault.store(&[(&one, RECORD)], 99, vec![]).unwrap();
    assert_eq!(house.index.dump(), before);
    assert_eq!(house.vault.entry(&Hash32::ZERO).unwrap(), None);
    assert!(matches!(house.vault.record_bytes(&Hash32::ZERO), Err(VaultError::NotFound { .. })));
}

#[test]
fn another_key_and_any_damage_are_named() {
    let house = house();
    let (one, two) = (prepared(RECORD), prepared(b"two"));
    house.vault.store(&[(&one, RECORD), (&two, b"two")], 11, vec![]).unwrap();
    let record = one.commitment;
    let other = Vault::new(house.index.clone(), house.blobs.clone(), &secret(2));
    assert!(matches!(other.record_bytes(&record), Err(VaultError::WrongKey { what: "entry", .. })));
    assert!(matches!(other.opening(&record), Err(VaultError::WrongKey { .. })));

    // A wrapped key moved to another entry does not open it.
    let key = |record: &Hash32| [b"vault/entry/".as_slice(), &record.0].concat();
    let row = house.index.get(&key(&two.commitment)).unwrap().unwrap();
    let good = house.index.get(&key(&record)).unwrap().unwrap();
    house.index.put_all(vec![(key(&record), Some(row))]).unwrap();
    assert!(matches!(house.vault.record_bytes(&record), Err(VaultError::WrongKey { what: "entry", .. })));
    house.index.put_all(vec![(key(&record), Some(b"{}".to_vec()))]).unwrap();
    assert!(matches!(house.vault.record_bytes(&record), Err(VaultError::Corrupt { .. })));
    house.index.put_all(vec![(key(&record), Some(good))]).unwrap();

    let address = blob_address(&house, &record);
    let mut sealed = house.blobs.get(&address).unwrap().unwrap().to_vec();
    sealed[30] ^= 1;
    house.blobs.delete(&address).unwrap();
    assert!(matches!(house.vault.record_bytes(&record), Err(VaultError::BlobMissing { .. })));
    house.blobs.put(&address, &sealed).unwrap();
    assert!(matches!(house.vault.record_bytes(&record), Err(VaultError::Corrupt { .. })));
    assert!(house.vault.opening(&record).is_ok(), "the opening needs no blob");
}

#[test]
fn a_batch_shares_its_transaction_row() {
    let house = house();
    let records: Vec<Vec<u8>> = (0..5).map(|i| format!("record {i}").into_bytes()).collect();
    let drafts: Vec<Draft<'_>> = records.iter().map(|record| draft(record)).collect();
    let secret = secret(1);
    let batch = prepare_batch(&issuer(&secret), &drafts, 7).unwrap();
    let items: Vec<_> = batch.iter().zip(&records).map(|(one, record)| (one, record.as_slice())).collect();
    house.vault.store(&items, 11, vec![]).unwrap();
    let unsettled = house.vault.unsettled(None, 10).unwrap();
    assert_eq!(unsettled.len(), 1);
    assert_eq!(unsettled[0].transaction, batch[0].transaction.to_bytes());
    for (one, record) in &items {
        assert_eq!(house.vault.opening(&one.commitment).unwrap(), one.opening);
        assert_eq!(house.vault.record_bytes(&one.commitment).unwrap().as_slice(), *record);
    }
    for (left, (one, _)) in (0..5).rev().zip(&items) {
        house.vault.erase(&one.commitment, 20).unwrap();
        // The transaction is needed as long as one of its records is here.
        assert_eq!(house.vault.unsettled(None, 10).unwrap().len(), usize::from(left > 0));
    }
    assert!(house.index.dump().iter().all(|(key, _)| key.starts_with(b"vault/erased/")));
}

#[test]
fn lists_go_by_pages() {
    let house = house();
    let mut stored = Vec::new();
    for time in 0..7u64 {
        let record = time.to_string().into_bytes();
        let one = prepared(&record);
        // Two at each time.
        house.vault.store(&[(&one, &record)], time / 2, vec![]).unwrap();
        stored.push((time / 2, one));
    }
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = house.vault.list(after, 3).unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.created_ms, last.record));
        all.extend(page);
    }
    assert_eq!(all.iter().map(|entry| entry.created_ms).collect::<Vec<_>>(), [3, 2, 2, 1, 1, 0, 0]);
    let (mut open, mut after) = (Vec::new(), None);
    loop {
        let page = house.vault.unsettled(after, 2).unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.created_ms, last.txhash));
        open.extend(page);
    }
    assert_eq!(open.iter().map(|tx| tx.created_ms).collect::<Vec<_>>(), [0, 0, 1, 1, 2, 2, 3]);
    let hashes: std::collections::BTreeSet<_> = open.iter().map(|tx| tx.txhash).collect();
    assert_eq!(hashes, stored.iter().map(|(_, one)| one.transaction.hash()).collect());
}

#[test]
fn a_receipt_settles_its_transaction_and_no_other() {
    let vectors = vectors();
    let row = &vectors["chain"];
    let genesis = Genesis::from_bytes(&bytes(row, "genesis")).unwrap();
    let tx = transaction(&row["transactions"][0]).unwrap().verify(&genesis.chain_id(), genesis.kind).unwrap();
    let one = Prepared {
        commitment: super::hash(row, "commitment"),
        opening: Opening::parse(row["opening"].as_str().unwrap().as_bytes()).unwrap(),
        transaction: tx,
    };
    let house = house();
    house.vault.store(&[(&one, &bytes(row, "record"))], 11, vec![]).unwrap();
    let (record, txhash) = (&one.commitment, one.transaction.hash());
    let receipt = |name: &str| row["receipts"][name].as_str().unwrap();
    let refuse = |text: &str| house.vault.set_receipt(&txhash, text).unwrap_err();
    assert!(matches!(refuse(receipt("no newline")), VaultError::Receipt(_)));
    assert!(matches!(refuse(receipt("second transaction")), VaultError::OtherReceipt { .. }));
    let unknown = house.vault.set_receipt(&Hash32::ZERO, receipt("full")).unwrap_err();
    assert!(matches!(unknown, VaultError::NotFound { .. }));
    assert_eq!(house.vault.unsettled(None, 10).unwrap().len(), 1);

    house.vault.set_receipt(&txhash, receipt("full")).unwrap();
    assert_eq!(house.vault.receipt(record).unwrap().as_deref(), Some(receipt("full")));
    assert_eq!(house.vault.entry(record).unwrap().unwrap().state, RecordState::Final);
    assert_eq!(house.vault.unsettled(None, 10).unwrap(), []);
}

/// V4: after erasure nothing is left that opens the commitment.
#[test]
fn erasure_destroys_key_salt_blob_and_entry() {
    let house = house();
    let (one, two) = (prepared(RECORD), prepared(b"two"));
    house.vault.store(&[(&one, RECORD), (&two, b"two")], 11, vec![]).unwrap();
    let (record, address) = (one.commitment, blob_address(&house, &one.commitment));
    let row = house.index.get(&[b"vault/entry/".as_slice(), &record.0].concat()).unwrap().unwrap();
    let wrapped = serde_json::from_slice::<serde_json::Value>(&row).unwrap()["wrapped"].as_str().unwrap().to_owned();

    let certificate = house.vault.erase(&record, 20).unwrap();
    assert_eq!(house.blobs.get(&address).unwrap(), None);
    let left = everything(&house.index);
    assert!(!contains(&left, wrapped.as_bytes()) && !contains(&left, address.to_string().as_bytes()));
    assert!(matches!(house.vault.opening(&record), Err(VaultError::NotFound { .. })));
    assert!(matches!(house.vault.record_bytes(&record), Err(VaultError::NotFound { .. })));
    assert_eq!(house.vault.list(None, 10).unwrap().len(), 1);
    assert_eq!(house.vault.record_bytes(&two.commitment).unwrap().as_slice(), b"two");

    assert!(certificate.is_signed());
    assert_eq!((certificate.record, certificate.erased_ms), (record, 20));
    assert!(certificate.not_reached.iter().any(|text| text.contains("copies")));
    assert!(certificate.not_reached.iter().any(|text| text.contains("backups")));
    let text = certificate.to_json();
    assert_eq!(ErasureCertificate::parse(text.as_bytes()).unwrap(), certificate);
    let mut changed = certificate.clone();
    changed.erased_ms += 1;
    assert!(!changed.is_signed());
    changed = ErasureCertificate { not_reached: vec![], ..certificate.clone() };
    assert!(!changed.is_signed());
    assert_eq!(house.vault.erase(&record, 99).unwrap(), certificate, "the same answer again");
    let again = house.vault.store(&[(&one, RECORD)], 30, vec![]);
    assert_eq!(again, Err(VaultError::Erased { record }), "or the certificate would be false");
    assert!(matches!(house.vault.erase(&Hash32::ZERO, 20), Err(VaultError::NotFound { .. })));
}

/// A blob store that refuses to delete until it is told otherwise.
struct Stubborn(MemoryBlobs, AtomicBool);

impl BlobStore for Stubborn {
    fn put(&self, address: &Hash32, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.put(address, bytes)
    }
    fn get(&self, address: &Hash32) -> Result<Option<bytes::Bytes>, StoreError> {
        self.0.get(address)
    }
    fn delete(&self, address: &Hash32) -> Result<(), StoreError> {
        if self.1.load(Ordering::Relaxed) {
            return Err(StoreError::Io { action: "delete", reason: "read-only".into(), hint: None });
        }
        self.0.delete(address)
    }
}

#[test]
fn an_interrupted_erasure_is_finished_by_the_next() {
    let blobs = Arc::new(Stubborn(MemoryBlobs::default(), AtomicBool::new(true)));
    let vault = Vault::new(Arc::new(MemoryIndex::default()), blobs.clone(), &secret(1));
    let one = prepared(RECORD);
    vault.store(&[(&one, RECORD)], 11, vec![]).unwrap();
    assert!(matches!(vault.erase(&one.commitment, 20), Err(VaultError::Store(_))));
    assert!(matches!(vault.record_bytes(&one.commitment), Err(VaultError::NotFound { .. })), "the key is gone first");
    blobs.1.store(false, Ordering::Relaxed);
    assert_eq!(vault.erase(&one.commitment, 30).unwrap().erased_ms, 20);
}

#[test]
fn threads_store_and_erase_side_by_side() {
    let house = house();
    let records: Vec<Vec<u8>> = (0..8).map(|i| format!("record {i}").into_bytes()).collect();
    let drafts: Vec<Draft<'_>> = records.iter().map(|record| draft(record)).collect();
    let secret = secret(1);
    let batch = prepare_batch(&issuer(&secret), &drafts, 7).unwrap();
    std::thread::scope(|scope| {
        for (one, record) in batch.iter().zip(&records) {
            // Each twice at once: stored once.
            for _ in 0..2 {
                scope.spawn(|| house.vault.store(&[(one, record.as_slice())], 11, vec![]).unwrap());
            }
        }
    });
    let row = house.index.get(&[b"vault/tx/".as_slice(), &batch[0].transaction.hash().0].concat()).unwrap().unwrap();
    let row: serde_json::Value = serde_json::from_slice(&row).unwrap();
    assert_eq!(row["records"], 8);
    std::thread::scope(|scope| {
        for one in &batch {
            scope.spawn(|| house.vault.erase(&one.commitment, 20).unwrap());
        }
    });
    assert!(house.index.dump().iter().all(|(key, _)| key.starts_with(b"vault/erased/")));
}
