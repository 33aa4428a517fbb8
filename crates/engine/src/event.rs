//! What goes into the engine and what comes out.

use blockhie_core::{
    BlockHash, BlockQuery, ErrorClass, StoreError, Template, Tip, Transaction, TxHash, U256, UncheckedBlock,
    UncheckedHeader, Verified,
};
use std::net::SocketAddr;
use std::sync::Arc;

/// A peer is named by the address at which it listens.
pub type PeerId = SocketAddr;

/// The driver's name for a caller that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The time of an event, from the driver's clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic, ms from any origin: timeouts and intervals.
    pub mono_ms: u64,
    /// Wall clock, ms since the epoch: what blocks and transactions are measured by.
    pub wall_ms: u64,
}

/// What is asked of a peer (`BlockFrom`, `TransactionFrom`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    /// A block.
    Block(BlockQuery),
    /// A transaction.
    Tx(TxHash),
}

/// A question of `blockhie.v1.Peer`, asked of peers that speak it ([`Event::PeerSpeaks`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetch {
    /// Headers of the peer's best chain from above the first of these blocks that stands on it.
    Headers {
        /// From the newest down, at most 64.
        locator: Vec<BlockHash>,
        /// How many at most.
        limit: u32,
    },
    /// These blocks, whole.
    Blocks(Vec<BlockHash>),
}

/// The name of a [`Fetch`] under way; an answer to another one is of no interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub u64);

/// A block with the transactions of its own list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeBlock {
    /// The block; its hash is that of the header which came.
    pub block: UncheckedBlock,
    /// Its transactions, in any order. Their signatures were verified.
    pub transactions: Vec<Transaction<Verified>>,
}

/// The answer to a [`Fetch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// Ascending, at most as many as were asked for. `None`: none of the locator's blocks is on the peer's best chain.
    Headers(Option<Vec<UncheckedHeader>>),
    /// The blocks asked for, in order, `None` where the peer does not keep one. May be fewer than were asked for.
    Blocks(Vec<(BlockHash, Option<WholeBlock>)>),
}

/// Why a peer gave no answer. That it has no such thing is an answer ([`Event::GotBlock`] with `None`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskError {
    /// Not reached, or it did not answer.
    Unreachable(String),
    /// What it sent cannot be read, or a body does not verify: misbehaviour.
    Malformed(String),
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// Somebody submits a transaction; its signature was verified.
    Submit {
        /// To be answered.
        ticket: Ticket,
        /// The peer that relays it; `None`: a client.
        from: Option<PeerId>,
        /// The transaction.
        tx: Transaction<Verified>,
    },
    /// Somebody sends a block.
    Block {
        /// To be answered, if the caller waits.
        ticket: Option<Ticket>,
        /// The peer that sends it, if it is known by a listen address.
        from: Option<PeerId>,
        /// The block.
        block: UncheckedBlock,
    },
    /// This node's miner found a block for the last [`Action::Mine`].
    Mined {
        /// Sealed and signed.
        block: UncheckedBlock,
    },
    /// A connection to this peer stands, and Hello said the same chain.
    PeerUp {
        /// The peer.
        peer: PeerId,
    },
    /// It answers `blockhie.v1.Peer`; follows [`Event::PeerUp`]. Other peers are served over the frozen contract alone.
    PeerSpeaks {
        /// The peer.
        peer: PeerId,
    },
    /// The answer to an [`Action::Fetch`], or why there is none.
    Fetched {
        /// Who answers.
        peer: PeerId,
        /// What.
        id: FetchId,
        /// It has the form; headers are of this chain, signatures of transactions hold.
        result: Result<Fetched, AskError>,
    },
    /// A peer tells of a block by its header.
    Announced {
        /// Who.
        peer: PeerId,
        /// Of what.
        header: UncheckedHeader,
    },
    /// It is gone.
    PeerDown {
        /// The peer.
        peer: PeerId,
    },
    /// What a peer's Hello claims. Makes us ask sooner, and nothing else.
    PeerTip {
        /// The peer.
        peer: PeerId,
        /// Height of its tip.
        height: u64,
        /// Work of its chain.
        work: U256,
    },
    /// The answer to [`Request::Block`].
    GotBlock {
        /// Who answers.
        peer: PeerId,
        /// What was asked.
        query: BlockQuery,
        /// `None`: it has none such.
        block: Option<UncheckedBlock>,
    },
    /// The answer to [`Request::Tx`].
    GotTx {
        /// Who answers.
        peer: PeerId,
        /// What was asked.
        hash: TxHash,
        /// Its signature was verified. `None`: it has none such.
        tx: Option<Transaction<Verified>>,
    },
    /// No answer to a request.
    AskFailed {
        /// Who was asked.
        peer: PeerId,
        /// What.
        request: Request,
        /// Why.
        error: AskError,
    },
    /// A peer sent a message that breaks the contract, or a transaction whose signature does not hold. It was answered
    /// already, and none of it came here.
    Malformed {
        /// The peer.
        peer: PeerId,
        /// What is wrong, with expected and got.
        reason: String,
    },
    /// Time passes. Wanted about every 100 ms.
    Tick,
}

/// A good answer to a [`Ticket`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The transaction is durable: just taken, waiting, or committed.
    Tx(TxHash),
    /// The block was taken or known; this node's tip.
    Tip(BlockHash),
}

/// An answer, or the class and text of a refusal, with expected and got.
pub type ReplyResult = Result<Reply, (ErrorClass, String)>;

/// What the driver has to do, after the turn is durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Answer a caller.
    Reply {
        /// Which.
        ticket: Ticket,
        /// What.
        result: ReplyResult,
    },
    /// Ask a peer; the answer comes back as an event.
    Ask {
        /// Whom.
        peer: PeerId,
        /// For what.
        request: Request,
    },
    /// Ask a peer that speaks `blockhie.v1.Peer`; the answer comes back as [`Event::Fetched`].
    Fetch {
        /// Whom.
        peer: PeerId,
        /// To be given back with the answer.
        id: FetchId,
        /// For what.
        fetch: Fetch,
    },
    /// Tell a peer that speaks `blockhie.v1.Peer` of a block by its header (`Announce`). Its answer is of no interest.
    Announce {
        /// Whom.
        peer: PeerId,
        /// Shared by all peers it goes to.
        header: Arc<UncheckedHeader>,
    },
    /// Push a block to a peer (`BlockTo`). Its answer is of no interest.
    SendBlock {
        /// Whom.
        peer: PeerId,
        /// Shared by all peers it goes to.
        block: Arc<UncheckedBlock>,
    },
    /// Push a transaction to a peer (`TransactionTo`). Its answer is of no interest.
    SendTx {
        /// Whom.
        peer: PeerId,
        /// The transaction; its bytes are shared.
        tx: Transaction<Verified>,
    },
    /// Mine this, instead of whatever is being mined.
    Mine(Template),
    /// Mine nothing.
    StopMining,
    /// Cut the connection and take none from this peer for so long. The engine has forgotten it already.
    Ban {
        /// Whom.
        peer: PeerId,
        /// How long, ms; short for static peers.
        for_ms: u64,
        /// Why, for the log.
        reason: String,
    },
    /// The best chain has a new end.
    Publish(Tip),
    /// Something an operator may want to read: why a block was refused, why nothing is mined.
    Note(String),
}

/// What may be done of a turn's actions when it could not be made durable: every answer becomes "unavailable" with the
/// reason; nothing is sent, published or mined, because it could tell of what a restart forgets. Questions, bans and
/// notes stand. The ledger keeps everything staged, and after the next turn that succeeds the engine sends what was
/// dropped here.
#[must_use]
pub fn refuse_replies(actions: Vec<Action>, error: &StoreError) -> Vec<Action> {
    let refuse = |action| match action {
        Action::Reply { ticket, .. } => {
            Some(Action::Reply { ticket, result: Err((ErrorClass::Unavailable, error.to_string())) })
        }
        Action::Ask { .. } | Action::Fetch { .. } | Action::Ban { .. } | Action::Note(_) | Action::StopMining => {
            Some(action)
        }
        Action::SendBlock { .. }
        | Action::Announce { .. }
        | Action::SendTx { .. }
        | Action::Mine(_)
        | Action::Publish(_) => None,
    };
    actions.into_iter().filter_map(refuse).collect()
}
