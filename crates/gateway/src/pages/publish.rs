//! `/publish`: files in, their way to finality, and what to keep of it.

use super::way::{Step, steps};
use super::{Frame, PageError, Visitor, short, show};
use crate::access::{Gate, Operator};
use crate::api::read_hash;
use crate::app::App;
use crate::clock::utc;
use crate::error::ApiError;
use crate::form::read_form;
use crate::limits::{MAX_RECORD_BYTES, PAGE_RECORDS};
use crate::records::publish::{Order, publish, read_fields};
use crate::records::status::{RecordStatus, entry, of_entry};
use crate::txview::State as Stage;
use askama::Template;
use axum::extract::{Extension, Path, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use blockhie_core::Hash32;
use blockhie_emr::vault::{Entry, RecordState};

/// A stored record as a line.
struct Line {
    record: Hash32,
    label: String,
    media_type: String,
    length: u64,
    time: String,
    is_final: bool,
}

#[derive(Template)]
#[template(path = "publish.html")]
struct PublishPage {
    frame: Frame,
    /// Fresh for each showing: sending the form twice publishes once.
    idempotency_key: String,
    limit_mib: usize,
    recent: Vec<Line>,
}

#[derive(Template)]
#[template(path = "record.html")]
struct RecordPage {
    frame: Frame,
    status: RecordStatus,
    stage: &'static str,
    steps: Vec<Step>,
    line: Line,
    has_receipt: bool,
}

/// `GET /publish`.
pub(crate) async fn form(State(app): State<App>, visitor: Visitor) -> Result<Response, PageError> {
    let entries = app.blocking(|parts| Ok(parts.vault.list(None, PAGE_RECORDS)?)).await?;
    let mut key = [0u8; 16];
    getrandom::fill(&mut key).map_err(|error| ApiError::internal(&error))?;
    Ok(show(&PublishPage {
        frame: Frame::new("publish", &visitor),
        idempotency_key: hex::encode(key),
        limit_mib: MAX_RECORD_BYTES >> 20,
        recent: entries.iter().map(Line::new).collect(),
    }))
}

/// `POST /publish`: the form without a script.
pub(crate) async fn send(
    State(app): State<App>,
    Extension(operator): Extension<Operator>,
    request: Request,
) -> Result<Response, PageError> {
    let form = read_form(request).await?;
    form.expect_fields(&["files", "addressee", "idempotency_key", "csrf"])?;
    if !Gate::same_site(&operator, form.text("csrf")) {
        return Err(ApiError::cross_site().into());
    }
    let (mut addressee, mut key) = (None, None);
    let uploads = read_fields(&form, &mut addressee, &mut key)?;
    let published = publish(&app, Order { uploads, addressee, key }).await?;
    // One has a page of its own; several stand at the top of the list.
    Ok(match published.records.as_slice() {
        [(record, _)] => Redirect::to(&format!("/publish/records/{record}")).into_response(),
        _ => Redirect::to("/publish").into_response(),
    })
}

/// `GET /publish/records/{record}`.
pub(crate) async fn record(
    State(app): State<App>,
    visitor: Visitor,
    Path(record): Path<String>,
) -> Result<Response, PageError> {
    let entry = entry(&app, read_hash("record", &record)?).await?;
    let status = of_entry(&app, &entry).await?;
    let mut frame = Frame::new("publish", &visitor);
    frame.refresh = (!matches!(status.tx.state, Stage::Final | Stage::Void)).then_some(2);
    let has_receipt = matches!(status.tx.state, Stage::InBlock | Stage::Final);
    let (stage, steps) = (status.tx.state.name(), steps(&status.tx));
    Ok(show(&RecordPage { frame, stage, steps, line: Line::new(&entry), has_receipt, status }))
}

impl Line {
    fn new(entry: &Entry) -> Self {
        Self {
            record: entry.record,
            label: short(&entry.record),
            media_type: entry.media_type.to_string(),
            length: entry.length,
            time: utc(entry.created_ms),
            is_final: entry.state == RecordState::Final,
        }
    }
}
