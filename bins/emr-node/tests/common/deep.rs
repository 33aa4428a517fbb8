//! A member alone on a chain that is long enough for its node to prune.

use super::load::{now_ms, record};
use super::{succeed, text};
use blockhie_core::limits::{MIN_PRUNE_DEPTH, PRUNED_AT_ONCE};
use blockhie_core::packing::FairFirst;
use blockhie_core::{
    ChainId, ChainKind, Genesis, Hash32, Ledger, Member, Router, SecretKey, TemplateRequest, Transaction, TxHash,
    keyfile, sha256,
};
use blockhie_emr::EmrApp;
use blockhie_pow::ProofOfWork;
use blockhie_store::{RocksStore, StoreConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// T, ms.
const INTERVAL_MS: u32 = 300;
/// Hashes a second of the member: the chain is really mined, beforehand.
const HASH_RATE: u64 = 1 << 12;
/// Blocks with bodies, deep enough to be pruned, and bodies in each, of two senders in turn.
pub const BLOCKS: u64 = 8;
const BODIES: u64 = 400;
/// Whose bodies are kept.
const KEPT: u64 = 1_000_000;
const OTHER: u64 = KEPT + 1;

/// See the module.
pub struct Deep {
    /// The node's folder: it prunes as little as it may keep.
    pub dir: PathBuf,
    pub chain: ChainId,
    /// What is committed in the first blocks: of the sender whose bodies are kept, and of the other.
    pub kept: Vec<TxHash>,
    pub others: Vec<TxHash>,
}

impl Deep {
    /// Makes the folder, and mines the chain into its store.
    pub fn make(root: &Path) -> Self {
        // More than one step drops: there is something to die in.
        const { assert!(BLOCKS * BODIES > 4 * PRUNED_AT_ONCE as u64) };
        std::fs::create_dir_all(root).expect("a folder");
        let (file, key, dir) = (root.join("genesis.toml"), root.join("key"), root.join("node"));
        let miner = keyfile::generate(&key).expect("a key");
        let member = Member { key: miner.public(), name: "a".into() };
        let first = blockhie_pow::first_target_for(1, HASH_RATE, INTERVAL_MS);
        let length = MIN_PRUNE_DEPTH + BLOCKS + 1;
        let time_ms = now_ms() - (length + 2) * u64::from(INTERVAL_MS);
        let nonce = Hash32(sha256(&[miner.public().as_bytes()]).0);
        let mut genesis = Genesis::with_defaults(ChainKind::Emr, "test", nonce, time_ms, first, vec![member]);
        genesis.block_interval_ms = INTERVAL_MS;
        genesis.half_life_ms = 144 * u64::from(INTERVAL_MS);
        std::fs::write(&file, genesis.to_toml()).expect("a genesis");
        succeed(&["init", "--data-dir", text(&dir), "--genesis", text(&file), "--key", text(&key)]);
        let keep = super::load::sender(KEPT).public();
        let config = format!(
            "mine = true\nhash_rate = {HASH_RATE}\nprune_below_depth = {MIN_PRUNE_DEPTH}\nprune_keep_senders = [\"{keep}\"]\n"
        );
        std::fs::write(dir.join("config.toml"), config).expect("a configuration");
        let (mut kept, mut others) = (Vec::new(), Vec::new());
        mine(&dir.join("store"), &genesis, &miner, length, |tx, serial| {
            if serial % 2 == 0 { &mut kept } else { &mut others }.push(tx.hash());
        });
        Self { dir, chain: genesis.chain_id(), kept, others }
    }
}

fn mine(
    store: &Path,
    genesis: &Genesis,
    miner: &SecretKey,
    length: u64,
    mut note: impl FnMut(&Transaction<blockhie_core::Verified>, u64),
) {
    let chain = genesis.chain_id();
    let store = RocksStore::open(store, Some(&chain), &StoreConfig::default()).expect("a store");
    let application = Router::new(ChainKind::Emr).route(1..=7, Box::new(EmrApp));
    let mut ledger = Ledger::open(Arc::new(store), Arc::new(ProofOfWork::new(genesis)), Arc::new(application))
        .expect("a chain of its genesis");
    for height in 1..=length {
        let now_ms = genesis.time_ms + height * u64::from(INTERVAL_MS);
        for serial in (0..BODIES).filter(|_| height <= BLOCKS) {
            let tx = record(&chain, if serial % 2 == 0 { KEPT } else { OTHER }, height * BODIES + serial, now_ms);
            note(&tx, serial);
            ledger.submit(tx, now_ms).expect("taken");
        }
        let request = TemplateRequest {
            miner: miner.public(),
            now_ms,
            policy: &FairFirst,
            node_index: 1,
            node_count: 1,
            seed: 0,
        };
        let template = ledger.template(&request).expect("a template");
        let nonce = blockhie_pow::seal(&template.header, &chain, 0, u64::MAX).expect("a nonce");
        let block = template.seal(&chain, nonce, Some(miner));
        ledger.import(block, &Default::default(), now_ms).expect("taken");
        if height % 100 == 0 || height == length {
            ledger.commit().expect("durable");
        }
    }
    assert_eq!(ledger.tip().pending, 0, "all of it is committed");
}
