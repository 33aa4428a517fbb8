//! `/`: the newest blocks of both chains, side by side.

use super::{Frame, PageError, Visitor, short, show};
use crate::app::App;
use crate::chain::ChainView;
use crate::clock::{iso, utc};
use crate::error::ApiError;
use crate::limits::PAGE_BLOCKS;
use crate::view::{BlockRow, TipView};
use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use blockhie_core::{ChainKind, Hash32};
use serde::Deserialize;
use std::sync::Arc;

/// A line of the table of blocks.
pub(crate) struct Line {
    row: BlockRow,
    date: String,
    time: String,
    time_iso: String,
    miner: String,
    is_final: bool,
}

/// A chain on the explorer: its state, and a page of its blocks.
pub(crate) struct Panel {
    slug: &'static str,
    title: &'static str,
    /// What the chain is for, in a few words.
    purpose: &'static str,
    /// Whether the gateway was started without this chain.
    missing: bool,
    tip: Option<TipView>,
    away: Option<String>,
    lines: Vec<Line>,
    /// Height to go on from, if there are older ones.
    older: Option<u64>,
    /// Whether these are the newest: only those are live.
    live: bool,
}

#[derive(Template)]
#[template(path = "explorer.html")]
struct ExplorerPage {
    frame: Frame,
    panels: Vec<Panel>,
}

/// Blocks up to these heights.
#[derive(Debug, Deserialize)]
pub(crate) struct Paging {
    emr: Option<u64>,
    phd: Option<u64>,
}

/// `GET /`.
pub(crate) async fn blocks(
    State(app): State<App>,
    visitor: Visitor,
    paging: Result<Query<Paging>, QueryRejection>,
) -> Result<Response, PageError> {
    let Query(Paging { emr, phd }) = paging.map_err(|error| ApiError::invalid(error.body_text()))?;
    let mut frame = Frame::new("explorer", &visitor);
    frame.refresh = (emr.is_none() && phd.is_none()).then_some(5);
    let panels =
        vec![panel(ChainKind::Emr, Some(&app.emr), emr).await?, panel(ChainKind::Phd, app.phd.as_ref(), phd).await?];
    Ok(show(&ExplorerPage { frame, panels }))
}

/// How a chain is called on pages, and what it is for.
pub(crate) fn titles(kind: ChainKind) -> (&'static str, &'static str) {
    match kind {
        ChainKind::Emr => ("EMR-Chain", "records of institutions"),
        ChainKind::Phd => ("PHD-Chain", "readings of personal devices"),
    }
}

async fn panel(kind: ChainKind, chain: Option<&Arc<ChainView>>, to: Option<u64>) -> Result<Panel, PageError> {
    let (title, purpose) = titles(kind);
    let mut panel = Panel {
        slug: kind.name(),
        title,
        purpose,
        missing: chain.is_none(),
        tip: None,
        away: None,
        lines: vec![],
        older: None,
        live: to.is_none(),
    };
    let Some(chain) = chain else { return Ok(panel) };
    let feed = chain.feed().borrow().clone();
    panel.away = feed.away;
    let (Ok(known), Some(tip)) = (chain.known(), &feed.tip) else { return Ok(panel) };
    let count = u64::try_from(PAGE_BLOCKS).unwrap_or(u64::MAX);
    let rows = match to.filter(|to| *to < tip.height) {
        None => feed.rows.iter().take(PAGE_BLOCKS).cloned().collect(),
        Some(to) => {
            let from = to.saturating_sub(count - 1);
            let wanted = u32::try_from(to - from + 1).unwrap_or(u32::MAX);
            let mut rows = chain.rows(from, wanted).await?;
            rows.reverse();
            rows
        }
    };
    panel.older = rows.last().map(|row| row.height).filter(|lowest| *lowest > 0).map(|lowest| lowest - 1);
    panel.lines = rows.into_iter().map(|row| Line::new(row, tip.final_height)).collect();
    panel.tip = Some(TipView::new(chain.slug(), &known, tip));
    Ok(panel)
}

impl Line {
    fn new(row: BlockRow, final_height: Option<u64>) -> Self {
        let miner = miner_label(&row.miner, row.miner_name.as_deref());
        let is_final = final_height.is_some_and(|height| row.height <= height);
        let text = utc(row.time_ms);
        let (date, time) = text.split_once(' ').unwrap_or(("", &text));
        Self { date: date.to_owned(), time: time.to_owned(), time_iso: iso(row.time_ms), miner, is_final, row }
    }
}

/// A name, the ends of a key, or what the genesis block has instead.
fn miner_label(miner: &Hash32, name: Option<&str>) -> String {
    match name {
        Some(name) => name.to_owned(),
        None if *miner == Hash32::ZERO => "genesis".into(),
        None => short(miner),
    }
}
