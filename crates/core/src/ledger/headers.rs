//! Chains of headers, checked as far as headers alone allow, ahead of their bodies.

use super::check::unsound;
use super::siblings::is_held;
use super::{Ledger, missing};
use crate::block::{Header, block_sign_bytes};
use crate::bytes::{BlockHash, Hash32, Signature};
use crate::crypto::PublicKey;
use crate::error::BlockError;
use crate::query::headers::locator;
use crate::store::{IndexRow, Judgement, StoreError, StoreRead};
use primitive_types::U256;
use std::collections::VecDeque;

/// A header as received, with its miner's signature: it has the form, nothing else is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncheckedHeader {
    /// The header.
    pub header: Header,
    /// The miner's signature; absent on an open chain.
    pub signature: Option<Signature>,
}

/// The end of a chain of checked headers that stands on a block of the ledger. Nothing of it is stored.
#[derive(Debug, Clone)]
pub struct HeaderTip {
    hash: BlockHash,
    row: IndexRow,
    /// Miners of the last blocks up to this, newest last, as many as the spacing rule looks at.
    miners: VecDeque<Hash32>,
}

impl HeaderTip {
    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// Its height.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.row.height
    }

    /// Work of the chain up to it, by headers that were checked.
    #[must_use]
    pub fn work(&self) -> U256 {
        self.row.work_u256()
    }
}

impl Ledger {
    /// Hashes of the best chain from the tip down, close together near the tip, and block 0 at the end: at most 64. A peer
    /// finds by them where its own chain leaves this one.
    ///
    /// # Errors
    /// The store's.
    pub fn locator(&self) -> Result<Vec<BlockHash>, StoreError> {
        locator(&self.view(), self.tip.height)
    }

    /// A block of this ledger as the ground of a chain of headers; `None` where it was not found sound here.
    ///
    /// # Errors
    /// The store's.
    pub fn header_tip(&self, hash: &BlockHash) -> Result<Option<HeaderTip>, StoreError> {
        let view = self.view();
        // A row stays for ever; what stands on a block that was dropped needs that block again first.
        let Some(row) = view.index(hash)? else { return Ok(None) };
        if !is_held(&view, hash, &row)? {
            return Ok(None);
        }
        let mut miners = VecDeque::new();
        let mut at = (*hash, row.clone());
        for _ in 0..self.genesis.spacing {
            if at.1.height == 0 {
                break;
            }
            miners.push_front(at.1.miner);
            let parent = at.1.parent;
            at = (parent, view.index(&parent)?.ok_or_else(|| missing("index", &parent))?);
        }
        Ok(Some(HeaderTip { hash: *hash, row, miners }))
    }

    /// Checks a header on top of `tip` in the order of the protocol page, lists and bodies left out, and goes on to it.
    /// Nothing is remembered of one that fails.
    ///
    /// # Errors
    /// [`BlockError`], as an import of the block would answer; the tip stays where it was.
    pub fn check_header(
        &self,
        tip: &mut HeaderTip,
        unchecked: &UncheckedHeader,
        now_ms: u64,
    ) -> Result<BlockHash, BlockError> {
        let header = &unchecked.header;
        let hash = header.hash(&self.chain_id);
        let miner = self.check_header_form(unchecked)?;
        if header.previous != tip.hash {
            return Err(BlockError::UnknownParent { parent: header.previous });
        }
        let history_root = tip.row.peaks.head();
        if header.history_root != history_root {
            return Err(BlockError::HistoryRoot { expected: history_root, got: header.history_root });
        }
        if self.unsound.contains(&hash) {
            return Err(BlockError::KnownUnsound { block: hash });
        }
        let known = self.view().index(&hash)?.map(|row| row.judgement);
        if [tip.row.judgement, known.unwrap_or(Judgement::Sound)].contains(&Judgement::NotValid) {
            return Err(super::chain::judged_before(hash));
        }
        let context = Self::context(&tip.row);
        let expected = self.consensus.required_target(&context);
        if header.target != expected {
            return Err(BlockError::WrongTarget { expected, got: header.target });
        }
        let believed = self.is_planted("headers-unchecked");
        if !believed {
            self.consensus.check(header, &hash)?;
        }
        if let Some(signature) = &unchecked.signature
            && !believed
            && !self.signatures.verify(&miner, &block_sign_bytes(&self.chain_id, &hash), signature)
        {
            return Err(BlockError::Signature { block: hash, miner });
        }
        let work = self.check_along(tip, header, hash, miner)?;
        let limit_ms = now_ms.saturating_add(self.genesis.future_limit_ms());
        if header.time_ms > limit_ms {
            return Err(BlockError::TooFarAhead { limit_ms, got_ms: header.time_ms });
        }
        tip.row.lag_ms = self.consensus.next_lag(&context, header.time_ms);
        tip.row.peaks.push(&hash);
        (tip.row.parent, tip.row.height, tip.row.time_ms) = (header.previous, header.height, header.time_ms);
        (tip.row.work, tip.row.miner, tip.row.judgement) =
            (Hash32(work.to_big_endian()), header.miner, Judgement::Sound);
        tip.hash = hash;
        tip.miners.push_back(header.miner);
        if tip.miners.len() > usize::from(self.genesis.spacing) {
            tip.miners.pop_front();
        }
        Ok(hash)
    }

    /// Step 1 of what a header shows.
    fn check_header_form(&self, unchecked: &UncheckedHeader) -> Result<PublicKey, BlockError> {
        let (limit, got) = (u64::from(self.genesis.max_transactions), u64::from(unchecked.header.tx_count));
        if got > limit {
            return Err(BlockError::TooMany { field: "number", limit, got });
        }
        match (self.genesis.is_open(), unchecked.signature.is_some()) {
            (true, true) => Err(BlockError::SignaturePresence { expected: "none on an open chain", got: "one" }),
            (false, false) => Err(BlockError::SignaturePresence { expected: "the signature of a member", got: "none" }),
            _ => self.genesis.miner_key(&unchecked.header.miner).map_err(BlockError::MinerKey),
        }
    }

    /// Step 6 but for the lists; answers the chain's work.
    fn check_along(
        &self,
        tip: &HeaderTip,
        header: &Header,
        hash: BlockHash,
        miner: PublicKey,
    ) -> Result<U256, BlockError> {
        let height = tip.row.height.checked_add(1);
        if Some(header.height) != height {
            let expected = height.map_or_else(|| "a parent below the last height".into(), |height| height.to_string());
            return Err(unsound(hash, "height", expected, header.height));
        }
        if header.time_ms <= tip.row.time_ms {
            return Err(unsound(hash, "time", format!("above the parent's {}", tip.row.time_ms), header.time_ms));
        }
        self.check_member(hash, miner)?;
        if tip.miners.contains(&header.miner) {
            let expected = format!("a miner of none of the last {} blocks", self.genesis.spacing);
            return Err(unsound(hash, "spacing", expected, miner));
        }
        let work = tip.row.work_u256().checked_add(self.consensus.work(header.target));
        work.ok_or_else(|| unsound(hash, "chain work", "below 2^256", "an overflow"))
    }
}
