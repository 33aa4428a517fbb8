//! What is checked when a run has come to rest.

use crate::planted::Bug;
use crate::walk::{Walked, walk};
use crate::world::World;
use blockhie_core::fsck::{fsck_by, state_hash};
use blockhie_core::{
    Block, BlockHash, Hash32, Receipt, ReceiptError, StoreError, StoreRead, Trust, TxHash, Verdict, query, sha256,
    verify_receipt,
};
use std::collections::BTreeSet;

/// Receipts verified at each node, at most; as many again of what came through siblings.
const RECEIPTS: usize = 5;
/// Of the blocks sent at most one in so many may go back to where it came from: several peers may have shown a block
/// before it could be taken, and only one of them is remembered. One in fifty is usual.
const ECHOES: u64 = 10;
/// A turn under way ends within so long, ms.
const TURNS_MS: u64 = 1_000;
/// Rows read at once.
const PAGE: usize = 1_024;

impl World {
    /// All invariants that are not watched on the way.
    pub(crate) fn check_end(&mut self) {
        self.finish_turns();
        let checks: [Check; 7] = [
            Self::check_lost,
            Self::check_chain,
            Self::check_bodies,
            Self::check_work,
            Self::check_poison,
            Self::check_canary,
            Self::check_fsck,
        ];
        for node in self.honest() {
            for check in checks {
                if let Err(Broken(invariant, what)) = check(self, node) {
                    return self.violated(invariant, Some(node), what);
                }
            }
            match self.check_receipts(node) {
                Ok(count) => self.tally.receipts += count,
                Err(Broken(invariant, what)) => return self.violated(invariant, Some(node), what),
            }
        }
        if let Err(Broken(invariant, what)) = self.check_agreement() {
            return self.violated(invariant, None, what);
        }
        let (echoes, sends) = (self.tally.echoes, self.tally.block_sends);
        if echoes > 30 + sends / ECHOES {
            self.violated("I7", None, format!("{echoes} of {sends} blocks went back to where they came from"));
        }
    }

    /// What a turn has decided and not written yet is in memory and not in the store.
    fn finish_turns(&mut self) {
        let end_ms = self.now_ms + TURNS_MS;
        let staged = |world: &Self| {
            let running = world.nodes.iter().filter_map(|node| node.running.as_ref());
            running.into_iter().any(|running| running.engine.ledger().has_staged())
        };
        while staged(self) && self.now_ms < end_ms {
            self.run_until(self.now_ms + 1);
        }
    }

    fn view(&self, node: usize) -> Box<dyn StoreRead + '_> {
        self.nodes[node].store.durable().snapshot()
    }

    /// I1.
    fn check_lost(&self, node: usize) -> Result<(), Broken> {
        self.lost(node).map_or(Ok(()), |what| Err(Broken("I1", what)))
    }

    /// I3, and the rules of headers and siblings, without any code of the ledger.
    fn check_chain(&self, node: usize) -> Result<(), Broken> {
        self.walk(node).map(drop)
    }

    fn walk(&self, node: usize) -> Result<Walked, Broken> {
        walk(self.view(node).as_ref(), &self.setup.genesis, &self.best_chain(node)?)
    }

    fn best_chain(&self, node: usize) -> Result<Vec<Block>, Broken> {
        let view = self.view(node);
        let mut blocks = Vec::new();
        while let Some(hash) = view.hash_at(blocks.len() as u64)? {
            blocks.push(view.block(&hash)?.ok_or_else(|| Broken("I3", format!("block {hash} is missing")))?);
        }
        Ok(blocks)
    }

    /// I1, I3: the bodies of everything committed are here, but for those that may be pruned and then are.
    fn check_bodies(&self, node: usize) -> Result<(), Broken> {
        let view = self.view(node);
        let all_gone = view.pruned()?.below;
        for (hash, position) in view.tx_positions_page(None, usize::MAX)? {
            let due = self.must_have(node, view.as_ref(), &hash, Some(&position))?;
            let has = view.tx(&hash)?.is_some();
            if due && !has || has && !due && position.height < all_gone {
                let height = position.height;
                return Err(Broken("I3", format!("body of {hash} at height {height}: expected {due}, got {has}")));
            }
        }
        Ok(())
    }

    /// I6: the work of every row is its parent's and its own.
    fn check_work(&self, node: usize) -> Result<(), Broken> {
        let view = self.view(node);
        let mut after = None;
        loop {
            let page = view.index_page(after.as_ref(), PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(*last);
            for (hash, row) in &page {
                if row.height == 0 {
                    continue;
                }
                let missing = |what: &str| Broken("I3", format!("the {what} of block {hash} is missing"));
                let Some(block) = view.block(hash)? else {
                    let is_part = view.hash_at(row.height)? == Some(*hash) || view.listed(hash)?.is_some();
                    // A stale block is dropped after a while, and its row stays.
                    if is_part || self.setup.memory.is_none() || view.side(&(row.height, *hash))?.is_some() {
                        return Err(missing("body"));
                    }
                    continue;
                };
                let parent = view.index(&row.parent)?.ok_or_else(|| missing("parent's row"))?;
                let expected = parent.work_u256().saturating_add(self.consensus.work(block.header.target));
                if row.work_u256() != expected {
                    let got = row.work_u256();
                    return Err(Broken("I6", format!("work of {hash}: expected {expected}, got {got}")));
                }
            }
        }
    }

    /// I9: nothing invalid was kept, and nothing that is not valid is on the best chain.
    fn check_poison(&self, node: usize) -> Result<(), Broken> {
        let view = self.view(node);
        for (hash, why) in &self.poison {
            if view.index(hash)?.is_some() || view.tx(hash)?.is_some() || view.tx_position(hash)?.is_some() {
                return Err(Broken("I9", format!("{hash} was kept: {why}")));
            }
        }
        for hash in &self.never_best {
            if let Some(row) = view.index(hash)?
                && view.hash_at(row.height)? == Some(*hash)
            {
                return Err(Broken("I3", format!("block {hash} commits what an ancestor committed")));
            }
        }
        Ok(())
    }

    /// I8: no block carries private text.
    fn check_canary(&self, node: usize) -> Result<(), Broken> {
        let chain = self.setup.genesis.chain_id();
        let canary = crate::world::CANARY.as_bytes();
        for block in self.best_chain(node)? {
            let mut bytes = block.header.preimage(&chain).to_vec();
            bytes.extend(block.txhashes.iter().flat_map(|hash| hash.0));
            if bytes.windows(canary.len()).any(|window| window == canary) {
                return Err(Broken("I8", format!("block {} carries private text", block.hash)));
            }
        }
        Ok(())
    }

    /// I3: everything stored follows from the blocks. The rules are the true ones, whatever is planted in the node.
    fn check_fsck(&self, node: usize) -> Result<(), Broken> {
        let application = std::sync::Arc::new(crate::app::SimApp::default());
        let report = fsck_by(self.view(node).as_ref(), self.consensus.clone(), application, &self.signatures)
            .map_err(|error| Broken("I3", format!("fsck: {error}")))?;
        if report.differences > 0 {
            return Err(Broken("I3", format!("fsck: {}: {}", report.differences, report.described.join("; "))));
        }
        let waiting = self.nodes[node].running.as_ref().map_or(0, |running| running.engine.ledger().mempool_len());
        if waiting as u64 != report.pending {
            return Err(Broken("I1", format!("{} wait by the journal, {waiting} in memory", report.pending)));
        }
        Ok(())
    }

    /// I2, I3: one tip, one state.
    fn check_agreement(&mut self) -> Result<(), Broken> {
        if let Some(what) = self.differ() {
            return Err(Broken("I2", what));
        }
        let mut states: BTreeSet<Hash32> = BTreeSet::new();
        for node in self.honest() {
            states.insert(state_hash(self.view(node).as_ref())?);
        }
        if states.len() > 1 {
            return Err(Broken("I3", format!("one tip and {} states: {states:?}", states.len())));
        }
        let first = self.honest().first().copied();
        if let Some(node) = first {
            let view = self.nodes[node].store.durable().snapshot();
            let positions = view.tx_positions_page(None, usize::MAX)?;
            self.tally.void = positions.iter().filter(|(_, position)| position.void.is_some()).count() as u64;
            let walked = self.walk(node)?;
            self.tally.siblings = walked.merged();
            self.tally.through_siblings = walked.through_siblings();
            self.tally.skipped = walked.skipped;
        }
        Ok(())
    }

    /// I5: receipts hold with headers alone, and prove as much as the node says.
    fn check_receipts(&self, node: usize) -> Result<u64, Broken> {
        let (view, genesis) = (self.view(node), &self.setup.genesis);
        let Some(running) = &self.nodes[node].running else { return Ok(0) };
        let all: Vec<&TxHash> = self.acknowledged.keys().collect();
        let through = |hash: &&&TxHash| {
            view.tx_position(hash).is_ok_and(|position| position.is_some_and(|position| position.via_sibling.is_some()))
        };
        let mut chosen: Vec<&TxHash> = all.iter().copied().step_by((all.len() / RECEIPTS).max(1)).collect();
        chosen.extend(all.iter().filter(through).take(RECEIPTS));
        let mut count = 0;
        for hash in chosen {
            let receipt = match self.built(node, view.as_ref(), hash)? {
                Ok(receipt) => self.served(node, receipt),
                // It waits, or it is void.
                Err(ReceiptError::NotCommitted { .. } | ReceiptError::Void { .. }) => continue,
                Err(error) => return Err(Broken("I5", format!("receipt of {hash}: {error}"))),
            };
            let broken = |what: String| Broken("I5", format!("receipt of {hash}: {what}"));
            let json = receipt.to_json();
            let receipt = Receipt::parse(json.as_bytes()).map_err(|error| broken(error.to_string()))?;
            let checkpoint: Option<BlockHash> =
                genesis.is_open().then(|| first_of_run(&receipt, &genesis.chain_id())).flatten();
            let trust = Trust { genesis: Some(genesis), quorum: None, checkpoint };
            // The same bytes are proved once, whichever node hands them out.
            let known = self.proved.borrow().get(&sha256(&[json.as_bytes()])).cloned();
            let verification = match known {
                Some(known) => known,
                None => verify_receipt(&receipt, &trust).map_err(|error| broken(error.to_string()))?,
            };
            self.proved.borrow_mut().insert(sha256(&[json.as_bytes()]), verification.clone());
            let position = view.tx_position(hash)?.ok_or_else(|| broken("no position".into()))?;
            if receipt.sibling.is_some() != position.via_sibling.is_some() {
                return Err(broken(format!(
                    "it came through {:?}, and the receipt says otherwise",
                    position.via_sibling
                )));
            }
            let is_final = running.tip.final_height.is_some_and(|height| position.height <= height);
            let enough =
                verification.verdict == Verdict::Proved || verification.verdict == Verdict::NotFinal && !is_final;
            if !enough || verification.height != position.height {
                return Err(broken(format!("final {is_final}, {:?}: {:?}", verification.verdict, verification.steps)));
            }
            count += 1;
        }
        Ok(count)
    }

    /// The receipt as the node builds it, or, where it has pruned the body, as it is built of the one that the client
    /// holds: it has to be as good.
    fn built(&self, node: usize, view: &dyn StoreRead, hash: &TxHash) -> Result<Result<Receipt, ReceiptError>, Broken> {
        let genesis = &self.setup.genesis;
        match query::build_receipt(view, genesis, hash) {
            Err(ReceiptError::Pruned { height, below, .. }) => {
                if self.must_have(node, view, hash, view.tx_position(hash)?.as_ref())? {
                    let what = format!("{hash} at height {height} is said to be pruned below {below}, and is kept");
                    return Err(Broken("I5", what));
                }
                Ok(query::build_receipt_of(view, genesis, &self.acknowledged[hash]))
            }
            built => Ok(built),
        }
    }

    /// The receipt as the node hands it out.
    fn served(&self, node: usize, mut receipt: Receipt) -> Receipt {
        let bad = self.setup.bug == Some(Bug::WrongRun) && !self.setup.nodes[node].byzantine;
        if bad && receipt.run.len() > 1 {
            receipt.run.remove(0);
        }
        receipt
    }
}

fn first_of_run(receipt: &Receipt, chain: &Hash32) -> Option<BlockHash> {
    let bytes = receipt.run.first().map_or(&receipt.block.header.0, |signed| &signed.header.0);
    Some(blockhie_core::Header::from_preimage(bytes, chain).ok()?.hash(chain))
}

/// A check of one node.
type Check = fn(&World, usize) -> Result<(), Broken>;

/// An invariant and how it is broken.
pub(crate) struct Broken(pub(crate) &'static str, pub(crate) String);

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self("I3", error.to_string())
    }
}
