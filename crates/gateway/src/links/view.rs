//! Links in the form in which the API answers them and the pages show them.

use super::{LinkError, LinkRow};
use crate::app::App;
use crate::error::ApiError;
use crate::txview::{Kept, State, TxView, look};
use blockhie_core::{ChainKind, Hash32, PublicKey};
use blockhie_coupling::outbox::{Leg, LegState};
use serde::Serialize;

/// How far a link has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LinkState {
    /// No half is final.
    Waiting,
    /// One is.
    Half,
    /// Both are.
    Final,
}

/// A half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LegView {
    /// `emr` or `phd`.
    pub(crate) chain: &'static str,
    /// It is not sent before this moment, ms since the epoch.
    pub(crate) not_before_ms: u64,
    /// Its transaction.
    #[serde(flatten)]
    pub(crate) tx: TxView,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LinkView {
    /// Its name.
    pub(crate) link: Hash32,
    /// The record's commitment.
    pub(crate) record: Hash32,
    /// The device.
    pub(crate) device: PublicKey,
    /// Whom it is told.
    pub(crate) audience: PublicKey,
    /// Last moment it holds, ms since the epoch.
    pub(crate) expiry_ms: u64,
    /// How far it has come.
    pub(crate) state: LinkState,
    /// Both halves.
    pub(crate) legs: Vec<LegView>,
}

/// Where a link stands.
pub(crate) async fn link(app: &App, link: Hash32, row: &LinkRow) -> Result<LinkView, ApiError> {
    let mut legs = Vec::with_capacity(2);
    for kind in [ChainKind::Emr, ChainKind::Phd] {
        let leg = leg(app, link, kind).await?;
        let tx = state_of(app, kind, &leg).await?;
        legs.push(LegView { chain: kind.name(), not_before_ms: leg.not_before_ms, tx });
    }
    let state = match legs.iter().filter(|leg| leg.tx.state == State::Final).count() {
        0 => LinkState::Waiting,
        1 => LinkState::Half,
        _ => LinkState::Final,
    };
    let (audience, expiry_ms) = (row.audience, row.opening.expiry_ms);
    Ok(LinkView { link, record: row.record, device: row.device, audience, expiry_ms, state, legs })
}

/// A half of a link that is here.
async fn leg(app: &App, link: Hash32, kind: ChainKind) -> Result<Leg, ApiError> {
    let outbox = std::sync::Arc::clone(app.outbox()?);
    let entry = app.blocking(move |_| Ok(outbox.get(&link)?)).await?;
    // Kept and not in the outbox yet: it will be in a moment.
    let missing = || ApiError::unavailable(LinkError::Missing { link }.to_string());
    Ok(entry.ok_or_else(missing)?.leg(kind).clone())
}

async fn state_of(app: &App, kind: ChainKind, leg: &Leg) -> Result<TxView, ApiError> {
    let chain = app.chain(kind)?;
    match &leg.state {
        LegState::Waiting => Ok(TxView::new(leg.txhash, State::Queued)),
        LegState::Submitted => {
            let word = Some(crate::index::ACCEPTED.to_vec());
            Ok(look(chain, leg.txhash, &Kept { word, settled: false, receipt: None }).await)
        }
        LegState::Final { receipt } => {
            let shown = chain.known().ok().and_then(|known| TxView::of_receipt(&known, leg.txhash, receipt));
            Ok(shown.unwrap_or_else(|| TxView::new(leg.txhash, State::Final)))
        }
    }
}

/// The receipt of a half: kept, or from the node as soon as there is a block.
pub(crate) async fn receipt(app: &App, link: Hash32, kind: ChainKind) -> Result<String, ApiError> {
    let leg = leg(app, link, kind).await?;
    if let Some(text) = leg.receipt() {
        return Ok(text.to_owned());
    }
    let view = state_of(app, kind, &leg).await?;
    if !matches!(view.state, State::InBlock | State::Final) {
        let name = view.state.name();
        return Err(ApiError::not_yet(format!("receipt: expected a committed transaction, got one {name}"), &view));
    }
    Ok(app.chain(kind)?.receipt(leg.txhash).await?)
}
