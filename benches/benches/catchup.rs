//! A node that is so many transactions behind catches up from another one over loopback gRPC, both real and on RocksDB,
//! beside the bare import of the same blocks from disk: read from the source's store, every signature verified, imported
//! and committed in groups as large as the node's, on one thread and with a second one that reads and verifies ahead.
//!
//! `cargo bench -p blockhie-benches --bench catchup -- [--transactions N] [--per-block M] [--peers P]`

#![allow(clippy::print_stdout, reason = "its result")]

mod common;

use blockhie_core::query::headers::whole_block;
use blockhie_core::{
    BlockHash, BlockQuery, Genesis, Imported, Ledger, Store, TemplateRequest, Transaction, TxHash, UncheckedBlock,
    Unverified, Verified, merkle, query, verify_batch,
};
use blockhie_node::{Config, Node, NodeBuilder};
use blockhie_packing::FairFirst;
use blockhie_pow::ProofOfWork;
use blockhie_store::{RocksStore, StoreConfig};
use blockhie_transport::Limits;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time between blocks: the chain's, so that its target stays.
const STEP_MS: u64 = 1_000;
/// Blocks of one synced batch, and of one group of signatures: about what one answer of a peer holds.
const GROUP: usize = 64;
/// Longest wait for a node to catch up.
const PATIENCE: Duration = Duration::from_secs(600);

type Group = Vec<(UncheckedBlock, Vec<Transaction<Verified>>)>;

fn argument(name: &str, default: u64) -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
    arguments.next().map_or(default, |text| text.parse().expect("a number"))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u64::try_from(since.as_millis()).expect("milliseconds in 64 bits")
}

fn create(genesis: &Genesis, folder: &Path, name: &str) -> Arc<RocksStore> {
    Arc::new(RocksStore::create(&folder.join(name), genesis, &StoreConfig::default()).expect("an empty folder"))
}

fn ledger(genesis: &Genesis, store: Arc<RocksStore>) -> Ledger {
    Ledger::open(store, Arc::new(ProofOfWork::new(genesis)), common::application()).expect("a store of this chain")
}

fn import(ledger: &mut Ledger, block: UncheckedBlock, transactions: Vec<Transaction<Verified>>, now_ms: u64) {
    let bodies: BTreeMap<TxHash, _> = transactions.into_iter().map(|tx| (tx.hash(), tx)).collect();
    assert_eq!(ledger.import(block, &bodies, now_ms).expect("a valid block"), Imported::Extended);
}

/// The chain to be caught up with.
fn make(genesis: &Genesis, store: Arc<RocksStore>, transactions: u64, per_block: u64) {
    let mut ledger = ledger(genesis, store);
    let (chain, mut made) = (*ledger.chain_id(), 0);
    while made < transactions {
        let height = ledger.tip().height + 1;
        let time_ms = common::START_MS + STEP_MS * height;
        let count = per_block.min(transactions - made);
        let txs: Vec<_> =
            (made..made + count).map(|n| common::record(genesis, &common::sender(n % 64), time_ms, n)).collect();
        made += count;
        let miner = common::member(height % common::MEMBERS);
        let request = TemplateRequest {
            miner: miner.public(),
            now_ms: time_ms,
            policy: &FairFirst,
            node_index: 1,
            node_count: 4,
            seed: 0,
        };
        let mut template = ledger.template(&request).expect("it is this member's turn");
        template.txhashes = txs.iter().map(Transaction::hash).collect();
        template.header.tx_root = merkle::head(&template.txhashes);
        template.header.tx_count = u32::try_from(count).expect("at most 4,000");
        let nonce = blockhie_pow::seal(&template.header, &chain, 0, u64::MAX).expect("an easy target");
        import(&mut ledger, template.seal(&chain, nonce, Some(&miner)), txs, time_ms);
        if height.is_multiple_of(GROUP as u64) {
            ledger.commit().expect("the store takes it");
        }
    }
    ledger.commit().expect("the store takes it");
}

/// Some blocks from disk, verified.
fn read(genesis: &Genesis, store: &RocksStore, from: u64) -> Group {
    let (view, chain) = (store.snapshot(), genesis.chain_id());
    let (mut blocks, mut all) = (Vec::new(), Vec::<Transaction<Unverified>>::new());
    for height in from..from + GROUP as u64 {
        let Some(hash) = view.hash_at(height).expect("a store") else { break };
        let (block, txs) = whole_block(view.as_ref(), &hash).expect("a store").expect("a whole block");
        all.extend(txs.into_iter().map(Transaction::into_unverified));
        blocks.push(block.to_unchecked());
    }
    let mut verified = Vec::new();
    while !all.is_empty() {
        let rest = all.split_off(all.len().min(256));
        verified.extend(verify_batch(all, &chain, genesis.kind));
        all = rest;
    }
    let mut verified = verified.into_iter().map(|verdict| verdict.expect("a good signature"));
    let with_bodies = |block: UncheckedBlock| {
        let bodies = verified.by_ref().take(block.txhashes.len()).collect();
        (block, bodies)
    };
    blocks.into_iter().map(with_bodies).collect()
}

/// Bare import of the whole chain; how long it took. `ahead`: a second thread reads and verifies.
fn bare(genesis: &Genesis, source: &Arc<RocksStore>, target: Arc<RocksStore>, ahead: bool) -> (Duration, BlockHash) {
    let start = Instant::now();
    let mut ledger = ledger(genesis, target);
    let mut take = |group: Group| {
        for (block, txs) in group {
            import(&mut ledger, block, txs, now_ms());
        }
        ledger.commit().expect("the store takes it");
    };
    let groups = (1..).step_by(GROUP).map(|from| read(genesis, source, from)).take_while(|group| !group.is_empty());
    if ahead {
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(2);
            scope.spawn(move || groups.for_each(|group| sender.send(group).expect("the importer waits")));
            receiver.into_iter().for_each(&mut take);
        });
    } else {
        groups.for_each(&mut take);
    }
    (start.elapsed(), ledger.tip().hash)
}

async fn start(store: Arc<RocksStore>, peers: &[&Node]) -> Node {
    let builder = NodeBuilder {
        store,
        application: common::application(),
        config: Config {
            listen: "127.0.0.1:0".into(),
            peers: peers.iter().map(|node| node.address().to_string()).collect(),
            mine: false,
            low_water_bytes: 0,
            ..Config::default()
        },
        key: None,
        data_dir: None,
        limits: Limits::default(),
    };
    builder.start().await.expect("a node on a free port")
}

/// How long a new node needs for the whole chain.
async fn catch_up(sources: &[Arc<RocksStore>], target: Arc<RocksStore>, height: u64) -> (Duration, BlockHash) {
    let mut servers = Vec::new();
    for store in sources {
        servers.push(start(store.clone(), &[]).await);
    }
    let begin = Instant::now();
    let late = start(target, &servers.iter().collect::<Vec<_>>()).await;
    let mut tips = late.watch();
    let done = tips.wait_for(|tip| tip.height >= height);
    let hash = tokio::time::timeout(PATIENCE, done).await.expect("in time").expect("a node that runs").hash;
    let took = begin.elapsed();
    for node in servers.into_iter().chain([late]) {
        node.stop().await.expect("a clean stop");
    }
    (took, hash)
}

fn main() {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let transactions = argument("--transactions", if is_bench { 200_000 } else { 2_000 });
    let (per_block, peers) = (argument("--per-block", 62), argument("--peers", 1));
    let genesis = common::genesis();
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let sources: Vec<_> = (0..peers).map(|n| create(&genesis, folder.path(), &format!("source{n}"))).collect();
    for source in &sources {
        make(&genesis, source.clone(), transactions, per_block);
    }
    let tip = query::block(sources[0].snapshot().as_ref(), BlockQuery::Tip).expect("a store").expect("a tip");
    let rate = |took: Duration| transactions as f64 / took.as_secs_f64();
    let bare_of = |name: &str, ahead: bool| {
        let (took, hash) = bare(&genesis, &sources[0], create(&genesis, folder.path(), name), ahead);
        assert_eq!(hash, tip.hash);
        rate(took)
    };
    let (one, two) = (bare_of("bare", false), bare_of("ahead", true));
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let target = create(&genesis, folder.path(), "late");
    let (took, hash) = runtime.block_on(catch_up(&sources, target, tip.header.height));
    assert_eq!(hash, tip.hash);
    let got = rate(took);
    println!("{transactions} transactions in {} blocks, from {peers} peers", tip.header.height);
    println!("catch-up: {got:.0} tx/s = {:.2} of bare import {one:.0} tx/s", got / one);
    println!("catch-up: {got:.0} tx/s = {:.2} of bare import {two:.0} tx/s (read and verified ahead)", got / two);
}
