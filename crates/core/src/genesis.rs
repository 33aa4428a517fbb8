//! The genesis: the parameters of a chain, whose hash is the chain's identity.

mod bytes;

use crate::bytes::{ChainId, Hash32, sha256};
use crate::crypto::{KeyError, PublicKey};
use crate::limits::{
    JSON_INTEGER_END, MAX_BLOCK_BYTES, MAX_BLOCK_TRANSACTIONS, MAX_MEMBERS, MAX_NAME_BYTES, MIN_BLOCK_BYTES,
    MIN_FUTURE_MS,
};
use crate::target::{CompactTarget, TargetError};
use serde::{Deserialize, Serialize};

/// W of a new chain: 16 blocks, so that what a partition of a few seconds left can still be merged.
pub const DEFAULT_SIBLING_WINDOW: u8 = 16;
/// L of a new chain. A block commits at most nine blocks' transactions.
pub const DEFAULT_SIBLING_LIMIT: u8 = 8;

/// Which of the two chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChainKind {
    /// Medical records (kind 1).
    Emr = 1,
    /// Personal health data (kind 2).
    Phd = 2,
}

impl ChainKind {
    /// The transaction types that genesis version 1 admits in blocks of this kind.
    #[must_use]
    pub fn admits(self, tx_type: i32) -> bool {
        match self {
            Self::Emr => matches!(tx_type, 1..=7 | 32 | 33),
            Self::Phd => matches!(tx_type, 16..=18 | 32 | 33),
        }
    }

    /// `emr` or `phd`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Emr => "emr",
            Self::Phd => "phd",
        }
    }
}

/// A member: a key that may mine, and the name by which receipts call it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The institution's key.
    pub key: PublicKey,
    /// 1 to 255 bytes of printable UTF-8.
    pub name: String,
}

/// The parameters of a chain. See the protocol page, "Chain", for the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// EMR or PHD.
    pub kind: ChainKind,
    /// The chain's name.
    pub name: String,
    /// 32 random bytes, so that two chains of one name differ.
    pub nonce: Hash32,
    /// Time of block 0 in milliseconds since the epoch.
    pub time_ms: u64,
    /// T: wanted milliseconds between blocks.
    pub block_interval_ms: u32,
    /// Target of block 0 and origin of the difficulty rule.
    pub first_target: CompactTarget,
    /// The easiest target allowed.
    pub most_target: CompactTarget,
    /// Milliseconds of lag that double the target.
    pub half_life_ms: u64,
    /// m: transactions in a block at most.
    pub max_transactions: u32,
    /// Σ len(body) of a block's own transactions at most.
    pub max_bytes: u32,
    /// W: how far back a sibling may fork.
    pub sibling_window: u8,
    /// L: siblings in a block at most.
    pub sibling_limit: u8,
    /// A miner may not have mined any of this many ancestors.
    pub spacing: u8,
    /// q: members whose headers make a block final.
    pub quorum: u8,
    /// The members, strictly ascending by key; none: an open chain, for development only.
    #[serde(default, rename = "member")]
    pub members: Vec<Member>,
}

/// Why a genesis is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// The bytes end early, or go on after the end.
    #[error("genesis: expected {expected} bytes at {field}, got {got}")]
    Length {
        /// Where.
        field: &'static str,
        /// Bytes needed.
        expected: usize,
        /// Bytes there.
        got: usize,
    },
    /// A value outside its range.
    #[error("genesis: {field}: expected {expected}, got {got}")]
    Value {
        /// Which field.
        field: &'static str,
        /// The range.
        expected: String,
        /// The value.
        got: String,
    },
    /// A member's key.
    #[error("genesis: member: {0}")]
    Key(#[from] KeyError),
    /// A target that is not canonical.
    #[error("genesis: {0}")]
    Target(#[from] TargetError),
    /// The TOML form does not parse.
    #[error("genesis file: {0}")]
    Toml(String),
}

fn value(field: &'static str, expected: impl Into<String>, got: impl ToString) -> GenesisError {
    GenesisError::Value { field, expected: expected.into(), got: got.to_string() }
}

fn check_name(field: &'static str, name: &str) -> Result<(), GenesisError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(value(field, "1 to 255 bytes of printable UTF-8", format!("{name:?}")));
    }
    Ok(())
}

impl Genesis {
    /// A genesis with the defaults of the protocol page for these members (sorted here): half-life 144·T, 1 MiB,
    /// spacing ⌊(n-1)/2⌋ (0 for n ≤ 2), quorum ⌊2n/3⌋+1; but no siblings ([`Genesis::with_siblings`]).
    #[must_use]
    pub fn with_defaults(
        kind: ChainKind,
        name: &str,
        nonce: Hash32,
        time_ms: u64,
        first_target: CompactTarget,
        mut members: Vec<Member>,
    ) -> Self {
        members.sort_by_key(|member| member.key);
        let n = members.len();
        let small = |x: usize| u8::try_from(x).unwrap_or(u8::MAX);
        Self {
            kind,
            name: name.to_owned(),
            nonce,
            time_ms,
            block_interval_ms: 1_000,
            first_target,
            most_target: CompactTarget::MOST,
            half_life_ms: 144_000,
            max_transactions: 1_000,
            max_bytes: 1 << 20,
            sibling_window: 0,
            sibling_limit: 0,
            spacing: if n <= 2 { 0 } else { small((n - 1) / 2) },
            quorum: if n == 0 { 0 } else { small(2 * n / 3 + 1) },
            members,
        }
    }

    /// The same with siblings as the protocol page's defaults have them: W 16, L 8.
    #[must_use]
    pub fn with_siblings(self) -> Self {
        Self { sibling_window: DEFAULT_SIBLING_WINDOW, sibling_limit: DEFAULT_SIBLING_LIMIT, ..self }
    }

    /// Checks every rule of the protocol page.
    ///
    /// # Errors
    /// The first rule that fails, with expected and got.
    pub fn check(&self) -> Result<(), GenesisError> {
        check_name("name", &self.name)?;
        if self.block_interval_ms == 0 {
            return Err(value("block_interval_ms", "at least 1", 0));
        }
        for (field, got, least) in [("half_life_ms", self.half_life_ms, 1), ("time_ms", self.time_ms, 0)] {
            if got < least || got >= JSON_INTEGER_END {
                return Err(value(field, format!("{least} to 2^53-1"), got));
            }
        }
        if self.first_target.to_u256() > self.most_target.to_u256() {
            return Err(value("first_target", format!("at most {}", self.most_target), self.first_target));
        }
        if self.max_transactions == 0 || self.max_transactions > MAX_BLOCK_TRANSACTIONS {
            return Err(value("max_transactions", "1 to 4000", self.max_transactions));
        }
        if !(MIN_BLOCK_BYTES..=MAX_BLOCK_BYTES).contains(&self.max_bytes) {
            return Err(value("max_bytes", "65536 to 8388608", self.max_bytes));
        }
        if self.sibling_limit > 0 && self.sibling_window == 0 {
            return Err(value("sibling_limit", "0 where sibling_window is 0", self.sibling_limit));
        }
        self.check_members()
    }

    fn check_members(&self) -> Result<(), GenesisError> {
        let n = self.members.len();
        if n > MAX_MEMBERS {
            return Err(value("members", "at most 255", n));
        }
        let quorum_holds = if n == 0 { self.quorum == 0 } else { (1..=n).contains(&usize::from(self.quorum)) };
        if !quorum_holds {
            return Err(value("quorum", if n == 0 { "0".into() } else { format!("1 to {n}") }, self.quorum));
        }
        let spacing_holds = if n == 0 { self.spacing == 0 } else { usize::from(self.spacing) < n };
        if !spacing_holds {
            return Err(value("spacing", format!("0 to {}", n.saturating_sub(1)), self.spacing));
        }
        for pair in self.members.windows(2) {
            if pair[0].key >= pair[1].key {
                return Err(value("members", "keys strictly ascending", pair[1].key));
            }
        }
        let mut names = std::collections::BTreeSet::new();
        for member in &self.members {
            check_name("member name", &member.name)?;
            if !names.insert(&member.name) {
                return Err(value("member name", "names distinct among members", format!("{:?}", member.name)));
            }
        }
        Ok(())
    }

    /// The chain's identity: `H("blockhie/chain/v1\0" ‖ genesis)`.
    #[must_use]
    pub fn chain_id(&self) -> ChainId {
        sha256(&[b"blockhie/chain/v1\0", &self.to_bytes()])
    }

    /// Reads and checks the editor form (TOML; unknown fields are refused).
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn from_toml(text: &str) -> Result<Self, GenesisError> {
        let genesis: Self = toml::from_str(text).map_err(|error| GenesisError::Toml(error.to_string()))?;
        genesis.check()?;
        Ok(genesis)
    }

    /// The editor form.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("plain tables of integers and strings have a TOML form")
    }

    /// Whether anybody may mine. Development only.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.members.is_empty()
    }

    /// 0-based position of `key` among the sorted members.
    #[must_use]
    pub fn member_index(&self, key: &PublicKey) -> Option<usize> {
        self.members.binary_search_by_key(key, |member| member.key).ok()
    }

    /// The key of a miner that these 32 bytes name. What a member is named by is a key, and need not be checked again.
    ///
    /// # Errors
    /// [`KeyError`]: the bytes are no key.
    pub fn miner_key(&self, bytes: &Hash32) -> Result<PublicKey, KeyError> {
        match self.members.binary_search_by_key(&&bytes.0, |member| member.key.as_bytes()) {
            Ok(at) => Ok(self.members[at].key),
            Err(_) => PublicKey::new(bytes.0),
        }
    }

    /// Milliseconds that a time may lie ahead of the local clock: max(5 s, 10·T).
    #[must_use]
    pub fn future_limit_ms(&self) -> u64 {
        MIN_FUTURE_MS.max(10 * u64::from(self.block_interval_ms))
    }
}

#[cfg(test)]
mod tests;
