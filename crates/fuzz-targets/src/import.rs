//! Import of arbitrary blocks into a ledger: the bytes are a script that forges blocks over any known one, spoils some,
//! submits transactions, commits and opens again.
//!
//! Invariants after every step: no panic; a refused block moves nothing; the tip's work never falls. At the end `fsck`,
//! which replays the chain from its genesis, finds nothing, and the store opens with the same tip and state.

use crate::{rules, same};
use blockhie_core::block::block_sign_bytes;
use blockhie_core::fsck::{fsck, state_hash};
use blockhie_core::{
    Application, BlockHash, ChainKind, CompactTarget, Genesis, Hash32, Header, Imported, Ledger, Member, MemoryStore,
    Router, SecretKey, Signature, Store, Transaction, TxHash, UncheckedBlock, Verified, genesis_block, merkle,
};
use blockhie_coupling::CouplingApp;
use blockhie_emr::EmrApp;
use blockhie_pow::NoWork;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

const START_MS: u64 = 1_750_000_000_000;
/// The clock stands still; times that a script writes go past what it lets in.
const NOW_MS: u64 = START_MS + 20_000;
/// W and L of this chain: as long as a ledger takes no others, a block that lists siblings is one more that is refused.
const SIBLINGS: (u8, u8) = (4, 3);
/// Steps of a script: enough for a reorganisation of several blocks and back.
const MAX_STEPS: usize = 48;

static SECRETS: LazyLock<Vec<SecretKey>> = LazyLock::new(|| (1..=5).map(|i| SecretKey::from_seed([i; 32])).collect());

/// Three members, so that spacing is 1; the fourth and fifth secret are nobody's.
static GENESIS: LazyLock<Genesis> = LazyLock::new(|| {
    let members = SECRETS[..3].iter().map(|secret| Member { key: secret.public(), name: secret.public().to_string() });
    let nonce = Hash32([7; 32]);
    let genesis =
        Genesis::with_defaults(ChainKind::Emr, "fuzz", nonce, START_MS, CompactTarget::MOST, members.collect());
    let (sibling_window, sibling_limit) = SIBLINGS;
    Genesis { sibling_window, sibling_limit, ..genesis }
});

fn application() -> Arc<dyn Application> {
    let router = Router::new(ChainKind::Emr).route(1..=7, Box::new(EmrApp));
    Arc::new(router.route(32..=33, Box::new(CouplingApp::new(&GENESIS))))
}

/// The script: bytes from the front, zeros after the end.
struct Script<'a>(std::slice::Iter<'a, u8>);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    /// One of a list that is not empty, the last ones with small numbers.
    fn pick(&mut self, len: usize) -> usize {
        len - 1 - usize::from(self.byte()) % len
    }
}

/// A block that was forged, and the hashes from the genesis to it.
struct Known {
    block: UncheckedBlock,
    log: Vec<BlockHash>,
}

/// What became of the blocks of a script.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Blocks on top of the tip.
    pub extended: u32,
    /// Blocks kept beside the best chain.
    pub side: u32,
    /// Reorganisations.
    pub reorganised: u32,
    /// Transactions committed at the end.
    pub committed: u64,
    /// Blocks refused.
    pub refused: u32,
}

struct World {
    reached: Reached,
    store: Arc<MemoryStore>,
    ledger: Ledger,
    known: Vec<Known>,
    transactions: Vec<Transaction<Verified>>,
}

/// Bytes in, invariants held.
pub fn import(bytes: &[u8]) {
    let _ = import_reaching(bytes);
}

/// The same, and how far it came: so that a test can see that the seeds reach what they are for.
#[must_use]
pub fn import_reaching(bytes: &[u8]) -> Reached {
    let mut world = World::new();
    let mut script = Script(bytes.iter());
    for _ in 0..MAX_STEPS {
        if script.0.len() == 0 {
            break;
        }
        let before = world.ledger.tip().clone();
        world.step(&mut script);
        assert!(world.ledger.tip().work >= before.work, "work fell from {before:?}");
    }
    world.end()
}

impl World {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new(&GENESIS));
        let ledger = Ledger::open(store.clone(), Arc::new(NoWork), application()).expect("an empty store opens");
        let block = genesis_block(&GENESIS);
        let known = vec![Known { log: vec![block.hash], block: block.to_unchecked() }];
        Self { reached: Reached::default(), store, ledger, known, transactions: Vec::new() }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 8 {
            step @ 0..=2 => {
                let (block, log) = self.forge(script, step == 2);
                self.import(block.clone());
                self.known.push(Known { block, log });
            }
            3 => {
                let (block, _) = self.forge(script, false);
                let block = self.spoil(block, script);
                self.import(block);
            }
            4 => self.submit(script),
            5 => self.ledger.commit().expect("a store in memory takes everything"),
            6 => self.reopen(),
            _ => {
                let at = script.pick(self.known.len());
                self.import(self.known[at].block.clone());
            }
        }
    }

    /// A block over any known one, with a few of the transactions there are, and of the blocks as siblings where it
    /// lists any. Its own bytes hold; rules may not.
    fn forge(&self, script: &mut Script<'_>, lists: bool) -> (UncheckedBlock, Vec<BlockHash>) {
        let parent = &self.known[script.pick(self.known.len())];
        let secret = &SECRETS[usize::from(script.byte()) % 4];
        // Mostly a fraction of a second, at most 15 s and more than the clock admits.
        let time_ms = parent.block.time_ms + u64::from(script.byte()).pow(2) / 4;
        let count = usize::from(script.byte() % 4).min(self.transactions.len());
        let txhashes: Vec<TxHash> =
            (0..count).map(|_| self.transactions[script.pick(self.transactions.len())].hash()).collect();
        let count_of_siblings = if lists { 1 + script.byte() % 3 } else { 0 };
        let siblings: Vec<BlockHash> =
            (0..count_of_siblings).map(|_| self.known[script.pick(self.known.len())].block.claimed_hash).collect();
        let header = Header {
            previous: parent.block.claimed_hash,
            tx_root: merkle::head(&txhashes),
            history_root: merkle::head(&parent.log),
            siblings_root: merkle::head(&siblings),
            miner: Hash32(*secret.public().as_bytes()),
            height: parent.block.height + 1,
            time_ms,
            tx_count: u32::try_from(count).expect("at most 3"),
            target: CompactTarget::MOST,
            nonce: u64::from(script.byte()),
        };
        let chain = GENESIS.chain_id();
        let hash = header.hash(&chain);
        let block = UncheckedBlock {
            height: header.height,
            time_ms,
            previous: header.previous,
            claimed_hash: hash,
            target: header.target.get(),
            nonce: header.nonce,
            txhashes,
            miner: header.miner,
            siblings,
            signature: Some(secret.sign(&block_sign_bytes(&chain, &hash))),
            history_root: Some(header.history_root),
        };
        let mut log = parent.log.clone();
        log.push(hash);
        (block, log)
    }

    /// Changes one thing of a block, and by the script's choice makes hash and signature fit again.
    fn spoil(&self, mut block: UncheckedBlock, script: &mut Script<'_>) -> UncheckedBlock {
        let (field, value, seal) = (script.byte() % 12, script.byte(), script.byte());
        let root = block.history_root;
        let flip = |bytes: &mut [u8]| bytes[usize::from(value) % bytes.len()] ^= 1 << (value % 8);
        match field {
            0 => block.height = block.height.wrapping_add_signed(i64::from(value) - 127),
            1 => block.time_ms = block.time_ms.wrapping_sub(u64::from(value) << (value % 60)),
            2 => flip(&mut block.previous.0),
            3 => flip(&mut block.claimed_hash.0),
            4 => block.target = block.target.wrapping_add(u32::from(value) << (value % 25)),
            5 => block.txhashes.push(Hash32([value; 32])),
            6 => flip(&mut block.miner.0),
            7 => block.siblings.push(self.known[script.pick(self.known.len())].block.claimed_hash),
            8 => block.signature = None,
            9 => block.history_root = (value & 1 == 0).then_some(Hash32([value; 32])),
            10 => block.txhashes.extend(block.txhashes.first().copied()),
            _ => block.signature = Some(Signature([value; 64])),
        }
        let secret = &SECRETS[usize::from(seal) % SECRETS.len()];
        if seal & 0x80 != 0
            && let Ok(header) = block.header(block.history_root.or(root).unwrap_or(Hash32::ZERO))
        {
            block.claimed_hash = header.hash(&GENESIS.chain_id());
        }
        if seal & 0x40 != 0 && block.signature.is_some() {
            let text = block_sign_bytes(&GENESIS.chain_id(), &block.claimed_hash);
            block.signature = Some(secret.sign(&text));
        }
        block
    }

    fn import(&mut self, block: UncheckedBlock) {
        let before = self.ledger.tip().clone();
        let bodies: BTreeMap<TxHash, Transaction<Verified>> =
            self.transactions.iter().map(|tx| (tx.hash(), tx.clone())).collect();
        let hash = block.claimed_hash;
        match self.ledger.import(block, &bodies, NOW_MS) {
            Ok(imported) => {
                match imported {
                    Imported::Known => {}
                    Imported::Side => self.reached.side += 1,
                    Imported::Extended => self.reached.extended += 1,
                    Imported::Reorganised { .. } => self.reached.reorganised += 1,
                }
                assert!(self.ledger.knows_block(&hash).expect("a store in memory"), "{hash} was taken");
            }
            Err(error) => {
                self.reached.refused += 1;
                let tip = self.ledger.tip();
                assert!(*tip == before, "{error} moved the tip from {before:?} to {tip:?}");
                assert!(!error.to_string().is_empty());
            }
        }
    }

    /// A record, an amendment, or any payload of any type; sent twice now and then.
    fn submit(&mut self, script: &mut Script<'_>) {
        let (kind, secret) = (script.byte(), &SECRETS[usize::from(script.byte()) % SECRETS.len()]);
        let value = script.byte();
        let hash = |field: u8, byte: u8| [&[field << 3 | 2, 32][..], &[byte % 4; 32]].concat();
        let (tx_type, payload) = match kind % 8 {
            0..=2 => (1, hash(1, value)),
            3 => (2, [hash(1, value), hash(2, value / 4)].concat()),
            4 => (4, hash(1, value)),
            5 => (5, hash(1, value)),
            6 => (32, hash(1, value)),
            _ => (i32::from(value % 40), (0..kind / 8).map(|_| script.byte()).collect()),
        };
        let tx = Transaction::sign(&GENESIS.chain_id(), secret, START_MS + u64::from(value), tx_type, None, &payload);
        let tip = self.ledger.tip().hash;
        let _ = self.ledger.submit(tx.clone(), NOW_MS);
        same(&self.ledger.tip().hash, &tip);
        // Also what was refused may stand in somebody's block.
        if tx_type != 0 && ChainKind::Emr.admits(tx_type) {
            self.transactions.push(tx);
        }
    }

    fn reopen(&mut self) {
        self.ledger.commit().expect("a store in memory takes everything");
        let tip = self.ledger.tip().clone();
        self.ledger =
            Ledger::open(self.store.clone(), Arc::new(NoWork), application()).expect("what was committed opens");
        same(self.ledger.tip(), &tip);
    }

    fn end(mut self) -> Reached {
        self.reopen();
        rules::hold(&self.ledger, &GENESIS, NOW_MS);
        let view = self.store.snapshot();
        let report = fsck(&*view, Arc::new(NoWork), application()).expect("a store in memory can be read");
        assert!(report.differences == 0, "{:?}", report.described);
        same(&report.tip, &self.ledger.tip().hash);
        same(&report.state_hash, &state_hash(&*view).expect("a store in memory"));
        Reached { committed: report.transactions, ..self.reached }
    }
}
