//! Fork choice and reorganisation: which block is the tip.

use super::check::{Checked, SoundBlock};
use super::{Imported, Ledger, missing};
use crate::block::{Block, UncheckedBlock};
use crate::bytes::{BlockHash, TxHash};
use crate::crypto::PublicKey;
use crate::error::BlockError;
use crate::limits::MAX_RETRIED;
use crate::store::{IndexRow, Judgement, StoreError, StoreRead};
use crate::tx::{Transaction, Verified};
use std::collections::{BTreeMap, BTreeSet};

/// A transaction that an abandoned block carried, with its first-seen.
pub(super) type Abandoned = BTreeMap<TxHash, (Transaction<Verified>, u64)>;

impl Ledger {
    /// Checks a block and takes it: as new tip, beside the best chain, or, with more work, by reorganising. `bodies` are
    /// verified transactions that the mempool does not hold; `now_ms` is the local clock.
    ///
    /// # Errors
    /// [`BlockError`]. A block that is sound and not valid is kept, and the chain does not move; so is one that would be
    /// the new tip and lists siblings that are not here ([`BlockError::MissingBlocks`]): import it again with them.
    pub fn import(
        &mut self,
        block: UncheckedBlock,
        bodies: &BTreeMap<TxHash, Transaction<Verified>>,
        now_ms: u64,
    ) -> Result<Imported, BlockError> {
        let sound = match self.check(block, bodies, now_ms)? {
            Checked::Known(hash, Judgement::NotValid) => return Err(judged_before(hash)),
            Checked::Known(hash, _) => {
                // It may have waited for siblings.
                let row = self.index_row(&hash)?;
                return if row.work_u256() > self.tip.work {
                    self.follow(hash, row, now_ms)
                } else {
                    Ok(Imported::Known)
                };
            }
            Checked::Sound(sound) => *sound,
        };
        let (hash, row) = self.stage_sound(sound)?;
        let key = (row.height, hash);
        self.arriving = Some(hash);
        let result = self.choose(hash, row, now_ms);
        self.arriving = None;
        if self.staged.side.get(&key).copied().flatten().is_some()
            && let Some(block) = self.staged.blocks.get(&hash).cloned().flatten()
        {
            self.carry(&block, true);
        }
        result
    }

    /// Whether a block that has just come is followed.
    fn choose(&mut self, hash: BlockHash, row: IndexRow, now_ms: u64) -> Result<Imported, BlockError> {
        if row.judgement == Judgement::NotValid {
            return Err(judged_before(hash));
        }
        let tie_wins = row.work_u256() == self.tip.work && self.is_planted("tie-last-seen");
        if row.work_u256() <= self.tip.work && !tie_wins {
            return Ok(Imported::Side);
        }
        self.follow(hash, row, now_ms)
    }

    /// Checks a block and keeps it beside the best chain, whatever its work. For fsck.
    pub(crate) fn keep(
        &mut self,
        block: UncheckedBlock,
        bodies: &BTreeMap<TxHash, Transaction<Verified>>,
        now_ms: u64,
    ) -> Result<(), BlockError> {
        if let Checked::Sound(sound) = self.check(block, bodies, now_ms)? {
            let block = sound.block.clone();
            self.stage_sound(*sound)?;
            self.carry(&block, true);
        }
        Ok(())
    }

    fn stage_sound(&mut self, sound: SoundBlock) -> Result<(BlockHash, IndexRow), StoreError> {
        let SoundBlock { block, row, mut new_bodies } = sound;
        let hash = block.hash;
        if self.tip.pruned_below > 0 {
            self.forget_pruned(&mut new_bodies)?;
        }
        self.staged.txs.extend(new_bodies.into_iter().map(|tx| (tx.hash, Some(tx))));
        self.staged.blocks.insert(hash, Some(block));
        self.staged.index.insert(hash, row.clone());
        self.staged.side.insert((row.height, hash), Some(self.tip.height));
        Ok((hash, row))
    }

    /// Makes a block that is kept, with more work than the tip, the new tip. When the medium fails half-way, the block
    /// stays beside the best chain, and is tried again when it comes again.
    fn follow(&mut self, hash: BlockHash, row: IndexRow, now_ms: u64) -> Result<Imported, BlockError> {
        if row.parent != self.tip.hash {
            return self.reorganise(hash, now_ms);
        }
        self.check_held(&[hash])?;
        let block = self.view().block(&hash)?.ok_or_else(|| missing("blocks", &hash))?;
        self.extend(&block, row, now_ms)
    }

    /// Takes another chain of exactly the tip's work, on which the spacing rule lets `miner` mine. Of equal chains any
    /// may be chosen, and the first is; but when each member alive mined the tip that it holds, nobody may go on from
    /// his own and the chain would stand still for ever. `None`: this is no such chain.
    ///
    /// # Errors
    /// As [`Ledger::import`].
    pub fn take_rival(
        &mut self,
        rival: &BlockHash,
        miner: &PublicKey,
        now_ms: u64,
    ) -> Result<Option<Imported>, BlockError> {
        let Some(row) = self.view().index(rival)? else { return Ok(None) };
        let equal = row.work_u256() == self.tip.work && *rival != self.tip.hash;
        let held = row.judgement != Judgement::NotValid && self.view().block(rival)?.is_some();
        if !equal || !held || self.spacing_conflict(&(*miner).into(), rival)?.is_some() {
            return Ok(None);
        }
        self.reorganise(*rival, now_ms).map(Some)
    }

    /// The usual way: one block on top of the tip. The rules are checked before anything is written.
    fn extend(&mut self, block: &Block, row: IndexRow, now_ms: u64) -> Result<Imported, BlockError> {
        if let Err(error) = self.check_block_rules(block) {
            // A read that fails is no fault of the block: judged for it, its chain would be refused for ever.
            if matches!(error, BlockError::NotValid { .. }) {
                self.judge(block.hash, row, Judgement::NotValid);
            }
            return Err(error);
        }
        let committed = self.apply_block(block, row)?;
        self.settle(&committed, Abandoned::new(), now_ms);
        Ok(Imported::Extended)
    }

    /// Leaves the best chain at the fork and takes the branch that ends in `target`. If that fails everything is as
    /// before; a branch with a block that is not valid is marked from there on.
    fn reorganise(&mut self, target: BlockHash, now_ms: u64) -> Result<Imported, BlockError> {
        let (staged, tip) = (self.staged.clone(), self.tip.clone());
        let (fork_height, branch) = self.branch_to(target)?;
        self.check_above_pruned(target, fork_height)?;
        self.check_held(&branch)?;
        let (committed, abandoned) = match self.switch(fork_height, &branch, now_ms) {
            Ok(done) => done,
            Err(error) => {
                (self.staged, self.tip) = (staged, tip);
                if let BlockError::NotValid { block, .. } = &error {
                    self.judge_branch(*block, &branch)?;
                }
                return Err(error);
            }
        };
        self.settle(&committed, abandoned, now_ms);
        let applied = branch.len() as u64;
        Ok(Imported::Reorganised { fork_height, abandoned: tip.height - fork_height, applied })
    }

    /// Undoes down to the fork, then applies the branch upward. Answers what the branch committed and what was left.
    fn switch(
        &mut self,
        fork_height: u64,
        branch: &[BlockHash],
        now_ms: u64,
    ) -> Result<(Vec<TxHash>, Abandoned), BlockError> {
        let final_height = self.tip.final_height;
        let (mut committed, mut abandoned) = (Vec::new(), Abandoned::new());
        while self.tip.height > fork_height {
            self.undo_tip(&mut abandoned, now_ms)?;
        }
        for hash in branch {
            let block = self.view().block(hash)?.ok_or_else(|| missing("blocks", hash))?;
            let row = self.index_row(hash)?;
            self.check_block_rules(&block)?;
            committed.extend(self.apply_block(&block, row)?);
        }
        if final_height.is_some_and(|height| fork_height < height) && !self.is_planted("no-alarm") {
            self.raise_alarm(final_height)?;
        }
        Ok((committed, abandoned))
    }

    /// Marks `bad` and what stands on it.
    fn judge_branch(&mut self, bad: BlockHash, branch: &[BlockHash]) -> Result<(), StoreError> {
        for hash in branch.iter().skip_while(|hash| **hash != bad) {
            let row = self.index_row(hash)?;
            self.judge(*hash, row, Judgement::NotValid);
        }
        Ok(())
    }

    /// Height of the last block that `target`'s chain shares with the best chain, and the branch above it, ascending.
    fn branch_to(&self, target: BlockHash) -> Result<(u64, Vec<BlockHash>), StoreError> {
        let view = self.view();
        let (mut branch, mut at) = (Vec::new(), target);
        loop {
            let row = view.index(&at)?.ok_or_else(|| missing("index", &at))?;
            if view.hash_at(row.height)? == Some(at) {
                branch.reverse();
                return Ok((row.height, branch));
            }
            branch.push(at);
            at = row.parent;
        }
    }

    pub(super) fn judge(&mut self, hash: BlockHash, mut row: IndexRow, judgement: Judgement) {
        row.judgement = judgement;
        self.staged.index.insert(hash, row);
    }

    pub(super) fn raise_alarm(&mut self, height: Option<u64>) -> Result<(), StoreError> {
        let mut meta = self.view().meta()?;
        meta.alarm = height;
        self.staged.meta = Some(meta);
        self.tip.alarm = height;
        Ok(())
    }

    /// After the tip moved the mempool agrees with the chain: what was committed is out, what was left waits again,
    /// and of the parked ones some are tried anew. Nothing in here can fail: the tip has moved.
    fn settle(&mut self, committed: &[TxHash], abandoned: Abandoned, now_ms: u64) {
        for txhash in committed {
            self.mempool.remove(txhash);
        }
        let committed: BTreeSet<&TxHash> = committed.iter().collect();
        for (txhash, (tx, first_seen_ms)) in abandoned {
            if !committed.contains(&txhash) && !self.is_planted("mempool-forgets") {
                self.mempool.insert(tx, first_seen_ms.min(now_ms));
            }
        }
        let most = usize::try_from(self.genesis.max_transactions).unwrap_or(usize::MAX);
        self.mempool.unpark(MAX_RETRIED.min(most));
        self.tip.pending = self.mempool.len();
        // If it fails, what is stale stays until a later block.
        let _ = self.drop_stale();
    }
}

pub(super) fn judged_before(block: BlockHash) -> BlockError {
    BlockError::NotValid {
        block,
        rule: "ancestors",
        expected: "a chain of valid blocks".into(),
        got: "one that was found not valid before".into(),
    }
}
