//! The ledger: one chain, its tip, its mempool, and the only way by which any of them changes.
//!
//! A ledger is driven by one thread. [`Ledger::submit`] and [`Ledger::import`] decide and stage; [`Ledger::commit`]
//! makes everything staged durable in one atomic batch. Nothing may be acknowledged before.

mod apply;
mod chain;
mod check;
mod headers;
mod open;
mod planted;
mod prune;
mod siblings;
mod side;
mod template;

pub use headers::{HeaderTip, UncheckedHeader};
pub use open::genesis_block;
pub use prune::Keep;
pub use template::TemplateRequest;

use crate::app::Application;
use crate::block::Block;
use crate::bytes::{BlockHash, ChainId, Hash32, TxHash};
use crate::consensus::{Consensus, ParentContext};
use crate::crypto::PublicKey;
use crate::error::{ReceiptError, SubmitError};
use crate::genesis::Genesis;
use crate::limits::{KEEP_STALE_BLOCKS, MIN_PRUNE_DEPTH};
use crate::mempool::Mempool;
use crate::query::{self, Tip};
use crate::receipt::Receipt;
use crate::signatures::Signatures;
use crate::staged::{Staged, StateOf, View};
use crate::store::{IndexRow, Meta, SideKey, Store, StoreError, StoreRead};
use crate::tx::{Transaction, Verified};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// Hashes of unsound blocks remembered, so that they are not judged again. 32 bytes each: 2 MiB.
const MAX_UNSOUND: usize = 65_536;
/// Tips a subscriber may lag behind before it is dropped; it reads [`Ledger::tip`] and subscribes anew.
const SUBSCRIBER_BACKLOG: usize = 1_024;

/// What became of a submitted transaction. All three may be acknowledged once [`Ledger::commit`] succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// Taken into the mempool.
    New,
    /// It waits already.
    Pending,
    /// It is on the best chain already.
    Committed,
}

/// What became of an imported block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// It was here already.
    Known,
    /// Kept beside the best chain.
    Side,
    /// The new tip, on top of the old one.
    Extended,
    /// The new tip of another branch, with more work.
    Reorganised {
        /// Height of the last common block.
        fork_height: u64,
        /// Blocks left.
        abandoned: u64,
        /// Blocks taken instead.
        applied: u64,
    },
}

/// How many blocks a ledger remembers of what is beside its chain and below its tip.
#[derive(Debug, Clone, Copy)]
struct Memory {
    /// See [`KEEP_STALE_BLOCKS`].
    stale: u64,
    /// See [`MIN_PRUNE_DEPTH`].
    prune: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self { stale: KEEP_STALE_BLOCKS, prune: MIN_PRUNE_DEPTH }
    }
}

/// One chain.
pub struct Ledger {
    store: Arc<dyn Store>,
    consensus: Arc<dyn Consensus>,
    application: Arc<dyn Application>,
    genesis: Genesis,
    chain_id: ChainId,
    staged: Staged,
    tip: Tip,
    mempool: Mempool,
    unsound: BTreeSet<BlockHash>,
    unsound_order: VecDeque<BlockHash>,
    subscribers: Vec<SyncSender<Tip>>,
    /// The last block beside the best chain that was looked at whether it is to be dropped.
    side_cursor: Option<SideKey>,
    /// The block that is being imported: what it carries is not in `carried` yet.
    arriving: Option<BlockHash>,
    /// How deep below the tip bodies are pruned, and which are kept all the same; `None`: none is pruned.
    pruning: Option<Keep>,
    /// By how much the tip must have grown before a block beside the chain is dropped, and the least depth of pruning.
    memory: Memory,
    /// For fsck: committed transactions whose bodies are pruned, and why each is void, if it is.
    taken: BTreeMap<TxHash, Option<String>>,
    signatures: Arc<Signatures>,
    #[cfg(feature = "planted")]
    planted: Option<&'static str>,
}

impl Ledger {
    /// Remembers good signatures of blocks together with whoever shares this.
    pub fn share_signatures(&mut self, signatures: Arc<Signatures>) {
        self.signatures = signatures;
    }

    pub(crate) fn signatures(&self) -> &Signatures {
        &self.signatures
    }

    /// The chain's parameters.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The chain's identity.
    #[must_use]
    pub fn chain_id(&self) -> &ChainId {
        &self.chain_id
    }

    /// The best chain's end, staged changes included.
    #[must_use]
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// Transactions waiting.
    #[must_use]
    pub fn mempool_len(&self) -> usize {
        self.mempool.len()
    }

    /// Takes at most this many waiting transactions (never more than [`crate::limits::MAX_MEMPOOL_TRANSACTIONS`]).
    pub fn set_mempool_limit(&mut self, transactions: usize) {
        self.mempool.set_limit(transactions);
    }

    /// Height of a final block that was abandoned. Mining waits until [`Ledger::clear_alarm`].
    #[must_use]
    pub fn alarm(&self) -> Option<u64> {
        self.tip.alarm
    }

    /// An operator has looked at the reorganisation below a final block.
    ///
    /// # Errors
    /// The store's.
    pub fn clear_alarm(&mut self) -> Result<(), StoreError> {
        let mut meta = self.view().meta()?;
        meta.alarm = None;
        self.staged.meta = Some(meta);
        self.tip.alarm = None;
        Ok(())
    }

    /// Whether something waits for [`Ledger::commit`].
    #[must_use]
    pub fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// Makes everything staged durable, in one atomic batch, then tells the subscribers.
    ///
    /// # Errors
    /// The store's. Nothing was written then; all of it stays staged, and the next call tries again.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        if self.staged.is_empty() {
            return Ok(());
        }
        self.store.commit(self.staged.to_batch())?;
        self.staged = Staged::default();
        let tip = &self.tip;
        self.subscribers.retain(|subscriber| match subscriber.try_send(tip.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        });
        Ok(())
    }

    /// Every durable change's tip. A subscriber that lags behind by 1,024 is cut off.
    pub fn subscribe(&mut self) -> Receiver<Tip> {
        let (sender, receiver) = sync_channel(SUBSCRIBER_BACKLOG);
        self.subscribers.push(sender);
        receiver
    }

    /// Takes a transaction into the mempool. `now_ms` is the local clock, ms since the epoch.
    ///
    /// # Errors
    /// [`SubmitError`]; then nothing changed.
    pub fn submit(&mut self, tx: Transaction<Verified>, now_ms: u64) -> Result<Submitted, SubmitError> {
        let hash = tx.hash();
        if self.mempool.get(&hash).is_some() {
            return Ok(Submitted::Pending);
        }
        if self.view().tx_position(&hash)?.is_some() {
            return Ok(Submitted::Committed);
        }
        let limit_ms = now_ms.saturating_add(self.genesis.future_limit_ms());
        if tx.time_ms() > limit_ms {
            return Err(SubmitError::TimeAhead { limit_ms, got_ms: tx.time_ms() });
        }
        self.application.validate(&tx)?;
        self.application.admit(&tx, &StateOf(&self.view()))??;
        self.mempool.check_room(&tx)?;
        self.staged.txs.insert(hash, Some(tx.to_stored()));
        self.staged.pending.insert(hash, Some(now_ms));
        self.mempool.insert(tx, now_ms);
        self.tip.pending = self.mempool.len();
        Ok(Submitted::New)
    }

    /// A block, staged ones included.
    ///
    /// # Errors
    /// The store's.
    pub fn block(&self, hash: &BlockHash) -> Result<Option<Block>, StoreError> {
        self.view().block(hash)
    }

    /// The best chain's block at a height.
    ///
    /// # Errors
    /// The store's.
    pub fn block_at(&self, height: u64) -> Result<Option<Block>, StoreError> {
        query::block(&self.view(), query::BlockQuery::Height(height))
    }

    /// The time of a block that was found sound here, kept or not, ms: from its row alone.
    ///
    /// # Errors
    /// The store's.
    pub fn time_of(&self, hash: &BlockHash) -> Result<Option<u64>, StoreError> {
        Ok(self.view().index(hash)?.map(|row| row.time_ms))
    }

    /// Whether a block was found sound here, and is kept.
    ///
    /// # Errors
    /// The store's.
    pub fn knows_block(&self, hash: &BlockHash) -> Result<bool, StoreError> {
        let view = self.view();
        view.index(hash)?.map_or(Ok(false), |row| siblings::is_held(&view, hash, &row))
    }

    /// Whether a block is kept, and does not carry more work than the tip: it was followed, or need not be. One that does
    /// waits for siblings, or is not valid.
    ///
    /// # Errors
    /// The store's.
    pub fn is_settled(&self, hash: &BlockHash) -> Result<bool, StoreError> {
        let view = self.view();
        let Some(row) = view.index(hash)? else { return Ok(false) };
        Ok(row.work_u256() <= self.tip.work && siblings::is_held(&view, hash, &row)?)
    }

    /// A transaction, waiting or committed or carried by a block kept here.
    ///
    /// # Errors
    /// The store's.
    pub fn transaction(&self, hash: &TxHash) -> Result<Option<Transaction<Verified>>, StoreError> {
        match self.mempool.get(hash) {
            Some(tx) => Ok(Some(tx.clone())),
            None => query::transaction(&self.view(), hash),
        }
    }

    /// The receipt of a committed transaction.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn receipt(&self, hash: &TxHash) -> Result<Receipt, ReceiptError> {
        query::build_receipt(&self.view(), &self.genesis, hash)
    }

    /// Where a transaction stands, staged changes included.
    ///
    /// # Errors
    /// The store's.
    pub fn status(&self, hash: &TxHash) -> Result<query::TxStatus, StoreError> {
        query::tx_status(&self.view(), &self.genesis, &self.tip, hash)
    }

    /// Remembers a peer's address, or forgets it.
    pub fn remember_peer(&mut self, address: String, row: Option<crate::store::PeerRow>) {
        self.staged.peers.insert(address, row);
    }

    fn view(&self) -> View<'_> {
        View { staged: &self.staged, base: self.store.snapshot() }
    }

    fn index_row(&self, hash: &BlockHash) -> Result<IndexRow, StoreError> {
        self.view().index(hash)?.ok_or_else(|| missing("index", hash))
    }

    fn context(row: &IndexRow) -> ParentContext {
        ParentContext { height: row.height, time_ms: row.time_ms, lag_ms: row.lag_ms }
    }

    /// The tip's view of who mined when, from `meta`.
    fn show_last_seen(&mut self, meta: &Meta) -> Result<(), StoreError> {
        let of = |(key, height): (&Hash32, &u64)| match PublicKey::new(key.0) {
            Ok(member) => Ok((member, *height)),
            Err(error) => Err(StoreError::Corrupt {
                what: "meta last_seen".into(),
                expected: "a member's key".into(),
                got: error.to_string(),
            }),
        };
        self.tip.last_seen = meta.last_seen.iter().map(of).collect::<Result<_, StoreError>>()?;
        let quorum = usize::from(self.genesis.quorum);
        let mut heights: Vec<u64> = self.tip.last_seen.iter().map(|(_, height)| *height).collect();
        heights.sort_unstable_by(|a, b| b.cmp(a));
        self.tip.final_height = quorum.checked_sub(1).and_then(|at| heights.get(at).copied());
        Ok(())
    }

    fn remember_unsound(&mut self, hash: BlockHash) {
        if self.unsound.insert(hash) {
            self.unsound_order.push_back(hash);
        }
        if self.unsound_order.len() > MAX_UNSOUND
            && let Some(oldest) = self.unsound_order.pop_front()
        {
            self.unsound.remove(&oldest);
        }
    }
}

/// An entry that must be there and is not.
fn missing(family: &str, hash: &Hash32) -> StoreError {
    StoreError::Corrupt { what: format!("{family} {hash}"), expected: "an entry".into(), got: "none".into() }
}

#[cfg(test)]
mod tests;
