//! `/network`: the tip of each chain, its members, and the peers of this gateway's nodes.

use super::explorer::titles;
use super::{Frame, Visitor, show};
use crate::api::network::PeerView;
use crate::app::App;
use crate::chain::ChainView;
use crate::clock::utc;
use crate::view::{MemberView, TipView};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use blockhie_core::ChainKind;
use std::sync::Arc;

struct Member {
    view: MemberView,
    /// Blocks between its newest and the tip.
    behind: Option<u64>,
}

struct Peer {
    view: PeerView,
    direction: &'static str,
    /// How it stands to the tip of this gateway's node.
    chain: String,
    state: (&'static str, String),
}

struct Panel {
    slug: &'static str,
    title: &'static str,
    missing: bool,
    away: Option<String>,
    tip: Option<TipView>,
    tip_time: String,
    members: Vec<Member>,
    /// `None`: the node does not tell.
    peers: Option<Vec<Peer>>,
}

#[derive(Template)]
#[template(path = "network.html")]
struct NetworkPage {
    frame: Frame,
    panels: Vec<Panel>,
}

/// `GET /network`.
pub(crate) async fn page(State(app): State<App>, visitor: Visitor) -> Response {
    let mut frame = Frame::new("network", &visitor);
    frame.refresh = Some(5);
    let panels = vec![panel(ChainKind::Emr, Some(&app.emr)).await, panel(ChainKind::Phd, app.phd.as_ref()).await];
    show(&NetworkPage { frame, panels })
}

async fn panel(kind: ChainKind, chain: Option<&Arc<ChainView>>) -> Panel {
    let mut panel = Panel {
        slug: kind.name(),
        title: titles(kind).0,
        missing: chain.is_none(),
        away: None,
        tip: None,
        tip_time: String::new(),
        members: vec![],
        peers: None,
    };
    let Some(chain) = chain else { return panel };
    let feed = chain.feed().borrow().clone();
    panel.away = feed.away;
    let (Ok(known), Some(tip)) = (chain.known(), &feed.tip) else { return panel };
    let view = TipView::new(chain.slug(), &known, tip);
    panel.tip_time = utc(view.time_ms);
    let behind = |member: &MemberView| member.height.map(|height| view.height.saturating_sub(height));
    panel.members = view.members.iter().map(|view| Member { behind: behind(view), view: view.clone() }).collect();
    if let Ok(peers) = chain.peers().await {
        panel.peers = Some(peers.iter().map(|peer| Peer::new(PeerView::from(peer), view.height)).collect());
    }
    panel.tip = Some(view);
    panel
}

impl Peer {
    fn new(view: PeerView, tip: u64) -> Self {
        let direction = match view.direction {
            "both" => "both ways",
            "out" => "this node reaches it",
            "in" => "it reaches this node",
            _ => "no contact",
        };
        let chain = match view.height {
            None => "has not said".into(),
            Some(height) if height == tip => format!("{height}, as here"),
            Some(height) if height < tip => format!("{height}, {} behind", tip - height),
            Some(height) => format!("{height}, {} ahead", height - tip),
        };
        let left = view.left_alone_ms.map(super::draw::span);
        let state = match (view.banned, left, view.direction) {
            (true, Some(left), _) => ("bad", format!("banned for {left}")),
            (true, None, _) => ("bad", "banned".into()),
            (_, Some(left), _) => ("wait", format!("left alone for {left}")),
            (_, None, "none") => ("wait", "not reached".into()),
            _ => ("good", "up".into()),
        };
        Self { view, direction, chain, state }
    }
}
