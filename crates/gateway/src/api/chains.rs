//! `/api/v1/chains/{emr|phd}/…`, `/api/v1/events` and `/api/v1/verify`: what anybody may ask.

use crate::api::read_chain;
use crate::app::App;
use crate::chain::{Feed, stopped};
use crate::error::ApiError;
use crate::form::read_form;
use crate::limits::MAX_BLOCKS;
use crate::verify::{Report, verify};
use crate::view::{BlockRow, TipEvent, TipView};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::Arc;
use tokio_stream::wrappers::WatchStream;

/// Blocks of an answer where no limit is given.
const DEFAULT_BLOCKS: u32 = 32;

/// `GET /api/v1/chains/{chain}/tip`.
pub(crate) async fn tip(State(app): State<App>, Path(chain): Path<String>) -> Result<Json<TipView>, ApiError> {
    let chain = app.chain(read_chain(&chain)?)?;
    let tip = chain.tip().await?;
    Ok(Json(TipView::new(chain.slug(), &*chain.known()?, &tip)))
}

/// Which blocks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Range {
    from: Option<u64>,
    limit: Option<u32>,
}

#[derive(Serialize)]
pub(crate) struct Blocks {
    blocks: Vec<BlockRow>,
}

/// `GET /api/v1/chains/{chain}/blocks?from&limit`: ascending from a height on; without one the newest.
pub(crate) async fn blocks(
    State(app): State<App>,
    Path(chain): Path<String>,
    range: Result<Query<Range>, QueryRejection>,
) -> Result<Json<Blocks>, ApiError> {
    let Query(Range { from, limit }) = range.map_err(|error| ApiError::invalid(error.body_text()))?;
    let chain = app.chain(read_chain(&chain)?)?;
    let limit = limit.unwrap_or(DEFAULT_BLOCKS);
    if !(1..=MAX_BLOCKS).contains(&limit) {
        return Err(ApiError::invalid(format!("limit: expected 1 to {MAX_BLOCKS}, got {limit}")));
    }
    let from = match from {
        Some(from) => from,
        None => chain.tip().await?.height.saturating_sub(u64::from(limit) - 1),
    };
    Ok(Json(Blocks { blocks: chain.rows(from, limit).await? }))
}

/// `GET /api/v1/events`: a `tip` event of each chain at once and at each change.
pub(crate) async fn events(State(app): State<App>) -> Result<Response, ApiError> {
    let full = |_| ApiError::unavailable("too many event streams are open");
    let place = Arc::clone(&app.streams).try_acquire_owned().map_err(full)?;
    let mut stop = app.stop.clone();
    let tips = app.chains().map(|chain| {
        let slug = chain.slug();
        let event = move |feed: Feed| {
            let event = TipEvent::new(slug, &feed)?;
            Event::default().event("tip").json_data(event).ok().map(Ok::<_, Infallible>)
        };
        WatchStream::new(chain.feed()).filter_map(move |feed| futures::future::ready(event(feed)))
    });
    let events = futures::stream::select_all(tips).inspect(move |_| {
        let _held = &place;
    });
    let events = events.take_until(async move { stopped(&mut stop).await });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// `POST /api/v1/verify`.
pub(crate) async fn check(State(app): State<App>, request: Request) -> Result<Json<Report>, ApiError> {
    let form = read_form(request).await?;
    let work = app.clone();
    // Up to a thousand signatures: not on a thread that others wait for.
    Ok(Json(app.blocking(move |_| verify(&work, &form)).await?))
}
