//! gRPC between nodes and for clients: the frozen contract and `blockhie.v1`.
//!
//! A message enters by one door, [`convert`]: what comes out has every field present and of its length, and the traits
//! [`PeerService`], [`BulkService`] and [`LedgerService`] see nothing else. Ledger rules are not known here.
//!
//! [`serve`] runs all services with health and reflection under explicit [`Limits`]; [`PeerClient`] and
//! [`LedgerClient`] are the other side.

pub mod bucket;
pub mod bulk;
pub mod client;
pub mod codec;
pub mod convert;
pub mod error;
pub mod hello;
pub mod limits;
pub mod pb;
pub mod server;
pub mod service;

pub use bucket::{Bucket, Rate};
pub use bulk::{BlockList, BlockStream, Blocks, BulkService, Locator, SignedHeader, WholeBlock};
pub use client::{LedgerClient, PeerClient, TipStream};
pub use convert::ConversionError;
pub use error::{ClientError, ServeError, ServiceError, class_of, code_of};
pub use hello::Hello;
pub use limits::{ClientLimits, Limits};
pub use server::{serve, serve_with};
pub use service::{Answer, HeaderRow, LedgerService, PeerInfo, PeerService, SyncInfo};
