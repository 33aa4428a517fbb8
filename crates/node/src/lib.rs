//! The node driver: one thread that owns engine and ledger, a signature pool, miner threads, gRPC and metrics.
//!
//! A node is a library: [`NodeBuilder::start`] gives a [`Node`] handle, and [`Node::stop`] ends it. The binaries are
//! [`cli::main`] with an application.

pub mod cli;
pub mod config;
pub mod datadir;
mod driver;
mod miner;
mod node;
mod peers;
mod quota;
mod services;
mod verifier;

/// The ledger core, for binaries that depend on this crate alone.
pub use blockhie_core as core;
pub use config::{Config, ConfigError};
pub use driver::SyncReport;
pub use node::{Node, NodeBuilder, NodeError};
