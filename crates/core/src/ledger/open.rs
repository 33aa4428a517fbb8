//! How a ledger begins: block 0 of a new chain, or the tip and the journal that the store kept.

use super::{Ledger, Memory, missing};
use crate::app::Application;
use crate::block::{Block, Header};
use crate::bytes::{BlockHash, Hash32};
use crate::consensus::Consensus;
use crate::error::LedgerError;
use crate::genesis::Genesis;
use crate::limits::MAX_COMMITTED;
use crate::mempool::Mempool;
use crate::merkle::{Peaks, head};
use crate::query::Tip;
use crate::signatures::Signatures;
use crate::staged::Staged;
use crate::store::{IndexRow, Judgement, Meta, Store, StoreError, StoreRead};
use crate::tx::Transaction;
use primitive_types::U256;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Good signatures of blocks remembered: more than the blocks that are fetched ahead along checked headers, 400 KiB.
const MAX_SIGNATURES: usize = 4_096;
/// Entries read at once from the mempool's journal when opening.
const PAGE: usize = 1_024;

/// Block 0 of a genesis.
#[must_use]
pub fn genesis_block(genesis: &Genesis) -> Block {
    let header = Header {
        previous: Hash32::ZERO,
        tx_root: head(&[]),
        history_root: head(&[]),
        siblings_root: head(&[]),
        miner: Hash32::ZERO,
        height: 0,
        time_ms: genesis.time_ms,
        tx_count: 0,
        target: genesis.first_target,
        nonce: 0,
    };
    let hash = header.hash(&genesis.chain_id());
    Block { hash, header, txhashes: Vec::new(), siblings: Vec::new(), signature: None }
}

impl Ledger {
    /// Opens the chain whose genesis the store holds; a new store gets its block 0. The mempool is read back from its
    /// journal.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(
        store: Arc<dyn Store>,
        consensus: Arc<dyn Consensus>,
        application: Arc<dyn Application>,
    ) -> Result<Self, LedgerError> {
        let meta = store.snapshot().meta()?;
        let genesis = Genesis::from_bytes(&meta.genesis)?;
        let chain_id = genesis.chain_id();
        if chain_id != meta.chain_id {
            return Err(StoreError::ForeignChain { expected: chain_id, got: meta.chain_id }.into());
        }
        let committed = (u32::from(genesis.sibling_limit) + 1) * genesis.max_transactions;
        if committed > MAX_COMMITTED {
            let expected = format!("(L + 1)·m of at most {MAX_COMMITTED}");
            let feature = "blocks that commit so much with their siblings";
            return Err(LedgerError::NotBuilt { feature, expected, got: committed.to_string() });
        }
        let tip = Tip {
            height: 0,
            hash: Hash32::ZERO,
            time_ms: 0,
            work: U256::zero(),
            last_seen: Vec::new(),
            final_height: None,
            pending: 0,
            alarm: meta.alarm,
            pruned_below: store.snapshot().pruned()?.first_whole(),
        };
        let mut ledger = Self {
            store,
            consensus,
            application,
            genesis,
            chain_id,
            staged: Staged::default(),
            tip,
            mempool: Mempool::default(),
            unsound: BTreeSet::new(),
            unsound_order: VecDeque::new(),
            subscribers: Vec::new(),
            side_cursor: None,
            arriving: None,
            pruning: None,
            memory: Memory::default(),
            taken: BTreeMap::new(),
            signatures: Arc::new(Signatures::new(MAX_SIGNATURES)),
            #[cfg(feature = "planted")]
            planted: None,
        };
        let hash = match meta.tip {
            Some(hash) => hash,
            None => ledger.stage_genesis(meta)?,
        };
        ledger.read_tip(hash)?;
        ledger.read_journal()?;
        ledger.commit()?;
        Ok(ledger)
    }

    fn stage_genesis(&mut self, mut meta: Meta) -> Result<BlockHash, StoreError> {
        let block = genesis_block(&self.genesis);
        let hash = block.hash;
        let mut peaks = Peaks::default();
        peaks.push(&hash);
        let row = IndexRow {
            parent: Hash32::ZERO,
            height: 0,
            time_ms: block.header.time_ms,
            work: Hash32::ZERO,
            lag_ms: 0,
            miner: Hash32::ZERO,
            peaks,
            judgement: Judgement::Valid,
        };
        meta.tip = Some(hash);
        self.staged.blocks.insert(hash, Some(block));
        self.staged.index.insert(hash, row);
        self.staged.heights.insert(0, Some(hash));
        self.staged.meta = Some(meta);
        Ok(hash)
    }

    fn read_tip(&mut self, hash: BlockHash) -> Result<(), StoreError> {
        let row = self.index_row(&hash)?;
        (self.tip.height, self.tip.hash, self.tip.time_ms) = (row.height, hash, row.time_ms);
        self.tip.work = row.work_u256();
        let meta = self.view().meta()?;
        self.show_last_seen(&meta)?;
        Ok(())
    }

    fn read_journal(&mut self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.store.snapshot().pending(after.as_ref(), PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for (hash, first_seen_ms) in page {
                let stored = self.view().tx(&hash)?.ok_or_else(|| missing("txs", &hash))?;
                self.mempool.insert(Transaction::from_stored(stored), first_seen_ms);
            }
        }
        self.tip.pending = self.mempool.len();
        Ok(())
    }
}
