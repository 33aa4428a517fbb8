//! What an operator sets. Unknown fields are refused; every default is printed by `… config`; no secret stands here.

use blockhie_core::limits::{MAX_MEMPOOL_TRANSACTIONS, MIN_PRUNE_DEPTH};
use blockhie_core::{Keep, PublicKey};
use blockhie_store::StoreConfig;
use serde::{Deserialize, Serialize};

/// Hashes a second of one node (2^15). A core does 15 million, and a hospital's node has other work: the target follows
/// the members' rates, so more would only burn power.
pub const DEFAULT_HASH_RATE: u64 = 1 << 15;

/// Hashes a second at most (2^32): more than a machine of 256 cores does. Above it a number is a mistake, and the shares
/// of the threads' slices would mean nothing.
pub const MAX_HASH_RATE: u64 = 1 << 32;

/// Transactions a second of one sender: a gateway that publishes for a whole hospital sends some dozens. A tenth of what
/// a chain of the default genesis carries (1,000 a block, a block a second), so that no key fills its blocks alone.
pub const DEFAULT_SENDER_RATE: u32 = 100;

/// `config.toml` of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address to serve gRPC on.
    pub listen: String,
    /// Peers to keep a connection to, `host:port`; resolved at start.
    pub peers: Vec<String>,
    /// Whether to connect to peers that others tell of, besides those named.
    pub discover: bool,
    /// Whether this node mines.
    pub mine: bool,
    /// Packing policy, by its name: one of [`POLICY_NAMES`](blockhie_packing::POLICY_NAMES).
    pub packing: String,
    /// Hashes a second, over all miner threads.
    pub hash_rate: u64,
    /// Miner threads.
    pub miner_threads: usize,
    /// On an open chain: this node's 1-based index.
    pub node_index: u32,
    /// On an open chain: how many nodes there are.
    pub node_count: u32,
    /// Waiting transactions at most.
    pub mempool_transactions: usize,
    /// Transactions a second that one sender may hand in; ten times as many at once.
    pub sender_rate: u32,
    /// Below this many free bytes on the data folder's disk the node stops mining and accepting, and keeps serving.
    pub low_water_bytes: u64,
    /// Drops the bodies of what was committed more than so many blocks below the tip, and is final; 0: keeps all.
    pub prune_below_depth: u64,
    /// Keys of senders whose bodies are kept all the same, 64 hex digits each.
    pub prune_keep_senders: Vec<String>,
    /// Serves and asks peers by the frozen contract alone, without `blockhie.v1.Peer`.
    pub frozen_contract_only: bool,
    /// Address of the Prometheus endpoint; empty: none.
    pub metrics: String,
    /// Memory and files of the store.
    pub store: StoreConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7401".into(),
            peers: Vec::new(),
            discover: true,
            mine: true,
            packing: "fair-first".into(),
            hash_rate: DEFAULT_HASH_RATE,
            miner_threads: 1,
            node_index: 1,
            node_count: 1,
            mempool_transactions: MAX_MEMPOOL_TRANSACTIONS,
            sender_rate: DEFAULT_SENDER_RATE,
            low_water_bytes: 256 << 20,
            prune_below_depth: 0,
            prune_keep_senders: Vec::new(),
            frozen_contract_only: false,
            metrics: String::new(),
            store: StoreConfig::default(),
        }
    }
}

/// A configuration that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML of this shape.
    #[error("configuration: {0}")]
    Toml(String),
    /// A value outside its range.
    #[error("configuration: {field}: expected {expected}, got {got}")]
    Value {
        /// Which.
        field: &'static str,
        /// The range.
        expected: String,
        /// The value.
        got: String,
    },
}

fn value(field: &'static str, expected: impl Into<String>, got: impl ToString) -> ConfigError {
    ConfigError::Value { field, expected: expected.into(), got: got.to_string() }
}

impl Config {
    /// Reads and checks a file's text.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError::Toml(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`ConfigError::Value`] with expected and got.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.listen.parse::<std::net::SocketAddr>().is_err() {
            return Err(value("listen", "ip:port", format!("{:?}", self.listen)));
        }
        if !self.metrics.is_empty() && self.metrics.parse::<std::net::SocketAddr>().is_err() {
            return Err(value("metrics", "ip:port, or nothing", format!("{:?}", self.metrics)));
        }
        if !blockhie_packing::POLICY_NAMES.contains(&self.packing.as_str()) {
            let expected = format!("one of {}", blockhie_packing::POLICY_NAMES.join(", "));
            return Err(value("packing", expected, format!("{:?}", self.packing)));
        }
        if !(1..=MAX_HASH_RATE).contains(&self.hash_rate) {
            return Err(value("hash_rate", format!("1 to {MAX_HASH_RATE}"), self.hash_rate));
        }
        if !(1..=256).contains(&self.miner_threads) {
            return Err(value("miner_threads", "1 to 256", self.miner_threads));
        }
        if self.node_index == 0 || self.node_index > self.node_count {
            return Err(value("node_index", format!("1 to node_count ({})", self.node_count), self.node_index));
        }
        if !(1..=MAX_MEMPOOL_TRANSACTIONS).contains(&self.mempool_transactions) {
            let expected = format!("1 to {MAX_MEMPOOL_TRANSACTIONS}");
            return Err(value("mempool_transactions", expected, self.mempool_transactions));
        }
        if self.sender_rate == 0 {
            return Err(value("sender_rate", "at least 1", self.sender_rate));
        }
        self.keep()?;
        self.store.check().map_err(|error| value("store", "budgets that RocksDB can work with", error))
    }

    /// What pruning keeps; `None`: nothing is pruned.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn keep(&self) -> Result<Option<Keep>, ConfigError> {
        let key = |text: &String| {
            let refused = |_| value("prune_keep_senders", "public keys of 64 hex digits", format!("{text:?}"));
            text.parse::<PublicKey>().map_err(refused)
        };
        let senders = self.prune_keep_senders.iter().map(key).collect::<Result<_, _>>()?;
        match self.prune_below_depth {
            0 => Ok(None),
            depth if depth < MIN_PRUNE_DEPTH => {
                let expected = format!("0 (keep all), or at least {MIN_PRUNE_DEPTH}");
                Err(value("prune_below_depth", expected, depth))
            }
            depth => Ok(Some(Keep { depth, senders })),
        }
    }

    /// A file with every default and what it means.
    #[must_use]
    pub fn commented(&self) -> String {
        let text = toml::to_string(self).expect("plain values have a TOML form");
        let names = blockhie_packing::POLICY_NAMES.join(", ");
        let packing = format!("which waiting transactions go into a block: {names}");
        let prune = format!(
            "blocks below the tip from which on bodies of final transactions are dropped, at least {MIN_PRUNE_DEPTH}; 0: keep all"
        );
        let notes = [
            ("listen", "address of gRPC: peers and clients. Open it to members only"),
            ("peers", "nodes to keep a connection to, \"host:port\""),
            ("discover", "whether to connect to peers that others tell of, besides those named"),
            ("mine", "take part in proof of work (needs a member's key, or an open chain)"),
            ("packing", packing.as_str()),
            ("hash_rate", "hashes a second over all miner threads; the target follows the members' rates"),
            ("miner_threads", "threads that share that rate"),
            ("node_index", "open chains only: this node's index, 1 to node_count"),
            ("node_count", "open chains only: how many nodes there are"),
            ("mempool_transactions", "waiting transactions at most"),
            ("sender_rate", "transactions a second that one sender may hand in; ten times as many at once"),
            ("low_water_bytes", "free bytes below which the node stops mining and accepting, and keeps serving"),
            ("prune_below_depth", prune.as_str()),
            ("prune_keep_senders", "public keys of senders whose bodies are kept all the same"),
            ("frozen_contract_only", "serve and ask peers by the frozen contract alone (slower to catch up)"),
            ("metrics", "address of the Prometheus endpoint /metrics; empty: none"),
            ("block_cache_bytes", "RocksDB: bytes for what was read from disk"),
            ("write_buffer_bytes", "RocksDB: bytes for what was written and is not yet in table files"),
            ("max_wal_bytes", "RocksDB: bytes of write-ahead log"),
            ("max_open_files", "RocksDB: files open at once"),
        ];
        let mut out = String::from("# A BlockHIE node. Unknown fields are refused. No secret stands here.\n");
        for line in text.lines() {
            let note = line.split_once(" = ").and_then(|(key, _)| notes.iter().find(|(name, _)| *name == key));
            if let Some((_, note)) = note {
                out.push_str(&format!("\n# {note}\n"));
            } else if line.starts_with('[') {
                out.push('\n');
            }
            out.push_str(line);
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_default_is_the_default_and_every_field_is_explained() {
        let text = Config::default().commented();
        assert_eq!(Config::from_toml(&text).unwrap(), Config::default());
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" = ")) {
            assert!(lines[i - 1].starts_with("# "), "{line} has a note");
        }
        assert_eq!(Config::from_toml("").unwrap(), Config::default());
    }

    #[test]
    fn every_policy_is_chosen_by_its_name() {
        for name in blockhie_packing::POLICY_NAMES {
            assert_eq!(Config::from_toml(&format!("packing = \"{name}\"")).unwrap().packing, *name);
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_expected_and_got() {
        for text in [
            "nonsense = 1",
            "listen = \"nowhere\"",
            "packing = \"fee-first\"",
            "hash_rate = 0",
            "hash_rate = 4294967297",
            "miner_threads = 0",
            "node_index = 2",
            "mempool_transactions = 0",
            "sender_rate = 0",
            "prune_below_depth = 1279",
            "prune_below_depth = -1",
            "prune_keep_senders = [\"north\"]",
            "[store]\nmax_open_files = 1",
        ] {
            let error = Config::from_toml(text).unwrap_err().to_string();
            assert!(error.contains("expected"), "{text}: {error}");
        }
    }
}
