//! Where a transaction stands, as a gateway says it.

use blockhie_core::{BlockHash, TxHash};
use serde::Deserialize;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// At the gateway. Half a link that is not due yet waits there.
    #[serde(alias = "waiting")]
    Queued,
    /// At a node.
    Submitted,
    /// In a block.
    InBlock,
    /// A quorum of members has built on it.
    Final,
    /// Committed without effect.
    Void,
    /// The node does not know it (yet).
    Unknown,
}

/// A transaction's status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Status {
    pub(crate) txhash: Option<TxHash>,
    pub(crate) state: State,
    pub(crate) height: Option<u64>,
    pub(crate) block: Option<BlockHash>,
    pub(crate) members: Option<u32>,
    pub(crate) quorum: Option<u32>,
    pub(crate) reason: Option<String>,
}

impl State {
    /// As the gateway writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Submitted => "submitted",
            Self::InBlock => "in_block",
            Self::Final => "final",
            Self::Void => "void",
            Self::Unknown => "unknown",
        }
    }
}

impl Status {
    /// Whether it is as far as it goes: on an open chain (quorum 0) nothing is ever final.
    pub(crate) fn is_settled(&self) -> bool {
        self.state == State::Final || (self.state == State::InBlock && self.quorum == Some(0))
    }

    /// For a person.
    pub(crate) fn told(&self) -> String {
        let height = self.height.map_or_else(String::new, |height| format!(" {height}"));
        let reason = self.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        match self.state {
            State::Queued => format!("queued at the gateway{reason}"),
            State::Submitted => "submitted".into(),
            State::InBlock if self.quorum == Some(0) => format!("in block{height} of an open chain"),
            State::InBlock => match (self.members, self.quorum) {
                (Some(members), Some(quorum)) => format!("in block{height}, {members} of {quorum} members"),
                _ => format!("in block{height}"),
            },
            State::Final => "final".into(),
            State::Void => format!("void{reason}"),
            State::Unknown => format!("not known to the node at the moment{reason}"),
        }
    }
}
