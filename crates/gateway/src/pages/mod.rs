//! Pages: plain HTML that works without a script, and gets livelier with one.
//!
//! Templates escape every value. Chains are drawn as a list of panels, so that another chain is one more panel.

pub(crate) mod assets;
pub(crate) mod block;
mod chart;
pub(crate) mod devices;
mod draw;
pub(crate) mod explorer;
pub(crate) mod fairness;
pub(crate) mod links;
pub(crate) mod login;
pub(crate) mod network;
pub(crate) mod publish;
pub(crate) mod search;
pub(crate) mod verify;
mod way;

use crate::access::Operator;
use crate::error::ApiError;
use askama::Template;
use axum::extract::Extension;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

/// The operator, where a request came from one.
pub(crate) type Visitor = Option<Extension<Operator>>;

/// The menu: name, path, title.
pub(crate) const MENU: [(&str, &str, &str); 7] = [
    ("explorer", "/", "Explorer"),
    ("publish", "/publish", "Publish"),
    ("devices", "/devices", "Devices"),
    ("links", "/links", "Links"),
    ("verify", "/verify", "Verify"),
    ("network", "/network", "Network"),
    ("fairness", "/fairness", "Fairness"),
];

/// What every page's frame needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frame {
    /// The entry of the menu that is this page.
    pub(crate) here: &'static str,
    /// The page token of the visitor's session.
    pub(crate) csrf: Option<String>,
    /// Seconds until a page without a script loads itself again.
    pub(crate) refresh: Option<u8>,
}

impl Frame {
    pub(crate) fn new(here: &'static str, visitor: &Visitor) -> Self {
        let csrf = visitor.as_ref().and_then(|Extension(operator)| operator.csrf.clone());
        Self { here, csrf, refresh: None }
    }

    /// Whether this page is that entry of the menu.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.here == name
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    code: u16,
    title: &'static str,
    message: String,
}

/// An error that is shown as a page.
#[derive(Debug)]
pub(crate) struct PageError(ApiError);

impl From<ApiError> for PageError {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<crate::chain::ChainError> for PageError {
    fn from(error: crate::chain::ChainError) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        error(&self.0)
    }
}

/// The page of an error.
pub(crate) fn error(error: &ApiError) -> Response {
    let title = match error.status() {
        StatusCode::NOT_FOUND => "Not here",
        StatusCode::SERVICE_UNAVAILABLE => "Not at the moment",
        StatusCode::INTERNAL_SERVER_ERROR => "Something broke",
        StatusCode::FORBIDDEN => "Not from that page",
        _ => "That does not work",
    };
    let page = ErrorPage {
        frame: Frame::default(),
        code: error.status().as_u16(),
        title,
        message: error.message().to_owned(),
    };
    (error.status(), show(&page)).into_response()
}

/// Renders.
pub(crate) fn show(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => ApiError::internal(&error).into_response(),
    }
}

/// The ends of a long hash, for a very narrow column.
pub(crate) fn tiny(hash: &impl ToString) -> String {
    let text = hash.to_string();
    match (text.get(..6), text.get(text.len().saturating_sub(4)..)) {
        (Some(head), Some(tail)) if text.len() > 12 => format!("{head}…{tail}"),
        _ => text,
    }
}

/// The ends of a long hash, for a narrow column. Hashes are ASCII.
pub(crate) fn short(hash: &impl ToString) -> String {
    let text = hash.to_string();
    match (text.get(..8), text.get(text.len().saturating_sub(6)..)) {
        (Some(head), Some(tail)) if text.len() > 16 => format!("{head}…{tail}"),
        _ => text,
    }
}
