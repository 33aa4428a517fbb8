//! `blockhie.v1.Peer` in checked values: what a node answers to peers that catch up.

use crate::error::ServiceError;
use crate::service::Answer;
use blockhie_core::block::PREIMAGE_LEN;
use blockhie_core::{BlockHash, Signature, Transaction, Unverified, Verified};
use futures::stream::BoxStream;
use std::net::SocketAddr;

/// A header as it travels: 240 bytes that nobody has read yet, and the miner's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeader {
    /// The 240 bytes.
    pub preimage: [u8; PREIMAGE_LEN],
    /// Absent on an open chain and in the genesis block.
    pub signature: Option<Signature>,
}

/// A whole block as it travels. Its list of transactions is what their hashes make, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeBlock<S> {
    /// Its header.
    pub header: SignedHeader,
    /// Siblings, in order; at most 255.
    pub siblings: Vec<BlockHash>,
    /// Transactions, in order; at most 4,000.
    pub transactions: Vec<Transaction<S>>,
}

impl<S> WholeBlock<S> {
    /// Bytes of its bodies.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.transactions.iter().map(|tx| tx.body().len()).sum()
    }
}

/// Where the headers asked for begin, and how many there may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locator {
    /// Blocks of the asking side's chain from the newest down, 1 to 64.
    pub hashes: Vec<BlockHash>,
    /// 1 to 2,048.
    pub limit: u32,
}

/// The blocks asked for, 1 to 64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockList(pub Vec<BlockHash>);

/// One block after the other, of each the one asked for or `None` where it is not kept.
pub type BlockStream = BoxStream<'static, Result<Option<WholeBlock<Verified>>, ServiceError>>;

/// The answer to a call for blocks: for each hash, in order, the block or that it is not kept. May be shorter than what
/// was asked for.
pub type Blocks = Vec<(BlockHash, Option<WholeBlock<Unverified>>)>;

/// `blockhie.v1.Peer`. `remote` is the address of the connection.
pub trait BulkService: Send + Sync + 'static {
    /// Headers of the best chain above the first hash of the locator that stands on it; `None` is NOT_FOUND.
    fn headers_after(&self, remote: SocketAddr, locator: Locator) -> Answer<'_, Option<Vec<SignedHeader>>>;
    /// The blocks asked for, in order. The door ends the stream when the answer is long enough.
    fn whole_blocks(&self, remote: SocketAddr, blocks: BlockList) -> Answer<'_, BlockStream>;
    /// A peer has this block.
    fn announced(&self, remote: SocketAddr, header: SignedHeader) -> Answer<'_, ()>;
}
