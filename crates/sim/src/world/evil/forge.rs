//! Blocks and transactions made by hand: as an honest node would make them, but for what the draft says.

use super::World;
use crate::rng::Rng;
use blockhie_core::store::IndexRow;
use blockhie_core::{
    BlockHash, CompactTarget, Hash32, Header, ParentContext, SecretKey, Template, Transaction, TxHash, UncheckedBlock,
    Verified, merkle,
};

/// What a block stands on.
#[derive(Debug, Clone)]
pub(in crate::world) struct Parent {
    pub(in crate::world) hash: BlockHash,
    pub(in crate::world) row: IndexRow,
}

/// What differs from an honest empty block.
#[derive(Debug, Default)]
pub(in crate::world) struct Draft {
    pub(in crate::world) txhashes: Vec<TxHash>,
    pub(in crate::world) siblings: Vec<BlockHash>,
    pub(in crate::world) time_ms: Option<u64>,
    pub(in crate::world) height: Option<u64>,
    pub(in crate::world) target: Option<CompactTarget>,
    /// Another key than the node's.
    pub(in crate::world) secret: Option<SecretKey>,
    /// A hash that does not answer the target.
    pub(in crate::world) without_work: bool,
    /// Nothing where the spacing rule forbids it.
    pub(in crate::world) honest_spacing: bool,
}

impl World {
    /// A block of the best chain as this node has it, so many below its tip.
    pub(in crate::world) fn parent(&self, node: usize, depth: u64) -> Option<Parent> {
        let view = self.nodes[node].store.durable().snapshot();
        let tip = view.index(&view.meta().ok()?.tip?).ok()??;
        let hash = view.hash_at(tip.height.saturating_sub(depth)).ok()??;
        Some(Parent { hash, row: view.index(&hash).ok()?? })
    }

    /// A block that it forged becomes the parent of the next.
    pub(in crate::world) fn child(&self, parent: &Parent, block: &UncheckedBlock) -> Option<Parent> {
        let context = context(&parent.row);
        let mut row = parent.row.clone();
        row.peaks.push(&block.claimed_hash);
        row.lag_ms = self.consensus.next_lag(&context, block.time_ms);
        (row.parent, row.height, row.time_ms, row.miner) = (parent.hash, block.height, block.time_ms, block.miner);
        let target = CompactTarget::new(block.target).ok()?;
        let work = row.work_u256().checked_add(self.consensus.work(target))?;
        row.work = Hash32(work.to_big_endian());
        Some(Parent { hash: block.claimed_hash, row })
    }

    /// The target of a block on this one.
    pub(in crate::world) fn required_target(&self, parent: &Parent) -> CompactTarget {
        self.consensus.required_target(&context(&parent.row))
    }

    /// Whether the spacing rule lets this node mine on this parent.
    pub(in crate::world) fn may_mine(&self, node: usize, parent: &Parent) -> bool {
        let own: Hash32 = self.setup.nodes[node].public.into();
        let view = self.nodes[node].store.durable().snapshot();
        let mut row = Some(parent.row.clone());
        for _ in 0..self.setup.genesis.spacing {
            let Some(at) = row else { return true };
            if at.miner == own {
                return false;
            }
            row = view.index(&at.parent).ok().flatten();
        }
        true
    }

    /// Seals and signs a block under this node's key.
    pub(in crate::world) fn forge(&mut self, node: usize, parent: &Parent, draft: Draft) -> Option<UncheckedBlock> {
        if draft.honest_spacing && !self.may_mine(node, parent) {
            return None;
        }
        let secret = draft.secret.unwrap_or_else(|| self.setup.nodes[node].secret.clone());
        let least_ms = parent.row.time_ms + 1;
        let header = Header {
            previous: parent.hash,
            tx_root: merkle::head(&draft.txhashes),
            history_root: parent.row.peaks.head(),
            siblings_root: merkle::head(&draft.siblings),
            miner: secret.public().into(),
            height: draft.height.unwrap_or(parent.row.height + 1),
            time_ms: draft.time_ms.unwrap_or_else(|| least_ms.max(self.true_wall_ms())),
            tx_count: u32::try_from(draft.txhashes.len()).ok()?,
            target: draft.target.unwrap_or_else(|| self.required_target(parent)),
            nonce: 0,
        };
        let template = Template { header, txhashes: draft.txhashes, siblings: draft.siblings };
        if !draft.without_work {
            return self.seal_by(&secret, template);
        }
        let chain = self.setup.genesis.chain_id();
        let member = (!self.setup.genesis.is_open()).then_some(secret);
        for _ in 0..64 {
            let nonce = self.streams.evil.bits();
            let block = template.clone().seal(&chain, nonce, member.as_ref());
            let header = block.header(block.history_root?).ok()?;
            if self.consensus.check(&header, &block.claimed_hash).is_err() {
                return Some(block);
            }
        }
        None
    }

    /// A transaction of a byzantine node's own.
    pub(in crate::world) fn own_transaction(
        &mut self,
        node: usize,
        tx_type: i32,
        payload: &[u8],
    ) -> Transaction<Verified> {
        let chain = self.setup.genesis.chain_id();
        let secret = SecretKey::from_seed(Rng::stream(self.setup.seed, &format!("evil sender {node}")).bytes());
        let payload = [payload, &self.streams.evil.bits().to_be_bytes()].concat();
        let tx = Transaction::sign(&chain, &secret, self.true_wall_ms(), tx_type, None, &payload);
        self.made(&tx);
        tx
    }
}

fn context(row: &IndexRow) -> ParentContext {
    ParentContext { height: row.height, time_ms: row.time_ms, lag_ms: row.lag_ms }
}
