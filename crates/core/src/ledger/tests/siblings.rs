//! Siblings: the listing rules, the order of commitment, and what comes back when a merge is abandoned.

use super::*;
use crate::merkle::Peaks;

mod attacks;
mod kept;
mod merging;
mod proofs;
mod random;
mod rules;

/// A block made by hand, and what its children need of it.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) block: UncheckedBlock,
    pub(super) hash: BlockHash,
    pub(super) height: u64,
    pub(super) time_ms: u64,
    peaks: Peaks,
}

/// Makes blocks anywhere, with any lists.
pub(super) struct Maker {
    chain_id: ChainId,
    pub(super) root: Made,
}

impl Maker {
    pub(super) fn new(genesis: &Genesis) -> Self {
        let block = genesis_block(genesis);
        let mut peaks = Peaks::default();
        peaks.push(&block.hash);
        let (hash, time_ms) = (block.hash, genesis.time_ms);
        Self {
            chain_id: genesis.chain_id(),
            root: Made { block: block.to_unchecked(), hash, height: 0, time_ms, peaks },
        }
    }

    /// A block that is there already.
    pub(super) fn known(&self, block: &Block, peaks: Peaks) -> Made {
        let (hash, height, time_ms) = (block.hash, block.header.height, block.header.time_ms);
        Made { block: block.to_unchecked(), hash, height, time_ms, peaks }
    }

    /// A child of `parent` by `member`, `after_ms` later.
    pub(super) fn child(
        &self,
        parent: &Made,
        member: u8,
        after_ms: u64,
        txs: &[&Transaction<Verified>],
        siblings: &[&Made],
    ) -> Made {
        let txhashes: Vec<_> = txs.iter().map(|tx| tx.hash()).collect();
        let siblings: Vec<_> = siblings.iter().map(|sibling| sibling.hash).collect();
        let mut header = Header {
            previous: parent.hash,
            tx_root: head(&txhashes),
            history_root: parent.peaks.head(),
            siblings_root: head(&siblings),
            miner: secret(member).public().into(),
            height: parent.height + 1,
            time_ms: parent.time_ms + after_ms,
            tx_count: u32::try_from(txhashes.len()).unwrap(),
            target: CompactTarget::MOST,
            nonce: 0,
        };
        while TestWork.check(&header, &header.hash(&self.chain_id)).is_err() {
            header.nonce += 1;
        }
        let (height, time_ms, nonce) = (header.height, header.time_ms, header.nonce);
        let block = Template { header, txhashes, siblings }.seal(&self.chain_id, nonce, Some(&secret(member)));
        let mut peaks = parent.peaks.clone();
        peaks.push(&block.claimed_hash);
        Made { hash: block.claimed_hash, block, height, time_ms, peaks }
    }
}

/// Members may mine at any time; W and L as given.
pub(super) fn merging(members: u8, window: u8, limit: u8) -> Genesis {
    let mut genesis = genesis(members);
    (genesis.spacing, genesis.sibling_window, genesis.sibling_limit) = (0, window, limit);
    genesis.quorum = members;
    genesis
}

pub(super) const LATE: u64 = START + 10_000_000;

/// Imports with these bodies at hand.
pub(super) fn give(ledger: &mut Ledger, made: &Made, txs: &[&Transaction<Verified>]) -> Result<Imported, BlockError> {
    let bodies = txs.iter().map(|tx| (tx.hash(), (*tx).clone())).collect();
    let result = ledger.import(made.block.clone(), &bodies, LATE);
    ledger.commit().unwrap();
    result
}

/// Replaying the stored chain finds the same.
pub(super) fn assert_clean(store: &MemoryStore) {
    let report = crate::fsck::fsck(store.snapshot().as_ref(), Arc::new(TestWork), Arc::new(OpaqueApp)).unwrap();
    assert_eq!(report.differences, 0, "{:#?}", report.described);
}

pub(super) fn committed_at(ledger: &Ledger, tx: &Transaction<Verified>) -> Option<(u64, u32, Option<BlockHash>)> {
    let position = ledger.view().tx_position(&tx.hash()).unwrap()?;
    Some((position.height, position.index, position.via_sibling))
}
