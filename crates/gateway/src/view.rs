//! Blocks and tips in the form in which the API answers them and the pages show them.

use crate::chain::{Feed, Known};
use blockhie_core::{BlockHash, Genesis, Hash32, PublicKey, Tip, block::Header, merkle};
use blockhie_transport::HeaderRow;
use serde::Serialize;

/// A block of the best chain as a line of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct BlockRow {
    /// Its height.
    pub(crate) height: u64,
    /// Its hash, recomputed here.
    pub(crate) hash: BlockHash,
    /// Hash of the block before it.
    pub(crate) previous: BlockHash,
    /// Its time, ms since the epoch.
    pub(crate) time_ms: u64,
    /// How many transactions it lists.
    pub(crate) transactions: u32,
    /// Key of its miner; zero for the genesis block.
    pub(crate) miner: Hash32,
    /// The miner's name, where the genesis names it.
    pub(crate) miner_name: Option<String>,
    /// Whether it lists siblings.
    #[serde(skip)]
    pub(crate) merges: bool,
}

impl BlockRow {
    /// Reads a header of this chain.
    pub(crate) fn read(row: &HeaderRow, known: &Known) -> Result<Self, String> {
        let header = Header::from_preimage(&row.preimage, &known.chain_id).map_err(|error| error.to_string())?;
        Ok(Self {
            height: header.height,
            hash: header.hash(&known.chain_id),
            previous: header.previous,
            time_ms: header.time_ms,
            transactions: header.tx_count,
            miner: header.miner,
            miner_name: member_name(&known.genesis, &header.miner),
            merges: header.siblings_root != merkle::head(&[]),
        })
    }
}

/// Name of a member by its key.
pub(crate) fn member_name(genesis: &Genesis, key: &Hash32) -> Option<String> {
    let at = genesis.member_index(&PublicKey::new(key.0).ok()?)?;
    Some(genesis.members[at].name.clone())
}

/// A member and the newest block it mined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct MemberView {
    /// Its name.
    pub(crate) name: String,
    /// Its key.
    pub(crate) key: PublicKey,
    /// Height of its newest block on this chain.
    pub(crate) height: Option<u64>,
}

/// The end of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct TipView {
    /// `emr` or `phd`.
    pub(crate) chain: &'static str,
    /// The chain's name.
    pub(crate) name: String,
    /// Its identity.
    pub(crate) chain_id: Hash32,
    /// Height of the tip.
    pub(crate) height: u64,
    /// Its hash.
    pub(crate) hash: BlockHash,
    /// Its time, ms since the epoch.
    pub(crate) time_ms: u64,
    /// Work of the chain, decimal: it may exceed 2^53.
    pub(crate) work: String,
    /// The highest final block.
    pub(crate) final_height: Option<u64>,
    /// Transactions waiting.
    pub(crate) pending: usize,
    /// Height of a final block that was abandoned.
    pub(crate) alarm: Option<u64>,
    /// Members needed to make a block final; 0 on an open chain (development only).
    pub(crate) quorum: u8,
    /// The members.
    pub(crate) members: Vec<MemberView>,
}

impl TipView {
    /// Of a tip of this chain.
    #[must_use]
    pub(crate) fn new(chain: &'static str, known: &Known, tip: &Tip) -> Self {
        let newest = |key: &PublicKey| tip.last_seen.iter().find(|(seen, _)| seen == key).map(|(_, height)| *height);
        let members = known.genesis.members.iter();
        let members =
            members.map(|m| MemberView { name: m.name.clone(), key: m.key, height: newest(&m.key) }).collect();
        Self {
            chain,
            name: known.genesis.name.clone(),
            chain_id: known.chain_id,
            height: tip.height,
            hash: tip.hash,
            time_ms: tip.time_ms,
            work: tip.work.to_string(),
            final_height: tip.final_height,
            pending: tip.pending,
            alarm: tip.alarm,
            quorum: known.genesis.quorum,
            members,
        }
    }
}

/// One live event: the tip and the newest blocks up to it, newest first.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TipEvent {
    /// `emr` or `phd`.
    pub(crate) chain: &'static str,
    /// Whether the node is there; the rest is old while it is not.
    pub(crate) connected: bool,
    /// Height of the tip.
    pub(crate) height: u64,
    /// Its hash.
    pub(crate) hash: BlockHash,
    /// The highest final block.
    pub(crate) final_height: Option<u64>,
    /// Transactions waiting.
    pub(crate) pending: usize,
    /// The newest blocks.
    pub(crate) blocks: Vec<BlockRow>,
}

impl TipEvent {
    /// Of what is live; `None` before the node told a tip.
    #[must_use]
    pub(crate) fn new(chain: &'static str, feed: &Feed) -> Option<Self> {
        let tip = feed.tip.as_ref()?;
        Some(Self {
            chain,
            connected: feed.away.is_none(),
            height: tip.height,
            hash: tip.hash,
            final_height: tip.final_height,
            pending: tip.pending,
            blocks: feed.rows.iter().take(crate::limits::EVENT_BLOCKS).cloned().collect(),
        })
    }
}
