//! The ledger core: canonical bytes, validity, fork choice, mempool and receipts.
//!
//! No network, no threads, no clock and no medicine: time comes in as an argument, storage, proof of work and the
//! meaning of transactions behind the traits [`Store`], [`Consensus`] and [`Application`].
//!
//! Two judgements are kept for each block and never mixed: *sound* (headers and bodies hold by themselves) and
//! *valid* (sound, its parent valid, and the rules between blocks). Three stages of checks have one home each: a
//! transaction's own bytes in [`tx`], a block's own bytes and header rules in [`ledger`] (check), rules that need the
//! chain in [`ledger`] (chain).
//!
//! # A ledger inside another service
//! With a store in memory, transactions whose meaning the ledger does not know, and no work. For proof of work take
//! `blockhie_pow::ProofOfWork`, for a store on disk `blockhie_store::RocksStore`.
//! ```
//! use blockhie_core::{
//!     BlockHash, ChainKind, CompactTarget, Consensus, Genesis, Hash32, Header, Ledger, MemoryStore, OpaqueApp,
//!     ParentContext, SecretKey, TemplateRequest, Transaction, TxStatus, U256, WorkError, packing::FairFirst,
//! };
//! use std::{collections::BTreeMap, sync::Arc};
//!
//! struct AnyHash;
//! impl Consensus for AnyHash {
//!     fn required_target(&self, _: &ParentContext) -> CompactTarget { CompactTarget::MOST }
//!     fn next_lag(&self, _: &ParentContext, _: u64) -> i128 { 0 }
//!     fn check(&self, _: &Header, _: &BlockHash) -> Result<(), WorkError> { Ok(()) }
//!     fn work(&self, target: CompactTarget) -> U256 { target.work() }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now_ms = 1_700_000_000_000;
//! let genesis =
//!     Genesis::with_defaults(ChainKind::Emr, "mine", Hash32::ZERO, now_ms, CompactTarget::MOST, Vec::new());
//! let store = Arc::new(MemoryStore::new(&genesis));
//! let mut ledger = Ledger::open(store, Arc::new(AnyHash), Arc::new(OpaqueApp))?;
//!
//! let secret = SecretKey::generate()?;
//! let tx = Transaction::sign(ledger.chain_id(), &secret, now_ms, 1, None, b"any bytes");
//! let hash = tx.hash();
//! ledger.submit(tx, now_ms)?;
//! ledger.commit()?; // durable from here on: now it may be acknowledged
//!
//! let miner = secret.public();
//! let request =
//!     TemplateRequest { miner, now_ms: now_ms + 1, policy: &FairFirst, node_index: 1, node_count: 1, seed: 0 };
//! let block = ledger.template(&request)?.seal(ledger.chain_id(), 0, None);
//! ledger.import(block, &BTreeMap::new(), now_ms + 1)?;
//! ledger.commit()?;
//! assert!(matches!(ledger.status(&hash)?, TxStatus::Committed { height: 1, .. }));
//! println!("{}", ledger.receipt(&hash)?.to_json());
//! # Ok(())
//! # }
//! ```

pub mod app;
pub mod block;
pub mod bytes;
pub mod canonical;
pub mod consensus;
pub mod crypto;
pub mod error;
pub mod fault;
pub mod fsck;
pub mod genesis;
pub mod keyfile;
pub mod ledger;
pub mod limits;
mod mempool;
pub mod merkle;
pub mod query;
pub mod receipt;
pub mod request;
pub mod salt;
pub mod signatures;
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
pub use fault::Fault;
pub use genesis::{ChainKind, Genesis, Member};
pub use ledger::{HeaderTip, Imported, Keep, Ledger, Submitted, TemplateRequest, UncheckedHeader, genesis_block};
pub use primitive_types::U256;
pub use query::{BlockQuery, Tip, TxStatus};
pub use receipt::{Receipt, Step, Trust, TrustError, Verdict, Verification, verify_receipt};
pub use request::{RequestError, SignedRequest};
pub use salt::Salt;
pub use signatures::Signatures;
pub use store::{BlobStore, MemoryBlobs, MemoryStore, Store, StoreError, StoreRead};
pub use target::CompactTarget;
pub use tx::{Transaction, TxError, Unverified, Verified, verify_batch};
