//! Blocks made by hand: sealed and signed like honest ones, with whatever lists, times and parents one wants.

use blockhie_core::{
    BlockHash, Consensus, Genesis, Header, ParentContext, SecretKey, Template, TxHash, UncheckedBlock, genesis_block,
    merkle,
};
use blockhie_pow::ProofOfWork;

/// A chain by one key, from the genesis on, whatever the spacing says.
pub struct Forge {
    genesis: Genesis,
    secret: SecretKey,
    hashes: Vec<BlockHash>,
    parent: ParentContext,
}

impl Forge {
    pub fn new(genesis: &Genesis, secret: SecretKey) -> Self {
        let parent = ParentContext { height: 0, time_ms: genesis.time_ms, lag_ms: 0 };
        Self { genesis: genesis.clone(), secret, hashes: vec![genesis_block(genesis).hash], parent }
    }

    /// The next block; the forge goes on from there.
    pub fn block(&mut self, txhashes: Vec<TxHash>, after_ms: u64) -> UncheckedBlock {
        let time_ms = self.parent.time_ms + after_ms;
        let block = self.beside(txhashes, time_ms, 0);
        let lag_ms = ProofOfWork::new(&self.genesis).next_lag(&self.parent, time_ms);
        self.parent = ParentContext { height: block.height, time_ms, lag_ms };
        self.hashes.push(block.claimed_hash);
        block
    }

    /// A block on the forge's tip that it does not go on from.
    pub fn beside(&self, txhashes: Vec<TxHash>, time_ms: u64, start_nonce: u64) -> UncheckedBlock {
        let chain = self.genesis.chain_id();
        let header = Header {
            previous: *self.hashes.last().unwrap(),
            tx_root: merkle::head(&txhashes),
            history_root: merkle::head(&self.hashes),
            siblings_root: merkle::head(&[]),
            miner: self.secret.public().into(),
            height: self.parent.height + 1,
            time_ms,
            tx_count: u32::try_from(txhashes.len()).unwrap(),
            target: ProofOfWork::new(&self.genesis).required_target(&self.parent),
            nonce: 0,
        };
        let nonce = blockhie_pow::seal(&header, &chain, start_nonce, u64::MAX).unwrap();
        let signer = (!self.genesis.is_open()).then_some(&self.secret);
        Template { header, txhashes, siblings: Vec::new() }.seal(&chain, nonce, signer)
    }
}
