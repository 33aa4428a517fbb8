//! Transactions: taking them, and passing them on.

use crate::engine::Engine;
use crate::event::{Action, PeerId, Reply, Ticket};
use crate::limits::MAX_ABANDONED_WALK;
use blockhie_core::{BlockHash, SubmitError, Submitted, Transaction, TxHash, TxStatus, Verified};

impl Engine {
    pub(crate) fn submitted(&mut self, ticket: Ticket, from: Option<PeerId>, tx: Transaction<Verified>) {
        let hash = tx.hash();
        if let Some(state) = from.and_then(|peer| self.peers.get_mut(&peer)) {
            state.transactions.insert(hash);
        }
        let result = self.ledger.submit(tx.clone(), self.now.wall_ms);
        // A block may wait for just this body, whatever the mempool thinks of it.
        let wanted = self.bodies.wants.wants(&hash);
        match result {
            Ok(submitted) => {
                self.reply(Some(ticket), Ok(Reply::Tx(hash)));
                if submitted == Submitted::New {
                    self.mining.grown();
                    self.unconfirmed.insert(hash);
                    self.relay(&tx);
                }
                if wanted {
                    self.body_came(tx);
                }
            }
            Err(error) => {
                self.reply(Some(ticket), Err((error.class(), error.to_string())));
                if let (Some(peer), Some(fault)) = (from, error.fault()) {
                    self.report(peer, fault, error.to_string());
                }
                match error {
                    SubmitError::Invalid(_) => {}
                    // It may be in a block all the same: the rules of admission are each node's own.
                    SubmitError::Refused(_) | SubmitError::Full { .. } | SubmitError::TimeAhead { .. } => {
                        self.body_came(tx);
                    }
                    SubmitError::Store(_) => {}
                }
            }
        }
    }

    fn relay(&mut self, tx: &Transaction<Verified>) {
        for (peer, state) in &mut self.peers {
            if state.transactions.insert(tx.hash()) {
                self.out.push(Action::SendTx { peer: *peer, tx: tx.clone() });
            }
        }
    }

    /// Sends a transaction to a peer if it still waits and the peer is not known to have it.
    pub(crate) fn offer(&mut self, peer: PeerId, hash: TxHash) {
        if !matches!(self.ledger.status(&hash), Ok(TxStatus::Pending { .. })) {
            self.unconfirmed.remove(&hash);
            return;
        }
        let Some(state) = self.peers.get_mut(&peer) else { return };
        if state.transactions.insert(hash)
            && let Ok(Some(tx)) = self.ledger.transaction(&hash)
        {
            self.out.push(Action::SendTx { peer, tx });
        }
    }

    /// What the blocks from `old_tip` down to `fork_height` carried waits again, and the miners of the new branch may
    /// never have seen it.
    pub(crate) fn offer_abandoned(&mut self, old_tip: BlockHash, fork_height: u64) {
        let mut at = old_tip;
        for _ in 0..MAX_ABANDONED_WALK {
            let Ok(Some(block)) = self.ledger.block(&at) else { return };
            if block.header.height <= fork_height {
                return;
            }
            self.offer_again(block.txhashes.iter().copied());
            for sibling in &block.siblings {
                if let Ok(Some(sibling)) = self.ledger.block(sibling) {
                    self.offer_again(sibling.txhashes);
                }
            }
            at = block.header.previous;
        }
    }
}
