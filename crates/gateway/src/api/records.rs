//! `/api/v1/records…`: in, out, how far, proof, erasure.

use crate::api::{download, json, read_hash};
use crate::app::App;
use crate::clock;
use crate::error::ApiError;
use crate::form::{is_multipart, read_body, read_form};
use crate::limits::MAX_RECORD_BYTES;
use crate::records::publish::{Order, Published, Upload, publish, read_headers};
use crate::records::status::{RecordStatus, entry, of_entry, status};
use crate::txview::State;
use axum::Json;
use axum::extract::{Path, Request, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use blockhie_core::{Hash32, TxHash};
use blockhie_emr::Opening;
use serde::Serialize;

type Answer<T> = Result<T, ApiError>;

/// A record that was taken.
#[derive(Clone, Serialize)]
struct Taken<'a> {
    record: Hash32,
    txhash: TxHash,
    status_url: String,
    /// The opening, keys in canonical order: without white space and with a final newline it is `opening.json`.
    opening: &'a Opening,
}

/// A form with one file: what raw bytes are answered, and the list as for several.
#[derive(Serialize)]
struct TakenOne<'a> {
    #[serde(flatten)]
    only: Taken<'a>,
    records: [Taken<'a>; 1],
}

#[derive(Serialize)]
struct TakenForm<'a> {
    txhash: TxHash,
    records: Vec<Taken<'a>>,
}

/// Where a record's status is.
pub(crate) fn status_url(record: &Hash32) -> String {
    format!("/api/v1/records/{record}/status")
}

fn taken(published: &Published) -> Vec<Taken<'_>> {
    let txhash = published.txhash;
    published
        .records
        .iter()
        .map(|(record, opening)| Taken { record: *record, txhash, status_url: status_url(record), opening })
        .collect()
}

/// `POST /api/v1/records`.
pub(crate) async fn create(Shared(app): Shared<App>, request: Request) -> Answer<Response> {
    let (mut addressee, mut key) = read_headers(request.headers())?;
    let is_form = is_multipart(request.headers());
    let uploads = if is_form {
        let form = read_form(request).await?;
        form.expect_fields(&["file", "files", "record", "addressee", "idempotency_key"])?;
        crate::records::publish::read_fields(&form, &mut addressee, &mut key)?
    } else {
        let media_type = match request.headers().get(header::CONTENT_TYPE) {
            None => None,
            Some(value) => {
                Some(value.to_str().map_err(|_| ApiError::invalid("Content-Type: expected ASCII"))?.to_owned())
            }
        };
        let bytes = read_body(request.into_body(), "record", MAX_RECORD_BYTES).await?;
        vec![Upload::new(media_type.as_deref(), bytes)?]
    };
    let published = publish(&app, Order { uploads, addressee, key }).await?;
    let mut records = taken(&published);
    let answer = match (records.len(), is_form) {
        (1, false) => Json(records.remove(0)).into_response(),
        (1, true) => {
            let only = records.remove(0);
            Json(TakenOne { records: [only.clone()], only }).into_response()
        }
        _ => Json(TakenForm { txhash: published.txhash, records }).into_response(),
    };
    Ok((StatusCode::ACCEPTED, answer).into_response())
}

/// `GET /api/v1/records/{record}`: the exact bytes.
pub(crate) async fn bytes(Shared(app): Shared<App>, Path(record): Path<String>) -> Answer<Response> {
    let record = read_hash("record", &record)?;
    let entry = entry(&app, record).await?;
    let bytes = app.blocking(move |parts| Ok(parts.vault.record_bytes(&record)?)).await?;
    let media_type = HeaderValue::from_str(entry.media_type.as_str()).map_err(|error| ApiError::internal(&error))?;
    Ok(download(media_type, &format!("{record}.record"), bytes.to_vec()))
}

/// `GET /api/v1/records/{record}/opening`: the canonical text.
pub(crate) async fn opening(Shared(app): Shared<App>, Path(record): Path<String>) -> Answer<Response> {
    let record = read_hash("record", &record)?;
    let opening = app.blocking(move |parts| Ok(parts.vault.opening(&record)?)).await?;
    Ok(download(json(), &format!("{record}.opening.json"), opening.to_json().into_bytes()))
}

/// `GET /api/v1/records/{record}/receipt`: the canonical text, as soon as there is a block.
pub(crate) async fn receipt(Shared(app): Shared<App>, Path(record): Path<String>) -> Answer<Response> {
    let record = read_hash("record", &record)?;
    let text = receipt_text(&app, record).await?;
    Ok(download(json(), &format!("{record}.receipt.json"), text.into_bytes()))
}

/// The receipt of a record: kept, or from the node.
pub(crate) async fn receipt_text(app: &App, record: Hash32) -> Answer<String> {
    let entry = entry(app, record).await?;
    let kept = app.blocking(move |parts| Ok(parts.vault.receipt(&record)?)).await?;
    if let Some(text) = kept {
        return Ok(text);
    }
    let status = of_entry(app, &entry).await?;
    if !matches!(status.tx.state, State::InBlock | State::Final) {
        let name = status.tx.state.name();
        return Err(ApiError::not_yet(format!("receipt: expected a committed transaction, got one {name}"), &status));
    }
    Ok(app.emr.receipt(entry.txhash).await?)
}

/// `GET /api/v1/records/{record}/status`.
pub(crate) async fn state(Shared(app): Shared<App>, Path(record): Path<String>) -> Answer<Json<RecordStatus>> {
    Ok(Json(status(&app, read_hash("record", &record)?).await?))
}

/// `DELETE /api/v1/records/{record}`: destroys key, salt, sealed bytes and entry; answers the certificate.
pub(crate) async fn erase(Shared(app): Shared<App>, Path(record): Path<String>) -> Answer<Response> {
    let record = read_hash("record", &record)?;
    let certificate = app
        .blocking(move |parts| {
            let certificate = parts.vault.erase(&record, clock::now_ms())?;
            tracing::info!(%record, "erased");
            Ok(certificate)
        })
        .await?;
    app.metrics.erased();
    Ok(([(header::CONTENT_TYPE, json())], certificate.to_json()).into_response())
}
