//! Why nothing advances: one state of the node's catching up, for a metric, a log line and whoever asks.

use crate::clock::ClockFault;
use crate::engine::Engine;
use crate::event::PeerId;
use crate::limits::REFUSAL_MS;
use crate::peers::Peer;
use std::fmt;

/// A chain that was not taken.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    reason: String,
    at_ms: u64,
}

/// What this node waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncState {
    /// Nothing: no peer shows more than there is here.
    Synced,
    /// A peer.
    NoPeers,
    /// To know where a peer's chain leaves ours.
    Locating {
        /// The peer.
        peer: PeerId,
    },
    /// Headers of a peer.
    Headers {
        /// The peer.
        peer: PeerId,
        /// Height up to which there are some.
        height: u64,
    },
    /// A block, along headers that were checked.
    Bodies {
        /// Its height.
        height: u64,
        /// Height up to which there are headers.
        end: u64,
        /// How many peers are asked for blocks at this moment.
        peers: usize,
    },
    /// A block by its height, over the frozen contract.
    Blocks {
        /// Its height.
        height: u64,
        /// The peer whose chain it is.
        peer: PeerId,
    },
    /// A peer that is slow or does not serve; it is avoided, and others are asked where there are any.
    Stalled {
        /// The peer.
        peer: PeerId,
    },
    /// Another chain: the one that was shown does not hold.
    Refused {
        /// Why not.
        reason: String,
    },
    /// An operator: this node's clock is off. It follows and does not mine.
    Clock(ClockFault),
    /// An operator: a final block was abandoned. This node follows and does not mine.
    Alarm {
        /// Its height.
        height: u64,
    },
}

impl SyncState {
    /// All values of [`SyncState::reason`], for a metric that shows each of them.
    pub const REASONS: [&'static str; 10] =
        ["synced", "no_peers", "locating", "headers", "bodies", "blocks", "stalled", "refused", "clock", "alarm"];

    /// One word, without what changes from block to block.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::NoPeers => "no_peers",
            Self::Locating { .. } => "locating",
            Self::Headers { .. } => "headers",
            Self::Bodies { .. } => "bodies",
            Self::Blocks { .. } => "blocks",
            Self::Stalled { .. } => "stalled",
            Self::Refused { .. } => "refused",
            Self::Clock(_) => "clock",
            Self::Alarm { .. } => "alarm",
        }
    }
}

impl fmt::Display for SyncState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Synced => write!(f, "synced: no peer shows more"),
            Self::NoPeers => write!(f, "no peers"),
            Self::Locating { peer } => write!(f, "locating where the chain of {peer} leaves ours"),
            Self::Headers { peer, height } => write!(f, "waiting for headers of {peer} above height {height}"),
            Self::Bodies { height, end, peers } => {
                write!(f, "waiting for block {height} of {end} from {peers} peers")
            }
            Self::Blocks { height, peer } => write!(f, "waiting for block {height} of the chain of {peer}, by height"),
            Self::Stalled { peer } => write!(f, "stalled: {peer} is slow or does not serve, and is avoided"),
            Self::Refused { reason } => write!(f, "refused a chain: {reason}"),
            Self::Clock(fault) => fault.fmt(f),
            Self::Alarm { height } => {
                write!(f, "alarm: the final block at height {height} was abandoned; not mining until an operator acts")
            }
        }
    }
}

impl Engine {
    /// What this node waits for.
    #[must_use]
    pub fn sync_state(&self) -> SyncState {
        let (now_ms, height) = (self.now.mono_ms, self.ledger.tip().height);
        // It is why blocks are refused, and what they are asked for in vain.
        if let Some(fault) = self.clock_fault() {
            return SyncState::Clock(fault);
        }
        if let Some(state) = self.headers_state().or_else(|| self.session_state()) {
            return state;
        }
        if let Some(height) = self.ledger.alarm() {
            return SyncState::Alarm { height };
        }
        if self.peers.is_empty() {
            return SyncState::NoPeers;
        }
        let ahead = |peer: &&Peer| peer.best_height > height;
        if self.peers.values().any(|peer| ahead(&peer)) {
            if let Some(refusal) = self.refusal.as_ref().filter(|refusal| now_ms < refusal.at_ms + REFUSAL_MS) {
                return SyncState::Refused { reason: refusal.reason.clone() };
            }
            let idle = |peer: &Peer| peer.is_avoided(now_ms) || !peer.is_awake(now_ms);
            let stalled = self.peers.iter().find(|(_, peer)| ahead(peer) && idle(peer));
            if let Some((peer, _)) = stalled {
                return SyncState::Stalled { peer: *peer };
            }
        }
        SyncState::Synced
    }

    fn headers_state(&self) -> Option<SyncState> {
        let sync = self.headers.as_ref()?;
        if let Some(peer) = sync.window.stalled {
            return Some(SyncState::Stalled { peer });
        }
        let peer = sync.leader;
        Some(match (sync.ahead.front(), sync.ahead.back()) {
            (Some(next), Some(end)) if sync.heavier => {
                let mut peers = sync.window.asked_peers();
                peers.sort_unstable();
                peers.dedup();
                SyncState::Bodies { height: next.height, end: end.height, peers: peers.len() }
            }
            (_, Some(end)) => SyncState::Headers { peer, height: end.height },
            _ if sync.is_located() => SyncState::Headers { peer, height: self.ledger.tip().height },
            _ => SyncState::Locating { peer },
        })
    }

    /// Blocks held ahead of their turn, and their bytes.
    #[must_use]
    pub fn held_blocks(&self) -> (usize, u64) {
        self.headers.as_ref().map_or((0, 0), |sync| sync.window.held())
    }

    /// Remembers why a chain was not taken.
    pub(crate) fn refused(&mut self, reason: String) {
        self.refusal = Some(Refusal { reason, at_ms: self.now.mono_ms });
    }
}
