//! Blocks made by hand: sealed and signed like honest ones, with whatever lists and times a test wants.

use super::{START_MS, secret};
use blockhie_core::{
    BlockHash, CompactTarget, Consensus, Genesis, Header, ParentContext, Template, TxHash, UncheckedBlock,
    genesis_block, merkle,
};
use blockhie_pow::ProofOfWork;

pub struct Forge {
    genesis: Genesis,
    pub member: usize,
    hashes: Vec<BlockHash>,
    parent: ParentContext,
    /// What the blocks made from now on list.
    pub siblings: Vec<BlockHash>,
}

impl Forge {
    /// A chain by this member, from the genesis on.
    pub fn new(genesis: &Genesis, member: usize) -> Self {
        let parent = ParentContext { height: 0, time_ms: genesis.time_ms, lag_ms: 0 };
        Self {
            genesis: genesis.clone(),
            member,
            hashes: vec![genesis_block(genesis).hash],
            parent,
            siblings: Vec::new(),
        }
    }

    pub fn target(&self) -> CompactTarget {
        ProofOfWork::new(&self.genesis).required_target(&self.parent)
    }

    /// The next block with these transactions, a second after its parent. The forge goes on from there.
    pub fn block(&mut self, txhashes: Vec<TxHash>) -> UncheckedBlock {
        let time_ms = self.parent.time_ms + 1_000;
        let block = self.block_at(txhashes, time_ms, self.parent.height + 1, 0);
        let lag_ms = ProofOfWork::new(&self.genesis).next_lag(&self.parent, time_ms);
        self.parent = ParentContext { height: block.height, time_ms, lag_ms };
        self.hashes.push(block.claimed_hash);
        block
    }

    /// A block on the forge's tip that it does not go on from.
    pub fn block_at(&self, txhashes: Vec<TxHash>, time_ms: u64, height: u64, start_nonce: u64) -> UncheckedBlock {
        let chain = self.genesis.chain_id();
        let header = Header {
            previous: *self.hashes.last().unwrap(),
            tx_root: merkle::head(&txhashes),
            history_root: merkle::head(&self.hashes),
            siblings_root: merkle::head(&self.siblings),
            miner: secret(self.member).public().into(),
            height,
            time_ms,
            tx_count: u32::try_from(txhashes.len()).unwrap(),
            target: self.target(),
            nonce: 0,
        };
        let nonce = blockhie_pow::seal(&header, &chain, start_nonce, 1 << 20).expect("an easy target");
        let member = secret(self.member);
        let member = (!self.genesis.is_open()).then_some(&member);
        Template { header, txhashes, siblings: self.siblings.clone() }.seal(&chain, nonce, member)
    }

    pub fn time_ms(&self) -> u64 {
        self.parent.time_ms - START_MS
    }
}
