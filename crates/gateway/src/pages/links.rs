//! `/links` and `/links/{link}`: for the operator alone, because a link is what joins a record and a device.

use super::way::{Step, label, steps};
use super::{Frame, PageError, Visitor, short, show};
use crate::api::read_hash;
use crate::app::App;
use crate::clock::{now_ms, utc};
use crate::limits::PAGE_LINKS;
use crate::links::view::{self, LegView, LinkState, LinkView};
use crate::links::{LinkError, LinkRow};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use blockhie_core::{Hash32, PublicKey};

/// A link of the list.
struct Line {
    link: Hash32,
    label: String,
    record: Hash32,
    record_label: String,
    device: PublicKey,
    device_label: String,
    created: String,
    /// Class and words.
    holds: (&'static str, String),
}

#[derive(Template)]
#[template(path = "links.html")]
struct LinksPage {
    frame: Frame,
    is_operator: bool,
    missing: bool,
    lines: Vec<Line>,
    more: bool,
}

/// `GET /links`.
pub(crate) async fn list(State(app): State<App>, visitor: Visitor) -> Result<Response, PageError> {
    let (is_operator, missing) = (visitor.is_some(), app.phd.is_none());
    let mut rows = if is_operator && !missing {
        app.blocking(|parts| Ok(parts.links.list(PAGE_LINKS + 1)?)).await?
    } else {
        vec![]
    };
    let more = rows.len() > PAGE_LINKS;
    rows.truncate(PAGE_LINKS);
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.created_ms));
    let lines = rows.into_iter().map(|(link, row)| Line::new(link, &row)).collect();
    Ok(show(&LinksPage { frame: Frame::new("links", &visitor), is_operator, missing, lines, more }))
}

/// Whether a link still holds on this clock.
fn holds(expiry_ms: u64) -> (&'static str, String) {
    if now_ms() <= expiry_ms { ("good", format!("until {}", utc(expiry_ms))) } else { ("bad", "expired".into()) }
}

impl Line {
    fn new(link: Hash32, row: &LinkRow) -> Self {
        Self {
            link,
            label: short(&link),
            record: row.record,
            record_label: short(&row.record),
            device: row.device,
            device_label: short(&row.device),
            created: utc(row.created_ms),
            holds: holds(row.opening.expiry_ms),
        }
    }
}

/// One half.
struct Half {
    view: LegView,
    title: &'static str,
    steps: Vec<Step>,
    state: (&'static str, &'static str),
    /// The moment before which it is not sent, while that is ahead.
    waits_until: Option<String>,
    has_receipt: bool,
}

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage {
    frame: Frame,
    view: LinkView,
    owner: PublicKey,
    holder: PublicKey,
    holds: (&'static str, String),
    created: String,
    state: (&'static str, &'static str),
    halves: Vec<Half>,
    is_final: bool,
}

/// `GET /links/{link}`.
pub(crate) async fn one(
    State(app): State<App>,
    visitor: Visitor,
    Path(link): Path<String>,
) -> Result<Response, PageError> {
    app.outbox()?;
    let link = read_hash("link", &link)?;
    let row = app.blocking(move |parts| Ok(parts.links.row(&link)?)).await?;
    let mut view = view::link(&app, link, &row).await?;
    let state = match view.state {
        LinkState::Waiting => ("wait", "on its way"),
        LinkState::Half => ("wait", "one half is final"),
        LinkState::Final => ("good", "final"),
    };
    let halves = std::mem::take(&mut view.legs).into_iter().map(Half::new).collect();
    let (owner, holder) = (row.owner, row.holder);
    Ok(show(&LinkPage {
        frame: Frame::new("links", &visitor),
        holds: holds(view.expiry_ms),
        created: utc(row.created_ms),
        is_final: view.state == LinkState::Final,
        view,
        owner,
        holder,
        state,
        halves,
    }))
}

impl Half {
    fn new(view: LegView) -> Self {
        use crate::txview::State as Stage;
        let state = label(view.tx.state);
        let waits = view.tx.state == Stage::Queued && view.not_before_ms > now_ms();
        Self {
            title: if view.chain == "emr" { "EMR-Chain" } else { "PHD-Chain" },
            steps: steps(&view.tx),
            state,
            waits_until: waits.then(|| utc(view.not_before_ms)),
            has_receipt: matches!(view.tx.state, Stage::InBlock | Stage::Final),
            view,
        }
    }
}

/// Whether a link of this name is here.
pub(crate) async fn is_here(app: &App, link: Hash32) -> Result<bool, crate::error::ApiError> {
    app.blocking(move |parts| match parts.links.row(&link) {
        Ok(_) => Ok(true),
        Err(LinkError::Missing { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    })
    .await
}
