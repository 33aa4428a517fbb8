//! Reads that hang together.

use super::*;
use blockhie_core::{ChainKind, CompactTarget, Hash32, Ledger, MemoryStore, OpaqueApp, U256};
use blockhie_pow::ProofOfWork;
use std::sync::atomic::{AtomicUsize, Ordering};

fn opened() -> (Arc<MemoryStore>, Tip) {
    let genesis = Genesis::with_defaults(ChainKind::Emr, "test", Hash32([7; 32]), 1, CompactTarget::MOST, Vec::new());
    let store = Arc::new(MemoryStore::new(&genesis));
    let ledger = Ledger::open(store.clone(), Arc::new(ProofOfWork::new(&genesis)), Arc::new(OpaqueApp)).unwrap();
    let tip = ledger.tip().clone();
    (store, tip)
}

#[tokio::test]
async fn a_view_is_read_with_its_own_tip_only() {
    let (store, tip) = opened();
    let older = Tip { hash: Hash32([9; 32]), work: U256::one(), ..tip.clone() };
    let (sender, published) = watch::channel(older);
    let mut reader = Box::pin(settled(store.as_ref(), &published));
    let early = tokio::time::timeout(Duration::from_millis(20), &mut reader).await;
    assert!(early.is_err(), "the batch is written, its tip not yet published");
    sender.send_replace(tip.clone());
    let (view, got) = reader.await.unwrap();
    assert_eq!((view.meta().unwrap().tip, &got), (Some(tip.hash), &tip));
    drop(view);
    // It does not wait for ever.
    sender.send_replace(Tip { hash: Hash32([9; 32]), ..tip });
    assert_eq!(settled(store.as_ref(), &published).await.err().unwrap().class, ErrorClass::Unavailable);
}

#[tokio::test]
async fn what_waits_for_a_lot_goes_on_together() {
    let pushes = Pushes::default();
    let times = futures::future::join_all((0..20u64).map(async |n| {
        tokio::time::sleep(Duration::from_millis(n)).await;
        pushes.next_lot().await;
        pushes.begun.elapsed()
    }))
    .await;
    assert!(times.iter().all(|time| *time >= LOT_TIME), "{times:?}");
    let lots: BTreeSet<u128> = times.iter().map(|time| time.as_millis() / 250).collect();
    assert!(lots.len() <= 2, "{times:?}");
}

#[tokio::test]
async fn what_is_pushed_takes_turns_and_one_that_waits_gives_way() {
    let places = Semaphore::new(2);
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let short = || async {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1)).await;
        now.fetch_sub(1, Ordering::SeqCst);
    };
    futures::future::join_all((0..20).map(|_| Pushes::in_turn(&places, short()))).await;
    assert_eq!(most.load(Ordering::SeqCst), 2);
    // Blocks that wait for bodies for ever do not hold up the others.
    let begin = Instant::now();
    let waiting = (0..2).map(|_| Pushes::in_turn(&places, futures::future::pending::<()>()));
    tokio::select! {
        biased;
        _ = futures::future::join_all(waiting) => panic!("they wait"),
        () = Pushes::in_turn(&places, async {}) => {}
    }
    assert!(begin.elapsed() >= PLACE_TIME && begin.elapsed() < Duration::from_secs(5));
}
