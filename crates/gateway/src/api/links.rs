//! `/api/v1/links…`: links between records and devices.

use crate::access::{CSRF_HEADER, Caller, Gate, Operator};
use crate::api::{download, json, read_hash};
use crate::app::App;
use crate::devices::view as device_view;
use crate::error::ApiError;
use crate::form::read_json;
use crate::limits::MAX_FIELD_BYTES;
use crate::links::terms::{LinkBody, take};
use crate::links::view::{self, LinkView};
use crate::links::{LinkError, LinkRow};
use axum::Json;
use axum::extract::{Extension, Path, Request, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use blockhie_core::{ChainKind, Hash32};
use serde::Serialize;

type Answer<T> = Result<T, ApiError>;

#[derive(Serialize)]
struct Taken {
    link: Hash32,
    fresh: bool,
    status_url: String,
}

/// `POST /api/v1/links`.
pub(crate) async fn create(Shared(app): Shared<App>, request: Request) -> Answer<Response> {
    app.outbox()?;
    let operator = request.extensions().get::<Operator>().cloned();
    let csrf = request.headers().get(CSRF_HEADER).and_then(|value| value.to_str().ok());
    // A session speaks for the operator only from a page of ours.
    let operator = operator.is_some_and(|operator| Gate::same_site(&operator, csrf));
    let body: LinkBody = read_json(request.into_body(), "link", MAX_FIELD_BYTES).await?;
    let (link, fresh) = take(&app, body, operator).await?;
    let status_url = format!("/api/v1/links/{link}");
    Ok((StatusCode::ACCEPTED, Json(Taken { link, fresh, status_url })).into_response())
}

/// A link that this caller may know of; the same error for one that is not here.
async fn known_to(app: &App, caller: &Caller, text: &str) -> Answer<(Hash32, LinkRow)> {
    app.outbox()?;
    let link = read_hash("link", text)?;
    let row = app.blocking(move |parts| Ok(parts.links.row(&link)?)).await?;
    if caller.is_one_of(&[row.owner, row.holder, row.audience]) {
        return Ok((link, row));
    }
    Err(LinkError::Missing { link }.into())
}

/// `GET /api/v1/links/{link}`.
pub(crate) async fn one(
    Shared(app): Shared<App>,
    Extension(caller): Extension<Caller>,
    Path(link): Path<String>,
) -> Answer<Json<LinkView>> {
    let (link, row) = known_to(&app, &caller, &link).await?;
    Ok(Json(view::link(&app, link, &row).await?))
}

/// `GET /api/v1/links/{link}/opening`.
pub(crate) async fn opening(
    Shared(app): Shared<App>,
    Extension(caller): Extension<Caller>,
    Path(link): Path<String>,
) -> Answer<Response> {
    let (_, row) = known_to(&app, &caller, &link).await?;
    Ok(download(json(), "link-opening.json", row.opening.to_json().into_bytes()))
}

/// `GET /api/v1/links/{link}/record`: the receipt of its record.
pub(crate) async fn record(
    Shared(app): Shared<App>,
    Extension(caller): Extension<Caller>,
    Path(link): Path<String>,
) -> Answer<Response> {
    let (_, row) = known_to(&app, &caller, &link).await?;
    let text = crate::api::records::receipt_text(&app, row.record).await?;
    Ok(download(json(), "record.receipt.json", text.into_bytes()))
}

/// `GET /api/v1/links/{link}/device`: the receipt of its device.
pub(crate) async fn device(
    Shared(app): Shared<App>,
    Extension(caller): Extension<Caller>,
    Path(link): Path<String>,
) -> Answer<Response> {
    let (_, row) = known_to(&app, &caller, &link).await?;
    let device = app.blocking(move |parts| Ok(parts.devices.device(&row.device)?)).await?;
    let text = device_view::receipt(&app, app.chain(ChainKind::Phd)?, device.device_tx).await?;
    Ok(download(json(), "device.receipt.json", text.into_bytes()))
}

/// `GET /api/v1/links/{link}/link-emr`.
pub(crate) async fn half_emr(
    Shared(app): Shared<App>,
    Extension(caller): Extension<Caller>,
    Path(link): Path<String>,
) -> Answer<Response> {
    let (link, _) = known_to(&app, &caller, &link).await?;
    let text = view::receipt(&app, link, ChainKind::Emr).await?;
    Ok(download(json(), "link-emr.receipt.json", text.into_bytes()))
}

/// `GET /api/v1/links/{link}/link-phd`.
pub(crate) async fn half_phd(
    Shared(app): Shared<App>,
    Extension(caller): Extension<Caller>,
    Path(link): Path<String>,
) -> Answer<Response> {
    let (link, _) = known_to(&app, &caller, &link).await?;
    let text = view::receipt(&app, link, ChainKind::Phd).await?;
    Ok(download(json(), "link-phd.receipt.json", text.into_bytes()))
}
