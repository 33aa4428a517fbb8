//! Re-derives everything a store holds of its best chain from the blocks themselves, and reports every difference.

use crate::app::Application;
use crate::block::Block;
use crate::bytes::{BlockHash, Hash32};
use crate::consensus::Consensus;
use crate::error::LedgerError;
use crate::genesis::Genesis;
use crate::ledger::{Ledger, genesis_block};
use crate::signatures::Signatures;
use crate::store::{Batch, CarriedKey, IndexRow, Judgement, MemoryStore, Op, Store, StoreError, StoreRead};
use crate::tx::{Transaction, Verified, verify_batch_by};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Entries read at once.
const PAGE: usize = 1_024;
/// Signatures remembered: a block's, between its header and its siblings. A chain has each once.
const REMEMBERED: usize = 256;
/// Differences described in words; the rest is counted.
const MAX_DESCRIBED: usize = 100;

/// What fsck found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsckReport {
    /// Height of the best chain.
    pub height: u64,
    /// Its tip.
    pub tip: BlockHash,
    /// Transactions committed.
    pub transactions: u64,
    /// Transactions waiting.
    pub pending: u64,
    /// Bodies of what was committed below this height may be pruned; 0: all must be here.
    pub pruned_below: u64,
    /// How many are.
    pub bodies_pruned: u64,
    /// Hash of the application's state as re-derived; where bodies are pruned, from what is stored of it below them.
    pub state_hash: Hash32,
    /// Differences found; 0 in a sound store.
    pub differences: u64,
    /// The first hundred of them in words.
    pub described: Vec<String>,
}

impl FsckReport {
    fn differ(&mut self, what: impl Into<String>) {
        self.differences += 1;
        if self.described.len() < MAX_DESCRIBED {
            self.described.push(what.into());
        }
    }
}

/// `H("blockhie/state/v1\0" ‖ for each entry in order: u32 len ‖ key ‖ u32 len ‖ value)`.
///
/// # Errors
/// The store's.
pub fn state_hash(view: &dyn StoreRead) -> Result<Hash32, StoreError> {
    let mut hasher = Sha256::new();
    hasher.update(b"blockhie/state/v1\0");
    for_each_state(view, |key, value| {
        for part in [key, value] {
            hasher.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            hasher.update(&part);
        }
    })?;
    Ok(Hash32(hasher.finalize().into()))
}

/// Every entry of the application's state, ascending by key.
fn for_each_state(view: &dyn StoreRead, mut take: impl FnMut(Vec<u8>, Vec<u8>)) -> Result<(), StoreError> {
    let mut start = Vec::new();
    loop {
        let page = view.state_range(&start, None, PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        start = last.clone();
        start.push(0);
        for (key, value) in page {
            take(key, value);
        }
    }
}

/// Replays the best chain of `view` from its genesis, checking every block and body as if it came from a stranger, and
/// compares heights, log, index, positions, state, undo and journal with what is stored. The replay lives in memory.
///
/// Where bodies are pruned every header, list and position is checked all the same. What the transactions did cannot be:
/// the state there is what undoing the blocks above leaves of the stored one, and what is void is taken as noted.
///
/// # Errors
/// [`LedgerError`] when the store cannot be read. Differences are no error: they are in the report.
pub fn fsck(
    view: &dyn StoreRead,
    consensus: Arc<dyn Consensus>,
    application: Arc<dyn Application>,
) -> Result<FsckReport, LedgerError> {
    fsck_by(view, consensus, application, &Arc::new(Signatures::new(REMEMBERED)))
}

/// The same, without the check of those signatures that were found good before, elsewhere.
///
/// # Errors
/// [`LedgerError`] when the store cannot be read.
pub fn fsck_by(
    view: &dyn StoreRead,
    consensus: Arc<dyn Consensus>,
    application: Arc<dyn Application>,
    signatures: &Arc<Signatures>,
) -> Result<FsckReport, LedgerError> {
    let meta = view.meta()?;
    let genesis = Genesis::from_bytes(&meta.genesis)?;
    let tip = meta.tip.unwrap_or_else(|| genesis_block(&genesis).hash);
    let mut report = FsckReport {
        height: 0,
        tip,
        transactions: 0,
        pending: 0,
        pruned_below: view.pruned()?.first_whole(),
        bodies_pruned: 0,
        state_hash: Hash32::ZERO,
        differences: 0,
        described: Vec::new(),
    };
    let model = Arc::new(MemoryStore::new(&genesis));
    let mut ledger = Ledger::open(model.clone(), consensus, application)?;
    ledger.share_signatures(Arc::clone(signatures));
    replay(view, &genesis, &mut ledger, model.as_ref(), &mut report)?;
    if report.pruned_below > ledger.tip().height {
        report.differ(format!("pruned: expected a height of the chain, got {}", report.pruned_below));
    }
    if meta.tip.is_some() && ledger.tip().hash != tip {
        report.differ(format!("meta tip: expected {}, got {tip}", ledger.tip().hash));
    }
    report.height = ledger.tip().height;
    let expected = model.snapshot().meta()?.last_seen;
    if meta.tip.is_some() && meta.last_seen != expected {
        report.differ(format!("meta last_seen: expected {expected:?}, got {:?}", meta.last_seen));
    }
    let model = model.snapshot();
    compare_chain(view, model.as_ref(), &mut report)?;
    compare_positions(view, model.as_ref(), &mut report)?;
    compare_state(view, model.as_ref(), &mut report)?;
    check_journal(view, &genesis, &mut report)?;
    Ok(report)
}

fn replay(
    view: &dyn StoreRead,
    genesis: &Genesis,
    ledger: &mut Ledger,
    model: &MemoryStore,
    report: &mut FsckReport,
) -> Result<(), LedgerError> {
    let mut height = 1;
    while let Some(hash) = view.hash_at(height)? {
        if height == report.pruned_below {
            model.commit(state_before(view, height, report)?)?;
        }
        let Some(block) = view.block(&hash)? else {
            report.differ(format!("blocks {hash}: expected the block of height {height}, got none"));
            return Ok(());
        };
        if block.hash != hash {
            report.differ(format!("blocks {hash}: expected this hash, got {}", block.hash));
        }
        keep_siblings(view, genesis, ledger, &block, report)?;
        let bodies = bodies_of(view, genesis, ledger, &block, report)?;
        if let Err(error) = ledger.import(block.to_unchecked(), &bodies, block.header.time_ms) {
            report.differ(format!("height {height}: {error}"));
            return Ok(());
        }
        ledger.commit()?;
        height += 1;
    }
    Ok(())
}

/// The siblings of a block have to be there before it. Each is checked as if it came from a stranger, and kept beside.
fn keep_siblings(
    view: &dyn StoreRead,
    genesis: &Genesis,
    ledger: &mut Ledger,
    block: &Block,
    report: &mut FsckReport,
) -> Result<(), LedgerError> {
    for hash in &block.siblings {
        let Some(sibling) = view.block(hash)? else {
            report.differ(format!("blocks {hash}: expected the sibling that block {} lists, got none", block.hash));
            continue;
        };
        let bodies = bodies_of(view, genesis, ledger, &sibling, report)?;
        if let Err(error) = ledger.keep(sibling.to_unchecked(), &bodies, block.header.time_ms) {
            report.differ(format!("sibling {hash} of height {}: {error}", block.header.height));
        }
    }
    Ok(())
}

/// The state as it was before the block at this height: that of the tip with all from there on taken back.
fn state_before(view: &dyn StoreRead, height: u64, report: &mut FsckReport) -> Result<Batch, StoreError> {
    let mut batch = Batch::new();
    for_each_state(view, |key, value| batch.push(Op::State(key, Some(value))))?;
    let mut top = height;
    while view.hash_at(top)?.is_some() {
        top += 1;
    }
    for at in (height..top).rev() {
        let Some(hash) = view.hash_at(at)? else { continue };
        match view.undo(&hash)? {
            Some(undo) => batch.extend(undo.state.into_iter().map(|(key, before)| Op::State(key, before))),
            None => report.differ(format!("undo {hash}: expected an entry, got none")),
        }
    }
    Ok(batch)
}

fn bodies_of(
    view: &dyn StoreRead,
    genesis: &Genesis,
    ledger: &mut Ledger,
    block: &Block,
    report: &mut FsckReport,
) -> Result<BTreeMap<Hash32, Transaction<Verified>>, StoreError> {
    let mut unverified = Vec::with_capacity(block.txhashes.len());
    for hash in &block.txhashes {
        let pruned = view.tx_position(hash)?.filter(|position| position.height < report.pruned_below);
        let stored = view.tx(hash)?;
        let is_pruned = pruned.is_some();
        if let Some(position) = pruned {
            // Committed once, it may be carried by any number of blocks.
            let is_here = position.block == block.hash || position.via_sibling == Some(block.hash);
            ledger.take_pruned(*hash, position.void);
            report.bodies_pruned += u64::from(is_here && stored.is_none());
        }
        match stored {
            Some(stored) => unverified.push(Transaction::from_stored(stored).into_unverified()),
            None if is_pruned => {}
            None => report.differ(format!("txs {hash}: expected a body, got none")),
        }
    }
    let mut bodies = BTreeMap::new();
    for verdict in verify_batch_by(unverified, &genesis.chain_id(), genesis.kind, ledger.signatures()) {
        match verdict {
            Ok(tx) => drop(bodies.insert(tx.hash(), tx)),
            Err(error) => report.differ(format!("txs of block {}: {error}", block.hash)),
        }
    }
    Ok(bodies)
}

/// Reads all pages of one family.
fn read_all<K: Ord + Clone, V>(
    page: impl Fn(Option<&K>) -> Result<Vec<(K, V)>, StoreError>,
) -> Result<BTreeMap<K, V>, StoreError> {
    let mut all: BTreeMap<K, V> = BTreeMap::new();
    loop {
        let next = page(all.keys().next_back())?;
        if next.is_empty() {
            return Ok(all);
        }
        all.extend(next);
    }
}

/// Reports where what is stored differs from what was re-derived.
fn compare<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    family: &str,
    report: &mut FsckReport,
    stored: BTreeMap<K, V>,
    mut expected: BTreeMap<K, V>,
) {
    for (key, got) in stored {
        match expected.remove(&key) {
            Some(wanted) if wanted == got => {}
            Some(wanted) => report.differ(format!("{family} {key:?}: expected {wanted:?}, got {got:?}")),
            None => report.differ(format!("{family} {key:?}: expected none, got {got:?}")),
        }
    }
    for (key, wanted) in expected {
        report.differ(format!("{family} {key:?}: expected {wanted:?}, got none"));
    }
}

fn compare_chain(view: &dyn StoreRead, model: &dyn StoreRead, report: &mut FsckReport) -> Result<(), StoreError> {
    let heights = |view: &dyn StoreRead| read_all(|after| view.heights_page(after.copied(), PAGE));
    compare("heights", report, heights(view)?, heights(model)?);
    let history = |view: &dyn StoreRead| read_all(|after| view.history_page(after.copied(), PAGE));
    compare("history_nodes", report, history(view)?, history(model)?);
    let mut height = 0;
    while let Some(hash) = model.hash_at(height)? {
        if view.index(&hash)? != model.index(&hash)? {
            report.differ(format!("index {hash}: differs from what its chain gives"));
        }
        if view.undo(&hash)? != model.undo(&hash)? {
            report.differ(format!("undo {hash}: differs from what its block changes"));
        }
        height += 1;
    }
    let listed = |view: &dyn StoreRead| read_all(|after| view.listed_page(after, PAGE));
    let expected = listed(model)?;
    for sibling in expected.keys() {
        // How it was judged as a block of its own depends on what else came here.
        let row = |view: &dyn StoreRead| {
            let row = view.index(sibling)?;
            Ok::<_, StoreError>(row.map(|row| IndexRow { judgement: Judgement::Sound, ..row }))
        };
        if row(view)? != row(model)? {
            report.differ(format!("index {sibling}: differs from what its chain gives"));
        }
    }
    compare("listed", report, listed(view)?, expected);
    check_side(view, model, report)
}

fn is_pruned(view: &dyn StoreRead, txhash: &Hash32, below: u64) -> Result<bool, StoreError> {
    Ok(view.tx_position(txhash)?.is_some_and(|position| position.height < below))
}

/// What stands beside the chain is this node's own memory; each of it must be whole, and really beside, and what it
/// carries be noted.
fn check_side(view: &dyn StoreRead, model: &dyn StoreRead, report: &mut FsckReport) -> Result<(), StoreError> {
    let mut expected = BTreeMap::new();
    for (height, hash) in read_all(|after| view.side_page(after, PAGE))?.into_keys() {
        match (view.block(&hash)?, view.index(&hash)?) {
            (Some(block), Some(row)) if block.hash == hash && row.height == height => {
                expected.extend(block.txhashes.iter().map(|txhash| ((*txhash, hash), ())));
                for txhash in &block.txhashes {
                    if view.tx(txhash)?.is_none() && !is_pruned(view, txhash, report.pruned_below)? {
                        report.differ(format!("txs {txhash}: expected a body of side block {hash}, got none"));
                    }
                }
            }
            _ => report.differ(format!("side {height} {hash}: expected a block and its row, got other or none")),
        }
        if model.hash_at(height)? == Some(hash) || model.listed(&hash)?.is_some() {
            report.differ(format!("side {height} {hash}: expected it beside the best chain, but it is part of it"));
        }
    }
    let noted =
        |after: Option<&CarriedKey>| Ok(view.carried_page(after, PAGE)?.into_iter().map(|key| (key, ())).collect());
    compare("carried", report, read_all(noted)?, expected);
    Ok(())
}

/// Positions but for `first_seen_ms`, which is this node's own memory.
fn compare_positions(view: &dyn StoreRead, model: &dyn StoreRead, report: &mut FsckReport) -> Result<(), StoreError> {
    let positions = |view: &dyn StoreRead| {
        let mut all = read_all(|after| view.tx_positions_page(after, PAGE))?;
        all.values_mut().for_each(|position| position.first_seen_ms = None);
        Ok::<_, StoreError>(all)
    };
    let expected = positions(model)?;
    report.transactions = expected.len() as u64;
    compare("tx_positions", report, positions(view)?, expected);
    Ok(())
}

fn compare_state(view: &dyn StoreRead, model: &dyn StoreRead, report: &mut FsckReport) -> Result<(), StoreError> {
    report.state_hash = state_hash(model)?;
    let got = state_hash(view)?;
    if got != report.state_hash {
        report.differ(format!("state hash: expected {}, got {got}", report.state_hash));
    }
    Ok(())
}

/// What waits has a body that verifies, and is not committed.
fn check_journal(view: &dyn StoreRead, genesis: &Genesis, report: &mut FsckReport) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = view.pending(after.as_ref(), PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(*last);
        report.pending += page.len() as u64;
        for (hash, _) in page {
            match view.tx(&hash)? {
                None => report.differ(format!("pending {hash}: expected a body, got none")),
                Some(stored) => {
                    if let Err(error) = stored.verify(&genesis.chain_id(), genesis.kind) {
                        report.differ(format!("pending {hash}: {error}"));
                    }
                }
            }
            if view.tx_position(&hash)?.is_some() {
                report.differ(format!("pending {hash}: expected it to wait, but it is committed"));
            }
        }
    }
}
