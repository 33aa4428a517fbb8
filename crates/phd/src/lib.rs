//! The PHD-Chain: devices and sealed segments of readings.
//!
//! This release holds the rules that blocks need ([`PhdApp`]): every payload's stateless rules, and the rules that
//! make a transaction void. Its transactions are not admitted into the mempool yet.

mod app;
pub mod payload;
#[cfg(test)]
mod tests;

pub use app::PhdApp;
pub use payload::Payload;
