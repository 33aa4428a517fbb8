//! The evaluation of the paper, redone: what a packing policy does to a chain.
//!
//! [`evaluate`] runs every policy on every ledger with every seed, on the engine, ledger, mempool and policies of a node
//! under the virtual clock. The same seed has the same block schedule and the same transactions in all of them
//! (*paired*). Nothing goes wrong in these networks: messages take exactly the delay, turns and syncs no time, and a
//! block goes to every other node at once, where its transactions are already.
//!
//! What is measured is defined at [`Row`]; `docs/fairness.md` has the figures.

mod config;
mod evaluate;
mod plot;
mod policies;
mod probe;
mod row;
mod run;
mod script;
mod stats;
mod summary;
mod table;

pub use config::{
    LedgerKind, MAX_FRAME, MAX_MS, MAX_NODES, MAX_SECONDS, MAX_SEEDS, MAX_TRANSACTIONS, PaperConfig, PaperError, Task,
    policy_named,
};
pub use evaluate::evaluate;
pub use plot::{PLOTS, draw};
pub use policies::{POLICIES, STRIPE_FIXED};
pub use row::{OVERLAP_BUCKET_S, Overlap, Row};
pub use run::run;
pub use script::{Arrival, SENDERS, Script};
pub use stats::{Estimate, t_quantile};
pub use summary::{Group, METRICS, Summary};
pub use table::{COLUMNS, make_folder, overlap_csv, runs_csv, write_tables};

pub(crate) use policies::StripeFixed;
pub(crate) use probe::Probe;

use std::sync::Arc;

/// What makes a run one of an evaluation.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What clients send.
    pub script: Arc<Script>,
    /// c of stripe; 0: its default.
    pub frame: usize,
}
