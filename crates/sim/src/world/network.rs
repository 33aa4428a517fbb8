//! Connections and messages: what `blockhie-node`'s peers' tasks and services do, without sockets.

use super::bulk::Answer;
use super::node::{Asker, Command, address};
use super::{Coming, World};
use crate::setup::{Link, Setup};
use blockhie_core::{
    BlockQuery, ErrorClass, Store, StoreError, Transaction, TxHash, U256, UncheckedBlock, UncheckedHeader, Unverified,
    query,
};
use blockhie_engine::{AskError, Event, Fetch, FetchId, Request};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How often a connected peer is greeted; a node's interval too.
const GREET_MS: u64 = 3_000;
/// First and longest wait before connecting again; a node's too.
const BACKOFF_MS: (u64, u64) = (250, 5_000);
/// A connection that breaks is noticed after so long.
const RESET_MS: u64 = 1_000;

/// What goes from node to node.
#[derive(Debug, Clone)]
pub(super) enum Message {
    Block(Arc<UncheckedBlock>),
    Tx(Transaction<Unverified>),
    Ask(Request),
    GotBlock { query: BlockQuery, block: Option<Arc<UncheckedBlock>> },
    GotTx { hash: TxHash, tx: Option<Transaction<Unverified>> },
    Failed { request: Request, error: AskError },
    Fetch { id: FetchId, fetch: Fetch },
    Fetched { id: FetchId, answer: Answer },
    Announce(Arc<UncheckedHeader>),
}

/// The network's state.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) link: Link,
    /// Nothing gets from the first to the second.
    pub(super) cut: BTreeSet<(usize, usize)>,
}

impl Net {
    pub(super) fn new(setup: &Setup) -> Self {
        Self { link: setup.link, cut: BTreeSet::new() }
    }
}

impl World {
    /// Whether a node holds a connection to another.
    pub(super) fn is_up(&self, from: usize, to: usize) -> bool {
        self.nodes[from].outbound.get(&to).is_some_and(|outbound| outbound.up)
    }

    fn has_banned(&self, node: usize, other: usize) -> bool {
        self.nodes[node].outbound.get(&other).is_some_and(|outbound| outbound.banned_until_ms > self.now_ms)
    }

    fn is_lost(&mut self, from: usize, to: usize) -> bool {
        self.net.cut.contains(&(from, to)) || self.streams.network.chance(self.net.link.loss_ppm)
    }

    /// Sends a message: once, not at all, or twice; later ones may overtake it.
    pub(super) fn send(&mut self, from: usize, to: usize, message: Message) {
        self.tally.messages += 1;
        if self.is_lost(from, to) {
            // The connection breaks; otherwise the question is never answered.
            if let Some(message) = broken(message, "connection reset")
                && self.streams.network.chance(500_000)
            {
                self.after(RESET_MS, Coming::Deliver { from: to, to: from, message });
            }
            return;
        }
        let link = self.net.link;
        let copies = if self.streams.network.chance(link.duplicate_ppm) { 2 } else { 1 };
        for _ in 0..copies {
            let delay_ms = link.delay_ms + self.streams.network.exponential_ms(link.jitter_ms);
            self.after(delay_ms, Coming::Deliver { from, to, message: message.clone() });
        }
    }

    pub(super) fn send_block(&mut self, node: usize, to: usize, block: &Arc<UncheckedBlock>) {
        if !self.is_up(node, to) {
            return;
        }
        if self.setup.nodes[node].byzantine && !self.quiet {
            return self.relay_badly(node, to, block);
        }
        self.send(node, to, Message::Block(block.clone()));
    }

    pub(super) fn deliver(&mut self, from: usize, to: usize, message: Message) {
        if self.nodes[to].running.is_none() {
            if let Some(message) = broken(message, "connection refused") {
                self.send(to, from, message);
            }
            return;
        }
        let peer = address(from);
        match message {
            Message::Ask(_) | Message::Fetch { .. } if self.nodes[to].is_paused(self.now_ms) => {
                let until_ms = self.nodes[to].paused_until_ms;
                self.at(until_ms, Coming::Deliver { from, to, message });
            }
            Message::Fetch { id, fetch } => {
                if let Some(answer) = self.answer_fetch(to, &fetch) {
                    self.send(to, from, Message::Fetched { id, answer });
                }
            }
            Message::Fetched { id, answer } => self.fetched(to, from, id, answer),
            Message::Ask(request) => {
                let answer = self.answer(to, from, request);
                if let Some(answer) = answer {
                    self.send(to, from, answer);
                }
            }
            // A banned peer's pushes are refused, and it is told so.
            Message::Block(_) | Message::Tx(_) | Message::Announce(_) if self.has_banned(to, from) => {}
            Message::Announce(header) => {
                // One that does not say where it listens cannot be asked for the block.
                if let Some(peer) = self.known_as(to, from) {
                    self.command(to, Command::Event(Event::Announced { peer, header: (*header).clone() }));
                }
            }
            Message::Block(block) => {
                let command = Command::Block { from: self.known_as(to, from), block: (*block).clone() };
                self.command(to, command);
            }
            Message::Tx(tx) => self.transaction_came(to, from, tx),
            Message::GotBlock { query, block } => {
                let block = block.map(|block| (*block).clone());
                self.command(to, Command::Event(Event::GotBlock { peer, query, block }));
            }
            Message::GotTx { hash, tx } => {
                let event = match tx.map(|tx| self.verify(tx)) {
                    None => Event::GotTx { peer, hash, tx: None },
                    Some(Ok(tx)) => Event::GotTx { peer, hash, tx: Some(tx) },
                    Some(Err(reason)) => {
                        let (request, error) = (Request::Tx(hash), AskError::Malformed(reason));
                        Event::AskFailed { peer, request, error }
                    }
                };
                self.command(to, Command::Event(event));
            }
            Message::Failed { request, error } => {
                self.command(to, Command::Event(Event::AskFailed { peer, request, error }));
            }
        }
    }

    /// Signatures are verified before anything is queued.
    fn transaction_came(&mut self, to: usize, from: usize, tx: Transaction<Unverified>) {
        if self.is_old_news(to, &tx.hash()) {
            return;
        }
        let known = self.known_as(to, from);
        match self.verify(tx) {
            Ok(tx) => self.command(to, Command::Submit { from: known, tx, asker: Asker::Peer }),
            Err(reason) => {
                if let Some(peer) = known {
                    self.command(to, Command::Event(Event::Malformed { peer, reason }));
                }
            }
        }
    }

    /// What a node answers: from what is durable, without its engine.
    fn answer(&mut self, node: usize, asker: usize, request: Request) -> Option<Message> {
        if self.setup.nodes[node].byzantine && !self.quiet {
            return self.answer_badly(node, asker, request);
        }
        Some(self.answer_honestly(node, request))
    }

    pub(super) fn answer_honestly(&self, node: usize, request: Request) -> Message {
        let view = self.nodes[node].store.snapshot();
        let failed = |error: StoreError| match error.class() {
            ErrorClass::Unavailable => Some(AskError::Unreachable(error.to_string())),
            _ => None,
        };
        match request {
            Request::Block(query) => match query::block(view.as_ref(), query) {
                Ok(block) => Message::GotBlock { query, block: block.map(|block| Arc::new(block.to_unchecked())) },
                Err(error) => match failed(error) {
                    Some(error) => Message::Failed { request, error },
                    None => Message::GotBlock { query, block: None },
                },
            },
            Request::Tx(hash) => match query::transaction(view.as_ref(), &hash) {
                Ok(tx) => Message::GotTx { hash, tx: tx.map(Transaction::into_unverified) },
                Err(error) => match failed(error) {
                    Some(error) => Message::Failed { request, error },
                    None => Message::GotTx { hash, tx: None },
                },
            },
        }
    }

    /// Connects, or greets whom it is connected to; one such visit leads to the next.
    pub(super) fn greet(&mut self, from: usize, to: usize, epoch: u64) {
        let state = &self.nodes[from];
        if state.epoch != epoch || state.running.is_none() {
            return;
        }
        let banned_until_ms = state.outbound.get(&to).map_or(0, |outbound| outbound.banned_until_ms);
        let not_before_ms = state.paused_until_ms.max(banned_until_ms);
        if not_before_ms > self.now_ms {
            return self.at(not_before_ms, Coming::Greet { from, to, epoch });
        }
        let lost = self.is_lost(from, to) | self.is_lost(to, from);
        let there = !self.nodes[to].is_paused(self.now_ms) && !self.is_silent(to);
        let claim = self.nodes[to].running.as_mut().filter(|_| !lost && there).map(|running| {
            running.inbound.insert(from);
            (running.tip.height, running.tip.work)
        });
        let Some(outbound) = self.nodes[from].outbound.get_mut(&to) else { return };
        let was_up = std::mem::replace(&mut outbound.up, claim.is_some());
        outbound.failures = if claim.is_some() { 0 } else { outbound.failures + 1 };
        let backoff_ms = (BACKOFF_MS.0 << outbound.failures.min(6)).min(BACKOFF_MS.1);
        let peer = address(to);
        match claim {
            Some((height, work)) => {
                if !was_up {
                    self.command(from, Command::Event(Event::PeerUp { peer }));
                    if self.probes(from, to) {
                        self.command(from, Command::Event(Event::PeerSpeaks { peer }));
                    }
                }
                let (height, work) = self.claim_of(to, height, work);
                self.command(from, Command::Event(Event::PeerTip { peer, height, work }));
                self.after(GREET_MS, Coming::Greet { from, to, epoch });
            }
            None => {
                if was_up {
                    self.command(from, Command::Event(Event::PeerDown { peer }));
                }
                self.after(backoff_ms, Coming::Greet { from, to, epoch });
            }
        }
    }

    /// What a greeted node says of its chain.
    fn claim_of(&mut self, node: usize, height: u64, work: U256) -> (u64, U256) {
        if self.setup.nodes[node].byzantine && !self.quiet && self.streams.evil.chance(200_000) {
            return (height.saturating_add(1_000), U256::MAX);
        }
        (height, work)
    }

    /// A byzantine node at the end of a run: it takes no part any more.
    fn is_silent(&self, node: usize) -> bool {
        self.quiet && self.setup.nodes[node].byzantine
    }

    /// Cuts the connection and takes none from this peer for so long.
    pub(super) fn banned(&mut self, node: usize, peer: usize, for_ms: u64, reason: &str) {
        let until_ms = self.now_ms.saturating_add(for_ms);
        if let Some(outbound) = self.nodes[node].outbound.get_mut(&peer) {
            (outbound.up, outbound.banned_until_ms) = (false, until_ms);
        }
        self.scan(node, "a ban", reason);
        self.say(|| format!("node {node} bans {peer} for {for_ms} ms: {reason}"));
        if !self.setup.nodes[node].byzantine {
            self.tally.bans += 1;
            if !self.setup.nodes[peer].byzantine {
                let what = format!("it bans node {peer}, which follows the rules: {reason}");
                self.violated("I9", Some(node), what);
            }
        }
        self.command(node, Command::Event(Event::PeerDown { peer: address(peer) }));
    }
}

/// What a caller is told when a question does not arrive; nothing of other messages.
fn broken(message: Message, how: &str) -> Option<Message> {
    let error = AskError::Unreachable(format!("simulated: {how}"));
    match message {
        Message::Ask(request) => Some(Message::Failed { request, error }),
        Message::Fetch { id, .. } => Some(Message::Fetched { id, answer: Answer::Failed(error) }),
        _ => None,
    }
}
