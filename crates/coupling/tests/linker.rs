//! A program that reads both chains and nothing else looks for the two halves of each person's link.
//!
//! It scores every pair of a LINK on one chain with a LINK on the other by whatever the two could share. AUC is the
//! chance that a true pair scores above a false one: 0.5 is guessing. The same program finds the pairs as soon as the
//! construction shares a value, a key or a moment, so it would notice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]

use blockhie_core::packing::FairFirst;
use blockhie_core::{
    BlockHash, ChainKind, CompactTarget, Consensus, Genesis, Hash32, Header, Ledger, MemoryStore, ParentContext,
    Receipt, Router, SecretKey, StoreError, TemplateRequest, Transaction, TxHash, TxStatus, U256, Unverified, Verified,
    WorkError, sha256,
};
use blockhie_coupling::{
    ChainClient, ClientFault, CouplingApp, LinkTerms, Outbox, OutboxEntry, OutboxStore, Seed, link_commitment,
    link_transaction,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

const START_MS: u64 = 1_750_000_000_000;
const WINDOW_MS: u64 = 3_600_000;
const BLOCK_MS: u64 = 5_000;
/// At 1,000 persons chance alone strays from 0.5 by 0.009, so this is more than five times that.
const AUC_LIMIT: f64 = 0.55;
const KINDS: [ChainKind; 2] = [ChainKind::Emr, ChainKind::Phd];

/// How a person's two halves are made.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Construction {
    AsBuilt,
    EqualValues,
    EqualKeys,
    /// Both at the moment the person asked.
    NoJitter,
    /// Each up to a window after the person asked, instead of in the next whole window.
    SlidingWindow,
}

/// What a chain shows of one LINK.
struct Seen {
    time_ms: u64,
    size: u64,
    /// What is not the same in every LINK and is no time: key, signature, value, hash.
    fields: [Vec<u8>; 4],
    /// All of them after each other.
    joined: Vec<u8>,
    height: u64,
    block_ms: u64,
    /// Place in the block, and in the order of the whole chain.
    index: u64,
    rank: u64,
}

struct AnyHash;
impl Consensus for AnyHash {
    fn required_target(&self, _: &ParentContext) -> CompactTarget {
        CompactTarget::MOST
    }
    fn next_lag(&self, _: &ParentContext, _: u64) -> i128 {
        0
    }
    fn check(&self, _: &Header, _: &BlockHash) -> Result<(), WorkError> {
        Ok(())
    }
    fn work(&self, target: CompactTarget) -> U256 {
        target.work()
    }
}

#[derive(Default)]
struct Memory(Mutex<BTreeMap<Hash32, OutboxEntry>>);
impl OutboxStore for Memory {
    fn get(&self, id: &Hash32) -> Result<Option<OutboxEntry>, StoreError> {
        Ok(self.0.lock().unwrap().get(id).cloned())
    }
    fn unsettled(&self) -> Result<Vec<OutboxEntry>, StoreError> {
        Ok(self.0.lock().unwrap().values().filter(|entry| !entry.is_final()).cloned().collect())
    }
    fn put(&self, entry: &OutboxEntry) -> Result<(), StoreError> {
        self.0.lock().unwrap().insert(entry.id, entry.clone());
        Ok(())
    }
    fn remove(&self, id: &Hash32) -> Result<(), StoreError> {
        self.0.lock().unwrap().remove(id);
        Ok(())
    }
}

fn genesis(kind: ChainKind) -> Genesis {
    Genesis::with_defaults(kind, "linker", Hash32([7; 32]), START_MS, CompactTarget::MOST, Vec::new())
}

fn at(chain: ChainKind) -> usize {
    usize::from(chain == ChainKind::Phd)
}

/// A node of each chain, and the time.
struct Nodes(Mutex<[Ledger; 2]>, Mutex<u64>);

impl Nodes {
    fn new() -> Self {
        let ledgers = KINDS.map(|kind| {
            let genesis = genesis(kind);
            let app = Router::new(kind).route(32..=33, Box::new(CouplingApp::new(&genesis)));
            Ledger::open(Arc::new(MemoryStore::new(&genesis)), Arc::new(AnyHash), Arc::new(app)).unwrap()
        });
        Self(Mutex::new(ledgers), Mutex::new(0))
    }

    /// What waits goes into a block.
    fn mine(&self, now_ms: u64) {
        for ledger in &mut *self.0.lock().unwrap() {
            if ledger.mempool_len() == 0 {
                continue;
            }
            let miner = SecretKey::from_seed([1; 32]).public();
            let request = TemplateRequest { miner, now_ms, policy: &FairFirst, node_index: 1, node_count: 1, seed: 0 };
            let block = ledger.template(&request).unwrap().seal(ledger.chain_id(), 0, None);
            ledger.import(block, &BTreeMap::new(), now_ms).unwrap();
            ledger.commit().unwrap();
        }
    }

    /// Every LINK by hash, as anybody may read them.
    fn seen(&self, chain: ChainKind) -> HashMap<TxHash, Seen> {
        let ledger = &self.0.lock().unwrap()[at(chain)];
        let (mut seen, mut rank) = (HashMap::new(), 0);
        for height in 1..=ledger.tip().height {
            let block = ledger.block_at(height).unwrap().unwrap();
            for (index, hash) in (0..).zip(&block.txhashes) {
                let tx = ledger.transaction(hash).unwrap().unwrap();
                seen.insert(*hash, look(&tx, (height, block.header.time_ms), index, rank));
                rank += 1;
            }
        }
        seen
    }
}

fn look(tx: &Transaction<Verified>, (height, block_ms): (u64, u64), index: u64, rank: u64) -> Seen {
    let (signature, value) = (tx.body()[1..65].to_vec(), tx.payload()[2..].to_vec());
    let fields = [tx.from().as_bytes().to_vec(), signature, value, tx.hash().0.to_vec()];
    let (joined, size) = (fields.concat(), tx.to_bytes().len() as u64);
    Seen { time_ms: tx.time_ms(), size, fields, joined, height, block_ms, index, rank }
}

impl ChainClient for Nodes {
    fn submit(&self, chain: ChainKind, tx: &Transaction<Unverified>) -> Result<(), ClientFault> {
        let ledger = &mut self.0.lock().unwrap()[at(chain)];
        let tx = tx.clone().verify(ledger.chain_id(), chain).unwrap();
        ledger.submit(tx, *self.1.lock().unwrap()).unwrap();
        Ok(())
    }
    fn status(&self, chain: ChainKind, txhash: &TxHash) -> Result<TxStatus, ClientFault> {
        Ok(self.0.lock().unwrap()[at(chain)].status(txhash).unwrap())
    }
    fn receipt(&self, chain: ChainKind, txhash: &TxHash) -> Result<Receipt, ClientFault> {
        Ok(self.0.lock().unwrap()[at(chain)].receipt(txhash).unwrap())
    }
    /// The chains are open.
    fn is_settled(&self, _: ChainKind, status: &TxStatus) -> bool {
        matches!(status, TxStatus::Committed { void: None, .. })
    }
}

fn random(bound: u64) -> u64 {
    let bytes = *Seed::generate().unwrap().as_bytes();
    u64::from_be_bytes(bytes[..8].try_into().unwrap()) % bound
}

fn person(n: u64, chains: [Hash32; 2]) -> LinkTerms {
    let bytes = |what: &[u8]| sha256(&[what, &n.to_be_bytes()]).0;
    LinkTerms {
        emr: chains[0],
        phd: chains[1],
        seed: Seed::generate().unwrap(),
        record: Hash32(bytes(b"record")),
        device: SecretKey::from_seed(bytes(b"device")).public(),
        audience: SecretKey::from_seed([3; 32]).public(),
        expiry_ms: START_MS,
    }
}

/// The two transactions of a construction that is not ours, each with the moment at which it is handed out.
fn otherwise(construction: Construction, terms: &LinkTerms, asked_ms: u64) -> [(u64, Transaction<Verified>); 2] {
    let keys = [SecretKey::generate().unwrap(), SecretKey::generate().unwrap()];
    [0, 1].map(|i| {
        let chain = [terms.emr, terms.phd][i];
        let key = &keys[if construction == Construction::EqualKeys { 0 } else { i }];
        let when = if construction == Construction::NoJitter { asked_ms } else { asked_ms + random(WINDOW_MS) };
        if construction == Construction::EqualValues {
            let value = link_commitment(&terms.emr, &terms.seed, &terms.record, &terms.device);
            let payload = [&[0x0a, 32], value.as_bytes().as_slice()].concat();
            return (when, Transaction::sign(&chain, key, when, 32, None, &payload));
        }
        (when, link_transaction(&chain, key, &terms.seed, &terms.record, &terms.device, when))
    })
}

/// Both chains with the links of so many persons, who ask at any moment of one window. Pairs belong together.
fn world(construction: Construction, persons: u64) -> Vec<[Seen; 2]> {
    let (nodes, store) = (Arc::new(Nodes::new()), Arc::new(Memory::default()));
    let outbox = Outbox::new(store, nodes.clone(), WINDOW_MS);
    let chains = KINDS.map(|kind| genesis(kind).chain_id());
    let first_ms = START_MS - START_MS % WINDOW_MS + WINDOW_MS;
    let mut pairs = Vec::new();
    let mut due: BTreeMap<u64, Vec<(ChainKind, Transaction<Verified>)>> = BTreeMap::new();
    for n in 0..persons {
        let (terms, asked_ms) = (person(n, chains), first_ms + random(WINDOW_MS));
        if construction == Construction::AsBuilt {
            let entry = outbox.add(&terms, asked_ms).unwrap();
            pairs.push([entry.emr.txhash, entry.phd.txhash]);
            continue;
        }
        let halves = otherwise(construction, &terms, asked_ms);
        pairs.push([halves[0].1.hash(), halves[1].1.hash()]);
        for (chain, (when, tx)) in KINDS.into_iter().zip(halves) {
            due.entry(when).or_default().push((chain, tx));
        }
    }
    for now_ms in (first_ms..=first_ms + 2 * WINDOW_MS + BLOCK_MS).step_by(1_000) {
        *nodes.1.lock().unwrap() = now_ms;
        if construction == Construction::AsBuilt && now_ms >= first_ms + WINDOW_MS - BLOCK_MS {
            let report = outbox.step(now_ms).unwrap();
            assert_eq!((report.troubles.len(), report.postponed), (0, 0));
        }
        while due.first_key_value().is_some_and(|(when, _)| *when <= now_ms) {
            for (chain, tx) in due.pop_first().unwrap().1 {
                nodes.submit(chain, &tx.into_unverified()).unwrap();
            }
        }
        if now_ms % BLOCK_MS == 0 {
            nodes.mine(now_ms);
        }
    }
    let mut seen = KINDS.map(|kind| nodes.seen(kind));
    assert_eq!([seen[0].len() as u64, seen[1].len() as u64], [persons; 2], "one LINK of each person on each chain");
    pairs.iter().map(|pair| [0, 1].map(|i| seen[i].remove(&pair[i]).unwrap())).collect()
}

fn different_bits(a: &Seen, b: &Seen) -> u64 {
    a.joined.iter().zip(&b.joined).map(|(a, b)| u64::from((a ^ b).count_ones())).sum()
}

type Feature = (&'static str, fn(&Seen, &Seen) -> u64);

/// Each a distance of two LINKs.
const FEATURES: [Feature; 9] = [
    ("claimed time", |a, b| a.time_ms.abs_diff(b.time_ms)),
    ("claimed time within a second", |a, b| (a.time_ms % 1_000).abs_diff(b.time_ms % 1_000)),
    ("time of the block", |a, b| a.block_ms.abs_diff(b.block_ms)),
    ("claimed time to block", |a, b| (a.block_ms - a.time_ms).abs_diff(b.block_ms - b.time_ms)),
    ("height", |a, b| a.height.abs_diff(b.height)),
    ("order", |a, b| a.rank.abs_diff(b.rank)),
    ("place in the block", |a, b| a.index.abs_diff(b.index)),
    ("size", |a, b| a.size.abs_diff(b.size)),
    ("bits of key, signature, value and hash", different_bits),
];

/// How well a score tells true pairs from false ones, whichever way round it points.
fn auc(pairs: &[[Seen; 2]], score: impl Fn(usize, usize) -> u64) -> f64 {
    let mut wrong = Vec::with_capacity(pairs.len() * pairs.len());
    for a in 0..pairs.len() {
        wrong.extend((0..pairs.len()).filter(|b| *b != a).map(|b| score(a, b)));
    }
    wrong.sort_unstable();
    let below = |limit: u64| wrong.partition_point(|got| *got < limit) as f64;
    let halves = |got: u64| below(got) + below(got.saturating_add(1));
    let total: f64 = (0..pairs.len()).map(|i| halves(score(i, i)) / 2.0).sum();
    let auc = total / (wrong.len() as f64 * pairs.len() as f64);
    auc.max(1.0 - auc)
}

/// For every pair that shares one, how many runs of 8 bytes it shares, wherever in whichever field.
fn shared_runs(pairs: &[[Seen; 2]]) -> HashMap<(usize, usize), u64> {
    fn runs(seen: &Seen) -> impl Iterator<Item = &[u8]> {
        seen.fields.iter().flat_map(|field| field.windows(8))
    }
    let mut on_phd: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (b, [_, phd]) in pairs.iter().enumerate() {
        for run in runs(phd) {
            on_phd.entry(run).or_default().push(b);
        }
    }
    let mut shared = HashMap::new();
    for (a, [emr, _]) in pairs.iter().enumerate() {
        for b in runs(emr).filter_map(|run| on_phd.get(run)).flatten() {
            *shared.entry((a, *b)).or_default() += 1;
        }
    }
    shared
}

/// The best that the program finds: how, and its AUC.
#[allow(clippy::print_stdout, reason = "the test harness shows it when the test fails")]
fn best(pairs: &[[Seen; 2]]) -> (&'static str, f64) {
    let shared = shared_runs(pairs);
    let mut best = ("runs of 8 bytes", auc(pairs, |a, b| shared.get(&(a, b)).copied().unwrap_or(0)));
    for (name, distance) in FEATURES {
        let found = auc(pairs, |a, b| distance(&pairs[a][0], &pairs[b][1]));
        println!("{found:.3} by {name}");
        if found > best.1 {
            best = (name, found);
        }
    }
    best
}

#[test]
fn the_halves_of_a_link_share_nothing_that_both_chains_show() {
    let pairs = world(Construction::AsBuilt, 1_000);
    assert!(shared_runs(&pairs).is_empty(), "no run of 8 bytes in common between any two");
    let (how, found) = best(&pairs);
    assert!(found <= AUC_LIMIT, "{how}: {found:.3}");
}

#[test]
fn the_same_program_finds_links_that_share_a_value_a_key_or_a_moment() {
    // Which of several features of time is best without jitter is chance: persons may ask in the same millisecond.
    for (construction, by, least, persons) in [
        (Construction::EqualValues, "runs of 8 bytes", 1.0, 400),
        (Construction::EqualKeys, "runs of 8 bytes", 1.0, 400),
        (Construction::NoJitter, "", 0.99, 400),
        (Construction::SlidingWindow, "", AUC_LIMIT, 1_000),
    ] {
        let (how, found) = best(&world(construction, persons));
        println!("{construction:?}: {found:.3} by {how}");
        assert!(found >= least, "{construction:?}: expected at least {least}, got {found:.3} by {how}");
        assert!(by.is_empty() || how == by, "{construction:?}: expected {by}, got {how}");
    }
}
