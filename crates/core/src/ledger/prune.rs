//! Pruning: a node that chooses it drops the bodies of what was committed deep below its tip.
//!
//! Headers, lists, positions, the log of blockhashes and the application's state stay, so that whoever holds a body can
//! still prove it. See `docs/adr/0027-pruning.md`.

use super::{Ledger, missing};
use crate::bytes::{BlockHash, TxHash};
use crate::crypto::PublicKey;
use crate::error::{BlockError, LedgerError};
use crate::limits::PRUNED_AT_ONCE;
use crate::store::{StoreError, StoreRead};
use crate::tx::{StoredTx, Transaction};
use std::collections::BTreeSet;

/// What a pruning node keeps, beside what [`crate::app::Application::keeps`] asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keep {
    /// The bodies of so many blocks below the tip, at least [`crate::limits::MIN_PRUNE_DEPTH`].
    pub depth: u64,
    /// All that these have sent: the data that this node's operator answers for.
    pub senders: BTreeSet<PublicKey>,
}

impl Ledger {
    /// Prunes from now on whenever [`Ledger::prune`] is called, or, with `None`, no more. What is gone stays gone.
    ///
    /// # Errors
    /// [`LedgerError::PruneDepth`].
    pub fn set_pruning(&mut self, keep: Option<Keep>) -> Result<(), LedgerError> {
        let least = self.memory.prune;
        if let Some(Keep { depth: got, .. }) = keep.as_ref().filter(|keep| keep.depth < least) {
            return Err(LedgerError::PruneDepth { least, got: *got });
        }
        self.pruning = keep;
        Ok(())
    }

    /// Stages the next step of pruning: at most 512 bodies, and the mark how far it has come, in the same batch. Only
    /// what lies deeper than asked for and below the last final block goes; while the alarm stands nothing does. Answers
    /// how many bodies are dropped.
    ///
    /// # Errors
    /// The store's; then nothing of this step is staged.
    pub fn prune(&mut self) -> Result<u64, StoreError> {
        let Some(Keep { depth, .. }) = self.pruning else { return Ok(0) };
        let final_height = self.tip.final_height.filter(|_| self.tip.alarm.is_none()).unwrap_or(0);
        let deep = self.tip.height.saturating_sub(if self.is_planted("prune-above-depth") { 0 } else { depth });
        let end = deep.min(final_height);
        let mut pruned = self.view().pruned()?;
        let before = pruned;
        let (mut dropped, mut stripped, mut left) = (Vec::new(), Vec::new(), PRUNED_AT_ONCE);
        // A block without transactions costs a look, too.
        while pruned.below < end && left > 0 {
            let height = pruned.below;
            let hash = self.view().hash_at(height)?.ok_or_else(|| missing("heights", &self.tip.hash))?;
            let undo = self.view().undo(&hash)?.unwrap_or_default();
            let next = usize::try_from(pruned.next).unwrap_or(usize::MAX);
            let some: Vec<TxHash> = undo.transactions.iter().skip(next).take(left).copied().collect();
            for txhash in &some {
                if self.may_go(txhash)? {
                    dropped.push(*txhash);
                }
            }
            left -= some.len().max(1);
            if next + some.len() >= undo.transactions.len() {
                (pruned.below, pruned.next) = (height + 1, 0);
            } else {
                pruned.next = u32::try_from(next + some.len()).expect("at most 40,000 transactions");
            }
            stripped.push((hash, undo));
        }
        if pruned == before {
            return Ok(0);
        }
        let count = dropped.len() as u64;
        self.staged.txs.extend(dropped.into_iter().map(|txhash| (txhash, None)));
        for (hash, mut undo) in stripped {
            // Nothing goes back below this any more; the order of commitment stays.
            if !undo.state.is_empty() {
                undo.state = Vec::new();
                self.staged.undo.insert(hash, Some(undo));
            }
        }
        self.staged.pruned = Some(pruned);
        self.tip.pruned_below = pruned.first_whole();
        Ok(count)
    }

    /// For fsck: this committed transaction's body is pruned; it is taken as it is noted.
    pub(crate) fn take_pruned(&mut self, txhash: TxHash, void: Option<String>) {
        self.taken.insert(txhash, void);
    }

    /// Whether a body that is committed deep enough is here, and nobody asked for it to be kept.
    fn may_go(&self, txhash: &TxHash) -> Result<bool, StoreError> {
        let Some(stored) = self.view().tx(txhash)? else { return Ok(false) };
        let tx = Transaction::from_stored(stored);
        let of_ours = self.pruning.as_ref().is_some_and(|keep| keep.senders.contains(tx.from()));
        Ok(!of_ours && !self.application.keeps(&tx) || self.is_planted("prune-takes-kept"))
    }

    /// Of bodies that came with a block: those that are committed below what is pruned are not stored again.
    pub(super) fn forget_pruned(&self, bodies: &mut Vec<StoredTx>) -> Result<(), StoreError> {
        let view = self.view();
        let mut kept = Vec::with_capacity(bodies.len());
        for body in bodies.drain(..) {
            let position = view.tx_position(&body.hash)?;
            if position.is_none_or(|position| position.height >= self.tip.pruned_below) {
                kept.push(body);
            }
        }
        *bodies = kept;
        Ok(())
    }

    /// No reorganisation goes below what is pruned. That there is a heavier chain which asks for it is an alarm.
    pub(super) fn check_above_pruned(&mut self, block: BlockHash, fork_height: u64) -> Result<(), BlockError> {
        let least = self.tip.pruned_below.saturating_sub(1);
        if fork_height >= least {
            return Ok(());
        }
        if self.tip.alarm.is_none() {
            self.raise_alarm(self.tip.final_height.or(Some(least)))?;
        }
        Err(BlockError::BelowPruned { block, fork_height, least })
    }
}
