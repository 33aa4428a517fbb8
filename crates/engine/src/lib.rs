//! The node as a plain state machine: peers, relay, catching up, when to mine, what to ask and whom to ban.
//!
//! An [`Engine`] owns the [`Ledger`](blockhie_core::Ledger). A driver hands it [`Event`]s one by one with the time
//! ([`Engine::handle`]), collects the [`Action`]s, ends the turn ([`Engine::end_turn`]: one synced batch), and only
//! then performs the actions, so that nothing is acknowledged or sent before it is durable. When the turn cannot be
//! made durable, [`refuse_replies`] says what may still be done.
//!
//! There are no sockets, threads or clocks in here: the same engine runs under a node's driver and under a simulated
//! network, and the same events at the same times give the same actions.
//!
//! How a node catches up over the calls of the frozen contract (one block or one transaction at a time): each peer is
//! asked for its tip now and then. A block whose parent is missing is held; near the tip its ancestors are asked for
//! by hash, further off a *session* asks one peer, the leader, for blocks of its best chain at heights stepping back
//! exponentially until one is known, then goes forward from there with a bounded window of heights in flight, from
//! all peers that claim to be that far. Missing bodies are asked for in parallel. Whoever does not answer in time is
//! passed over; a leader that is slow or does not serve loses the session to another peer.
//!
//! With peers that speak `blockhie.v1.Peer` it goes *headers first*: one peer, the leader, gives the headers of its best
//! chain from a locator on; they are checked as far as headers alone allow, and only when they carry more work than our
//! chain are the blocks fetched, whole and many in one question, from all peers that have them. Both kinds of peers mix.

mod blocks;
mod bodies;
mod cache;
mod clock;
mod engine;
mod event;
mod fetch;
mod headers;
pub mod limits;
mod mining;
mod orphans;
mod peers;
mod siblings;
mod side;
mod state;
mod submit;
mod sync;
mod wants;

pub use clock::ClockFault;
pub use engine::{Engine, EngineConfig};
pub use event::{
    Action, AskError, Event, Fetch, FetchId, Fetched, Now, PeerId, Reply, ReplyResult, Request, Ticket, WholeBlock,
    refuse_replies,
};
pub use state::SyncState;
