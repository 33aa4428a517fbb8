//! Turns, one at a time and without a thread.

use super::*;
use blockhie_core::packing::FairFirst;
use blockhie_core::{
    ChainKind, CompactTarget, Genesis, Hash32, Ledger, MemoryStore, OpaqueApp, SecretKey, Store, TemplateRequest,
};
use blockhie_engine::EngineConfig;
use blockhie_pow::ProofOfWork;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Wake, Waker};

/// Looks at the published tip at the moment at which an answer is given.
struct Look {
    tip: watch::Receiver<Tip>,
    pending: Mutex<Option<usize>>,
}

impl Wake for Look {
    fn wake(self: Arc<Self>) {
        *self.pending.lock().unwrap() = Some(self.tip.borrow().pending);
    }
}

fn genesis() -> Genesis {
    Genesis::with_defaults(ChainKind::Emr, "test", Hash32([7; 32]), 1, CompactTarget::MOST, Vec::new())
}

/// A driver that mines nothing, what it publishes, and what it tells the peers' tasks, one at a time.
fn driver(
    genesis: &Genesis,
    store: Arc<MemoryStore>,
    housekeeping: Housekeeping,
) -> (Driver, watch::Receiver<Tip>, mpsc::Receiver<PeerCommand>) {
    let ledger = Ledger::open(store, Arc::new(ProofOfWork::new(genesis)), Arc::new(OpaqueApp)).unwrap();
    let (sender, tip) = watch::channel(ledger.tip().clone());
    let config = EngineConfig {
        miner: None,
        policy: Box::new(FairFirst),
        node_index: 1,
        node_count: 1,
        seed: 0,
        static_peers: BTreeSet::new(),
    };
    let (peers, to_peers) = mpsc::channel(1);
    let driver = Driver {
        clock: Arc::new(wall_ms),
        engine: Engine::new(ledger, config),
        commands: mpsc::channel(1).1,
        peers,
        miner: None,
        tip: sender,
        recorder: metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder(),
        housekeeping,
        refusing: Refusing::default(),
        scores: Vec::new(),
        sync: SyncTeller::new().0,
    };
    (driver, tip, to_peers)
}

fn new_turn() -> Turn {
    Turn { answers: BTreeMap::new(), actions: Vec::new(), next_ticket: 0, stop: false }
}

#[test]
fn the_tip_is_published_before_anybody_is_answered() {
    let genesis = genesis();
    let store = Arc::new(MemoryStore::new(&genesis));
    let housekeeping = Housekeeping::new(store.clone(), None);
    let (mut driver, tip, mut to_peers) = driver(&genesis, store, housekeeping);
    let mut turn = new_turn();
    let tx = Transaction::sign(&genesis.chain_id(), &SecretKey::from_seed([5; 32]), 1, 1, None, b"payload");
    let (answer, reply) = oneshot::channel();
    let mut reply = pin!(reply);
    let look = Arc::new(Look { tip, pending: Mutex::new(None) });
    let waker = Waker::from(look.clone());
    assert!(reply.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    driver.take(Command::Submit { from: None, tx, answer }, Now { mono_ms: 0, wall_ms: wall_ms() }, &mut turn);
    driver.end_turn(&mut turn);
    assert!(matches!(reply.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(Ok(Reply::Tx(_))))));
    assert_eq!(*look.pending.lock().unwrap(), Some(1));

    // A peer that sends nonsense is scored, and the peers' tasks hear of it once, as soon as there is room for it.
    let peer = PeerId::from(([192, 0, 2, 1], 7_401));
    for event in [Event::PeerUp { peer }, Event::Malformed { peer, reason: "nonsense".into() }] {
        driver.take(Command::Event(event), Now { mono_ms: 1, wall_ms: wall_ms() }, &mut turn);
    }
    driver.peers.try_send(PeerCommand::Ban { peer, for_ms: 1 }).unwrap();
    driver.tell_scores();
    assert!(matches!(to_peers.try_recv(), Ok(PeerCommand::Ban { .. })) && to_peers.try_recv().is_err());
    driver.tell_scores();
    let Ok(PeerCommand::Scores(scores)) = to_peers.try_recv() else { panic!("the scores") };
    assert!(scores.len() == 1 && scores[0].0 == peer && scores[0].1 > 0, "{scores:?}");
    driver.tell_scores();
    assert!(to_peers.try_recv().is_err(), "nothing changed");
}

/// What a client is told that submits its `serial`-th transaction.
fn submit(driver: &mut Driver, genesis: &Genesis, serial: u8) -> ReplyResult {
    let (mut turn, (answer, mut reply)) = (new_turn(), oneshot::channel());
    let tx = Transaction::sign(&genesis.chain_id(), &SecretKey::from_seed([5; 32]), 1, 1, None, &[serial]);
    driver.take(Command::Submit { from: None, tx, answer }, Now { mono_ms: 0, wall_ms: wall_ms() }, &mut turn);
    driver.end_turn(&mut turn);
    reply.try_recv().expect("an answer")
}

fn tell_block(driver: &mut Driver, block: &UncheckedBlock) -> ReplyResult {
    let (mut turn, (answer, mut reply)) = (new_turn(), oneshot::channel());
    let command = Command::Block { from: None, block: block.clone(), answer };
    driver.take(command, Now { mono_ms: 0, wall_ms: wall_ms() }, &mut turn);
    driver.end_turn(&mut turn);
    reply.try_recv().expect("an answer")
}

/// The next block, empty.
fn sealed(driver: &mut Driver, genesis: &Genesis) -> UncheckedBlock {
    let request = TemplateRequest {
        miner: SecretKey::from_seed([6; 32]).public(),
        now_ms: wall_ms(),
        policy: &FairFirst,
        node_index: 1,
        node_count: 1,
        seed: 0,
    };
    let template = driver.engine.ledger_mut().template(&request).unwrap();
    let nonce = blockhie_pow::seal(&template.header, &genesis.chain_id(), 0, 1 << 16).expect("the easiest target");
    template.seal(&genesis.chain_id(), nonce, None)
}

#[test]
fn below_the_low_water_mark_nothing_is_taken_and_reads_go_on() {
    let genesis = genesis();
    let store = Arc::new(MemoryStore::new(&genesis));
    let free = Arc::new(Mutex::new(Ok(1_000)));
    let asked = free.clone();
    let probe = Box::new(move || asked.lock().unwrap().clone());
    let housekeeping = Housekeeping::new(store.clone(), Some((probe, 1_000)));
    let (mut driver, tip, _to_peers) = driver(&genesis, store.clone(), housekeeping);
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let block = sealed(&mut driver, &genesis);
    let shown = |line: &str| {
        let text = recorder.handle().render();
        assert!(text.lines().any(|shown| shown == line), "expected {line} in {text}");
    };
    metrics::with_local_recorder(&recorder, || {
        assert!(driver.housekeeping.is_due());
        driver.look_at_disk();
        assert!(!driver.housekeeping.is_due(), "it was looked at");
        assert!(submit(&mut driver, &genesis, 1).is_ok());
        shown("blockhie_disk_free_bytes 1000");
        shown("blockhie_refusing 0");

        *free.lock().unwrap() = Ok(999);
        driver.look_at_disk();
        let full = "disk nearly full: expected at least 1000 bytes free, got 999; this node only serves";
        assert_eq!(submit(&mut driver, &genesis, 2), Err((ErrorClass::Unavailable, full.to_owned())));
        shown("blockhie_disk_free_bytes 999");
        shown("blockhie_refusing 1");
        // neither a block, whoever brings it
        let told = tell_block(&mut driver, &block);
        assert_eq!(told, Err((ErrorClass::Unavailable, full.to_owned())));
        let mut turn = new_turn();
        let mined = Command::Event(Event::Mined { block: block.clone() });
        driver.take(mined, Now { mono_ms: 0, wall_ms: wall_ms() }, &mut turn);
        driver.end_turn(&mut turn);
        assert_eq!(tip.borrow().height, 0);
        // reads go on
        assert_eq!((tip.borrow().pending, store.snapshot().pending(None, 9).unwrap().len()), (1, 1));
        // a probe that fails changes nothing
        *free.lock().unwrap() = Err(blockhie_core::StoreError::Locked { path: "x".into() });
        driver.look_at_disk();
        assert!(submit(&mut driver, &genesis, 3).is_err());

        *free.lock().unwrap() = Ok(1_000);
        driver.look_at_disk();
        assert!(submit(&mut driver, &genesis, 4).is_ok() && tell_block(&mut driver, &block).is_ok());
        assert_eq!(tip.borrow().height, 1);
        shown("blockhie_refusing 0");
    });
}
