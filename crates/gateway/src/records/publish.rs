//! From an upload to a sealed record and a submitted transaction.
//!
//! The order makes a crash harmless: records, transaction and idempotency key become durable in one change; only then
//! is the transaction submitted, and only then is the client answered. Whatever is not submitted by then, the
//! [sweeper](crate::sweeper) submits: the transaction is stored with its signature, so that sending it twice is sending
//! it once.

use crate::app::{App, Parts};
use crate::clock;
use crate::error::ApiError;
use crate::form::Form;
use crate::index::{Replay, idempotency_digest, keep_replay};
use crate::limits::{MAX_IDEMPOTENCY_KEY, MAX_RECORD_BYTES};
use crate::sweeper::{Queue, submit_now};
use axum::http::HeaderMap;
use blockhie_core::{Hash32, PublicKey, Transaction, TxHash, Unverified};
use blockhie_emr::publish::{Draft, Issuer, prepare, prepare_batch};
use blockhie_emr::vault::VaultError;
use blockhie_emr::{MediaType, Opening, commitment, content_digest};
use bytes::Bytes;

/// Media type of bytes that came without one.
const UNKNOWN_MEDIA_TYPE: &str = "application/octet-stream";

/// A file to publish.
#[derive(Clone)]
pub(crate) struct Upload {
    pub(crate) media_type: MediaType,
    pub(crate) bytes: Bytes,
}

/// What a publisher asks for.
pub(crate) struct Order {
    /// Several become one RECORDS.
    pub(crate) uploads: Vec<Upload>,
    pub(crate) addressee: Option<PublicKey>,
    /// Digest of the idempotency key.
    pub(crate) key: Option<Hash32>,
}

/// What is there now.
pub(crate) struct Published {
    pub(crate) txhash: TxHash,
    pub(crate) records: Vec<(Hash32, Opening)>,
    /// To be submitted; `None` when this was answered before.
    fresh: Option<Transaction<Unverified>>,
}

impl Upload {
    /// Checks that there is something, and what it is said to be.
    pub(crate) fn new(media_type: Option<&str>, bytes: Bytes) -> Result<Self, ApiError> {
        if bytes.is_empty() {
            return Err(ApiError::invalid("record: expected at least 1 byte, got none"));
        }
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(ApiError::too_large("record", MAX_RECORD_BYTES));
        }
        let text = media_type.unwrap_or(UNKNOWN_MEDIA_TYPE);
        let media_type = text.parse().map_err(|_| {
            ApiError::invalid("record: media type: expected 1 to 255 printable ASCII characters without \" and \\")
        })?;
        Ok(Self { media_type, bytes })
    }
}

/// The key of whom a record is for.
pub(crate) fn read_addressee(text: &str) -> Result<PublicKey, ApiError> {
    // What was given is not repeated: it may be something else than a key.
    let bytes = blockhie_core::bytes::from_hex("addressee", text)
        .map_err(|_| ApiError::invalid("addressee: expected 64 lowercase hex digits"))?;
    PublicKey::new(bytes).map_err(|error| ApiError::invalid(format!("addressee: {error}")))
}

/// Digest of an idempotency key.
pub(crate) fn read_idempotency_key(text: &str) -> Result<Hash32, ApiError> {
    let printable = text.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    if printable && (1..=MAX_IDEMPOTENCY_KEY).contains(&text.len()) {
        return Ok(idempotency_digest(text));
    }
    let expected = format!("expected 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters");
    Err(ApiError::invalid(format!("Idempotency-Key: {expected}")))
}

/// Addressee and idempotency key of a request.
pub(crate) fn read_headers(headers: &HeaderMap) -> Result<(Option<PublicKey>, Option<Hash32>), ApiError> {
    let text = |name: &str| match headers.get(name) {
        None => Ok(None),
        Some(value) => {
            value.to_str().map(Some).map_err(|_| ApiError::invalid(format!("{name}: expected printable ASCII")))
        }
    };
    let addressee = text("x-blockhie-addressee")?.map(read_addressee).transpose()?;
    Ok((addressee, text("idempotency-key")?.map(read_idempotency_key).transpose()?))
}

/// The files of a form, and what its fields say beside the headers.
pub(crate) fn read_fields(
    form: &Form,
    addressee: &mut Option<PublicKey>,
    key: &mut Option<Hash32>,
) -> Result<Vec<Upload>, ApiError> {
    if let Some(text) = form.text("addressee") {
        *addressee = Some(read_addressee(text)?);
    }
    if let Some(text) = form.text("idempotency_key") {
        *key = Some(read_idempotency_key(text)?);
    }
    form.files.iter().map(|file| Upload::new(file.media_type.as_deref(), file.bytes.clone())).collect()
}

/// Seals, queues and submits. When this answers, the records are durable, and so is the submission or its place in the
/// queue.
pub(crate) async fn publish(app: &App, order: Order) -> Result<Published, ApiError> {
    if order.uploads.is_empty() {
        return Err(ApiError::invalid("record: expected at least one file, got none"));
    }
    let key = order.key;
    let _turn = match &key {
        Some(key) => Some(app.one_at_a_time(key).await),
        None => None,
    };
    let known = app.known()?;
    let mut published = app.blocking(move |parts| store(parts, &known.chain_id, &order)).await?;
    if let Some(tx) = published.fresh.take() {
        app.metrics.published(published.records.len());
        submit_now(app, Queue::Records, vec![tx]).await;
    }
    Ok(published)
}

fn store(parts: &Parts, chain: &Hash32, order: &Order) -> Result<Published, ApiError> {
    if let Some(key) = &order.key
        && let Some(replay) = parts.index.replay(key)?
    {
        return again(parts, order, replay);
    }
    let now_ms = clock::now_ms();
    let issuer = Issuer { chain: *chain, secret: &parts.secret, certificate: None };
    let drafts: Vec<Draft<'_>> = order
        .uploads
        .iter()
        .map(|upload| Draft { media_type: upload.media_type.clone(), bytes: &upload.bytes, addressee: order.addressee })
        .collect();
    let prepared = match drafts.as_slice() {
        [one] => vec![prepare(&issuer, one, now_ms)?],
        several => prepare_batch(&issuer, several, now_ms)?,
    };
    let transaction = prepared.first().expect("at least one draft was given").transaction.clone().into_unverified();
    let txhash = transaction.hash();
    let replay = Replay { txhash, records: prepared.iter().map(|one| one.commitment).collect() };
    let also = order.key.iter().map(|key| keep_replay(key, &replay)).collect();
    let pairs: Vec<_> = prepared.iter().zip(&drafts).map(|(one, draft)| (one, draft.bytes)).collect();
    parts.vault.store(&pairs, now_ms, also)?;
    tracing::info!(%txhash, records = pairs.len(), "stored");
    let records = prepared.into_iter().map(|one| (one.commitment, one.opening)).collect();
    Ok(Published { txhash, records, fresh: Some(transaction) })
}

/// The same answer again, if it is the same request. The salt in each opening tells: its commitment is that of the
/// bytes given now, or not.
fn again(parts: &Parts, order: &Order, replay: Replay) -> Result<Published, ApiError> {
    let other = || ApiError::conflict("Idempotency-Key: expected the same files as with this key before, got others");
    if order.uploads.len() != replay.records.len() {
        return Err(other());
    }
    let issuer = parts.secret.public();
    let mut records = Vec::with_capacity(replay.records.len());
    for (record, upload) in replay.records.iter().zip(&order.uploads) {
        let opening = parts.vault.opening(record).map_err(|error| match error {
            VaultError::NotFound { .. } => {
                ApiError::conflict("Idempotency-Key: what was published with this key was erased; use a new key")
            }
            error => error.into(),
        })?;
        let content = content_digest(&opening.salt, &upload.media_type, &upload.bytes);
        if commitment(&opening.chain_id, &issuer, order.addressee.as_ref(), &content) != *record {
            return Err(other());
        }
        records.push((*record, opening));
    }
    Ok(Published { txhash: replay.txhash, records, fresh: None })
}
