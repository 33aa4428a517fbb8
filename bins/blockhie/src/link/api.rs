//! What `blockhie link create` asks a gateway.

use crate::http::{Access, Client, GatewayError, MAX_STATUS_BYTES};
use crate::status::{State, Status};
use blockhie_core::limits::MAX_RECEIPT_BYTES;
use blockhie_core::{ChainId, ChainKind, Hash32, PublicKey, Signature};
use blockhie_coupling::Seed;
use serde::{Deserialize, Serialize};

/// A link handed in.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    pub(super) seed: &'a Seed,
    pub(super) record: Hash32,
    pub(super) device: PublicKey,
    pub(super) audience: PublicKey,
    pub(super) expiry_ms: u64,
    pub(super) owner_signature: Signature,
    /// `None`: the record has no addressee, so its institution signs.
    pub(super) holder_signature: Option<Signature>,
}

#[derive(Deserialize)]
struct Taken {
    link: Hash32,
}

/// Where a link stands.
#[derive(Debug, Deserialize)]
pub(super) struct LinkView {
    pub(super) legs: Vec<LegView>,
}

/// Where one half stands.
#[derive(Debug, Deserialize)]
pub(super) struct LegView {
    pub(super) chain: ChainKind,
    pub(super) not_before_ms: Option<u64>,
    #[serde(flatten)]
    pub(super) status: Status,
}

impl LinkView {
    /// Whether both halves are as far as they go.
    pub(super) fn is_settled(&self) -> bool {
        let settled = |kind| self.legs.iter().any(|leg| leg.chain == kind && leg.status.is_settled());
        settled(ChainKind::Emr) && settled(ChainKind::Phd)
    }

    /// A half that will never be final, and why.
    pub(super) fn void(&self) -> Option<(&'static str, &str)> {
        let leg = self.legs.iter().find(|leg| leg.status.state == State::Void)?;
        Some((leg.chain.name(), leg.status.reason.as_deref().unwrap_or("no reason given")))
    }
}

#[derive(Deserialize)]
struct TipView {
    chain_id: ChainId,
}

pub(super) struct Api<'a> {
    pub(super) client: Client,
    /// By what right links are asked for.
    pub(super) access: Access<'a>,
}

impl Api<'_> {
    /// The chain of this kind behind the gateway.
    pub(super) fn chain(&self, kind: ChainKind) -> Result<ChainId, GatewayError> {
        let path = format!("/api/v1/chains/{}/tip", kind.name());
        let tip: TipView = self.client.json(&path, Access::Public, MAX_STATUS_BYTES)?;
        Ok(tip.chain_id)
    }

    /// Hands a link in; the same one again changes nothing.
    pub(super) fn hand_in(&self, body: &Body<'_>) -> Result<(), GatewayError> {
        let text = serde_json::to_vec(body).expect("texts and numbers have a JSON form");
        let taken: Taken = self.client.post_json("/api/v1/links", self.access, &text, MAX_STATUS_BYTES)?;
        let expected = body.seed.link_id();
        if taken.link == expected {
            return Ok(());
        }
        Err(self.client.bad_answer(format!("link: expected {expected}, got {}", taken.link)))
    }

    /// Where a link stands.
    pub(super) fn link(&self, link: &Hash32) -> Result<LinkView, GatewayError> {
        self.client.json(&format!("/api/v1/links/{link}"), self.access, MAX_STATUS_BYTES)
    }

    /// The text of a link's `opening`, or of one of its receipts.
    pub(super) fn text(&self, link: &Hash32, what: &str) -> Result<String, GatewayError> {
        self.client.text(&format!("/api/v1/links/{link}/{what}"), self.access, MAX_RECEIPT_BYTES as u64)
    }
}
