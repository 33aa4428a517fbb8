//! Proof of work for the ledger core: the difficulty rule, the check, and the search for an answer.
//!
//! - [`Difficulty`] is ASERT without anchors on a bounded lag (protocol page, "Difficulty"), integers only, with the
//!   parameters as plain values so that the published aserti3-2d vectors test its arithmetic ([`asert_bound`]).
//! - [`ProofOfWork`] is the ledger's [`Consensus`](blockhie_core::Consensus) by it; [`NoWork`] is one where every hash
//!   will do, for tests and embedders.
//! - [`seal`] searches a nonce, hashing only the last of a header's four SHA-256 blocks for each try.
//!
//! It knows nothing of storage and networks, and reads no clock.

mod consensus;
mod difficulty;
mod seal;

pub use consensus::{NoWork, ProofOfWork};
pub use difficulty::{Difficulty, MAX_STEP_INTERVALS, asert_bound, asert_target, first_target_for};
pub use seal::seal;
