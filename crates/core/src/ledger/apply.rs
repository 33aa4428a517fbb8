//! What a block makes of the state when it comes on the tip, and how it is taken back.

use super::chain::Abandoned;
use super::siblings::commit_order;
use super::{Ledger, missing};
use crate::app::{Outcome, Position, TxPosition};
use crate::block::Block;
use crate::bytes::TxHash;
use crate::error::BlockError;
use crate::staged::{BlockState, Changes};
use crate::store::{IndexRow, Judgement, StoreError, StoreRead, Undo};
use crate::tx::Transaction;
use std::collections::BTreeMap;

impl Ledger {
    /// Step 9: the rules of siblings, and nothing in its own list was committed by an ancestor or is carried by its
    /// siblings. The tip is its parent when this is asked, and its siblings are held.
    pub(super) fn check_block_rules(&self, block: &Block) -> Result<(), BlockError> {
        self.check_siblings(block)?;
        if self.is_planted("double-commit") {
            return Ok(());
        }
        let mut carried = BTreeMap::new();
        for sibling in self.siblings_of(&block.siblings)? {
            carried.extend(sibling.txhashes.into_iter().map(|txhash| (txhash, sibling.hash)));
        }
        let view = self.view();
        let twice = |expected: &str, got: String| {
            let (rule, expected) = ("own transactions", expected.to_owned());
            Err(BlockError::NotValid { block: block.hash, rule, expected, got })
        };
        for txhash in &block.txhashes {
            if let Some(position) = view.tx_position(txhash)? {
                let got = format!("{txhash}, committed at height {}", position.height);
                return twice("none that an ancestor committed", got);
            }
            if let Some(sibling) = carried.get(txhash) {
                return twice("none that its siblings carry", format!("{txhash}, in sibling {sibling}"));
            }
        }
        Ok(())
    }

    /// Applies a block on the tip; answers what it commits, its siblings' first.
    pub(super) fn apply_block(&mut self, block: &Block, row: IndexRow) -> Result<Vec<TxHash>, StoreError> {
        let siblings = self.siblings_of(&block.siblings)?;
        let mut positions = Vec::with_capacity(block.txhashes.len());
        let changes = {
            let view = self.view();
            let mut through = commit_order(&view, &siblings)?;
            if self.is_planted("sibling-again") {
                let all = siblings.iter().flat_map(|block| block.txhashes.iter().map(|txhash| (*txhash, block.hash)));
                through = all.collect();
            }
            let through = through.into_iter().map(|(txhash, sibling)| (txhash, Some(sibling)));
            let order = through.chain(block.txhashes.iter().map(|txhash| (*txhash, None)));
            let mut state = BlockState::new(&view);
            for (index, (txhash, via_sibling)) in order.enumerate() {
                let index = u32::try_from(index).expect("at most 40,000 transactions");
                let position = Position { height: row.height, time_ms: row.time_ms, index };
                let void = match self.taken.get(&txhash) {
                    Some(void) => void.clone(),
                    None => self.apply_one(&view, &txhash, position, &mut state)?,
                };
                let first_seen_ms = view.pending_since(&txhash)?;
                let (height, block) = (row.height, block.hash);
                positions.push((txhash, TxPosition { height, block, index, via_sibling, void, first_seen_ms }));
            }
            state.finish()?
        };
        self.stage_applied(block, row, changes, positions, &siblings)
    }

    /// Applies a transaction whose body is here; answers why it is void, if it is.
    fn apply_one(
        &self,
        view: &dyn StoreRead,
        txhash: &TxHash,
        position: Position,
        state: &mut BlockState<'_>,
    ) -> Result<Option<String>, StoreError> {
        let stored = view.tx(txhash)?.ok_or_else(|| missing("txs", txhash))?;
        match self.application.apply(&Transaction::from_stored(stored), position, state)? {
            Outcome::Applied => {
                state.keep();
                Ok(None)
            }
            Outcome::Void(reason) => {
                state.discard();
                Ok(Some(reason))
            }
        }
    }

    fn stage_applied(
        &mut self,
        block: &Block,
        row: IndexRow,
        changes: Changes,
        positions: Vec<(TxHash, TxPosition)>,
        siblings: &[Block],
    ) -> Result<Vec<TxHash>, StoreError> {
        // All reads come first: if one fails, nothing was staged.
        let parent = self.index_row(&row.parent)?;
        let mut meta = self.view().meta()?;
        meta.tip = Some(block.hash);
        let miner = self.genesis.miner_key(&row.miner);
        let is_member = miner.is_ok_and(|miner| self.genesis.member_index(&miner).is_some());
        let miner_seen = if is_member { meta.last_seen.insert(row.miner, row.height) } else { None };
        self.show_last_seen(&meta)?;
        self.staged.meta = Some(meta);
        for (level, index, hash) in parent.peaks.clone().push(&block.hash) {
            self.staged.history.insert((level, index), Some(hash));
        }
        self.staged.state.extend(changes.writes);
        let committed: Vec<TxHash> = positions.iter().map(|(txhash, _)| *txhash).collect();
        let undo = Undo { state: changes.undo, transactions: committed.clone(), miner_seen };
        self.staged.undo.insert(block.hash, Some(undo));
        self.staged.heights.insert(row.height, Some(block.hash));
        self.staged.side.insert((row.height, block.hash), None);
        if self.arriving != Some(block.hash) {
            self.carry(block, false);
        }
        for sibling in siblings {
            self.staged.listed.insert(sibling.hash, Some(row.height));
            self.staged.side.insert((sibling.header.height, sibling.hash), None);
            self.carry(sibling, false);
        }
        for (hash, position) in positions {
            self.staged.positions.insert(hash, Some(position));
            self.staged.pending.insert(hash, None);
        }
        (self.tip.height, self.tip.hash, self.tip.time_ms) = (row.height, block.hash, row.time_ms);
        self.tip.work = row.work_u256();
        self.judge(block.hash, row, Judgement::Valid);
        Ok(committed)
    }

    /// Takes the tip back. Its transactions, those through siblings included, wait again with the first-seen they had; it
    /// and its siblings stand beside the chain again.
    pub(super) fn undo_tip(&mut self, abandoned: &mut Abandoned, now_ms: u64) -> Result<(), StoreError> {
        let (hash, height) = (self.tip.hash, self.tip.height);
        let row = self.index_row(&hash)?;
        let parent = self.index_row(&row.parent)?;
        let undo = self.view().undo(&hash)?.ok_or_else(|| missing("undo", &hash))?;
        let block = self.view().block(&hash)?.ok_or_else(|| missing("blocks", &hash))?;
        for sibling in self.siblings_of(&block.siblings)? {
            self.staged.listed.insert(sibling.hash, None);
            self.staged.side.insert((sibling.header.height, sibling.hash), Some(height));
            self.carry(&sibling, true);
        }
        self.staged.side.insert((height, hash), Some(height));
        self.carry(&block, true);
        self.staged.state.extend(undo.state);
        for txhash in undo.transactions {
            let view = self.view();
            let position = view.tx_position(&txhash)?.ok_or_else(|| missing("tx_positions", &txhash))?;
            let stored = view.tx(&txhash)?.ok_or_else(|| missing("txs", &txhash))?;
            drop(view);
            let first_seen_ms = position.first_seen_ms.unwrap_or(now_ms);
            self.staged.positions.insert(txhash, None);
            self.staged.pending.insert(txhash, Some(first_seen_ms));
            abandoned.insert(txhash, (Transaction::from_stored(stored), first_seen_ms));
        }
        for (level, index, _) in parent.peaks.clone().push(&hash) {
            self.staged.history.insert((level, index), None);
        }
        self.staged.heights.insert(height, None);
        self.staged.undo.insert(hash, None);
        let mut meta = self.view().meta()?;
        meta.tip = Some(row.parent);
        match undo.miner_seen {
            Some(height) => meta.last_seen.insert(row.miner, height),
            None => meta.last_seen.remove(&row.miner),
        };
        self.show_last_seen(&meta)?;
        self.staged.meta = Some(meta);
        (self.tip.height, self.tip.hash, self.tip.time_ms) = (parent.height, row.parent, parent.time_ms);
        self.tip.work = parent.work_u256();
        Ok(())
    }
}
