//! Clients: they submit at a Poisson rate, some again, some to another node.

use super::{Coming, World};
use crate::app::{CLAIM, COUNT, MARK, RELEASE, ROW};
use crate::rng::Rng;
use crate::setup::Setup;
use blockhie_core::{SecretKey, Transaction, TxHash, Verified};
use std::collections::VecDeque;

/// Text that stands for what is private: it may be in a body and nowhere else.
pub(crate) const CANARY: &str = "canary: name and record number";
/// Different keys that are claimed.
const KEYS: u64 = 6;
/// Of what was submitted this many are remembered, to be submitted again.
const REMEMBERED: usize = 32;

pub(super) struct Clients {
    secrets: Vec<SecretKey>,
    recent: VecDeque<Transaction<Verified>>,
    /// No more blocks are to be found: everything has come to rest.
    pub(super) stopped: bool,
}

/// The first senders of a seed.
pub(crate) fn senders(seed: u64, count: u64) -> Vec<SecretKey> {
    let mut rng = Rng::stream(seed, "senders");
    (0..count).map(|_| SecretKey::from_seed(rng.bytes())).collect()
}

impl Clients {
    pub(super) fn new(setup: &Setup) -> Self {
        let secrets = senders(setup.seed, setup.load.senders);
        Self { secrets, recent: VecDeque::new(), stopped: false }
    }
}

impl World {
    pub(super) fn first_client(&mut self, node: usize) {
        if self.setup.paper.is_some() {
            if let Some(at_ms) = self.next_scripted_ms(node) {
                self.at(at_ms, Coming::Client(node));
            }
            return;
        }
        let wait = self.streams.clients.exponential_ms(self.setup.load.every_ms);
        self.after(wait, Coming::Client(node));
    }

    pub(super) fn client(&mut self, node: usize) {
        if self.setup.paper.is_some() {
            self.submit_scripted(node);
            return self.first_client(node);
        }
        if self.quiet {
            return;
        }
        self.first_client(node);
        if self.setup.nodes[node].byzantine {
            return;
        }
        if self.streams.clients.chance(150_000) && !self.clients.recent.is_empty() {
            // A retry, a double click, a second node.
            let at = self.streams.clients.index(self.clients.recent.len());
            let tx = self.clients.recent[at].clone();
            return self.submit(node, tx);
        }
        let tx = self.new_transaction();
        self.clients.recent.push_back(tx.clone());
        if self.clients.recent.len() > REMEMBERED {
            self.clients.recent.pop_front();
        }
        if self.streams.clients.chance(100_000) {
            let other = *self.streams.clients.pick(&self.honest());
            self.submit(other, tx.clone());
        }
        self.submit(node, tx);
    }

    fn new_transaction(&mut self) -> Transaction<Verified> {
        let chain = self.setup.genesis.chain_id();
        let rng = &mut self.streams.clients;
        let secret = rng.pick(&self.clients.secrets).clone();
        let tx_type = *rng.pick(&[ROW, ROW, CLAIM, RELEASE, COUNT]);
        let key = u8::try_from(rng.below(KEYS)).expect("few keys");
        let payload = [&[MARK, key], rng.bits().to_be_bytes().as_slice(), CANARY.as_bytes()].concat();
        // Most clocks are right, some are late.
        let late_ms = if rng.chance(100_000) { rng.below(20_000) } else { rng.below(50) };
        let time_ms = self.true_wall_ms() - late_ms.min(self.now_ms);
        let tx = Transaction::sign(&chain, &secret, time_ms, tx_type, None, &payload);
        self.made(&tx);
        tx
    }

    /// A transaction that was submitted a moment ago.
    pub(super) fn waiting_somewhere(&self) -> Option<TxHash> {
        self.clients.recent.back().map(Transaction::hash)
    }

    /// A client was told that its transaction is durable.
    pub(super) fn client_acknowledged(&mut self, hash: TxHash) {
        if let Some((_, tx)) = self.verified.get(&hash)
            && self.acknowledged.insert(hash, tx.clone()).is_none()
        {
            self.tally.acknowledged += 1;
        }
    }

    /// No more blocks.
    pub(crate) fn stop_finding(&mut self) {
        self.clients.stopped = true;
    }

    /// Blocks are found again.
    pub(crate) fn go_on_finding(&mut self) {
        self.clients.stopped = false;
    }
}
