//! Checks of one block, in the order of the protocol page (1 to 8): is it sound?

use super::siblings::is_held;
use super::{Ledger, genesis_block, missing};
use crate::block::{Block, Header, UncheckedBlock, block_sign_bytes};
use crate::bytes::{BlockHash, Hash32, TxHash};
use crate::crypto::PublicKey;
use crate::error::BlockError;
use crate::store::{IndexRow, Judgement, StoreRead};
use crate::target::CompactTarget;
use crate::tx::{StoredTx, Transaction, Verified};
use primitive_types::U256;
use std::collections::{BTreeMap, BTreeSet};

/// A block found sound, with all that has to be stored of it.
pub(super) struct SoundBlock {
    pub(super) block: Block,
    pub(super) row: IndexRow,
    /// Bodies that the store does not have yet.
    pub(super) new_bodies: Vec<StoredTx>,
}

/// The answer of the checks.
pub(super) enum Checked {
    /// It was judged before.
    Known(BlockHash, Judgement),
    /// It is sound.
    Sound(Box<SoundBlock>),
}

fn at_most(field: &'static str, limit: u64, got: usize) -> Result<(), BlockError> {
    let got = got as u64;
    if got > limit { Err(BlockError::TooMany { field, limit, got }) } else { Ok(()) }
}

impl Ledger {
    /// Step 1: what the message alone shows.
    fn check_message(&self, block: &UncheckedBlock) -> Result<PublicKey, BlockError> {
        at_most("txshash", u64::from(self.genesis.max_transactions), block.txhashes.len())?;
        at_most("siblinghash", u64::from(self.genesis.sibling_limit), block.siblings.len())?;
        match (self.genesis.is_open(), block.signature.is_some()) {
            (true, true) => Err(BlockError::SignaturePresence { expected: "none on an open chain", got: "one" }),
            (false, false) => {
                Err(BlockError::SignaturePresence { expected: "the signature of a member (tag 11)", got: "none" })
            }
            _ => self.genesis.miner_key(&block.miner).map_err(BlockError::MinerKey),
        }
    }

    /// Step 5.
    fn check_signature(&self, block: &UncheckedBlock, hash: BlockHash, miner: PublicKey) -> Result<(), BlockError> {
        let Some(signature) = &block.signature else { return Ok(()) };
        if self.signatures.verify(&miner, &block_sign_bytes(&self.chain_id, &hash), signature) {
            return Ok(());
        }
        Err(BlockError::Signature { block: hash, miner })
    }

    /// What can be said of a block whose parent is not known: a stated history root (tag 12) lets its hash, its claimed
    /// work, its signer and its signature be checked, so that an orphan costs its sender the work it claims.
    ///
    /// # Errors
    /// What is wrong with it; [`BlockError::UnknownParent`] when nothing is, or without tag 12, where it is a mere claim.
    pub fn check_orphan(&self, block: &UncheckedBlock) -> Result<(), BlockError> {
        let miner = self.check_message(block)?;
        self.check_claims(block, miner)
    }

    /// The same but for step 1.
    fn check_claims(&self, block: &UncheckedBlock, miner: PublicKey) -> Result<(), BlockError> {
        let Some(history_root) = block.history_root else {
            return Err(BlockError::UnknownParent { parent: block.previous });
        };
        let header = block.header(history_root)?;
        let hash = header.hash(&self.chain_id);
        if hash != block.claimed_hash {
            return Err(BlockError::Hash { expected: hash, got: block.claimed_hash });
        }
        self.consensus.check(&header, &hash)?;
        self.check_member(hash, miner)?;
        self.check_signature(block, hash, miner)
    }

    pub(super) fn check_member(&self, hash: BlockHash, miner: PublicKey) -> Result<(), BlockError> {
        if self.genesis.is_open() || self.genesis.member_index(&miner).is_some() {
            return Ok(());
        }
        Err(unsound(hash, "miner", "a member of the genesis", miner))
    }

    /// Steps 1 to 8.
    pub(super) fn check(
        &mut self,
        block: UncheckedBlock,
        bodies: &BTreeMap<TxHash, Transaction<Verified>>,
        now_ms: u64,
    ) -> Result<Checked, BlockError> {
        if block.height == 0 && block.previous == Hash32::ZERO {
            return self.check_genesis(&block);
        }
        let miner = self.check_message(&block)?;
        let Some(parent) = self.held_row(&block.previous)? else {
            self.check_claims(&block, miner)?;
            return Err(BlockError::UnknownParent { parent: block.previous });
        };
        let header = self.check_hash(&block, &parent)?;
        let hash = block.claimed_hash;
        if self.unsound.contains(&hash) {
            return Err(BlockError::KnownUnsound { block: hash });
        }
        self.check_work(&header, &hash, &parent)?;
        let signed = self.check_signature(&block, hash, miner);
        if signed.is_err() && self.is_planted("ban-hash") {
            self.remember_unsound(hash);
        }
        signed?;
        if let Some(row) = self.held_row(&hash)? {
            return Ok(Checked::Known(hash, row.judgement));
        }
        let result = self.check_sound(block, header, &parent, bodies, now_ms);
        if let Err(BlockError::Unsound { block, .. } | BlockError::Body { block, .. }) = &result {
            self.remember_unsound(*block);
        }
        result.map(|sound| Checked::Sound(Box::new(sound)))
    }

    /// The row of a block that is kept. One that was dropped is as good as new.
    fn held_row(&self, hash: &BlockHash) -> Result<Option<IndexRow>, BlockError> {
        let view = self.view();
        let Some(row) = view.index(hash)? else { return Ok(None) };
        Ok(is_held(&view, hash, &row)?.then_some(row))
    }

    /// Block 0 is exempt from all checks but one: it is this chain's, or it is none.
    fn check_genesis(&self, block: &UncheckedBlock) -> Result<Checked, BlockError> {
        let own = genesis_block(&self.genesis);
        let stated = block.history_root.unwrap_or(own.header.history_root);
        let header = block.header(stated)?;
        let got = header.hash(&self.chain_id);
        if header == own.header && block.claimed_hash == own.hash {
            return Ok(Checked::Known(own.hash, Judgement::Valid));
        }
        let got = if got == own.hash { block.claimed_hash } else { got };
        Err(BlockError::Hash { expected: own.hash, got })
    }

    /// Step 3: the hash, recomputed with the history root of the ancestors.
    fn check_hash(&self, block: &UncheckedBlock, parent: &IndexRow) -> Result<Header, BlockError> {
        let header = block.header(parent.peaks.head())?;
        if let Some(got) = block.history_root.filter(|got| *got != header.history_root) {
            return Err(BlockError::HistoryRoot { expected: header.history_root, got });
        }
        let expected = header.hash(&self.chain_id);
        if expected != block.claimed_hash && !self.is_planted("list-unmatched") {
            return Err(BlockError::Hash { expected, got: block.claimed_hash });
        }
        Ok(header)
    }

    /// Step 4.
    fn check_work(&self, header: &Header, hash: &BlockHash, parent: &IndexRow) -> Result<(), BlockError> {
        let expected: CompactTarget = self.consensus.required_target(&Self::context(parent));
        if header.target != expected {
            return Err(BlockError::WrongTarget { expected, got: header.target });
        }
        Ok(self.consensus.check(header, hash)?)
    }

    /// Steps 6 to 8.
    fn check_sound(
        &self,
        block: UncheckedBlock,
        header: Header,
        parent: &IndexRow,
        bodies: &BTreeMap<TxHash, Transaction<Verified>>,
        now_ms: u64,
    ) -> Result<SoundBlock, BlockError> {
        let hash = block.claimed_hash;
        let mut work = self.check_header_rules(&header, hash, parent)?;
        if self.is_planted("sibling-weight") {
            work = work.saturating_add(self.consensus.work(header.target).saturating_mul(block.siblings.len().into()));
        }
        check_distinct(hash, "txshash", &block.txhashes)?;
        check_distinct(hash, "siblinghash", &block.siblings)?;
        let limit_ms = now_ms.saturating_add(self.genesis.future_limit_ms());
        if header.time_ms > limit_ms {
            return Err(BlockError::TooFarAhead { limit_ms, got_ms: header.time_ms });
        }
        let new_bodies = self.check_bodies(hash, &block.txhashes, bodies)?;
        let mut peaks = parent.peaks.clone();
        peaks.push(&hash);
        let lag_ms = self.consensus.next_lag(&Self::context(parent), header.time_ms);
        let row = IndexRow {
            parent: header.previous,
            height: header.height,
            time_ms: header.time_ms,
            work: Hash32(work.to_big_endian()),
            lag_ms,
            miner: header.miner,
            peaks,
            judgement: if parent.judgement == Judgement::NotValid { Judgement::NotValid } else { Judgement::Sound },
        };
        let UncheckedBlock { txhashes, siblings, signature, .. } = block;
        Ok(SoundBlock { block: Block { hash, header, txhashes, siblings, signature }, row, new_bodies })
    }

    /// Step 6 but for the lists; answers the chain's work.
    fn check_header_rules(&self, header: &Header, hash: BlockHash, parent: &IndexRow) -> Result<U256, BlockError> {
        let height = parent.height.checked_add(1);
        if Some(header.height) != height {
            let expected = height.map_or_else(|| "a parent below the last height".into(), |height| height.to_string());
            return Err(unsound(hash, "height", expected, header.height));
        }
        let same_allowed = header.time_ms == parent.time_ms && self.is_planted("equal-time");
        if header.time_ms <= parent.time_ms && !same_allowed {
            return Err(unsound(hash, "time", format!("above the parent's {}", parent.time_ms), header.time_ms));
        }
        self.check_member(hash, self.genesis.miner_key(&header.miner).map_err(BlockError::MinerKey)?)?;
        let conflict = self.spacing_conflict(&header.miner, &header.previous)?;
        if let Some(height) = conflict.filter(|_| !self.is_planted("any-spacing")) {
            let expected = format!("a miner of none of the last {} blocks", self.genesis.spacing);
            return Err(unsound(hash, "spacing", expected, format!("the miner of block {height}")));
        }
        parent
            .work_u256()
            .checked_add(self.consensus.work(header.target))
            .ok_or_else(|| unsound(hash, "chain work", "below 2^256", "an overflow"))
    }

    /// Height of the nearest block of `miner` among the last `spacing` blocks up to `from`.
    pub(super) fn spacing_conflict(
        &self,
        miner: &Hash32,
        from: &BlockHash,
    ) -> Result<Option<u64>, crate::store::StoreError> {
        let view = self.view();
        let mut at = *from;
        for _ in 0..self.genesis.spacing {
            let row = view.index(&at)?.ok_or_else(|| missing("index", &at))?;
            if row.miner == *miner {
                return Ok(Some(row.height));
            }
            if row.height == 0 {
                break;
            }
            at = row.parent;
        }
        Ok(None)
    }

    /// Step 8: every body is here and stateless-valid, and together they keep within `max_bytes`.
    fn check_bodies(
        &self,
        hash: BlockHash,
        txhashes: &[TxHash],
        bodies: &BTreeMap<TxHash, Transaction<Verified>>,
    ) -> Result<Vec<StoredTx>, BlockError> {
        let view = self.view();
        let (mut new_bodies, mut missing, mut bytes) = (Vec::new(), Vec::new(), 0u64);
        for txhash in txhashes.iter().filter(|txhash| !self.taken.contains_key(*txhash)) {
            let stored = view.tx(txhash)?.map(Transaction::from_stored);
            let Some(tx) = stored.as_ref().or_else(|| bodies.get(txhash)).filter(|tx| tx.hash() == *txhash) else {
                missing.push(*txhash);
                continue;
            };
            // What is stored was validated when it came.
            if stored.is_none() {
                let fault = |error| BlockError::Body { block: hash, txhash: *txhash, error };
                self.application.validate(tx).map_err(fault)?;
                new_bodies.push(tx.to_stored());
            }
            bytes += tx.body().len() as u64;
        }
        if !missing.is_empty() {
            return Err(BlockError::MissingBodies { missing });
        }
        let limit = u64::from(self.genesis.max_bytes);
        if bytes > limit {
            return Err(unsound(hash, "bytes of the bodies", format!("at most {limit}"), bytes));
        }
        Ok(new_bodies)
    }
}

pub(super) fn unsound(
    block: BlockHash,
    rule: &'static str,
    expected: impl Into<String>,
    got: impl ToString,
) -> BlockError {
    BlockError::Unsound { block, rule, expected: expected.into(), got: got.to_string() }
}

fn check_distinct(block: BlockHash, rule: &'static str, list: &[Hash32]) -> Result<(), BlockError> {
    let mut seen = BTreeSet::new();
    match list.iter().find(|hash| !seen.insert(**hash)) {
        Some(twice) => Err(unsound(block, rule, "distinct hashes", format!("{twice} twice"))),
        None => Ok(()),
    }
}
