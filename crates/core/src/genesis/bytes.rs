//! The canonical bytes of a genesis, whose hash is the chain's identity.

use super::{ChainKind, Genesis, GenesisError, Member, value};
use crate::bytes::Hash32;
use crate::crypto::PublicKey;
use crate::target::CompactTarget;

impl Genesis {
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
