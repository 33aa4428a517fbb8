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

/// `GET /readyz`: the node of each chain is there, on the right chain; else 503 with the reason.
pub(crate) async fn readyz(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let mut answer = json!({"status": "ready"});
    for chain in app.chains() {
        let height = chain.ready().map_err(|reason| ApiError::unavailable(format!("{}: {reason}", chain.slug())))?;
        answer[chain.slug()] = json!({"height": height});
    }
    Ok(Json(answer))
}

/// `GET /metrics`, in Prometheus's text form.
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render()).into_response()
}

/// `GET /openapi.json`.
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}
