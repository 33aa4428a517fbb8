//! The EMR-Chain: record commitments, the vault, the patient's copy and its checks.
//!
//! A record's identity is its [`commitment`](commitment::commitment), computed over the exact bytes submitted. Three
//! copies exist: the hospital's [`Vault`], the patient's [`age file`](copy::patient_copy), and the
//! chain's proof of existence, which says nothing of the contents.
//!
//! Publishing: [`publish::prepare`] or [`publish::prepare_batch`], then [`Vault::store`](vault::Vault::store), then
//! submit the transaction. Checking: [`blockhie_core::receipt::verify_receipt`], then [`verify::check_record`].

pub mod app;
pub mod commitment;
pub mod copy;
pub mod opening;
pub mod payload;
pub mod publish;
pub mod vault;
pub mod verify;

#[cfg(test)]
mod tests;

pub use app::EmrApp;
pub use commitment::{MediaType, Salt, commitment, content_digest};
pub use opening::{BatchPath, Certificate, Opening};
pub use payload::Payload;
pub use publish::{Draft, Issuer, Prepared, prepare, prepare_batch};
pub use vault::Vault;
pub use verify::{check_record, find_commitment};
