//! The coupling of the two chains: links and anchors.
//!
//! This release holds the rules that blocks need ([`CouplingApp`]). Its transactions are never void, change no state,
//! and are not admitted into the mempool yet.

mod app;
pub mod payload;
#[cfg(test)]
mod tests;

pub use app::CouplingApp;
pub use payload::Payload;
