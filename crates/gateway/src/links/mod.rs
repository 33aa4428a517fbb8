//! Links between records and devices, as this gateway keeps them.
//!
//! A link is checked (both parties signed its terms), kept with its opening, and put into the
//! [outbox](blockhie_coupling::Outbox); one task steps that until both halves are final. What is kept joins the two
//! chains and holds the seed, so every row is sealed under the institution's key. See
//! `docs/adr/0020-devices-and-links-in-the-gateway.md`.

pub(crate) mod nodes;
mod store;
pub(crate) mod terms;
pub(crate) mod view;

pub(crate) use store::{LinkError, LinkRow, Links};
