//! Blocks: the 240-byte preimage, and the two stages of a block.

use crate::bytes::{BlockHash, BytesError, ChainId, Hash32, Signature, TxHash, from_slice, sha256};
use crate::crypto::{KeyError, PublicKey, SecretKey};
use crate::merkle;
use crate::target::{CompactTarget, TargetError};

/// Length of a header's preimage in bytes.
pub const PREIMAGE_LEN: usize = 240;
/// Bytes of the preimage that do not change while the nonce runs: three SHA-256 blocks.
pub const MIDSTATE_LEN: usize = 192;
const TAG: &[u8; 16] = b"blockhie/block/1";

/// What the block hash covers, but for tag and chain id.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Header {
    /// Hash of the parent.
    pub previous: BlockHash,
    /// RFC 9162 head over the txhashes.
    pub tx_root: Hash32,
    /// RFC 9162 head over the blockhashes of heights 0 to height-1.
    pub history_root: Hash32,
    /// RFC 9162 head over the sibling hashes.
    pub siblings_root: Hash32,
    /// Key of the miner; zero in the genesis block only.
    pub miner: Hash32,
    /// Blocks below it.
    pub height: u64,
    /// Milliseconds since the epoch.
    pub time_ms: u64,
    /// Own transactions.
    pub tx_count: u32,
    /// Compact target.
    pub target: CompactTarget,
    /// The answer of the proof of work.
    pub nonce: u64,
}

/// Why 240 bytes are not a header of this chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not 240 bytes.
    #[error(transparent)]
    Length(#[from] BytesError),
    /// Another tag.
    #[error("header tag: expected {expected}, got {got}", expected = hex::encode(TAG))]
    Tag {
        /// The 16 bytes in hex.
        got: String,
    },
    /// Another chain.
    #[error("header chain id: expected {expected}, got {got}")]
    Chain {
        /// This chain.
        expected: ChainId,
        /// The header's.
        got: ChainId,
    },
    /// A target that is not canonical.
    #[error(transparent)]
    Target(#[from] TargetError),
}

impl Header {
    /// The 240 bytes that are hashed.
    #[must_use]
    pub fn preimage(&self, chain: &ChainId) -> [u8; PREIMAGE_LEN] {
        let parts: [&[u8]; 12] = [
            TAG,
            &chain.0,
            &self.previous.0,
            &self.tx_root.0,
            &self.history_root.0,
            &self.siblings_root.0,
            &self.miner.0,
            &self.height.to_be_bytes(),
            &self.time_ms.to_be_bytes(),
            &self.tx_count.to_be_bytes(),
            &self.target.get().to_be_bytes(),
            &self.nonce.to_be_bytes(),
        ];
        let mut out = [0; PREIMAGE_LEN];
        let mut at = 0;
        for part in parts {
            out[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        out
    }

    /// Reads the 240 bytes.
    ///
    /// # Errors
    /// [`HeaderError`] with expected and got.
    pub fn from_preimage(bytes: &[u8], chain: &ChainId) -> Result<Self, HeaderError> {
        let all: [u8; PREIMAGE_LEN] = from_slice("header", bytes)?;
        let hash = |at: usize| Hash32(all[at..at + 32].try_into().expect("32 bytes"));
        let long = |at: usize| u64::from_be_bytes(all[at..at + 8].try_into().expect("8 bytes"));
        let short = |at: usize| u32::from_be_bytes(all[at..at + 4].try_into().expect("4 bytes"));
        if all[..16] != TAG[..] {
            return Err(HeaderError::Tag { got: hex::encode(&all[..16]) });
        }
        if hash(16) != *chain {
            return Err(HeaderError::Chain { expected: *chain, got: hash(16) });
        }
        Ok(Self {
            previous: hash(48),
            tx_root: hash(80),
            history_root: hash(112),
            siblings_root: hash(144),
            miner: hash(176),
            height: long(208),
            time_ms: long(216),
            tx_count: short(224),
            target: CompactTarget::new(short(228))?,
            nonce: long(232),
        })
    }

    /// SHA-256 of the preimage.
    #[must_use]
    pub fn hash(&self, chain: &ChainId) -> BlockHash {
        sha256(&[&self.preimage(chain)])
    }
}

/// What the miner signs: `"blockhie/block-sign/v1\0" ‖ chain_id ‖ blockhash`.
#[must_use]
pub fn block_sign_bytes(chain: &ChainId, hash: &BlockHash) -> Vec<u8> {
    [b"blockhie/block-sign/v1\0", chain.as_bytes().as_slice(), hash.as_bytes()].concat()
}

/// A block as received: fields present and of right length, nothing else is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncheckedBlock {
    /// Height it claims.
    pub height: u64,
    /// Milliseconds since the epoch.
    pub time_ms: u64,
    /// Parent.
    pub previous: BlockHash,
    /// Hash it claims.
    pub claimed_hash: BlockHash,
    /// Compact target, canonical or not.
    pub target: u32,
    /// The answer.
    pub nonce: u64,
    /// Own transactions, in order.
    pub txhashes: Vec<TxHash>,
    /// 32 bytes that should be a key.
    pub miner: Hash32,
    /// Siblings, in order.
    pub siblings: Vec<BlockHash>,
    /// Miner's signature, if given.
    pub signature: Option<Signature>,
    /// History root, if given (tag 12).
    pub history_root: Option<Hash32>,
}

impl UncheckedBlock {
    /// The header that these fields make with this history root.
    ///
    /// # Errors
    /// [`TargetError`] when the target is not canonical.
    pub fn header(&self, history_root: Hash32) -> Result<Header, TargetError> {
        Ok(Header {
            previous: self.previous,
            tx_root: merkle::head(&self.txhashes),
            history_root,
            siblings_root: merkle::head(&self.siblings),
            miner: self.miner,
            height: self.height,
            time_ms: self.time_ms,
            tx_count: u32::try_from(self.txhashes.len()).unwrap_or(u32::MAX),
            target: CompactTarget::new(self.target)?,
            nonce: self.nonce,
        })
    }
}

/// A block whose hash was recomputed and whose header was checked. Made by the ledger and read from its store.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Block {
    /// Its hash.
    pub hash: BlockHash,
    /// What the hash covers.
    pub header: Header,
    /// Own transactions, in order.
    pub txhashes: Vec<TxHash>,
    /// Siblings, in order.
    pub siblings: Vec<BlockHash>,
    /// The miner's signature; absent on an open chain.
    pub signature: Option<Signature>,
}

impl Block {
    /// Back to what goes on a wire.
    #[must_use]
    pub fn to_unchecked(&self) -> UncheckedBlock {
        UncheckedBlock {
            height: self.header.height,
            time_ms: self.header.time_ms,
            previous: self.header.previous,
            claimed_hash: self.hash,
            target: self.header.target.get(),
            nonce: self.header.nonce,
            txhashes: self.txhashes.clone(),
            miner: self.header.miner,
            siblings: self.siblings.clone(),
            signature: self.signature,
            history_root: Some(self.header.history_root),
        }
    }

    /// The miner's key.
    ///
    /// # Errors
    /// [`KeyError`] for the genesis block, whose miner is zero.
    pub fn miner(&self) -> Result<PublicKey, KeyError> {
        PublicKey::new(self.header.miner.0)
    }
}

/// A block to be mined: everything but the nonce and the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Header with nonce 0.
    pub header: Header,
    /// The transactions picked, in order.
    pub txhashes: Vec<TxHash>,
    /// The siblings listed, in order.
    pub siblings: Vec<BlockHash>,
}

impl Template {
    /// The block with its answer, signed where `member` is given.
    #[must_use]
    pub fn seal(mut self, chain: &ChainId, nonce: u64, member: Option<&SecretKey>) -> UncheckedBlock {
        self.header.nonce = nonce;
        let hash = self.header.hash(chain);
        let signature = member.map(|secret| secret.sign(&block_sign_bytes(chain, &hash)));
        Block { hash, header: self.header, txhashes: self.txhashes, siblings: self.siblings, signature }.to_unchecked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn preimages_come_back(height: u64, time_ms: u64, tx_count: u32, nonce: u64, byte: u8) {
            let chain = Hash32([byte; 32]);
            let header = Header {
                previous: Hash32([1; 32]), tx_root: Hash32([2; 32]), history_root: Hash32([3; 32]),
                siblings_root: Hash32([4; 32]), miner: Hash32([5; 32]), height, time_ms, tx_count,
                target: CompactTarget::MOST, nonce,
            };
            let bytes = header.preimage(&chain);
            prop_assert_eq!(Header::from_preimage(&bytes, &chain).unwrap(), header);
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..260)) {
            prop_assert!(Header::from_preimage(&bytes, &Hash32::ZERO).is_err());
        }
    }
}
