//! The coupling of the two chains: links and anchors.
//!
//! The same person is a record on one chain and a device on the other, and only they show it. A link is one transaction
//! on each chain with a value that says nothing by itself; its opening, signed by the device's owner and the record's
//! holder, shows one audience that the two belong together. Checking: [`blockhie_core::verify_receipt`] on four receipts,
//! then [`check_link`]. Making: [`LinkTerms`], signed by both, then [`Outbox::add`] and [`Outbox::step`] until both halves
//! are final.

mod app;
pub mod link;
pub mod opening;
pub mod outbox;
pub mod payload;
#[cfg(test)]
mod tests;
pub mod verify;

pub use app::CouplingApp;
pub use link::{LinkTerms, Seed, link_commitment, link_transaction};
pub use opening::{LINK_OPENING_FORMAT, LinkOpening, MAX_LINK_OPENING_BYTES};
pub use outbox::{ChainClient, ClientFault, Outbox, OutboxEntry, OutboxStore};
pub use payload::Payload;
pub use verify::{LinkReceipts, check_link};
