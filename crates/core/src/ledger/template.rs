//! What to mine: the packing policy picks, the application says what would be void, the header is laid out.

use super::siblings::commit_order;
use super::{Ledger, missing};
use crate::app::{Outcome, Position};
use crate::block::{Block, Header, Template};
use crate::bytes::{BlockHash, TxHash};
use crate::crypto::PublicKey;
use crate::error::TemplateError;
use crate::limits::MAX_TEMPLATE_ROUNDS;
use crate::merkle;
use crate::staged::BlockState;
use crate::store::{IndexRow, StoreError, StoreRead};
use crate::tx::{Transaction, Verified};
use blockhie_packing::{PackingContext, PackingPolicy};

/// Who mines, when, and by which policy.
pub struct TemplateRequest<'a> {
    /// The miner's key; on a chain with members one of them.
    pub miner: PublicKey,
    /// Local clock, ms since the epoch.
    pub now_ms: u64,
    /// Which waiting transactions go in.
    pub policy: &'a dyn PackingPolicy<TxHash>,
    /// 1-based position among the sorted members; on an open chain from configuration.
    pub node_index: u32,
    /// Members; on an open chain from configuration.
    pub node_count: u32,
    /// For policies that draw lots.
    pub seed: u64,
}

impl Ledger {
    /// The next block to mine on the tip.
    ///
    /// # Errors
    /// [`TemplateError`]: not now, not this node, or the store's.
    pub fn template(&mut self, request: &TemplateRequest<'_>) -> Result<Template, TemplateError> {
        if let Some(height) = self.tip.alarm {
            return Err(TemplateError::Alarm { height });
        }
        let miner = request.miner;
        if !self.genesis.is_open() && self.genesis.member_index(&miner).is_none() {
            return Err(TemplateError::NotAMember { miner });
        }
        if let Some(height) = self.spacing_conflict(&miner.into(), &self.tip.hash)? {
            return Err(TemplateError::NotMyTurn { miner, height, spacing: self.genesis.spacing });
        }
        let parent = self.index_row(&self.tip.hash)?;
        // Strictly after the parent, and never what this node itself would refuse as too far ahead.
        let time_ms = request.now_ms.max(parent.time_ms.saturating_add(1));
        let ahead_ms = self.genesis.future_limit_ms();
        if time_ms > request.now_ms.saturating_add(ahead_ms) {
            return Err(TemplateError::Wait { until_ms: time_ms - ahead_ms });
        }
        let siblings = self.due_siblings(time_ms)?;
        let txhashes = self.pick(request, &parent, time_ms, &siblings)?;
        let header = Header {
            previous: self.tip.hash,
            tx_root: merkle::head(&txhashes),
            history_root: parent.peaks.head(),
            siblings_root: merkle::head(&siblings),
            miner: miner.into(),
            height: parent.height + 1,
            time_ms,
            tx_count: u32::try_from(txhashes.len()).expect("at most 4,000 transactions"),
            target: self.consensus.required_target(&Self::context(&parent)),
            nonce: 0,
        };
        Ok(Template { header, txhashes, siblings })
    }

    /// Picks, of what the siblings do not carry, until nothing picked would be void; what would be is parked and another
    /// takes its place.
    fn pick(
        &mut self,
        request: &TemplateRequest<'_>,
        parent: &IndexRow,
        time_ms: u64,
        siblings: &[BlockHash],
    ) -> Result<Vec<TxHash>, StoreError> {
        let siblings = self.siblings_of(siblings)?;
        let carried = siblings.iter().flat_map(|sibling| &sibling.txhashes).copied();
        let hidden = self.mempool.hide(carried);
        let picked = self.pick_shown(request, parent, time_ms, &siblings);
        self.mempool.show(&hidden);
        picked
    }

    fn pick_shown(
        &mut self,
        request: &TemplateRequest<'_>,
        parent: &IndexRow,
        time_ms: u64,
        siblings: &[Block],
    ) -> Result<Vec<TxHash>, StoreError> {
        let context = PackingContext {
            capacity: usize::try_from(self.genesis.max_transactions).unwrap_or(usize::MAX),
            bytes: usize::try_from(self.genesis.max_bytes).unwrap_or(usize::MAX),
            node_index: request.node_index,
            node_count: request.node_count,
            parent: self.tip.hash.0,
            now_ms: request.now_ms,
            seed: request.seed,
        };
        let mut picked = Vec::new();
        for _ in 0..MAX_TEMPLATE_ROUNDS {
            picked = request.policy.pick(self.mempool.pool(), &context);
            let void = self.find_void(&picked, parent, time_ms, siblings)?;
            if void.is_empty() {
                return Ok(picked);
            }
            for hash in &void {
                for dropped in self.mempool.park(hash) {
                    self.staged.pending.insert(dropped, None);
                    if !self.is_needed(&dropped, None)? {
                        self.staged.txs.insert(dropped, None);
                    }
                }
            }
            self.tip.pending = self.mempool.len();
            picked.retain(|hash| !void.contains(hash));
        }
        Ok(picked)
    }

    /// Which of `picked` would be void after what the siblings carry.
    fn find_void(
        &self,
        picked: &[TxHash],
        parent: &IndexRow,
        time_ms: u64,
        siblings: &[Block],
    ) -> Result<Vec<TxHash>, StoreError> {
        let view = self.view();
        let mut state = BlockState::new(&view);
        let (mut void, mut index) = (Vec::new(), 0);
        let mut apply = |tx: &Transaction<Verified>| {
            let position = Position { height: parent.height + 1, time_ms, index };
            index += 1;
            let outcome = self.application.apply(tx, position, &mut state)?;
            match outcome {
                Outcome::Applied => state.keep(),
                Outcome::Void(_) => state.discard(),
            }
            Ok::<_, StoreError>(matches!(outcome, Outcome::Applied))
        };
        for (txhash, _) in commit_order(&view, siblings)? {
            let stored = view.tx(&txhash)?.ok_or_else(|| missing("txs", &txhash))?;
            apply(&Transaction::from_stored(stored))?;
        }
        for hash in picked {
            let Some(tx) = self.mempool.get(hash) else { continue };
            if !apply(tx)? {
                void.push(*hash);
            }
        }
        Ok(void)
    }
}
