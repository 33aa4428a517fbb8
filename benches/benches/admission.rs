//! Transactions submitted to a real node over loopback gRPC: verified, taken into the mempool, journalled in RocksDB
//! and acknowledged after the sync. One at a time, and 64 in flight over two connections (a server takes 32 at once on
//! each).
//!
//! Ceilings: unary `Tip` calls to the same node with the same concurrency; and the journal's writes alone, one synced
//! batch for as many transactions as are in flight.

mod common;

use blockhie_benches::{Comparison, Ours, criterion};
use blockhie_core::store::Op;
use blockhie_core::tx::StoredTx;
use blockhie_core::{Genesis, Store, Transaction, Unverified};
use blockhie_node::{Config, Node, NodeBuilder};
use blockhie_store::{RocksStore, StoreConfig};
use blockhie_transport::{LedgerClient, Limits};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// One may hold a quarter of a mempool, so there are more.
const SENDERS: u64 = 64;
/// Connections and calls in flight on each.
const LOADS: [(usize, usize, &str); 2] = [(1, 1, "one client"), (2, 32, "64 in flight")];

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u64::try_from(since.as_millis()).expect("milliseconds in 64 bits")
}

fn store(genesis: &Genesis, folder: &Path) -> Arc<RocksStore> {
    Arc::new(RocksStore::create(&folder.join("store"), genesis, &StoreConfig::default()).expect("an empty folder"))
}

async fn start(genesis: &Genesis, folder: &Path) -> Node {
    let builder = NodeBuilder {
        store: store(genesis, folder),
        application: common::application(),
        config: Config { listen: "127.0.0.1:0".into(), mine: false, low_water_bytes: 0, ..Config::default() },
        key: None,
        data_dir: None,
        limits: Limits::default(),
    };
    builder.start().await.expect("a node on a free port")
}

/// Always new ones.
struct Transactions {
    genesis: Genesis,
    made: u64,
}

impl Transactions {
    fn take(&mut self, count: u64) -> Arc<Vec<Transaction<Unverified>>> {
        let numbers = self.made..self.made + count;
        self.made += count;
        let sign = |number| common::record(&self.genesis, &common::sender(number % SENDERS), now_ms(), number);
        Arc::new(numbers.map(|number| sign(number).into_unverified()).collect())
    }
}

/// Makes `calls` calls, `in_flight` at once over each of `clients`; `call` gets a client and the call's number.
async fn drive<F>(
    clients: &[LedgerClient],
    in_flight: usize,
    calls: usize,
    call: impl Fn(LedgerClient, usize) -> F + Clone + Send + 'static,
) where
    F: Future<Output = ()> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for client in clients.iter().flat_map(|client| std::iter::repeat_n(client, in_flight)) {
        let (client, next, call) = (client.clone(), next.clone(), call.clone());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= calls {
                    return;
                }
                call(client.clone(), number).await;
            }
        });
    }
    tasks.join_all().await;
}

fn submit(
    group: &mut Comparison<'_>,
    runtime: &Runtime,
    (clients, in_flight, name): (&[LedgerClient], usize, &str),
    transactions: &mut Transactions,
) -> Ours {
    group.ours(name, "calls", 1, |iterations| {
        let batch = transactions.take(iterations);
        let start = Instant::now();
        runtime.block_on(drive(clients, in_flight, batch.len(), {
            let batch = batch.clone();
            move |client, number| {
                let batch = batch.clone();
                async move {
                    let answer = client.submit(&batch[number]).await.expect("the node takes it");
                    assert_eq!(answer, batch[number].hash());
                }
            }
        }));
        start.elapsed()
    })
}

fn tips(group: &mut Comparison<'_>, runtime: &Runtime, (clients, in_flight): (&[LedgerClient], usize), ours: &Ours) {
    group.ceiling(ours, "unary Tip", |iterations| {
        let calls = usize::try_from(iterations).expect("a count of calls");
        let start = Instant::now();
        runtime.block_on(drive(clients, in_flight, calls, |client, _| async move {
            drop(client.tip().await.expect("the node answers"));
        }));
        start.elapsed()
    });
}

fn synced_writes(group: &mut Comparison<'_>, at_once: usize, ours: &Ours, transactions: &mut Transactions) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let store = store(&transactions.genesis, folder.path());
    group.ceiling(ours, "synced writes", |iterations| {
        let all = transactions.take(iterations);
        let batches: Vec<Vec<Op>> = all.chunks(at_once).map(|chunk| chunk.iter().flat_map(journal).collect()).collect();
        let start = Instant::now();
        for batch in batches {
            store.commit(batch).expect("the store takes it");
        }
        start.elapsed()
    });
}

/// What the mempool's journal keeps of a transaction.
fn journal(tx: &Transaction<Unverified>) -> [Op; 2] {
    let stored = StoredTx {
        time_ms: tx.time_ms(),
        tx_type: tx.tx_type(),
        from: *tx.from(),
        to: tx.to().copied(),
        body: tx.body().clone(),
        hash: tx.hash(),
    };
    [Op::PutTx(stored), Op::Pending(tx.hash(), Some(tx.time_ms()))]
}

fn main() {
    let mut criterion = criterion(Duration::from_secs(1));
    let mut group = Comparison::new(&mut criterion, "admission");
    let runtime = Runtime::new().expect("threads");
    let mut genesis = common::genesis();
    genesis.time_ms = now_ms() - 1_000;
    for (connections, in_flight, name) in LOADS {
        let mut transactions = Transactions { genesis: genesis.clone(), made: 0 };
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let node = runtime.block_on(start(&genesis, folder.path()));
        let address = node.address().to_string();
        let connect = || runtime.block_on(LedgerClient::connect(&address)).expect("the node listens");
        let clients: Vec<LedgerClient> = (0..connections).map(|_| connect()).collect();
        let ours = submit(&mut group, &runtime, (&clients, in_flight, name), &mut transactions);
        tips(&mut group, &runtime, (&clients, in_flight), &ours);
        drop(clients);
        runtime.block_on(node.stop()).expect("the node stops");
        synced_writes(&mut group, connections * in_flight, &ours, &mut transactions);
    }
    group.finish();
    criterion.final_summary();
}
