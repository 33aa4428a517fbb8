//! Real nodes in-process on port 0, with the shortest chains that still behave.

// Each test binary uses its part of this module.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, reason = "only tests call it")]

use blockhie_core::genesis::{ChainKind, Member};
use blockhie_core::{
    ChainId, CompactTarget, Genesis, Hash32, Ledger, MemoryStore, OpaqueApp, Router, SecretKey, Template,
    TemplateRequest, Transaction, TxHash, TxStatus, UncheckedBlock, Verified, merkle, sha256,
};
use blockhie_emr::EmrApp;
use blockhie_node::{Config, Node, NodeBuilder};
use blockhie_pow::ProofOfWork;
use blockhie_transport::{LedgerClient, Limits};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest wait for anything; what is awaited comes within a second or two.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// T of the test chains.
pub const INTERVAL_MS: u32 = 200;
/// Hashes a second of a test node.
pub const HASH_RATE: u64 = 20_000;

pub fn secret(i: u8) -> SecretKey {
    SecretKey::from_seed(sha256(&[b"member", &[i]]).0)
}

pub fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A chain of `n` members whose first blocks come about every [`INTERVAL_MS`].
pub fn genesis(n: u8) -> Genesis {
    let members: Vec<Member> =
        (1..=n).map(|i| Member { key: secret(i).public(), name: format!("hospital {i}") }).collect();
    let first: CompactTarget = blockhie_pow::first_target_for(usize::from(n), HASH_RATE, INTERVAL_MS);
    let nonce = Hash32(sha256(&[&now_ms().to_be_bytes(), &[n]]).0);
    let mut genesis = Genesis::with_defaults(ChainKind::Emr, "test", nonce, now_ms() - 1_000, first, members);
    genesis.block_interval_ms = INTERVAL_MS;
    genesis.half_life_ms = 144 * u64::from(INTERVAL_MS);
    genesis
}

pub fn config(peers: &[&Node]) -> Config {
    Config {
        listen: "127.0.0.1:0".into(),
        peers: peers.iter().map(|node| node.address().to_string()).collect(),
        hash_rate: HASH_RATE,
        low_water_bytes: 0,
        ..Config::default()
    }
}

pub fn builder(genesis: &Genesis, member: u8, config: Config) -> NodeBuilder {
    NodeBuilder {
        store: Arc::new(MemoryStore::new(genesis)),
        application: Arc::new(Router::new(ChainKind::Emr).route(1..=7, Box::new(EmrApp))),
        config,
        key: Some(secret(member)),
        data_dir: None,
        limits: Limits::default(),
    }
}

pub async fn start(genesis: &Genesis, member: u8, config: Config) -> Node {
    builder(genesis, member, config).start().await.unwrap()
}

pub fn record(genesis: &Genesis, text: &str) -> Transaction<Verified> {
    record_of(genesis, 200, text)
}

/// A record of this sender.
pub fn record_of(genesis: &Genesis, sender: u8, text: &str) -> Transaction<Verified> {
    let commitment = sha256(&[text.as_bytes()]);
    let payload = [&[0x0a, 0x20], commitment.as_bytes().as_slice()].concat();
    Transaction::sign(&genesis.chain_id(), &secret(sender), now_ms(), 1, None, &payload)
}

/// Mines the next block of a private chain with these transactions, whether they may stand there or not.
pub fn forge(ledger: &mut Ledger, member: u8, txhashes: Vec<TxHash>, time_ms: u64) -> UncheckedBlock {
    let request = TemplateRequest {
        miner: secret(member).public(),
        now_ms: time_ms,
        policy: &blockhie_packing::FairFirst,
        node_index: 1,
        node_count: 2,
        seed: 0,
    };
    let mut template = ledger.template(&request).unwrap();
    template.header.tx_root = merkle::head(&txhashes);
    template.header.tx_count = u32::try_from(txhashes.len()).unwrap();
    template.txhashes = txhashes;
    sealed(template, ledger.chain_id(), member)
}

/// With the work and the signature that it needs.
pub fn sealed(template: Template, chain: &ChainId, member: u8) -> UncheckedBlock {
    let nonce = blockhie_pow::seal(&template.header, chain, 0, u64::MAX).unwrap();
    template.seal(chain, nonce, Some(&secret(member)))
}

/// A chain in memory that no node knows.
pub fn private_ledger(genesis: &Genesis) -> Ledger {
    let pow = Arc::new(ProofOfWork::new(genesis));
    Ledger::open(Arc::new(MemoryStore::new(genesis)), pow, Arc::new(OpaqueApp)).unwrap()
}

pub async fn client(node: &Node) -> LedgerClient {
    LedgerClient::connect(&node.address().to_string()).await.unwrap()
}

/// Waits until `done` answers true.
pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !done().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn is_final(client: &LedgerClient, hash: TxHash) -> bool {
    matches!(client.status(hash).await.unwrap(), TxStatus::Committed { is_final: true, .. })
}

pub async fn is_committed(client: &LedgerClient, hash: TxHash) -> bool {
    matches!(client.status(hash).await.unwrap(), TxStatus::Committed { .. })
}
