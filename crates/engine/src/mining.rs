//! When to mine, and on what.

use crate::engine::Engine;
use crate::event::Action;
use crate::limits::{MAX_RIVALS, TEMPLATE_GROWN_MS, TEMPLATE_MS, TIE_INTERVALS};
use blockhie_core::{BlockHash, Imported, PublicKey, TemplateError, TemplateRequest};

/// Intervals without a block after which this node says that it waits for others because of the spacing rule.
const SILENT_INTERVALS: u64 = 30;

/// What the miner was last told.
#[derive(Debug, Default)]
pub(crate) struct Mining {
    active: bool,
    built_on: Option<BlockHash>,
    built_ms: u64,
    grown: bool,
    /// The tip, and since when.
    tip: Option<BlockHash>,
    tip_ms: u64,
    /// Other chains that peers showed meanwhile.
    rivals: Vec<BlockHash>,
}

impl Mining {
    /// There are new transactions.
    pub(crate) fn grown(&mut self) {
        self.grown = true;
    }

    /// A peer has a block that is known here and not the tip.
    pub(crate) fn rival(&mut self, hash: BlockHash) {
        if !self.rivals.contains(&hash) && self.rivals.len() < MAX_RIVALS {
            self.rivals.push(hash);
        }
    }

    /// The last order did not reach the miner.
    pub(crate) fn forget(&mut self) {
        (self.active, self.built_on) = (false, None);
    }
}

impl Engine {
    /// Orders a new template after a change of tip, and at ticks for new transactions and for the time to move.
    pub(crate) fn refresh_mining(&mut self, is_tick: bool) {
        let Some(miner) = self.config.miner else { return };
        if self.is_catching_up() || self.clock_fault().is_some() {
            self.mining.built_on = None;
            return self.stop_mining();
        }
        let age_ms = self.now.mono_ms.saturating_sub(self.mining.built_ms);
        let stale = age_ms >= TEMPLATE_MS || (self.mining.grown && age_ms >= TEMPLATE_GROWN_MS);
        let tip = self.ledger.tip().hash;
        if self.mining.tip != Some(tip) {
            (self.mining.tip, self.mining.tip_ms) = (Some(tip), self.now.mono_ms);
            self.mining.rivals.clear();
        }
        if self.mining.built_on == Some(tip) && !(is_tick && stale) {
            return;
        }
        (self.mining.built_on, self.mining.built_ms, self.mining.grown) = (Some(tip), self.now.mono_ms, false);
        let request = TemplateRequest {
            miner,
            now_ms: self.now.wall_ms,
            policy: self.config.policy.as_ref(),
            node_index: self.config.node_index,
            node_count: self.config.node_count,
            seed: self.config.seed,
        };
        match self.ledger.template(&request) {
            Ok(template) => {
                self.mining.active = true;
                self.out.push(Action::Mine(template));
            }
            Err(error) => {
                self.stop_mining();
                match error {
                    // Asked again at ticks; they pass by themselves.
                    TemplateError::Wait { .. } => {}
                    TemplateError::NotMyTurn { .. } => {
                        self.note_silence(&error);
                        self.take_rival(miner);
                    }
                    TemplateError::NotAMember { .. } | TemplateError::Alarm { .. } | TemplateError::Store(_) => {
                        self.note(error.to_string());
                    }
                }
            }
        }
    }

    /// The spacing rule stops the chain when too few members are alive, and nothing else would say so.
    fn note_silence(&mut self, error: &TemplateError) {
        let tip = self.ledger.tip();
        let limit_ms = SILENT_INTERVALS * u64::from(self.ledger.genesis().block_interval_ms);
        if self.now.wall_ms.saturating_sub(tip.time_ms) > limit_ms {
            let height = tip.height;
            self.note(format!("no block since height {height} for more than {limit_ms} ms: {error}"));
        }
    }

    /// Nobody found a block on this tip for long, and this node may not: it goes to a chain as good, where it may.
    fn take_rival(&mut self, miner: PublicKey) {
        let wait_ms = TIE_INTERVALS * u64::from(self.ledger.genesis().block_interval_ms);
        if self.now.mono_ms.saturating_sub(self.mining.tip_ms) < wait_ms {
            return;
        }
        let old_tip = self.ledger.tip().hash;
        for rival in std::mem::take(&mut self.mining.rivals) {
            match self.ledger.take_rival(&rival, &miner, self.now.wall_ms) {
                Ok(Some(Imported::Reorganised { fork_height, .. })) => {
                    self.note(format!("tip {rival} instead of {old_tip}, of the same work: here this node may mine"));
                    self.offer_abandoned(old_tip, fork_height);
                    return;
                }
                Ok(_) => {}
                Err(error) => self.note(error.to_string()),
            }
        }
    }

    fn stop_mining(&mut self) {
        if std::mem::take(&mut self.mining.active) {
            self.out.push(Action::StopMining);
        }
    }
}
