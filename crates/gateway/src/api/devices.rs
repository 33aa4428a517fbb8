//! `/api/v1/devices…`: devices and their readings.

use crate::access::Caller;
use crate::api::{download, json, read_key};
use crate::app::App;
use crate::clock;
use crate::devices::export::{Format, readings as export};
use crate::devices::intake::{DeviceBody, DeviceOrder, ReadingsBody};
use crate::devices::view::{self, DeviceLine, DeviceView};
use crate::devices::{DeviceError, DeviceRow, SegmentRow};
use crate::error::ApiError;
use crate::form::read_json;
use crate::limits::{MAX_FIELD_BYTES, MAX_READINGS, MAX_READINGS_BYTES, MAX_SEGMENTS, MAX_SEGMENTS_LISTED};
use crate::sweeper::{Queue, submit_now};
use crate::txview::TxView;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, Request, State as Shared};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use blockhie_core::{ChainKind, PublicKey, TxHash};
use blockhie_phd::SegmentOpening;
use serde::{Deserialize, Serialize};

type Answer<T> = Result<T, ApiError>;

/// Who asks: routes that this table marks so have one.
type Who = Extension<Caller>;

#[derive(Serialize)]
struct TakenDevice {
    device: PublicKey,
    txhash: TxHash,
    fresh: bool,
    status_url: String,
}

/// `POST /api/v1/devices`: a signed DEVICE or RETIRE.
pub(crate) async fn create(Shared(app): Shared<App>, request: Request) -> Answer<Response> {
    let chain = app.chain(ChainKind::Phd)?.known()?.chain_id;
    let body: DeviceBody = read_json(request.into_body(), "device", MAX_FIELD_BYTES).await?;
    let now_ms = clock::now_ms();
    let order = body.read(&chain, now_ms)?;
    let (device, of) = match order.says {
        DeviceOrder::Enrol(device) => (device, ""),
        DeviceOrder::Retire(device) => (device, "?of=retire"),
    };
    let taken = app.blocking(move |parts| Ok(parts.devices.take(&order, now_ms)?)).await?;
    let (txhash, fresh) = (taken.txhash, taken.fresh.is_some());
    if fresh {
        tracing::info!(%device, %txhash, "stored");
    }
    submit_now(&app, Queue::Devices, taken.fresh.into_iter().collect()).await;
    let status_url = format!("/api/v1/devices/{device}/status{of}");
    Ok((StatusCode::ACCEPTED, Json(TakenDevice { device, txhash, fresh, status_url })).into_response())
}

#[derive(Serialize)]
pub(crate) struct DeviceList {
    devices: Vec<DeviceLine>,
}

/// `GET /api/v1/devices`.
pub(crate) async fn list(Shared(app): Shared<App>) -> Answer<Json<DeviceList>> {
    app.chain(ChainKind::Phd)?;
    Ok(Json(DeviceList { devices: view::list(&app).await? }))
}

/// Which segments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    from_seq: Option<u64>,
    limit: Option<usize>,
}

/// A device that this caller may know of; the same error for one that is not here.
async fn known_to(app: &App, caller: &Caller, text: &str) -> Answer<(PublicKey, DeviceRow)> {
    app.chain(ChainKind::Phd)?;
    let device = read_key("device", text)?;
    let row = app.blocking(move |parts| Ok(parts.devices.device(&device)?)).await?;
    if caller.is_one_of(&[row.owner, device]) {
        return Ok((device, row));
    }
    Err(DeviceError::NoDevice { device }.into())
}

/// `GET /api/v1/devices/{key}?from_seq&limit`.
pub(crate) async fn one(
    Shared(app): Shared<App>,
    Extension(caller): Who,
    Path(key): Path<String>,
    page: Result<Query<Page>, QueryRejection>,
) -> Answer<Json<DeviceView>> {
    let Query(Page { from_seq, limit }) = page.map_err(|error| ApiError::invalid(error.body_text()))?;
    let limit = limit.unwrap_or(MAX_SEGMENTS_LISTED);
    if !(1..=MAX_SEGMENTS_LISTED).contains(&limit) {
        return Err(ApiError::invalid(format!("limit: expected 1 to {MAX_SEGMENTS_LISTED}, got {limit}")));
    }
    let (device, _) = known_to(&app, &caller, &key).await?;
    Ok(Json(view::device(&app, device, from_seq.unwrap_or(0), limit).await?))
}

/// Which transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Of {
    #[default]
    Device,
    Retire,
}

/// Which transaction of a device.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    #[serde(default)]
    of: Of,
}

fn transaction_of(device: PublicKey, row: &DeviceRow, which: Result<Query<Which>, QueryRejection>) -> Answer<TxHash> {
    let Query(Which { of }) = which.map_err(|error| ApiError::invalid(error.body_text()))?;
    match of {
        Of::Device => Ok(row.device_tx),
        Of::Retire => row.retire_tx.ok_or_else(|| ApiError::not_found(format!("device {device}: it was not retired"))),
    }
}

/// `GET /api/v1/devices/{key}/status?of`.
pub(crate) async fn status(
    Shared(app): Shared<App>,
    Path(key): Path<String>,
    which: Result<Query<Which>, QueryRejection>,
) -> Answer<Json<TxView>> {
    let (device, row) = known_to(&app, &Caller::Operator, &key).await?;
    let txhash = transaction_of(device, &row, which)?;
    Ok(Json(view::tx(&app, app.chain(ChainKind::Phd)?, txhash).await?))
}

/// `GET /api/v1/devices/{key}/receipt?of`.
pub(crate) async fn receipt(
    Shared(app): Shared<App>,
    Extension(caller): Who,
    Path(key): Path<String>,
    which: Result<Query<Which>, QueryRejection>,
) -> Answer<Response> {
    let (device, row) = known_to(&app, &caller, &key).await?;
    let txhash = transaction_of(device, &row, which)?;
    let text = view::receipt(&app, app.chain(ChainKind::Phd)?, txhash).await?;
    Ok(download(json(), &format!("{device}.receipt.json"), text.into_bytes()))
}

#[derive(Serialize)]
struct TakenSegment {
    first_seq: u64,
    count: u32,
    txhash: TxHash,
    fresh: bool,
}

#[derive(Serialize)]
struct TakenSegments {
    segments: Vec<TakenSegment>,
}

/// `POST /api/v1/devices/{key}/readings`: signed READINGS of the device, all of them or none.
pub(crate) async fn push(Shared(app): Shared<App>, Path(key): Path<String>, request: Request) -> Answer<Response> {
    let chain = app.chain(ChainKind::Phd)?.known()?.chain_id;
    // A device that is not here is refused before its body is read; there is nobody to ask who sends it.
    let (device, _) = known_to(&app, &Caller::Operator, &key).await?;
    let body: ReadingsBody = read_json(request.into_body(), "readings", MAX_READINGS_BYTES).await?;
    if !(1..=MAX_SEGMENTS).contains(&body.segments.len()) {
        let got = body.segments.len();
        return Err(ApiError::invalid(format!("segments: expected 1 to {MAX_SEGMENTS}, got {got}")));
    }
    let now_ms = clock::now_ms();
    let taken = app
        .blocking(move |parts| {
            let (mut segments, mut readings) = (Vec::with_capacity(body.segments.len()), 0u64);
            for (index, segment) in body.segments.into_iter().enumerate() {
                let segment = segment.read(index, &chain, &device, now_ms)?;
                readings = readings.saturating_add(segment.place.count.into());
                if readings > MAX_READINGS && segment.key.is_some() {
                    let expected = format!("readings: expected at most {MAX_READINGS} in one request with keys");
                    return Err(ApiError::invalid(expected));
                }
                segments.push(segment);
            }
            Ok(parts.devices.add(&device, segments, now_ms)?)
        })
        .await?;
    let fresh = taken.iter().filter(|segment| segment.fresh.is_some()).count();
    app.metrics.pushed(fresh);
    tracing::info!(%device, segments = taken.len(), fresh, "stored");
    let (mut answer, mut transactions) = (Vec::with_capacity(taken.len()), Vec::new());
    for crate::devices::TakenSegment { first_seq, count, txhash, fresh } in taken {
        answer.push(TakenSegment { first_seq, count, txhash, fresh: fresh.is_some() });
        transactions.extend(fresh);
    }
    submit_now(&app, Queue::Devices, transactions).await;
    Ok((StatusCode::ACCEPTED, Json(TakenSegments { segments: answer })).into_response())
}

/// Which readings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Span {
    from: Option<u64>,
    to: Option<u64>,
    #[serde(default)]
    format: Format,
}

/// `GET /api/v1/devices/{key}/readings?from&to&format`.
pub(crate) async fn readings(
    Shared(app): Shared<App>,
    Extension(caller): Who,
    Path(key): Path<String>,
    span: Result<Query<Span>, QueryRejection>,
) -> Answer<Response> {
    let Query(Span { from, to, format }) = span.map_err(|error| ApiError::invalid(error.body_text()))?;
    let (device, _) = known_to(&app, &caller, &key).await?;
    let text = export(&app, device, (from, to), format).await?;
    let (media_type, ending) = format.media();
    Ok(download(HeaderValue::from_static(media_type), &format!("{device}.readings.{ending}"), text.into_bytes()))
}

/// A segment of a path: the first sequence number in decimal.
async fn segment_of(
    app: &App,
    caller: &Caller,
    (key, first_seq): &(String, String),
) -> Answer<(PublicKey, SegmentRow)> {
    let first_seq = first_seq.parse().ok().filter(|seq: &u64| seq.to_string() == *first_seq);
    let first_seq = first_seq.ok_or_else(|| ApiError::invalid("segment: expected a decimal sequence number"))?;
    let (device, _) = known_to(app, caller, key).await?;
    let row = app.blocking(move |parts| Ok(parts.devices.segment(&device, first_seq)?)).await?;
    Ok((device, row))
}

/// `GET /api/v1/devices/{key}/segments/{first_seq}/status`.
pub(crate) async fn segment_status(
    Shared(app): Shared<App>,
    Path(path): Path<(String, String)>,
) -> Answer<Json<TxView>> {
    let (_, row) = segment_of(&app, &Caller::Operator, &path).await?;
    Ok(Json(view::tx(&app, app.chain(ChainKind::Phd)?, row.txhash).await?))
}

/// `GET /api/v1/devices/{key}/segments/{first_seq}/receipt`.
pub(crate) async fn segment_receipt(
    Shared(app): Shared<App>,
    Extension(caller): Who,
    Path(path): Path<(String, String)>,
) -> Answer<Response> {
    let (_, row) = segment_of(&app, &caller, &path).await?;
    let text = view::receipt(&app, app.chain(ChainKind::Phd)?, row.txhash).await?;
    Ok(download(json(), &file_name(&row, "receipt.json"), text.into_bytes()))
}

/// `GET /api/v1/devices/{key}/segments/{first_seq}/sealed`.
pub(crate) async fn sealed(
    Shared(app): Shared<App>,
    Extension(caller): Who,
    Path(path): Path<(String, String)>,
) -> Answer<Response> {
    let (device, row) = segment_of(&app, &caller, &path).await?;
    let chain = app.chain(ChainKind::Phd)?.known()?.chain_id;
    let name = file_name(&row, "sealed");
    let bytes = app.blocking(move |parts| Ok(parts.devices.sealed(&chain, &device, &row)?)).await?;
    Ok(download(octets(), &name, bytes))
}

/// `GET /api/v1/devices/{key}/segments/{first_seq}/data`.
pub(crate) async fn data(
    Shared(app): Shared<App>,
    Extension(caller): Who,
    Path(path): Path<(String, String)>,
) -> Answer<Response> {
    let (device, row) = segment_of(&app, &caller, &path).await?;
    let chain = app.chain(ChainKind::Phd)?.known()?.chain_id;
    let name = file_name(&row, "data");
    let bytes = app.blocking(move |parts| Ok(parts.devices.unsealed(&chain, &device, &row)?.2)).await?;
    Ok(download(octets(), &name, bytes.to_vec()))
}

/// `GET /api/v1/devices/{key}/segments/{first_seq}/opening`.
pub(crate) async fn opening(
    Shared(app): Shared<App>,
    Extension(caller): Who,
    Path(path): Path<(String, String)>,
) -> Answer<Response> {
    let (device, row) = segment_of(&app, &caller, &path).await?;
    let chain = app.chain(ChainKind::Phd)?.known()?.chain_id;
    let name = file_name(&row, "opening.json");
    let (place, salt, data) = app.blocking(move |parts| Ok(parts.devices.unsealed(&chain, &device, &row)?)).await?;
    let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
    let text = SegmentOpening::new(&place, salt, length).to_json();
    Ok(download(json(), &name, text.into_bytes()))
}

/// `DELETE /api/v1/devices/{key}/segments/{first_seq}`.
pub(crate) async fn erase(
    Shared(app): Shared<App>,
    Extension(caller): Who,
    Path(path): Path<(String, String)>,
) -> Answer<Json<crate::devices::Erased>> {
    let (device, row) = segment_of(&app, &caller, &path).await?;
    let first_seq = row.first_seq;
    let erased = app.blocking(move |parts| Ok(parts.devices.erase(&device, first_seq, clock::now_ms())?)).await?;
    tracing::info!(%device, first_seq, "erased");
    app.metrics.erased();
    Ok(Json(erased))
}

fn octets() -> HeaderValue {
    HeaderValue::from_static("application/octet-stream")
}

/// As `device export` names them: 20 digits, so that they sort.
fn file_name(row: &SegmentRow, ending: &str) -> String {
    format!("{:020}.segment.{ending}", row.first_seq)
}
