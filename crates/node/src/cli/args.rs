//! What the command line says.

use blockhie_core::genesis::{DEFAULT_SIBLING_LIMIT, DEFAULT_SIBLING_WINDOW};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

#[derive(Parser)]
#[command(version, after_help = "Errors go to stderr with a hint; usage errors exit with 64.")]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Write a genesis file: the parameters of a new chain.
    Genesis(GenesisArgs),
    /// Make a data folder: key, configuration, store.
    Init(InitArgs),
    /// Run the node until SIGTERM.
    Run(RunArgs),
    /// Print a configuration with every default.
    Config,
    /// Re-derive everything stored from the blocks, print the state hash, exit 1 on any difference.
    Fsck(FsckArgs),
    /// Ask a running node how it stands.
    Status(AskArgs),
    /// Ask a running node for its peers.
    Peers(AskArgs),
    /// Write a consistent copy of a stopped node's store.
    Backup(BackupArgs),
    /// Make the store of a data folder from a backup.
    Restore(BackupArgs),
}

#[derive(Args)]
pub(super) struct GenesisArgs {
    /// The chain's name, 1 to 255 bytes.
    #[arg(long)]
    pub(super) name: String,
    /// A member that may mine, NAME=PUBLIC_KEY (64 hex digits); repeat for each.
    #[arg(long = "member", value_name = "NAME=PUBKEY")]
    pub(super) members: Vec<String>,
    /// No members: anybody may mine. For development only.
    #[arg(long, conflicts_with = "members")]
    pub(super) open: bool,
    /// Wanted milliseconds between blocks.
    #[arg(long, default_value_t = 1_000, value_name = "MS")]
    pub(super) interval_ms: u32,
    /// Transactions in a block at most.
    #[arg(long, default_value_t = 1_000)]
    pub(super) max_transactions: u32,
    /// Members that make a block final (default: two thirds and one).
    #[arg(long)]
    pub(super) quorum: Option<u8>,
    /// Blocks that a miner has to leave to others (default: half of the others).
    #[arg(long)]
    pub(super) spacing: Option<u8>,
    /// How far back a stale block may fork and still be merged as a sibling (W); 0 with --sibling-limit 0.
    #[arg(long, default_value_t = DEFAULT_SIBLING_WINDOW, value_name = "BLOCKS")]
    pub(super) sibling_window: u8,
    /// Siblings in a block at most (L); 0: stale blocks are not merged.
    #[arg(long, default_value_t = DEFAULT_SIBLING_LIMIT, value_name = "BLOCKS")]
    pub(super) sibling_limit: u8,
    /// The file to write.
    #[arg(long)]
    pub(super) out: PathBuf,
}

#[derive(Args)]
pub(super) struct InitArgs {
    /// The folder to make.
    #[arg(long)]
    pub(super) data_dir: PathBuf,
    /// The chain to join; without it a new one with this node as its only member.
    #[arg(long)]
    pub(super) genesis: Option<PathBuf>,
    /// A key file to take (as `blockhie keygen` writes it); without it a new key.
    #[arg(long)]
    pub(super) key: Option<PathBuf>,
    /// A new chain without members, for development only.
    #[arg(long, conflicts_with = "genesis")]
    pub(super) open: bool,
}

#[derive(Args)]
pub(super) struct RunArgs {
    /// The node's folder.
    #[arg(long)]
    pub(super) data_dir: PathBuf,
    /// Another configuration file.
    #[arg(long)]
    pub(super) config: Option<PathBuf>,
    /// Address to serve gRPC on, ip:port; port 0 takes a free one.
    #[arg(long)]
    pub(super) listen: Option<String>,
    /// A peer, host:port; repeat for each.
    #[arg(long = "peer", value_name = "ADDRESS")]
    pub(super) peers: Vec<String>,
    /// Mine, whatever the configuration says.
    #[arg(long)]
    pub(super) mine: bool,
    /// Address of the Prometheus endpoint.
    #[arg(long)]
    pub(super) metrics: Option<String>,
    /// Drop the bodies of what is final and more than this many blocks below the tip (at least 1,280; 0: keep all).
    #[arg(long, value_name = "BLOCKS")]
    pub(super) prune_below_depth: Option<u64>,
    /// You have looked at a reorganisation below a final block: mine again.
    #[arg(long)]
    pub(super) clear_alarm: bool,
}

#[derive(Args)]
pub(super) struct FsckArgs {
    /// The node's folder; the node must be stopped.
    #[arg(long)]
    pub(super) data_dir: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args)]
pub(super) struct AskArgs {
    /// The running node's folder.
    #[arg(long, required_unless_present = "node")]
    pub(super) data_dir: Option<PathBuf>,
    /// Or its address, ip:port.
    #[arg(long, conflicts_with = "data_dir")]
    pub(super) node: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args)]
pub(super) struct BackupArgs {
    /// The node's folder; the node must be stopped.
    #[arg(long)]
    pub(super) data_dir: PathBuf,
    /// The backup's folder.
    #[arg(long)]
    pub(super) backup: PathBuf,
}

pub(super) fn examples(name: &str) -> String {
    format!(
        "Examples:\n  \
         {name} init --data-dir /var/lib/blockhie --open          a chain to play with\n  \
         {name} run --data-dir /var/lib/blockhie\n\n  \
         {name} genesis --name north --member a=5ac9… --member b=c72b… --out north.toml\n  \
         {name} init --data-dir /var/lib/blockhie --genesis north.toml --key a.key\n  \
         {name} run --data-dir /var/lib/blockhie --listen 10.0.0.1:7401 --peer 10.0.0.2:7401\n\n\
         Errors go to stderr with a hint; usage errors exit with 64."
    )
}
