//! A link coming in: whose record and device, and whether their holders signed.

use super::{LinkError, LinkRow};
use crate::app::{App, Parts};
use crate::clock;
use crate::devices::view as device_view;
use crate::error::ApiError;
use crate::records::status::of_entry;
use crate::txview::State;
use blockhie_core::limits::JSON_INTEGER_END;
use blockhie_core::{ChainId, ChainKind, Hash32, PublicKey, Signature};
use blockhie_coupling::outbox::OutboxError;
use blockhie_coupling::{LINK_OPENING_FORMAT, LinkOpening, LinkTerms, Outbox, Seed};
use blockhie_emr::{Opening, content_digest};
use serde::Deserialize;
use std::sync::Arc;

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkBody {
    seed: Seed,
    record: Hash32,
    device: PublicKey,
    audience: PublicKey,
    expiry_ms: u64,
    owner_signature: Signature,
    #[serde(default)]
    holder_signature: Option<Signature>,
}

/// One text for what is not here and what is not theirs: who may not link must not learn what is here.
fn not_theirs() -> ApiError {
    ApiError::not_found(
        "link: expected a record and a device that are here, and the signatures of their holders over these terms",
    )
}

/// Takes a link; its name, and whether it is new. When this answers it is durable and on its way.
///
/// # Errors
/// "Not found" for a record or device that is not here and for signatures that do not hold, alike.
pub(crate) async fn take(app: &App, body: LinkBody, operator: bool) -> Result<(Hash32, bool), ApiError> {
    let outbox = Arc::clone(app.outbox()?);
    let (emr, phd) = (app.emr.known()?.chain_id, app.chain(ChainKind::Phd)?.known()?.chain_id);
    let now_ms = clock::now_ms();
    if body.expiry_ms <= now_ms || body.expiry_ms >= JSON_INTEGER_END {
        let got = body.expiry_ms;
        return Err(ApiError::invalid(format!(
            "expiry_ms: expected a moment after {now_ms} and below 2^53, got {got}"
        )));
    }
    if body.holder_signature.is_none() && !operator {
        return Err(ApiError::unsigned(Some(
            "holder_signature: expected one; without it the institution signs, which only the operator may ask for"
                .into(),
        )));
    }
    let link = body.seed.link_id();
    let row = app.blocking(move |parts| judge(parts, body, (emr, phd), now_ms)).await?;
    expect_final(app, &row).await?;
    let kept = row.clone();
    let fresh = app.blocking(move |parts| Ok(parts.links.keep(&link, &kept)?)).await?;
    put_into(app, &outbox, row).await?;
    app.queued_links.notify_one();
    if fresh {
        app.metrics.linked();
    }
    Ok((link, fresh))
}

/// Signs for the institution where it is the holder, and checks both signatures.
fn judge(parts: &Parts, body: LinkBody, (emr, phd): (ChainId, ChainId), created_ms: u64) -> Result<LinkRow, ApiError> {
    let LinkBody { seed, record, device, audience, expiry_ms, owner_signature, holder_signature } = body;
    let row = parts.devices.device(&device);
    let opening = parts.vault.opening(&record);
    let (Ok(device_row), Ok(opening)) = (row, opening) else { return Err(not_theirs()) };
    let terms = LinkTerms { emr, phd, seed, record, device, audience, expiry_ms };
    let owner = device_row.owner;
    if opening.chain_id != emr || !terms.is_signed_by(&owner, &owner_signature) {
        return Err(not_theirs());
    }
    let holder = opening.addressee.unwrap_or(opening.issuer);
    let holder = PublicKey::new(holder.0).map_err(|error| ApiError::internal(&error))?;
    let holder_signature = match holder_signature {
        Some(signature) if terms.is_signed_by(&holder, &signature) => signature,
        Some(_) => return Err(not_theirs()),
        // The operator asked: see `take`.
        None if holder == parts.secret.public() => terms.sign(&parts.secret),
        None => return Err(ApiError::invalid("holder_signature: expected one of the record's addressee, got none")),
    };
    let opening = link_opening(parts, &terms, opening, (owner_signature, holder_signature))?;
    Ok(LinkRow { created_ms, record, device, owner, holder, audience, opening })
}

fn link_opening(
    parts: &Parts,
    terms: &LinkTerms,
    record: Opening,
    (owner_signature, holder_signature): (Signature, Signature),
) -> Result<LinkOpening, ApiError> {
    let bytes = parts.vault.record_bytes(&terms.record)?;
    let content = content_digest(&record.salt, &record.media_type, &bytes);
    let Opening { issuer, addressee, batch, .. } = record;
    Ok(LinkOpening {
        format: LINK_OPENING_FORMAT.to_owned(),
        emr: terms.emr,
        phd: terms.phd,
        seed: terms.seed.clone(),
        issuer,
        addressee,
        content,
        batch,
        device: terms.device.into(),
        audience: terms.audience.into(),
        expiry_ms: terms.expiry_ms,
        owner_signature,
        holder_signature,
    })
}

/// A link to what may still be reorganised away would show nothing.
async fn expect_final(app: &App, row: &LinkRow) -> Result<(), ApiError> {
    let (record, device) = (row.record, row.device);
    let entry = app.blocking(move |parts| Ok(parts.vault.entry(&record)?)).await?.ok_or_else(not_theirs)?;
    let status = of_entry(app, &entry).await?;
    if !is_final(status.tx.state, status.tx.quorum) {
        return Err(ApiError::not_yet("link: expected a record that is final", &status));
    }
    let device = app.blocking(move |parts| Ok(parts.devices.device(&device)?)).await?;
    let view = device_view::tx(app, app.chain(ChainKind::Phd)?, device.device_tx).await?;
    if device.enrolled || is_final(view.state, view.quorum) {
        return Ok(());
    }
    Err(ApiError::not_yet("link: expected a device that is enrolled", &view))
}

/// On an open chain nothing is ever final: a block has to do.
fn is_final(state: State, quorum: Option<u32>) -> bool {
    state == State::Final || (state == State::InBlock && quorum == Some(0))
}

/// Hands a kept link to the outbox; again and again is once.
pub(crate) async fn put_into(app: &App, outbox: &Arc<Outbox>, row: LinkRow) -> Result<(), ApiError> {
    let outbox = Arc::clone(outbox);
    app.blocking(move |_| {
        let LinkOpening { emr, phd, seed, expiry_ms, .. } = row.opening;
        let link = seed.link_id();
        let LinkRow { record, device, audience, .. } = row;
        let terms = LinkTerms { emr, phd, seed, record, device, audience, expiry_ms };
        match outbox.add(&terms, clock::now_ms()) {
            Ok(_) => Ok(()),
            Err(OutboxError::Store(error)) => Err(error.into()),
            Err(OutboxError::Random(error)) => Err(LinkError::Random(error).into()),
            Err(OutboxError::OtherLink { .. }) => Err(LinkError::OtherLink { link }.into()),
        }
    })
    .await
}
