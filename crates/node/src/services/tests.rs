//! Reads that hang together.

use super::*;
use blockhie_core::{ChainKind, CompactTarget, Hash32, Ledger, MemoryStore, OpaqueApp, U256};
use blockhie_pow::ProofOfWork;

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
