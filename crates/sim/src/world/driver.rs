//! A second driver of the engine, with the semantics of `blockhie-node`'s: events are taken in turns, a turn ends in
//! one batch, and only then are its actions performed, or what `refuse_replies` leaves of them.

use super::network::Message;
use super::node::{Asker, Command, Running, address, node_of};
use super::{Actions, Coming, TICK_MS, World};
use crate::faults::CrashPoint;
use crate::planted::Bug;
use blockhie_core::Tip;
use blockhie_engine::{Action, Event, Now, Reply, Ticket, refuse_replies};

/// Events handled before a batch is written, at most; a node's limit too.
const TURN_EVENTS: u64 = 1_024;
/// Commands that may wait; a node's callers wait with theirs beyond it.
const QUEUE: usize = 8_192;
/// A sync takes at most so long when nothing is wrong, ms.
const SYNC_MS: u64 = 6;

impl World {
    /// Puts a command into a node's queue. What is not running takes nothing.
    pub(crate) fn command(&mut self, node: usize, command: Command) {
        let (epoch, now_ms) = (self.nodes[node].epoch, self.now_ms);
        let Some(running) = &mut self.nodes[node].running else { return };
        if running.inbox.len() >= QUEUE {
            return;
        }
        running.inbox.push_back(command);
        if !running.busy {
            running.busy = true;
            self.at(now_ms, Coming::Turn(node, epoch));
        }
    }

    /// The running node of this incarnation, if it is that and is not stopped; otherwise the event is put off.
    fn awake(&mut self, node: usize, epoch: u64, coming: Coming) -> bool {
        let state = &self.nodes[node];
        if state.epoch != epoch || state.running.is_none() {
            return false;
        }
        if state.is_paused(self.now_ms) {
            let until_ms = state.paused_until_ms;
            self.forgive_pause(node);
            self.at(until_ms, coming);
            return false;
        }
        true
    }

    pub(super) fn tick(&mut self, node: usize, epoch: u64) {
        if !self.awake(node, epoch, Coming::Tick(node, epoch)) {
            return;
        }
        self.command(node, Command::Event(Event::Tick));
        let wait_ms = self.sparse_tick_ms(node).unwrap_or(TICK_MS);
        self.after(wait_ms, Coming::Tick(node, epoch));
    }

    /// Takes what waits, and hands it to the engine.
    pub(super) fn turn(&mut self, node: usize, epoch: u64) {
        if !self.awake(node, epoch, Coming::Turn(node, epoch)) {
            return;
        }
        // A turn ends by its count or by its time: how many it takes is drawn.
        let paper = self.setup.paper.is_some();
        let most =
            if !paper && self.streams.driver.chance(200_000) { 1 + self.streams.driver.below(4) } else { TURN_EVENTS };
        let true_ms = self.true_wall_ms();
        let state = &mut self.nodes[node];
        let (wall_ms, disk_full) = (state.wall_ms(true_ms), state.disk_full);
        let Some(running) = &mut state.running else { return };
        let now = Now { mono_ms: self.now_ms - running.started_ms, wall_ms };
        for _ in 0..most {
            let Some(command) = running.inbox.pop_front() else { break };
            running.take(command, now, disk_full);
        }
        let syncs = running.engine.ledger().has_staged();
        self.watch_queues(node);
        if self.bug_of(node) == Some(Bug::ActBeforeCommit) {
            self.act_early(node);
        }
        if syncs && !paper {
            let wait = 1 + self.streams.driver.below(SYNC_MS);
            self.after(wait, Coming::EndTurn(node, epoch));
        } else {
            self.end_turn(node, epoch);
        }
    }

    /// One synced batch, then the tip, then the actions.
    pub(super) fn end_turn(&mut self, node: usize, epoch: u64) {
        if !self.awake(node, epoch, Coming::EndTurn(node, epoch)) {
            return;
        }
        let bug = self.bug_of(node);
        let Some(running) = &mut self.nodes[node].running else { return };
        let wrote = running.engine.ledger().has_staged();
        let prunes = running.pruning.is_some();
        let reorganises = running.actions.iter().any(reorganises);
        let mut point =
            if wrote && (prunes || !self.dies_pruning(node)) { self.nodes[node].armed.take() } else { None };
        self.tally.crashes_pruning += u64::from(prunes && point.is_some());
        if let Some((_, planned)) = self.dies_reorganising.filter(|(at, _)| *at == node)
            && reorganises
        {
            self.dies_reorganising = None;
            point = Some(planned);
        }
        if point == Some(CrashPoint::BeforeCommit) {
            return self.crash_in_turn(node, "before its batch is written");
        }
        let Some(running) = &mut self.nodes[node].running else { return };
        let mut actions = std::mem::take(&mut running.actions);
        if !self.setup.nodes[node].byzantine {
            self.tally.echoes += std::mem::take(&mut running.echoes);
            self.tally.block_sends +=
                actions.iter().filter(|action| matches!(action, Action::SendBlock { .. })).count() as u64;
        }
        match running.engine.end_turn() {
            Ok(()) => {
                running.store_refuses = false;
                running.publish();
                self.watch_published(node);
                self.watch_pruned(node);
            }
            Err(error) => {
                running.store_refuses = true;
                running.shown.clear();
                running.template = None;
                self.tally.failed_turns += 1;
                if bug != Some(Bug::AckFailedTurn) {
                    actions = refuse_replies(actions, &error);
                }
            }
        }
        if point == Some(CrashPoint::AfterCommit) {
            return self.crash_in_turn(node, "after its batch is written");
        }
        if point == Some(CrashPoint::Midway) {
            actions.truncate(self.streams.driver.index(actions.len() + 1));
            self.perform_all(node, actions);
            return self.crash_in_turn(node, "while it acts");
        }
        if self.nodes[node].running.as_ref().is_some_and(|running| !running.store_refuses) {
            self.watch_turn(node);
        }
        self.perform_all(node, actions);
        self.watch_said(node);
        self.selfish_looks(node);
        self.next_turn(node, epoch);
    }

    fn crash_in_turn(&mut self, node: usize, how: &str) {
        self.tally.crashes_in_turn += 1;
        self.crash(node, how);
    }

    fn next_turn(&mut self, node: usize, epoch: u64) {
        let Some(running) = &mut self.nodes[node].running else { return };
        running.busy = !running.inbox.is_empty();
        if running.busy {
            self.after(0, Coming::Turn(node, epoch));
        }
    }

    /// The planted driver does not wait for the disk.
    fn act_early(&mut self, node: usize) {
        let Some(running) = &mut self.nodes[node].running else { return };
        let actions = std::mem::take(&mut running.actions);
        running.publish();
        self.watch_published(node);
        self.perform_all(node, actions);
    }

    fn perform_all(&mut self, node: usize, actions: Actions) {
        for action in actions {
            self.perform(node, action);
        }
    }

    fn perform(&mut self, node: usize, action: Action) {
        match action {
            Action::Reply { ticket, result } => self.replied(node, ticket, result),
            Action::Mine(template) => self.ordered(node, template),
            Action::StopMining => self.stop_mining(node),
            // The watch channel has it already.
            Action::Publish(tip) => {
                if let Some(running) = &mut self.nodes[node].running {
                    running.said = Some(tip.hash);
                }
                self.stamp(node, &tip.hash);
            }
            Action::Note(text) => self.noted(node, text),
            Action::Ban { peer, for_ms, reason } => self.banned(node, node_of(peer), for_ms, &reason),
            Action::Ask { peer, request } => {
                let to = node_of(peer);
                self.watch_ask(node, &request);
                if self.is_up(node, to) {
                    self.send(node, to, Message::Ask(request));
                }
            }
            Action::Fetch { peer, id, fetch } => self.fetch(node, node_of(peer), id, fetch),
            Action::Announce { peer, header } => self.announce(node, node_of(peer), header),
            Action::SendBlock { peer, block } => self.send_block(node, node_of(peer), &block),
            Action::SendTx { peer, tx } => {
                let to = node_of(peer);
                if self.is_up(node, to) {
                    self.send(node, to, Message::Tx(tx.into_unverified()));
                }
            }
        }
    }

    fn replied(&mut self, node: usize, ticket: Ticket, result: blockhie_engine::ReplyResult) {
        let Some(running) = &mut self.nodes[node].running else { return };
        let asker = running.waiting.remove(&ticket);
        match (asker, result) {
            (Some((asker, hash)), Ok(Reply::Tx(got))) => {
                if got != hash {
                    return self.violated("I1", Some(node), format!("acknowledged {got}, asked about {hash}"));
                }
                self.nodes[node].acknowledged.insert(hash);
                self.watch_acknowledged(node, hash);
                if asker == Asker::Client {
                    self.client_acknowledged(hash);
                }
                self.stamp(node, &hash);
            }
            (Some((_, hash)), Ok(Reply::Tip(_))) => {
                self.violated("I1", Some(node), format!("{hash} was answered with a tip"));
            }
            (_, Err((_, text))) => self.scan(node, "a refusal", &text),
            (None, Ok(_)) => {}
        }
    }

    fn noted(&mut self, node: usize, text: String) {
        self.scan(node, "a note", &text);
        self.say(|| format!("node {node}: {text}"));
        self.read_log(node, &text);
    }

    /// Somebody looks at every alarm at once.
    pub(crate) fn clear_alarms(&mut self) {
        for node in 0..self.nodes.len() {
            let running = self.nodes[node].running.as_ref();
            if running.is_some_and(|running| running.engine.ledger().alarm().is_some()) {
                self.operator(node);
            }
        }
    }

    /// Somebody looks at the alarm, and lets the node go on.
    pub(super) fn operator(&mut self, node: usize) {
        if self.nodes[node].outdated {
            return self.renew(node);
        }
        self.command(node, Command::ClearAlarm);
    }
}

impl Running {
    fn take(&mut self, command: Command, now: Now, disk_full: bool) {
        let refusing = disk_full || self.store_refuses;
        if refusing {
            self.template = None;
        }
        let event = match command {
            Command::ClearAlarm => {
                // A store that cannot be read: the alarm stays, and somebody looks again.
                drop(self.engine.ledger_mut().clear_alarm());
                self.cleared = true;
                return;
            }
            Command::Submit { .. } | Command::Block { .. } if refusing => return,
            Command::Submit { from, tx, asker } => {
                let ticket = self.ticket();
                self.waiting.insert(ticket, (asker, tx.hash()));
                Event::Submit { ticket, from, tx }
            }
            Command::Block { from, block } => Event::Block { ticket: Some(self.ticket()), from, block },
            // Time and connections go on.
            Command::Event(Event::Mined { .. } | Event::GotBlock { .. } | Event::GotTx { .. }) if refusing => return,
            Command::Event(event) => event,
        };
        match &event {
            Event::PeerUp { peer } => self.shown.retain(|(_, from)| from != peer),
            Event::Block { from: Some(peer), block, .. } | Event::GotBlock { peer, block: Some(block), .. } => {
                self.shown.insert((block.claimed_hash, *peer));
            }
            Event::Announced { peer, header } => {
                let hash = header.header.hash(self.engine.ledger().chain_id());
                self.shown.insert((hash, *peer));
            }
            _ => {}
        }
        let is_tick = matches!(event, Event::Tick);
        let actions = self.engine.handle(event, now);
        let echo = |action: &&Action| match action {
            Action::SendBlock { peer, block } => self.shown.contains(&(block.claimed_hash, *peer)),
            _ => false,
        };
        self.echoes += actions.iter().filter(echo).count() as u64;
        self.actions.extend(actions);
        if is_tick && !self.store_refuses {
            self.prune();
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn publish(&mut self) {
        let tip: &Tip = self.engine.ledger().tip();
        if self.tip != *tip {
            self.tip = tip.clone();
        }
    }
}

impl World {
    /// A client submits to a node.
    pub(crate) fn submit(&mut self, node: usize, tx: blockhie_core::Transaction<blockhie_core::Verified>) {
        self.command(node, Command::Submit { from: None, tx, asker: Asker::Client });
    }

    /// How a node knows another that sends to it: by the address that it gave in its greeting.
    pub(super) fn known_as(&self, node: usize, from: usize) -> Option<blockhie_engine::PeerId> {
        let running = self.nodes[node].running.as_ref()?;
        running.inbound.contains(&from).then(|| address(from))
    }
}

/// Whether this is the note of a reorganisation.
fn reorganises(action: &Action) -> bool {
    matches!(action, Action::Note(text) if text.starts_with("reorganised at height"))
}
