//! Styles and scripts, part of the binary.

use crate::error::ApiError;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};

const ASSETS: [(&str, &str, &str); 5] = [
    ("style.css", "text/css; charset=utf-8", include_str!("../../assets/style.css")),
    ("explorer.js", "text/javascript; charset=utf-8", include_str!("../../assets/explorer.js")),
    ("live.js", "text/javascript; charset=utf-8", include_str!("../../assets/live.js")),
    ("publish.js", "text/javascript; charset=utf-8", include_str!("../../assets/publish.js")),
    ("icon.svg", "image/svg+xml", include_str!("../../assets/icon.svg")),
];

/// `GET /assets/{name}`.
pub(crate) async fn asset(Path(name): Path<String>) -> Result<Response, ApiError> {
    let asset = ASSETS.iter().find(|(known, ..)| *known == name);
    let (_, media_type, text) = asset.ok_or_else(|| ApiError::not_found("there is no such page or route"))?;
    let headers = [(header::CONTENT_TYPE, *media_type), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, *text).into_response())
}
