//! Turns, one at a time and without a thread.

use super::*;
use blockhie_core::packing::FairFirst;
use blockhie_core::{ChainKind, CompactTarget, Genesis, Hash32, Ledger, MemoryStore, OpaqueApp, SecretKey};
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

#[test]
fn the_tip_is_published_before_anybody_is_answered() {
    let genesis = Genesis::with_defaults(ChainKind::Emr, "test", Hash32([7; 32]), 1, CompactTarget::MOST, Vec::new());
    let store = Arc::new(MemoryStore::new(&genesis));
    let ledger = Ledger::open(store, Arc::new(ProofOfWork::new(&genesis)), Arc::new(OpaqueApp)).unwrap();
    let (sender, tip) = watch::channel(ledger.tip().clone());
    let config = EngineConfig {
        miner: None,
        policy: Box::new(FairFirst),
        node_index: 1,
        node_count: 1,
        seed: 0,
        static_peers: BTreeSet::new(),
    };
    let (_commands, receiver) = mpsc::channel(1);
    let (peers, mut to_peers) = mpsc::channel(1);
    let mut driver = Driver {
        engine: Engine::new(ledger, config),
        commands: receiver,
        peers,
        miner: None,
        tip: sender,
        recorder: metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder(),
        disk: None,
        refusing: Refusing::default(),
        scores: Vec::new(),
        sync: SyncTeller::new().0,
    };
    let mut turn = Turn { answers: BTreeMap::new(), actions: Vec::new(), next_ticket: 0, stop: false };
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
