//! `/devices` and `/devices/{key}`: what anybody may see of a device, and for the operator its readings.

use super::chart::{Chart, Series};
use super::way::{Step, label, steps};
use super::{Frame, PageError, Visitor, short, show};
use crate::api::read_key;
use crate::app::App;
use crate::clock::utc;
use crate::devices::export::drawn;
use crate::devices::view::{self, DeviceLine, DeviceState, DeviceView, SegmentView};
use crate::error::ApiError;
use crate::limits::{MAX_DRAWN, PAGE_SEGMENTS};
use crate::txview::TxView;
use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use blockhie_core::{ChainKind, PublicKey};
use serde::Deserialize;

/// A device of the list.
struct Line {
    view: DeviceLine,
    label: String,
    owner: String,
    state: (&'static str, &'static str),
    since: String,
}

#[derive(Template)]
#[template(path = "devices.html")]
struct DevicesPage {
    frame: Frame,
    is_operator: bool,
    missing: bool,
    lines: Vec<Line>,
}

/// `GET /devices`.
pub(crate) async fn list(State(app): State<App>, visitor: Visitor) -> Result<Response, PageError> {
    let (is_operator, missing) = (visitor.is_some(), app.phd.is_none());
    let devices = if is_operator && !missing { view::list(&app).await? } else { vec![] };
    let line = |view: DeviceLine| Line {
        label: short(&view.device),
        owner: short(&view.owner),
        state: state_label(view.state),
        since: utc(view.created_ms),
        view,
    };
    let lines = devices.into_iter().map(line).collect();
    Ok(show(&DevicesPage { frame: Frame::new("devices", &visitor), is_operator, missing, lines }))
}

fn state_label(state: DeviceState) -> (&'static str, &'static str) {
    match state {
        DeviceState::Pending => ("wait", "on its way"),
        DeviceState::Enrolled => ("good", "enrolled"),
        DeviceState::Retired => ("bad", "retired"),
    }
}

/// Which part of a device.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// Readings from this time on, ms since the epoch.
    from: Option<u64>,
    /// And before this one.
    to: Option<u64>,
    /// Segments from this sequence number on.
    from_seq: Option<u64>,
}

struct Segment {
    view: SegmentView,
    last_seq: u64,
    times: Option<(String, String)>,
    erased: Option<String>,
    state: (&'static str, &'static str),
}

/// A span of time that the page offers.
struct Choice {
    name: &'static str,
    path: String,
    is_here: bool,
}

/// What only the operator sees.
struct Inside {
    owner: PublicKey,
    gaps: Vec<String>,
    segments: Vec<Segment>,
    next_seq: Option<u64>,
    charts: Vec<Chart>,
    choices: Vec<Choice>,
    /// `?from=…&to=…` of what is drawn, for the exports.
    span: String,
    /// Readings were left out, the oldest first.
    cut: bool,
    /// Whether any key is here.
    held: bool,
}

#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage {
    frame: Frame,
    device: PublicKey,
    state: (&'static str, &'static str),
    enrolment: TxView,
    steps: Vec<Step>,
    retire: Option<TxView>,
    limit: usize,
    inside: Option<Inside>,
}

/// `GET /devices/{key}?from&to&from_seq`.
pub(crate) async fn one(
    State(app): State<App>,
    visitor: Visitor,
    Path(key): Path<String>,
    part: Result<Query<Part>, QueryRejection>,
) -> Result<Response, PageError> {
    let Query(part) = part.map_err(|error| ApiError::invalid(error.body_text()))?;
    let chain = app.chain(ChainKind::Phd)?;
    let device = read_key("device", &key)?;
    let row = app.blocking(move |parts| Ok(parts.devices.device(&device)?)).await?;
    let enrolment = view::tx(&app, chain, row.device_tx).await?;
    let mut page = DevicePage {
        frame: Frame::new("devices", &visitor),
        device,
        state: state_label(DeviceState::of(&row)),
        steps: steps(&enrolment),
        enrolment,
        retire: None,
        limit: MAX_DRAWN,
        inside: None,
    };
    if visitor.is_some() {
        let mut view = view::device(&app, device, part.from_seq.unwrap_or(0), PAGE_SEGMENTS).await?;
        page.retire = view.retire.take();
        page.inside = Some(inside(&app, view, &part).await?);
    } else if let Some(txhash) = row.retire_tx {
        page.retire = Some(view::tx(&app, chain, txhash).await?);
    }
    Ok(show(&page))
}

async fn inside(app: &App, view: DeviceView, part: &Part) -> Result<Inside, ApiError> {
    let chain = app.chain(ChainKind::Phd)?.known()?.chain_id;
    let (device, span) = (view.device, (part.from, part.to));
    let found = app.blocking(move |parts| Ok(drawn(&parts.devices, &chain, &device, span, MAX_DRAWN)?)).await?;
    let mut series = Vec::new();
    for (first_seq, samples) in &found.samples {
        Series::add(&mut series, *first_seq, samples);
    }
    let gap = |range: &blockhie_phd::SeqRange| match range.count {
        1 => range.first_seq.to_string(),
        count => format!("{} to {}", range.first_seq, range.first_seq.saturating_add(count).saturating_sub(1)),
    };
    let query = |name: &str, ms: Option<u64>| ms.map(|ms| format!("&{name}={ms}")).unwrap_or_default();
    Ok(Inside {
        owner: view.owner,
        gaps: view.gaps.iter().map(gap).collect(),
        segments: view.segments.into_iter().map(Segment::new).collect(),
        next_seq: view.next_seq,
        charts: series.into_iter().filter_map(Chart::new).collect(),
        choices: choices(&device, found.last_ms, part),
        span: query("from", part.from) + &query("to", part.to),
        cut: found.cut,
        held: found.last_ms.is_some(),
    })
}

/// All of it, the last day and the last hour that there are readings of.
fn choices(device: &PublicKey, last_ms: Option<u64>, part: &Part) -> Vec<Choice> {
    const HOUR_MS: u64 = 3_600_000;
    let Some(last_ms) = last_ms else { return vec![] };
    let all =
        Choice { name: "all", path: format!("/devices/{device}"), is_here: part.from.is_none() && part.to.is_none() };
    let lately = [("the last day", 24 * HOUR_MS), ("the last hour", HOUR_MS)].map(|(name, length)| {
        let from = last_ms.saturating_sub(length);
        Choice { name, path: format!("/devices/{device}?from={from}"), is_here: part.from == Some(from) }
    });
    std::iter::once(all).chain(lately).collect()
}

impl Segment {
    fn new(view: SegmentView) -> Self {
        let last_seq = view.first_seq.saturating_add(u64::from(view.count)).saturating_sub(1);
        let times = view.start_ms.zip(view.end_ms).map(|(start, end)| (utc(start), utc(end)));
        let (erased, state) = (view.erased_ms.map(utc), label(view.state));
        Self { last_seq, times, erased, state, view }
    }
}
