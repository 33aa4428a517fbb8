//! Import of blocks on top of the tip, each checked, applied and committed, on both stores. The bodies come with the
//! block, verified.
//!
//! Ceiling: the batches that these very imports write, precomputed and committed to an empty store of the same kind;
//! on RocksDB each is a synced write.

mod common;

use blockhie_benches::{Comparison, criterion};
use blockhie_core::store::Batch;
use blockhie_core::{
    Imported, Ledger, MemoryStore, Store, StoreError, StoreRead, TemplateRequest, Transaction, TxHash, UncheckedBlock,
    Verified, merkle,
};
use blockhie_packing::FairFirst;
use blockhie_pow::NoWork;
use blockhie_store::{RocksStore, StoreConfig};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const SIZES: [u64; 3] = [0, 62, 1_000];
/// Time between blocks.
const STEP_MS: u64 = 1_000;

/// A store that remembers the last batch.
struct Recorder {
    store: MemoryStore,
    last: Mutex<Batch>,
}

impl Store for Recorder {
    fn snapshot(&self) -> Box<dyn StoreRead + '_> {
        self.store.snapshot()
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&batch);
        self.store.commit(batch)
    }
}

/// One block, what it needs, and what it writes.
struct Step {
    block: UncheckedBlock,
    bodies: BTreeMap<TxHash, Transaction<Verified>>,
    batch: Batch,
    time_ms: u64,
}

/// Makes a chain, the same each time.
struct Source {
    ledger: Ledger,
    recorder: Arc<Recorder>,
    transactions: u64,
}

impl Source {
    fn new(transactions: u64) -> Self {
        let store = MemoryStore::new(&common::genesis());
        let recorder = Arc::new(Recorder { store, last: Mutex::default() });
        Self { ledger: ledger(recorder.clone()), recorder, transactions }
    }

    fn next(&mut self) -> Step {
        let height = self.ledger.tip().height + 1;
        let time_ms = common::START_MS + STEP_MS * height;
        let miner = common::member(height % common::MEMBERS);
        let (genesis, chain) = (self.ledger.genesis().clone(), *self.ledger.chain_id());
        let signed = (0..self.transactions).map(|i| {
            let tx = common::record(&genesis, &common::sender(i), time_ms, height * self.transactions + i);
            (tx.hash(), tx)
        });
        let bodies: BTreeMap<_, _> = signed.collect();
        let request = TemplateRequest {
            miner: miner.public(),
            now_ms: time_ms,
            policy: &FairFirst,
            node_index: 1,
            node_count: 4,
            seed: 0,
        };
        let mut template = self.ledger.template(&request).expect("it is this member's turn");
        template.txhashes = bodies.keys().copied().collect();
        template.header.tx_root = merkle::head(&template.txhashes);
        template.header.tx_count = u32::try_from(bodies.len()).expect("at most 1,000");
        let block = template.seal(&chain, 0, Some(&miner));
        import(&mut self.ledger, block.clone(), &bodies, time_ms);
        let batch = std::mem::take(&mut *self.recorder.last.lock().unwrap_or_else(PoisonError::into_inner));
        Step { block, bodies, batch, time_ms }
    }
}

fn ledger(store: Arc<dyn Store>) -> Ledger {
    Ledger::open(store, Arc::new(NoWork), common::application()).expect("an empty store")
}

fn import(ledger: &mut Ledger, block: UncheckedBlock, bodies: &BTreeMap<TxHash, Transaction<Verified>>, time_ms: u64) {
    assert_eq!(ledger.import(block, bodies, time_ms).expect("a valid block"), Imported::Extended);
    ledger.commit().expect("the store takes it");
}

/// `make` gives an empty store for the chain and what keeps it alive.
fn compare<K>(group: &mut Comparison<'_>, name: &str, make: impl Fn() -> (Arc<dyn Store>, K)) {
    for transactions in SIZES {
        let (store, kept) = make();
        let (mut source, mut ledger) = (Source::new(transactions), ledger(store));
        let ours = group.ours(&format!("{name}, {transactions} transactions"), "blocks", 1, |iterations| {
            let steps: Vec<Step> = (0..iterations).map(|_| source.next()).collect();
            timed_each(steps, |Step { block, bodies, time_ms, batch: _ }| {
                import(&mut ledger, block, &bodies, time_ms);
                bodies
            })
        });
        drop((ledger, kept));

        let (store, _kept) = make();
        let mut source = Source::new(transactions);
        group.ceiling(&ours, "its batches alone", |iterations| {
            let batches: Vec<Batch> = (0..iterations).map(|_| source.next().batch).collect();
            timed_each(batches, |batch| store.commit(batch).expect("the store takes it"))
        });
    }
}

/// Times `work` on each; dropping the results is not counted.
fn timed_each<I, T>(items: Vec<I>, work: impl FnMut(I) -> T) -> Duration {
    let mut results = Vec::with_capacity(items.len());
    let start = Instant::now();
    results.extend(items.into_iter().map(work));
    let elapsed = start.elapsed();
    drop(results);
    elapsed
}

fn main() {
    let mut criterion = criterion(Duration::from_secs(1));
    let mut group = Comparison::new(&mut criterion, "import");
    let genesis = common::genesis();
    compare(&mut group, "memory", || (Arc::new(MemoryStore::new(&genesis)), ()));
    compare(&mut group, "RocksDB", || {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let store = RocksStore::create(&folder.path().join("store"), &genesis, &StoreConfig::default());
        (Arc::new(store.expect("an empty folder")), folder)
    });
    group.finish();
    criterion.final_summary();
}
