//! `/login` and `/logout`.

use super::{Frame, PageError, Visitor, show};
use crate::access::{COOKIE, Gate};
use crate::app::App;
use crate::error::ApiError;
use crate::limits::SESSION_TIME;
use askama::Template;
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use std::time::Instant;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    wrong: bool,
}

/// The form's field.
#[derive(Deserialize)]
pub(crate) struct Entry {
    token: String,
}

/// The form's field.
#[derive(Deserialize)]
pub(crate) struct Exit {
    csrf: String,
}

/// `GET /login`.
pub(crate) async fn form(visitor: Visitor) -> Response {
    if visitor.is_some() {
        return Redirect::to("/publish").into_response();
    }
    show(&LoginPage { frame: Frame::new("publish", &visitor), wrong: false })
}

/// `POST /login`.
pub(crate) async fn enter(
    State(app): State<App>,
    headers: HeaderMap,
    entry: Result<Form<Entry>, FormRejection>,
) -> Result<Response, PageError> {
    let Form(Entry { token }) = entry.map_err(|_| ApiError::invalid("login: expected a form with the field token"))?;
    if !app.gate.is_token(token.trim()) {
        let page = show(&LoginPage { frame: Frame::new("publish", &None), wrong: true });
        return Ok((StatusCode::UNAUTHORIZED, page).into_response());
    }
    let cookie = app.gate.begin(Instant::now()).map_err(|error| ApiError::internal(&error))?;
    Ok(with_cookie(&headers, &cookie, SESSION_TIME.as_secs(), Redirect::to("/publish").into_response()))
}

/// `POST /logout`.
pub(crate) async fn leave(
    State(app): State<App>,
    Extension(operator): Extension<crate::access::Operator>,
    headers: HeaderMap,
    exit: Result<Form<Exit>, FormRejection>,
) -> Result<Response, PageError> {
    let given = exit.ok().map(|Form(Exit { csrf })| csrf);
    if !Gate::same_site(&operator, given.as_deref()) {
        return Err(ApiError::cross_site().into());
    }
    app.gate.end(&headers);
    Ok(with_cookie(&headers, "", 0, Redirect::to("/").into_response()))
}

/// Not readable by scripts, not sent from other sites' pages, and only over TLS where a proxy says there is TLS.
fn with_cookie(headers: &HeaderMap, value: &str, seconds: u64, mut response: Response) -> Response {
    let tls = headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes() == b"https");
    let secure = if tls { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    let cookie = HeaderValue::from_str(&cookie).expect("hex digits and attributes are ASCII");
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}
