//! `/api/v1/chains/{emr|phd}/waits` and `…/peers`: how long transactions wait, and whom the node knows.

use crate::api::read_chain;
use crate::app::App;
use crate::error::ApiError;
use crate::fairness::Fairness;
use crate::limits::WAIT_BLOCKS;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use blockhie_transport::PeerInfo;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// How many blocks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Range {
    blocks: Option<u32>,
}

impl Range {
    /// The number asked for, [`WAIT_BLOCKS`] if none is, within its bounds.
    pub(crate) fn count(range: Result<Query<Self>, QueryRejection>) -> Result<u32, ApiError> {
        let Query(Self { blocks }) = range.map_err(|error| ApiError::invalid(error.body_text()))?;
        let (count, most) = (blocks.unwrap_or(WAIT_BLOCKS), blockhie_transport::limits::MAX_WAIT_BLOCKS);
        if !(1..=most).contains(&count) {
            return Err(ApiError::invalid(format!("blocks: expected 1 to {most}, got {count}")));
        }
        Ok(count)
    }
}

/// `GET /api/v1/chains/{chain}/waits?blocks=N`.
pub(crate) async fn waits(
    State(app): State<App>,
    Path(chain): Path<String>,
    range: Result<Query<Range>, QueryRejection>,
) -> Result<Json<Fairness>, ApiError> {
    let count = Range::count(range)?;
    let chain = app.chain(read_chain(&chain)?)?;
    let waits = chain.waits().await?;
    Ok(Json(Fairness::new(chain.slug(), &waits, usize::try_from(count).unwrap_or(usize::MAX))))
}

/// A peer of the gateway's node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PeerView {
    pub(crate) address: SocketAddr,
    /// `both`, `out` (the node reaches it), `in` (it reached the node in the last minutes) or `none`.
    pub(crate) direction: &'static str,
    /// Whether the node's operator named it.
    pub(crate) named: bool,
    /// Height of its chain as it says itself; absent before it said anything.
    pub(crate) height: Option<u64>,
    /// Work of its chain as it says itself, decimal.
    pub(crate) work: Option<String>,
    /// Points for misbehaviour; at 100 it is banned.
    pub(crate) score: u32,
    pub(crate) banned: bool,
    /// For how long the node leaves it alone, if it does.
    pub(crate) left_alone_ms: Option<u64>,
}

impl From<&PeerInfo> for PeerView {
    fn from(peer: &PeerInfo) -> Self {
        let direction = match (peer.connected, peer.incoming) {
            (true, true) => "both",
            (true, false) => "out",
            (false, true) => "in",
            (false, false) => "none",
        };
        Self {
            address: peer.address,
            direction,
            named: peer.named,
            height: peer.work.map(|_| peer.height),
            work: peer.work.map(|work| work.to_string()),
            score: peer.score,
            banned: peer.banned,
            left_alone_ms: peer.left_alone.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Peers {
    chain: &'static str,
    peers: Vec<PeerView>,
}

/// `GET /api/v1/chains/{chain}/peers`.
pub(crate) async fn peers(State(app): State<App>, Path(chain): Path<String>) -> Result<Json<Peers>, ApiError> {
    let chain = app.chain(read_chain(&chain)?)?;
    let peers = chain.peers().await?.iter().map(PeerView::from).collect();
    Ok(Json(Peers { chain: chain.slug(), peers }))
}
