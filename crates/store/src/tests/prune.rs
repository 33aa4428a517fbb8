//! Pruning on the real store: in steps, over a restart, and what it frees.

use super::startup::NoRule;
use super::*;
use blockhie_core::fsck::fsck;
use blockhie_core::genesis::{ChainKind, Member};
use blockhie_core::limits::{MIN_PRUNE_DEPTH, PRUNED_AT_ONCE};
use blockhie_core::packing::FairFirst;
use blockhie_core::{CompactTarget, Keep, Ledger, OpaqueApp, SecretKey, TemplateRequest, Transaction};
use std::sync::Arc;
use std::time::Instant;

/// Blocks with bodies, and bodies in each: more in all than one step takes.
const FULL: u64 = 3;
const BODIES: usize = 200;
const BODY: [u8; 1_024] = [7; 1_024];
/// So many blocks are pruned.
const DEEP: u64 = FULL + 5;

fn secret(i: u8) -> SecretKey {
    SecretKey::from_seed([i; 32])
}

fn two_members() -> Genesis {
    let members = [1u8, 2].map(|i| Member { key: secret(i).public(), name: format!("member {i}") }).to_vec();
    Genesis::with_defaults(ChainKind::Emr, "prune", hash(7), 1_700_000_000_000, CompactTarget::MOST, members)
}

fn ledger(store: &Arc<RocksStore>) -> Ledger {
    Ledger::open(store.clone(), Arc::new(NoRule), Arc::new(OpaqueApp)).unwrap()
}

fn mine(ledger: &mut Ledger) {
    let height = ledger.tip().height + 1;
    let (member, now_ms) = (1 + u8::try_from(height % 2).unwrap(), ledger.genesis().time_ms + height * 1_000);
    let request = TemplateRequest {
        miner: secret(member).public(),
        now_ms,
        policy: &FairFirst,
        node_index: 1,
        node_count: 2,
        seed: 0,
    };
    let template = ledger.template(&request).unwrap();
    let block = template.seal(ledger.chain_id(), 0, Some(&secret(member)));
    ledger.import(block, &Default::default(), now_ms).unwrap();
}

/// Bytes of all files of a store.
fn size(path: &Path) -> u64 {
    std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

/// All of `txs` into tables, as it goes by and by in a store that is written to.
fn compact(store: &RocksStore) {
    let family = store.db.cf_handle("txs").unwrap();
    store.db.flush_cf(family).unwrap();
    store.db.compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
}

#[test]
fn bodies_are_pruned_in_steps_and_their_room_is_freed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let genesis = two_members();
    let store = Arc::new(RocksStore::create(&path, &genesis, &StoreConfig::default()).unwrap());
    let mut chain = ledger(&store);
    let mut hashes = Vec::new();
    for height in 1..=MIN_PRUNE_DEPTH + DEEP {
        for i in (0..BODIES).filter(|_| height <= FULL) {
            let body = [&BODY, format!("{height} {i}").as_bytes()].concat();
            let tx = Transaction::sign(chain.chain_id(), &secret(9), genesis.time_ms, 1, None, &body);
            hashes.push(tx.hash());
            chain.submit(tx, genesis.time_ms).unwrap();
        }
        mine(&mut chain);
        if height % 50 == 0 {
            chain.commit().unwrap();
        }
    }
    chain.commit().unwrap();
    compact(&store);
    let before = size(&path);
    let here = |store: &RocksStore| {
        let view = store.snapshot();
        hashes.iter().filter(|hash| view.tx(hash).unwrap().is_some()).count()
    };
    assert_eq!(here(&store), hashes.len());
    let keep = || Some(Keep { depth: MIN_PRUNE_DEPTH, ..Keep::default() });
    chain.set_pruning(keep()).unwrap();
    let started = Instant::now();
    assert_eq!(chain.prune(), Ok(PRUNED_AT_ONCE as u64 - 1), "the genesis block costs a look");
    let staged = started.elapsed();
    chain.commit().unwrap();
    println!("a step of {PRUNED_AT_ONCE}: {staged:?} to stage, {:?} with its batch", started.elapsed());
    assert_eq!(here(&store), hashes.len() + 1 - PRUNED_AT_ONCE);
    drop(chain);
    drop(store);

    let store = Arc::new(RocksStore::open(&path, None, &StoreConfig::default()).unwrap());
    let mut chain = ledger(&store);
    chain.set_pruning(keep()).unwrap();
    while chain.prune().unwrap() > 0 || chain.has_staged() {
        chain.commit().unwrap();
    }
    assert_eq!((here(&store), chain.tip().pruned_below), (0, DEEP));
    let report = fsck(store.snapshot().as_ref(), Arc::new(NoRule), Arc::new(OpaqueApp)).unwrap();
    assert_eq!((report.differences, report.bodies_pruned), (0, hashes.len() as u64), "{:?}", report.described);
    compact(&store);
    let freed = before.saturating_sub(size(&path));
    println!("{before} bytes before, {freed} freed by {} bodies of {} bytes", hashes.len(), BODY.len());
    assert!(freed > 0);
}
