//! What runs the gateway, not its users, asks for.

use crate::api::OPENAPI;
use crate::app::App;
use crate::error::ApiError;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// `GET /healthz`: the process answers.
pub(crate) async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /readyz`: the node is there, on the right chain; else 503 with the reason.
pub(crate) async fn readyz(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let feed = app.emr.feed();
    let feed = feed.borrow().clone();
    match (feed.away, feed.tip) {
        (None, Some(tip)) => Ok(Json(json!({"status": "ready", "emr": {"height": tip.height}}))),
        (away, _) => {
            let reason = away.unwrap_or_else(|| "connecting".into());
            Err(ApiError::unavailable(format!("emr: {reason}")))
        }
    }
}

/// `GET /metrics`, in Prometheus's text form.
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render()).into_response()
}

/// `GET /openapi.json`.
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}
