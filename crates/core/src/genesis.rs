//! The genesis: the parameters of a chain, whose hash is the chain's identity.

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

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![1, self.kind as u8];
        let text = |out: &mut Vec<u8>, text: &str| {
            let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
            out.extend(len.to_be_bytes());
            out.extend(text.as_bytes());
        };
        text(&mut out, &self.name);
        out.extend(self.nonce.0);
        out.extend(self.time_ms.to_be_bytes());
        out.extend(self.block_interval_ms.to_be_bytes());
        out.extend(self.first_target.get().to_be_bytes());
        out.extend(self.most_target.get().to_be_bytes());
        out.extend(self.half_life_ms.to_be_bytes());
        out.extend(self.max_transactions.to_be_bytes());
        out.extend(self.max_bytes.to_be_bytes());
        out.extend([self.sibling_window, self.sibling_limit, self.spacing, self.quorum]);
        out.extend(u16::try_from(self.members.len()).unwrap_or(u16::MAX).to_be_bytes());
        for member in &self.members {
            out.extend(member.key.as_bytes());
            text(&mut out, &member.name);
        }
        out
    }

    /// Reads and checks the canonical bytes; nothing may follow them.
    ///
    /// # Errors
    /// [`GenesisError`] with the field, expected and got.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GenesisError> {
        let mut reader = Reader { rest: bytes };
        let version = reader.array::<1>("version")?[0];
        if version != 1 {
            return Err(value("version", "1", version));
        }
        let kind = match reader.array::<1>("kind")?[0] {
            1 => ChainKind::Emr,
            2 => ChainKind::Phd,
            other => return Err(value("kind", "1 (emr) or 2 (phd)", other)),
        };
        let name = reader.text("name")?;
        let nonce = Hash32(reader.array("nonce")?);
        let time_ms = u64::from_be_bytes(reader.array("time_ms")?);
        let block_interval_ms = u32::from_be_bytes(reader.array("block_interval_ms")?);
        let first_target = CompactTarget::new(u32::from_be_bytes(reader.array("first_target")?))?;
        let most_target = CompactTarget::new(u32::from_be_bytes(reader.array("most_target")?))?;
        let half_life_ms = u64::from_be_bytes(reader.array("half_life_ms")?);
        let max_transactions = u32::from_be_bytes(reader.array("max_transactions")?);
        let max_bytes = u32::from_be_bytes(reader.array("max_bytes")?);
        let [sibling_window, sibling_limit, spacing, quorum] = reader.array("rules")?;
        let n = u16::from_be_bytes(reader.array("members")?);
        let mut members = Vec::new();
        for _ in 0..n {
            let key = PublicKey::new(reader.array("member key")?)?;
            members.push(Member { key, name: reader.text("member name")? });
        }
        if !reader.rest.is_empty() {
            return Err(GenesisError::Length { field: "end", expected: 0, got: reader.rest.len() });
        }
        let genesis = Self {
            kind,
            name,
            nonce,
            time_ms,
            block_interval_ms,
            first_target,
            most_target,
            half_life_ms,
            max_transactions,
            max_bytes,
            sibling_window,
            sibling_limit,
            spacing,
            quorum,
            members,
        };
        genesis.check()?;
        Ok(genesis)
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

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, field: &'static str, len: usize) -> Result<&'a [u8], GenesisError> {
        if self.rest.len() < len {
            return Err(GenesisError::Length { field, expected: len, got: self.rest.len() });
        }
        let (head, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], GenesisError> {
        Ok(self.take(field, N)?.try_into().expect("take gives exactly N bytes"))
    }

    fn text(&mut self, field: &'static str) -> Result<String, GenesisError> {
        let len = u16::from_be_bytes(self.array(field)?);
        let bytes = self.take(field, usize::from(len))?;
        String::from_utf8(bytes.to_vec()).map_err(|_| value(field, "UTF-8", hex::encode(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SecretKey;
    use proptest::prelude::*;

    fn sample(n: u8) -> Genesis {
        let members = (0..n)
            .map(|i| Member { key: SecretKey::from_seed([i; 32]).public(), name: format!("hospital {i}") })
            .collect();
        Genesis::with_defaults(ChainKind::Emr, "test", Hash32([9; 32]), 1_700_000_000_000, CompactTarget::MOST, members)
    }

    #[test]
    fn bytes_and_toml_come_back() {
        for n in [0, 1, 2, 3, 8] {
            let genesis = sample(n);
            genesis.check().unwrap();
            assert_eq!(Genesis::from_bytes(&genesis.to_bytes()).unwrap(), genesis);
            assert_eq!(Genesis::from_toml(&genesis.to_toml()).unwrap(), genesis);
        }
        assert_eq!((sample(2).spacing, sample(2).quorum), (0, 2));
        assert_eq!((sample(3).spacing, sample(3).quorum), (1, 3));
        assert_eq!((sample(8).spacing, sample(8).quorum), (3, 6));
    }

    #[test]
    fn each_rule_is_held() {
        type Break = fn(&mut Genesis);
        let breaks: [Break; 14] = [
            |g| g.name.clear(),
            |g| g.name = "a\nb".into(),
            |g| g.block_interval_ms = 0,
            |g| g.half_life_ms = 0,
            |g| g.half_life_ms = 1 << 53,
            |g| g.time_ms = 1 << 53,
            |g| g.most_target = CompactTarget::LEAST,
            |g| g.max_transactions = 0,
            |g| g.max_transactions = 4_001,
            |g| g.max_bytes = 65_535,
            |g| g.sibling_limit = 1,
            |g| g.quorum = 4,
            |g| g.spacing = 3,
            |g| g.members.swap(0, 1),
        ];
        for (i, change) in breaks.iter().enumerate() {
            let mut genesis = sample(3);
            change(&mut genesis);
            assert!(Genesis::from_bytes(&genesis.to_bytes()).is_err(), "rule {i}");
        }
        let mut same = sample(3);
        same.members[1].name = same.members[0].name.clone();
        assert!(same.check().is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Genesis::from_bytes(&bytes);
        }

        #[test]
        fn cut_or_longer_bytes_are_refused(cut in 0usize..100) {
            let bytes = sample(3).to_bytes();
            prop_assert!(Genesis::from_bytes(&bytes[..bytes.len() - 1 - cut]).is_err());
            let longer = [bytes, vec![0; cut + 1]].concat();
            prop_assert!(Genesis::from_bytes(&longer).is_err());
        }
    }
}
