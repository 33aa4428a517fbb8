//! The one thread that owns engine and ledger.
//!
//! It drains its queue (at most 1,024 events or 2 ms), handles them, makes one synced batch, and only then performs the
//! actions: answers and sends never overtake durability, and one sync serves many transactions.

mod sync;

pub use sync::SyncReport;
pub(crate) use sync::SyncTeller;

use crate::housekeeping::Housekeeping;
use crate::miner::Miner;
use blockhie_core::store::PeerRow;
use blockhie_core::{BlockHash, ErrorClass, Tip, Transaction, TxHash, UncheckedBlock, UncheckedHeader, Verified};
use blockhie_engine::{
    Action, Engine, Event, Fetch, FetchId, Now, PeerId, Reply, ReplyResult, Request, Ticket, refuse_replies,
};
use blockhie_transport::ServiceError;
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::PrometheusRecorder;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};

/// Events handled before a batch is written, at most.
const TURN_EVENTS: usize = 1_024;
/// Time for which a turn takes events: an acknowledgement waits no longer for others.
const TURN_TIME: Duration = Duration::from_millis(2);
/// Commands that wait for the engine; callers beyond wait with theirs.
pub(crate) const QUEUE: usize = 8_192;

type Answer = oneshot::Sender<ReplyResult>;

/// What the engine's thread is told.
pub(crate) enum Command {
    /// Something happened.
    Event(Event),
    /// A transaction whose caller waits.
    Submit { from: Option<PeerId>, tx: Transaction<Verified>, answer: Answer },
    /// A block whose caller waits.
    Block { from: Option<PeerId>, block: UncheckedBlock, answer: Answer },
    /// An operator looked at the alarm.
    ClearAlarm,
    /// Stores a peer's address, or forgets it.
    Remember(String, Option<PeerRow>),
    /// Finish.
    Stop,
}

/// What the engine's thread tells the peers' tasks.
#[derive(Debug)]
pub(crate) enum PeerCommand {
    Ask {
        peer: PeerId,
        request: Request,
    },
    Fetch {
        peer: PeerId,
        id: FetchId,
        fetch: Fetch,
    },
    Announce {
        peer: PeerId,
        header: Arc<UncheckedHeader>,
    },
    SendBlock {
        peer: PeerId,
        block: Arc<UncheckedBlock>,
    },
    SendTx {
        peer: PeerId,
        tx: Transaction<Verified>,
    },
    Ban {
        peer: PeerId,
        for_ms: u64,
    },
    /// All scores above 0, for operators to see.
    Scores(Vec<(PeerId, u32)>),
}

/// Asks the engine.
#[derive(Clone)]
pub(crate) struct EngineHandle {
    pub(crate) commands: mpsc::Sender<Command>,
}

fn stopping() -> ServiceError {
    ServiceError::new(ErrorClass::Unavailable, "the node is stopping")
}

impl EngineHandle {
    /// Tells of an event. `false` when the engine is gone.
    pub(crate) async fn tell(&self, event: Event) -> bool {
        self.commands.send(Command::Event(event)).await.is_ok()
    }

    /// The txhash once the transaction is durable.
    pub(crate) async fn submit(&self, from: Option<PeerId>, tx: Transaction<Verified>) -> Result<TxHash, ServiceError> {
        let (answer, reply) = oneshot::channel();
        self.commands.send(Command::Submit { from, tx, answer }).await.map_err(|_| stopping())?;
        match reply.await.map_err(|_| stopping())? {
            Ok(Reply::Tx(hash)) => Ok(hash),
            Ok(Reply::Tip(_)) => Err(ServiceError::new(ErrorClass::Internal, "the engine answered about a block")),
            Err((class, message)) => Err(ServiceError::new(class, message)),
        }
    }

    /// This node's tip once the block is taken.
    pub(crate) async fn block(&self, from: Option<PeerId>, block: UncheckedBlock) -> Result<BlockHash, ServiceError> {
        let (answer, reply) = oneshot::channel();
        self.commands.send(Command::Block { from, block, answer }).await.map_err(|_| stopping())?;
        match reply.await.map_err(|_| stopping())? {
            Ok(Reply::Tip(hash)) => Ok(hash),
            Ok(Reply::Tx(_)) => Err(ServiceError::new(ErrorClass::Internal, "the engine answered about a transaction")),
            Err((class, message)) => Err(ServiceError::new(class, message)),
        }
    }
}

/// What the wall clock shows, ms since the epoch.
pub(crate) type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// All that the thread holds.
pub(crate) struct Driver {
    /// What blocks and transactions are measured by.
    pub(crate) clock: WallClock,
    pub(crate) engine: Engine,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) peers: mpsc::Sender<PeerCommand>,
    pub(crate) miner: Option<Miner>,
    pub(crate) tip: watch::Sender<Tip>,
    pub(crate) recorder: PrometheusRecorder,
    /// Free space and memory.
    pub(crate) housekeeping: Housekeeping,
    /// Why nothing that writes is taken, while that is so.
    pub(crate) refusing: Refusing,
    /// The scores that the peers' tasks were told last.
    pub(crate) scores: Vec<(PeerId, u32)>,
    /// Says why nothing advances.
    pub(crate) sync: SyncTeller,
}

/// See [`Driver::refusing`]. Either is enough.
#[derive(Default)]
pub(crate) struct Refusing {
    /// The disk is nearly full.
    disk: Option<String>,
    /// The last turn was not durable. What it staged stays in memory, so that no more must come until it is written.
    store: Option<String>,
}

impl Refusing {
    fn reason(&self) -> Option<&str> {
        self.disk.as_deref().or(self.store.as_deref())
    }
}

/// Milliseconds since the epoch by the local clock.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

struct Turn {
    answers: BTreeMap<Ticket, Answer>,
    actions: Vec<Action>,
    next_ticket: u64,
    stop: bool,
}

impl Driver {
    /// Runs until it is told to stop, or nobody can tell it anything any more.
    pub(crate) fn run(mut self) {
        let recorder = std::mem::replace(
            &mut self.recorder,
            metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder(),
        );
        // Each node has its own registry: two nodes in one process do not mix.
        metrics::with_local_recorder(&recorder, || self.turns());
    }

    fn turns(&mut self) {
        let origin = Instant::now();
        let mut turn = Turn { answers: BTreeMap::new(), actions: Vec::new(), next_ticket: 0, stop: false };
        while let Some(first) = self.commands.blocking_recv() {
            let started = Instant::now();
            if self.housekeeping.is_due() {
                self.look_at_disk();
            }
            let mut next = Some(first);
            let mut events = 0;
            while let Some(command) = next.take() {
                let mono_ms = u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX);
                let now = Now { mono_ms, wall_ms: (self.clock)() };
                self.take(command, now, &mut turn);
                events += 1;
                if !turn.stop && events < TURN_EVENTS && started.elapsed() < TURN_TIME {
                    next = self.commands.try_recv().ok();
                }
            }
            self.end_turn(&mut turn);
            self.tell_scores();
            self.tell_sync();
            histogram!("blockhie_turn_seconds").record(started.elapsed().as_secs_f64());
            counter!("blockhie_events_total").increment(events as u64);
            if turn.stop {
                break;
            }
        }
        self.miner = None;
    }

    fn take(&mut self, command: Command, now: Now, turn: &mut Turn) {
        let refuse = |answer: Answer, reason: &str| {
            drop(answer.send(Err((ErrorClass::Unavailable, reason.to_owned()))));
        };
        let refusing = self.refusing.reason();
        let event = match command {
            Command::Stop => {
                turn.stop = true;
                return;
            }
            Command::ClearAlarm => {
                if let Err(error) = self.engine.ledger_mut().clear_alarm() {
                    tracing::error!(%error, "the alarm stays");
                }
                return;
            }
            Command::Remember(address, row) => {
                if refusing.is_none() {
                    self.engine.ledger_mut().remember_peer(address, row);
                }
                return;
            }
            Command::Submit { answer, .. } | Command::Block { answer, .. } if refusing.is_some() => {
                return refuse(answer, refusing.unwrap_or_default());
            }
            Command::Submit { from, tx, answer } => Event::Submit { ticket: turn.ticket(answer), from, tx },
            Command::Block { from, block, answer } => Event::Block { ticket: Some(turn.ticket(answer)), from, block },
            // Time and connections go on.
            Command::Event(
                Event::Mined { .. } | Event::GotBlock { .. } | Event::GotTx { .. } | Event::Fetched { .. },
            ) if refusing.is_some() => return,
            Command::Event(event) => {
                if matches!(event, Event::Malformed { .. }) {
                    counter!("blockhie_malformed_total").increment(1);
                }
                if matches!(event, Event::Mined { .. }) {
                    counter!("blockhie_mined_total").increment(1);
                }
                event
            }
        };
        let is_tick = matches!(event, Event::Tick);
        turn.actions.extend(self.engine.handle(event, now));
        if is_tick && self.refusing.store.is_none() {
            self.prune();
        }
    }

    /// The next step of pruning, where this node does that. On a full disk, too: it makes room.
    fn prune(&mut self) {
        let ledger = self.engine.ledger_mut();
        match ledger.prune() {
            Ok(0) => {}
            Ok(bodies) => {
                counter!("blockhie_pruned_bodies_total").increment(bodies);
                let below = ledger.tip().pruned_below;
                self.housekeeping.tell_pruned(below);
            }
            Err(error) => tracing::error!(%error, "pruning stands still"),
        }
    }

    /// One synced batch, then the tip, then the actions: whoever is answered finds what the answer says.
    fn end_turn(&mut self, turn: &mut Turn) {
        let started = Instant::now();
        let actions = std::mem::take(&mut turn.actions);
        let wrote = self.engine.ledger().has_staged();
        let actions = match self.engine.end_turn() {
            Ok(()) => {
                if self.refusing.store.take().is_some() {
                    tracing::info!("the store writes again: taking and mining");
                }
                if wrote {
                    blockhie_store::failpoint::reach("turn.durable");
                }
                self.publish();
                actions
            }
            Err(error) => {
                counter!("blockhie_failed_turns_total").increment(1);
                let reason = format!("{error}; this node only serves until that is written");
                if self.refusing.store.is_none() {
                    tracing::error!(%error, "the turn is not durable: nothing is acknowledged, nothing more is taken");
                    if let Some(miner) = &self.miner {
                        miner.pause();
                    }
                }
                self.refusing.store = Some(reason);
                refuse_replies(actions, &error)
            }
        };
        if wrote {
            histogram!("blockhie_commit_seconds").record(started.elapsed().as_secs_f64());
        }
        for action in actions {
            self.perform(action, turn);
        }
        if wrote {
            blockhie_store::failpoint::reach("turn.answered");
        }
    }

    /// Tells the peers' tasks the scores when they changed; where there is no room for that, the next turn does.
    fn tell_scores(&mut self) {
        let scores = self.engine.scores();
        if scores != self.scores && self.peers.try_send(PeerCommand::Scores(scores.clone())).is_ok() {
            self.scores = scores;
        }
    }

    fn publish(&self) {
        gauge!("blockhie_stale_tip").set(if self.engine.is_stale() { 1.0 } else { 0.0 });
        let tip = self.engine.ledger().tip();
        if *self.tip.borrow() == *tip {
            return;
        }
        #[allow(clippy::cast_precision_loss)] // a gauge is a float; heights stay below 2^53
        {
            gauge!("blockhie_height").set(tip.height as f64);
            gauge!("blockhie_pending").set(tip.pending as f64);
            gauge!("blockhie_pruned_height").set(tip.pruned_below as f64);
        }
        self.tip.send_replace(tip.clone());
    }

    fn perform(&mut self, action: Action, turn: &mut Turn) {
        let to_peers = match action {
            Action::Reply { ticket, result } => {
                let outcome = if result.is_ok() { "taken" } else { "refused" };
                counter!("blockhie_answers_total", "outcome" => outcome).increment(1);
                if let Some(answer) = turn.answers.remove(&ticket) {
                    drop(answer.send(result));
                }
                return;
            }
            Action::Mine(template) => {
                match &self.miner {
                    Some(miner) if self.refusing.reason().is_none() => miner.mine(template),
                    _ => {}
                }
                return;
            }
            Action::StopMining => {
                if let Some(miner) = &self.miner {
                    miner.pause();
                }
                return;
            }
            // The tip has gone out already.
            Action::Publish(tip) => {
                tracing::info!(height = tip.height, hash = %tip.hash, pending = tip.pending, "tip");
                counter!("blockhie_tips_total").increment(1);
                return;
            }
            Action::Note(note) => {
                tracing::info!("{note}");
                return;
            }
            Action::Ask { peer, request } => PeerCommand::Ask { peer, request },
            Action::Fetch { peer, id, fetch } => {
                let kind = if matches!(fetch, Fetch::Headers { .. }) { "headers" } else { "blocks" };
                counter!("blockhie_fetches_total", "kind" => kind).increment(1);
                PeerCommand::Fetch { peer, id, fetch }
            }
            Action::Announce { peer, header } => PeerCommand::Announce { peer, header },
            Action::SendBlock { peer, block } => PeerCommand::SendBlock { peer, block },
            Action::SendTx { peer, tx } => PeerCommand::SendTx { peer, tx },
            Action::Ban { peer, for_ms, reason } => {
                tracing::warn!(%peer, for_ms, %reason, "peer is banned");
                counter!("blockhie_bans_total").increment(1);
                PeerCommand::Ban { peer, for_ms }
            }
        };
        // The engine never waits for the network: what finds no room is asked again after its stall timeout, and what
        // was only relayed reaches the peer by its own asking.
        if self.peers.try_send(to_peers).is_err() {
            counter!("blockhie_dropped_sends_total").increment(1);
        }
    }

    /// Refuses while the disk is too full to take anything.
    fn look_at_disk(&mut self) {
        let was_full = self.refusing.disk.is_some();
        match self.housekeeping.look() {
            Some(Err(reason)) => {
                if !was_full {
                    tracing::error!("{reason}");
                    if let Some(miner) = &self.miner {
                        miner.pause();
                    }
                }
                self.refusing.disk = Some(reason);
            }
            Some(Ok(free)) if was_full => {
                tracing::info!(free, "the disk has room again: taking and mining");
                self.refusing.disk = None;
            }
            Some(Ok(_)) | None => {}
        }
        gauge!("blockhie_refusing").set(f64::from(u8::from(self.refusing.reason().is_some())));
    }
}

impl Turn {
    fn ticket(&mut self, answer: Answer) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.answers.insert(ticket, answer);
        ticket
    }
}

#[cfg(test)]
mod tests;
