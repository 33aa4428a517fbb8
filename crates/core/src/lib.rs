//! The ledger core: canonical bytes, validity, fork choice, mempool and receipts.
//!
//! No network, no threads, no clock and no medicine: time comes in as an argument, storage, proof of work and the
//! meaning of transactions behind the traits [`Store`], [`Consensus`] and [`Application`].
//!
//! Two judgements are kept for each block and never mixed: *sound* (headers and bodies hold by themselves) and
//! *valid* (sound, its parent valid, and the rules between blocks). Three stages of checks have one home each: a
//! transaction's own bytes in [`tx`], a block's own bytes and header rules in [`ledger`] (check), rules that need the
//! chain in [`ledger`] (chain).

pub mod app;
pub mod block;
pub mod bytes;
pub mod canonical;
pub mod consensus;
pub mod crypto;
pub mod error;
pub mod fsck;
pub mod genesis;
pub mod keyfile;
pub mod ledger;
pub mod limits;
mod mempool;
pub mod merkle;
pub mod query;
pub mod receipt;
mod staged;
pub mod store;
pub mod target;
pub mod tx;

pub use app::{Application, OpaqueApp, Outcome, Position, Refused, Router, State, StateRead, TxPosition};
pub use block::{Block, Header, Template, UncheckedBlock, block_sign_bytes};
pub use blockhie_packing as packing;
pub use bytes::{BlockHash, ChainId, Hash32, Signature, TxHash, sha256};
pub use consensus::{Consensus, ParentContext, WorkError};
pub use crypto::{PublicKey, SecretKey};
pub use error::{BlockError, ErrorClass, FormError, LedgerError, ReceiptError, SubmitError, TemplateError};
pub use genesis::{ChainKind, Genesis, Member};
pub use ledger::{Imported, Ledger, Submitted, TemplateRequest, genesis_block};
pub use primitive_types::U256;
pub use query::{BlockQuery, Tip, TxStatus};
pub use receipt::{Receipt, Step, Trust, TrustError, Verdict, Verification, verify_receipt};
pub use store::{BlobStore, MemoryBlobs, MemoryStore, Store, StoreError, StoreRead};
pub use target::CompactTarget;
pub use tx::{Transaction, TxError, Unverified, Verified, verify_batch};
