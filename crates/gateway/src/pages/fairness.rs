//! `/fairness`: how long transactions wait on each chain, as figures, with what the numbers mean.

use super::draw::{Histogram, Lines, WIDTH, span};
use super::explorer::titles;
use super::{Frame, PageError, Visitor, show};
use crate::api::network::Range;
use crate::app::App;
use crate::chain::ChainView;
use crate::clock::utc;
use crate::fairness::{Fairness, Group, Summary};
use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use blockhie_core::ChainKind;
use std::sync::Arc;

/// Numbers of blocks that the page offers.
const CHOICES: [u32; 4] = [32, 128, 256, 512];

/// A line of figures.
struct Row {
    name: &'static str,
    count: u64,
    /// p50, p90, p99 and the longest.
    waits: [String; 4],
    jain: String,
}

/// A group of blocks.
struct GroupRow {
    blocks: String,
    time: String,
    /// The time of day of it.
    clock: String,
    row: Row,
}

struct Panel {
    slug: &'static str,
    title: &'static str,
    /// Why there is nothing to show, if there is not.
    away: Option<String>,
    shown: Option<Shown>,
}

struct Shown {
    from: u64,
    to: u64,
    measured: usize,
    claimed: usize,
    pending: u64,
    rows: Vec<Row>,
    histogram: Histogram,
    over_time: Lines,
    /// Whether the figure over time and the groups go by claimed times, as nothing was measured.
    by_claims: bool,
    groups: Vec<GroupRow>,
}

#[derive(Template)]
#[template(path = "fairness.html")]
struct FairnessPage {
    frame: Frame,
    count: u32,
    choices: [u32; CHOICES.len()],
    width: u32,
    panels: Vec<Panel>,
}

/// `GET /fairness?blocks=N`.
pub(crate) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    range: Result<Query<Range>, QueryRejection>,
) -> Result<Response, PageError> {
    let count = Range::count(range)?;
    let mut frame = Frame::new("fairness", &visitor);
    frame.refresh = Some(10);
    let panels =
        vec![panel(ChainKind::Emr, Some(&app.emr), count).await, panel(ChainKind::Phd, app.phd.as_ref(), count).await];
    Ok(show(&FairnessPage { frame, count, choices: CHOICES, width: WIDTH, panels }))
}

async fn panel(kind: ChainKind, chain: Option<&Arc<ChainView>>, count: u32) -> Panel {
    let panel = |away, shown| Panel { slug: kind.name(), title: titles(kind).0, away, shown };
    let Some(chain) = chain else {
        return panel(Some("This gateway has no PHD-Chain: its operator starts it with --phd URL.".into()), None);
    };
    match chain.waits().await {
        Ok(waits) => {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            panel(None, Some(Shown::new(&Fairness::new(chain.slug(), &waits, count))))
        }
        Err(error) => panel(Some(error.to_string()), None),
    }
}

impl Row {
    fn new(name: &'static str, summary: &Summary) -> Self {
        let waits = [summary.p50_ms, summary.p90_ms, summary.p99_ms, summary.max_ms].map(span);
        let some = summary.count > 0;
        let waits = if some { waits } else { waits.map(|_| "–".to_owned()) };
        let jain = if some { format!("{:.3}", summary.jain) } else { "–".into() };
        Self { name, count: u64::try_from(summary.count).unwrap_or(u64::MAX), waits, jain }
    }
}

impl Shown {
    fn new(fairness: &Fairness) -> Self {
        let (measured, claimed) = (&fairness.measured, &fairness.claimed);
        let pending = fairness.pending.count;
        let mut rows = vec![Row::new("measured", &measured.summary)];
        if claimed.summary.count > 0 {
            rows.push(Row::new("claimed by senders", &claimed.summary));
        }
        if pending > 0 {
            rows.push(Row::new("measured and still waiting, at least", &fairness.pending.with_measured_at_least));
        }
        let by_claims = measured.summary.count == 0 && claimed.summary.count > 0;
        let of = |group: &Group| if by_claims { group.claimed.clone() } else { group.measured.clone() };
        let line = |get: fn(&Summary) -> u64| {
            let value =
                |group: &Group| Some(of(group)).filter(|summary| summary.count > 0).map(|summary| get(&summary));
            fairness.groups.iter().map(value).collect::<Vec<_>>()
        };
        let lines = [line(|summary| summary.p50_ms), line(|summary| summary.p99_ms)];
        let ends = [fairness.from_height, fairness.to_height].map(|height| format!("block {height}"));
        let group = |group: &Group| GroupRow {
            blocks: match group.to_height {
                last if last == group.from_height => last.to_string(),
                last => format!("{} to {last}", group.from_height),
            },
            time: utc(group.time_ms),
            clock: utc(group.time_ms).split(' ').next_back().unwrap_or_default().to_owned(),
            row: Row::new("", &of(group)),
        };
        Self {
            from: fairness.from_height,
            to: fairness.to_height,
            measured: measured.summary.count,
            claimed: claimed.summary.count,
            pending,
            rows,
            histogram: Histogram::new(&fairness.bounds_ms, &measured.histogram, &claimed.histogram),
            over_time: Lines::new(&lines, ends),
            by_claims,
            groups: fairness.groups.iter().rev().map(group).collect(),
        }
    }
}
