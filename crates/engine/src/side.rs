//! How much may be stored of blocks beside the best chain that nobody asked for, and the alarm of a tip that stands.

use crate::engine::Engine;
use crate::event::Ticket;
use crate::limits::{MIN_STALE_MS, SIDE_KIB, SIDE_KIB_PER_INTERVAL, STALE_INTERVALS};
use blockhie_core::{BlockError, ErrorClass, Imported, UncheckedBlock};

/// Memory and disk of a block beside its lists, in bytes, roughly: header, signature, index row.
const BLOCK_BYTES: usize = 1_024;

/// What is left. At an easy target anybody makes a thousand forks a second; each that is sound is stored.
#[derive(Debug)]
pub(crate) struct SideBudget {
    /// 1,024ths of a KiB.
    left: u64,
    at_ms: u64,
}

/// Bytes that a block takes.
fn cost(block: &UncheckedBlock) -> u64 {
    (BLOCK_BYTES + 32 * (block.txhashes.len() + block.siblings.len())) as u64
}

impl SideBudget {
    pub(crate) fn new() -> Self {
        Self { left: SIDE_KIB << 10, at_ms: 0 }
    }

    fn refill(&mut self, now_ms: u64, interval_ms: u64) {
        let passed_ms = now_ms.saturating_sub(self.at_ms);
        self.at_ms = self.at_ms.max(now_ms);
        let came = passed_ms.saturating_mul(SIDE_KIB_PER_INTERVAL << 10) / interval_ms.max(1);
        self.left = self.left.saturating_add(came).min(SIDE_KIB << 10);
    }
}

impl Engine {
    /// Whether a block that nobody asked for has to wait because too much was stored beside the best chain. What we ask
    /// for ourselves, to follow a heavier chain, is never held up.
    pub(crate) fn is_too_much_beside(&mut self, block: &UncheckedBlock) -> bool {
        let interval_ms = u64::from(self.ledger.genesis().block_interval_ms);
        self.side.refill(self.now.mono_ms, interval_ms);
        block.height <= self.ledger.tip().height
            && self.side.left < cost(block)
            && !self.ledger.knows_block(&block.claimed_hash).unwrap_or(false)
    }

    /// Counts what was just stored beside the best chain, and gives back what became the best chain.
    pub(crate) fn stored_beside(&mut self, block: &UncheckedBlock, result: &Result<Imported, BlockError>) {
        match result {
            Ok(Imported::Side) | Err(BlockError::NotValid { .. } | BlockError::MissingBlocks { .. }) => {
                self.side.left = self.side.left.saturating_sub(cost(block));
            }
            Ok(Imported::Reorganised { applied, .. }) => {
                let back = applied.saturating_mul(BLOCK_BYTES as u64);
                self.side.left = self.side.left.saturating_add(back).min(SIDE_KIB << 10);
            }
            _ => {}
        }
    }

    pub(crate) fn refuse_beside(&mut self, block: &UncheckedBlock, ticket: Option<Ticket>) {
        let text =
            format!("too many blocks beside the best chain: expected at most {SIDE_KIB} KiB, got more (not yet)");
        self.reply(ticket, Err((ErrorClass::NotYet, text)));
        self.note(format!("blocks beside the best chain are not taken for now, the last at height {}", block.height));
    }

    /// Whether peers are connected and the chain has not moved for long: they may all be one attacker's.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    pub(crate) fn tick_stale(&mut self) {
        let (now_ms, tip) = (self.now.mono_ms, self.ledger.tip());
        if self.moved.0 != tip.hash || self.peers.is_empty() {
            self.moved = (tip.hash, now_ms);
        }
        let interval_ms = u64::from(self.ledger.genesis().block_interval_ms);
        let limit_ms = (STALE_INTERVALS * interval_ms).max(MIN_STALE_MS);
        let was = self.stale;
        self.stale = now_ms.saturating_sub(self.moved.1) >= limit_ms;
        if self.stale && !was {
            let (height, peers) = (tip.height, self.peers.len());
            self.note(format!(
                "stale tip: no block after height {height} for {limit_ms} ms with {peers} peers connected: the chain stands \
                 still, or this node is cut off from the others"
            ));
        }
    }
}
