//! The outbox against stores and nodes that fail at every call.

use crate::outbox::{
    ChainClient, ClientFault, LATE_MS, LegState, MAX_POSTPONED, MAX_WINDOW_MS, Outbox, OutboxEntry, OutboxError,
    OutboxStore, StepReport,
};
use crate::payload::LINK;
use crate::{LinkTerms, Seed};
use blockhie_core::receipt::{HeaderBytes, HexBytes, RECEIPT_FORMAT, SignedHeader};
use blockhie_core::{
    ChainKind, ErrorClass, Hash32, Receipt, SecretKey, StoreError, Transaction, TxHash, TxStatus, Unverified,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

const WINDOW_MS: u64 = 10_000;
const TICK_MS: u64 = 1_000;
const START_MS: u64 = 1_000_000;

/// What outlives a crash: the disk, and two nodes that other people run.
#[derive(Default)]
struct World {
    disk: BTreeMap<Hash32, String>,
    pending: [BTreeMap<TxHash, Transaction<Unverified>>; 2],
    committed: [BTreeMap<TxHash, Transaction<Unverified>>; 2],
    /// When each transaction came to a node first.
    arrived: BTreeMap<TxHash, u64>,
    now_ms: u64,
    draws: u64,
    calls: usize,
    /// The call at which the process dies, and whether the call still has its effect.
    crash: Option<(usize, bool)>,
    /// Nodes that do not answer.
    away: [bool; 2],
    receipts_of_others: bool,
}

/// The world as one process sees it.
#[derive(Clone, Default)]
struct Process(Arc<Mutex<World>>);

fn at(chain: ChainKind) -> usize {
    usize::from(chain == ChainKind::Phd)
}

impl Process {
    /// One call: fails at the crash and for ever after it, with its effect at the crash itself if that is asked for.
    fn call<T>(&self, effect: impl FnOnce(&mut World) -> T) -> Result<T, &'static str> {
        let world = &mut *self.0.lock().unwrap();
        let now = world.calls;
        world.calls += 1;
        match world.crash {
            Some((crash, _)) if now > crash => Err("the process is dead"),
            Some((crash, with_effect)) if now == crash => {
                if with_effect {
                    effect(world);
                }
                Err("the process dies")
            }
            _ => Ok(effect(world)),
        }
    }

    fn node<T>(&self, chain: ChainKind, effect: impl FnOnce(&mut World) -> T) -> Result<T, ClientFault> {
        let fault = |message: &str| ClientFault { class: ErrorClass::Unavailable, message: message.into() };
        if self.0.lock().unwrap().away[at(chain)] {
            return Err(fault("no connection"));
        }
        self.call(effect).map_err(fault)
    }

    /// Every pending transaction into a block.
    fn mine(&self) {
        let world = &mut *self.0.lock().unwrap();
        for (pending, committed) in world.pending.iter_mut().zip(&mut world.committed) {
            committed.append(pending);
        }
    }
}

fn io(reason: &str) -> StoreError {
    StoreError::Io { action: "test", reason: reason.into(), hint: None }
}

fn entry(text: &str) -> OutboxEntry {
    serde_json::from_str(text).unwrap()
}

impl OutboxStore for Process {
    fn get(&self, id: &Hash32) -> Result<Option<OutboxEntry>, StoreError> {
        self.call(|world| world.disk.get(id).map(|text| entry(text))).map_err(io)
    }
    fn unsettled(&self) -> Result<Vec<OutboxEntry>, StoreError> {
        self.call(|world| world.disk.values().map(|text| entry(text)).filter(|entry| !entry.is_final()).collect())
            .map_err(io)
    }
    fn put(&self, entry: &OutboxEntry) -> Result<(), StoreError> {
        let text = serde_json::to_string(entry).unwrap();
        self.call(|world| drop(world.disk.insert(entry.id, text))).map_err(io)
    }
    fn remove(&self, id: &Hash32) -> Result<(), StoreError> {
        self.call(|world| drop(world.disk.remove(id))).map_err(io)
    }
}

impl ChainClient for Process {
    fn submit(&self, chain: ChainKind, tx: &Transaction<Unverified>) -> Result<(), ClientFault> {
        self.node(chain, |world| {
            let (hash, now_ms) = (tx.hash(), world.now_ms);
            world.arrived.entry(hash).or_insert(now_ms);
            if !world.committed[at(chain)].contains_key(&hash) {
                world.pending[at(chain)].insert(hash, tx.clone());
            }
        })
    }
    fn status(&self, chain: ChainKind, txhash: &TxHash) -> Result<TxStatus, ClientFault> {
        self.node(chain, |world| {
            if world.committed[at(chain)].contains_key(txhash) {
                let (block, void) = (Hash32::ZERO, None);
                let (height, time_ms, index, members, quorum) = (1, 1, 0, 2, 2);
                let (is_final, via_sibling) = (true, None);
                return TxStatus::Committed {
                    height,
                    block,
                    time_ms,
                    index,
                    void,
                    members,
                    quorum,
                    is_final,
                    via_sibling,
                };
            }
            match world.pending[at(chain)].contains_key(txhash) {
                true => TxStatus::Pending { first_seen_ms: 0 },
                false => TxStatus::Unknown,
            }
        })
    }
    fn receipt(&self, chain: ChainKind, txhash: &TxHash) -> Result<Receipt, ClientFault> {
        self.node(chain, |world| {
            let mut transaction = HexBytes(world.committed[at(chain)][txhash].to_bytes());
            if world.receipts_of_others {
                transaction.0[3] ^= 1;
            }
            let block = SignedHeader { header: HeaderBytes([0; 240]), signature: None };
            let (path, history, run) = (vec![], vec![], vec![]);
            let format = RECEIPT_FORMAT.to_owned();
            Receipt { format, transaction, index: 0, path, sibling: None, block, history, run }
        })
    }
}

fn terms(n: u8) -> LinkTerms {
    let key = |n: u8| SecretKey::from_seed([n; 32]).public();
    let (emr, phd, record) = (Hash32([1; 32]), Hash32([2; 32]), Hash32([n; 32]));
    let (seed, device, audience) = (Seed::new([n; 32]), key(n), key(200));
    LinkTerms { emr, phd, seed, record, device, audience, expiry_ms: 9 }
}

/// A process that has just started.
fn outbox(process: &Process) -> Outbox {
    let lots = process.clone();
    let draw = move |bound: u64| {
        let world = &mut *lots.0.lock().unwrap();
        world.draws += 1;
        Ok(world.draws.wrapping_mul(7_919) % bound)
    };
    Outbox::with_draw(Arc::new(process.clone()), Arc::new(process.clone()), WINDOW_MS, Box::new(draw))
}

/// Adds both links and steps until nothing is open, a second a step; `Err` when the process dies.
fn work(process: &Process, lose_at: Option<u64>) -> Result<StepReport, OutboxError> {
    let outbox = outbox(process);
    for n in [11, 12] {
        let now_ms = process.0.lock().unwrap().now_ms;
        outbox.add(&terms(n), now_ms)?;
    }
    for tick in 0..60 {
        let now_ms = process.0.lock().unwrap().now_ms;
        let report = outbox.step(now_ms)?;
        if process.0.lock().unwrap().crash.is_none() {
            assert_eq!(report.troubles, vec![]);
        }
        if report.open == 0 {
            return Ok(report);
        }
        if lose_at == Some(tick) {
            process.0.lock().unwrap().pending = Default::default();
        }
        if tick % 3 == 2 {
            process.mine();
        }
        process.0.lock().unwrap().now_ms += TICK_MS;
    }
    let now_ms = process.0.lock().unwrap().now_ms;
    outbox.step(now_ms)
}

fn start() -> Process {
    let process = Process::default();
    process.0.lock().unwrap().now_ms = START_MS;
    process
}

/// Both links final, one LINK of each on each chain, all four under different keys, values and times, none early.
fn assert_converged(process: &Process, what: &str) {
    let world = process.0.lock().unwrap();
    let entries: Vec<OutboxEntry> = world.disk.values().map(|text| entry(text)).collect();
    assert_eq!(entries.len(), 2, "{what}");
    let (mut keys, mut values, mut times) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (i, committed) in world.committed.iter().enumerate() {
        assert_eq!(committed.len(), 2, "{what}: one LINK of each link on chain {i}");
        assert!(world.pending[i].is_empty(), "{what}");
        for tx in committed.values() {
            assert_eq!((tx.tx_type(), tx.to()), (LINK, None));
            keys.insert(*tx.from());
            values.insert(tx.body()[65..].to_vec());
            times.insert(tx.time_ms());
        }
    }
    assert_eq!((keys.len(), values.len(), times.len()), (4, 4, 4), "{what}");
    for entry in entries {
        assert!(entry.is_final(), "{what}");
        for (chain, leg) in entry.legs() {
            assert!(leg.receipt().unwrap().contains(&hex::encode(&leg.transaction.0)));
            assert!(world.committed[at(chain)].contains_key(&leg.txhash), "{what}");
            assert!(world.arrived[&leg.txhash] >= leg.not_before_ms, "{what}: none before its time");
            let tx = leg.read_transaction().unwrap();
            assert!(tx.verify(&leg.chain_id, chain).is_ok());
        }
    }
}

#[test]
fn two_links_get_onto_both_chains() {
    let process = start();
    assert_eq!(work(&process, None).unwrap().open, 0);
    assert_converged(&process, "no fault");
}

#[test]
fn whatever_call_the_process_dies_at_the_next_one_finishes() {
    let whole = start();
    work(&whole, Some(14)).unwrap();
    let calls = whole.0.lock().unwrap().calls;
    assert!(calls > 30, "{calls}");
    for with_effect in [false, true] {
        for crash in 0..calls {
            let process = start();
            process.0.lock().unwrap().crash = Some((crash, with_effect));
            // A node's fault is a report, a store's an error; after it every call fails, as in a dead process.
            let _ = work(&process, Some(14));
            assert!(process.0.lock().unwrap().calls > crash);
            process.0.lock().unwrap().crash = None;
            assert_eq!(work(&process, None).unwrap().open, 0);
            assert_converged(&process, &format!("crash at call {crash}, effect {with_effect}"));
        }
    }
}

#[test]
fn what_a_node_loses_is_sent_again_as_it_was() {
    for lose_at in 0..24 {
        let process = start();
        assert_eq!(work(&process, Some(lose_at)).unwrap().open, 0);
        assert_converged(&process, &format!("lost at tick {lose_at}"));
    }
}

#[test]
fn adding_again_changes_nothing_and_other_terms_under_one_seed_are_refused() {
    let process = start();
    let first = outbox(&process).add(&terms(11), START_MS).unwrap();
    assert_eq!(outbox(&process).add(&terms(11), START_MS + 77_777).unwrap(), first);
    assert_eq!(outbox(&process).get(&first.id).unwrap(), Some(first.clone()));
    assert_eq!(first.id, terms(11).seed.link_id());
    let id = first.id;
    for change in [
        LinkTerms { record: Hash32([9; 32]), ..terms(11) },
        LinkTerms { device: terms(12).device, ..terms(11) },
        LinkTerms { emr: Hash32([9; 32]), ..terms(11) },
        LinkTerms { phd: Hash32([9; 32]), ..terms(11) },
    ] {
        assert_eq!(outbox(&process).add(&change, START_MS), Err(OutboxError::OtherLink { id }));
    }
    process.remove(&id).unwrap();
    assert_eq!(outbox(&process).get(&id).unwrap(), None);
}

#[test]
fn both_legs_fall_into_the_next_window_each_for_itself() {
    let process = start();
    let outbox = Outbox::new(Arc::new(process.clone()), Arc::new(process.clone()), WINDOW_MS);
    let mut differences = BTreeSet::new();
    for n in 1..=40 {
        let now_ms = START_MS + 5 * u64::from(n);
        let entry = outbox.add(&terms(n), now_ms).unwrap();
        for (_, leg) in entry.legs() {
            let window = START_MS + WINDOW_MS..START_MS + 2 * WINDOW_MS;
            assert!(window.contains(&leg.not_before_ms), "{}", leg.not_before_ms);
            assert_eq!(leg.read_transaction().unwrap().time_ms(), leg.not_before_ms, "the claimed time is public");
        }
        differences.insert(entry.emr.not_before_ms.abs_diff(entry.phd.not_before_ms) / 1_000);
    }
    assert!(differences.len() > 3, "{differences:?}");
    let none = Outbox::new(Arc::new(process.clone()), Arc::new(process), 0);
    let entry = none.add(&terms(50), START_MS + 3).unwrap();
    assert_eq!((entry.emr.not_before_ms, entry.phd.not_before_ms), (START_MS + 3, START_MS + 3));
}

#[test]
fn late_legs_are_put_off_but_not_for_ever() {
    let process = start();
    let outbox = outbox(&process);
    let entry = outbox.add(&terms(11), START_MS).unwrap();
    let mut now_ms = entry.emr.not_before_ms.max(entry.phd.not_before_ms) + LATE_MS;
    // Still in time: a node that is away for a minute costs nothing but that minute.
    process.0.lock().unwrap().away = [true, true];
    let early = entry.emr.not_before_ms.min(entry.phd.not_before_ms) + LATE_MS;
    let report = outbox.step(early).unwrap();
    assert_eq!((report.postponed, report.troubles.len(), report.open), (0, 2, 2));
    for round in 1..=MAX_POSTPONED {
        now_ms += LATE_MS + 2 * WINDOW_MS;
        let report = outbox.step(now_ms).unwrap();
        assert_eq!((report.postponed, report.submitted, report.open), (2, 0, 2), "round {round}");
        let put_off = outbox.get(&entry.id).unwrap().unwrap();
        assert!(put_off.legs().iter().all(|(_, leg)| leg.not_before_ms > now_ms && leg.postponed == round));
        assert_eq!(report.next_ms, put_off.legs().iter().map(|(_, leg)| leg.not_before_ms).min());
    }
    now_ms += LATE_MS + 2 * WINDOW_MS;
    assert_eq!(outbox.step(now_ms).unwrap().troubles.len(), 2);
    process.0.lock().unwrap().away = [false, false];
    let report = outbox.step(now_ms).unwrap();
    assert_eq!((report.postponed, report.submitted), (0, 2), "rare steps do not starve it");
}

#[test]
fn one_chain_away_does_not_hold_up_the_other() {
    let process = start();
    process.0.lock().unwrap().away[at(ChainKind::Phd)] = true;
    let outbox = outbox(&process);
    let entry = outbox.add(&terms(11), START_MS).unwrap();
    for at_ms in [entry.emr.not_before_ms, entry.phd.not_before_ms] {
        outbox.step(at_ms).unwrap();
        process.mine();
    }
    let report = outbox.step(entry.emr.not_before_ms.max(entry.phd.not_before_ms)).unwrap();
    assert_eq!((report.open, report.troubles.len(), report.troubles[0].chain), (1, 1, ChainKind::Phd));
    let kept = outbox.get(&entry.id).unwrap().unwrap();
    assert!(kept.emr.is_final() && kept.phd.state == LegState::Waiting && !kept.is_final());
}

#[test]
fn a_receipt_of_another_transaction_is_not_kept() {
    let process = start();
    process.0.lock().unwrap().receipts_of_others = true;
    let outbox = outbox(&process);
    outbox.add(&terms(11), START_MS).unwrap();
    for step in 0..4 {
        let _ = outbox.step(START_MS + 2 * WINDOW_MS + step).unwrap();
        process.mine();
    }
    let report = outbox.step(START_MS + 2 * WINDOW_MS + 9).unwrap();
    assert_eq!((report.open, report.settled, report.troubles.len()), (2, 0, 2));
    process.0.lock().unwrap().receipts_of_others = false;
    assert_eq!(outbox.step(START_MS + 2 * WINDOW_MS + 10).unwrap().settled, 2);
}

#[test]
fn a_stored_transaction_that_changed_is_not_sent() {
    let process = start();
    let outbox = Outbox::new(Arc::new(process.clone()), Arc::new(process.clone()), u64::MAX);
    let mut entry = outbox.add(&terms(11), START_MS).unwrap();
    assert!(entry.emr.not_before_ms < 2 * MAX_WINDOW_MS, "a mistyped window is cut");
    entry.emr.not_before_ms = 0;
    entry.emr.postponed = MAX_POSTPONED;
    *entry.emr.transaction.0.last_mut().unwrap() ^= 1;
    process.put(&entry).unwrap();
    let report = outbox.step(START_MS).unwrap();
    assert!(report.troubles[0].reason.contains("txhash"), "{report:?}");
    assert!(process.0.lock().unwrap().arrived.is_empty());
}

#[test]
fn nothing_that_is_stored_opens_a_link_or_signs_again() {
    let process = start();
    outbox(&process).add(&terms(11), START_MS).unwrap();
    let world = process.0.lock().unwrap();
    let text = world.disk.values().next().unwrap();
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&value), ["emr", "id", "phd"]);
    let leg = ["chain_id", "not_before_ms", "postponed", "state", "transaction", "txhash"];
    assert_eq!(keys(&value["emr"]), leg, "no seed, no secret key");
    assert!(!text.contains(&hex::encode(terms(11).seed.as_bytes())));
}
