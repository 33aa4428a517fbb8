//! A node that can forget, and `chain` against it.

use crate::run::{Done, blockhie};
use blockhie_core::{
    BlockHash, BlockQuery, ChainKind, CompactTarget, ErrorClass, Genesis, Hash32, SecretKey, Tip, Transaction, TxHash,
    TxStatus, U256, UncheckedBlock, Unverified,
};
use blockhie_transport::{Answer, HeaderRow, Hello, LedgerService, PeerInfo, PeerService, ServiceError, serve};
use futures::FutureExt;
use futures::future::ready;
use futures::stream::BoxStream;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// How a node answers.
#[derive(Clone, Copy)]
pub(crate) struct Habits {
    pub(crate) kind: ChainKind,
    /// Of so many transactions it forgets the last one; 0: none.
    pub(crate) forgets: usize,
    /// Of so many transactions it refuses the last one; 0: none.
    pub(crate) refuses: usize,
    /// Questions where a transaction stands that are answered with "pending" before all are committed.
    pub(crate) commits_after: usize,
    /// Of so many transactions the last one is void; 0: none.
    pub(crate) voids: usize,
    /// Below this height it has pruned all bodies.
    pub(crate) pruned_below: u64,
}

impl Habits {
    /// A good one, which commits nothing.
    pub(crate) fn of(kind: ChainKind) -> Self {
        Self { kind, forgets: 0, refuses: 0, commits_after: usize::MAX, voids: 0, pruned_below: 0 }
    }
}

/// What all nodes of a chain know: transactions, each with its number, and how often somebody asked for one.
#[derive(Default)]
struct Known {
    transactions: BTreeMap<TxHash, (usize, Transaction<Unverified>)>,
    asked: usize,
}

/// A node without a chain behind it.
struct Node {
    habits: Habits,
    /// Told apart by it: the genesis of another chain has another.
    nonce: u8,
    taken: AtomicUsize,
    known: Arc<Mutex<Known>>,
}

/// Ms from a transaction to its block.
pub(crate) const WAIT_MS: u64 = 100;

fn no<T>(class: ErrorClass) -> Result<T, ServiceError> {
    Err(ServiceError::new(class, "not in this test"))
}

fn nth(number: usize, every: usize) -> bool {
    every > 0 && number.is_multiple_of(every)
}

impl Node {
    fn genesis(&self) -> Genesis {
        let target = CompactTarget::new(0x2000_ffff).unwrap();
        Genesis::with_defaults(self.habits.kind, "tests", Hash32([self.nonce; 32]), 1_000, target, Vec::new())
    }
}

impl LedgerService for Node {
    fn submit(&self, tx: Transaction<Unverified>) -> Answer<'_, TxHash> {
        let hash = tx.hash();
        let checked = tx.clone().verify(&self.genesis().chain_id(), self.habits.kind);
        let number = self.taken.fetch_add(1, Ordering::SeqCst) + 1;
        let answer = match checked {
            Err(error) => Err(ServiceError::new(ErrorClass::Invalid, error.to_string())),
            Ok(_) if nth(number, self.habits.refuses) => no(ErrorClass::Exhausted),
            Ok(_) => {
                if !nth(number, self.habits.forgets) {
                    self.known.lock().unwrap().transactions.insert(hash, (number, tx));
                }
                Ok(hash)
            }
        };
        ready(answer).boxed()
    }
    fn status(&self, hash: TxHash) -> Answer<'_, TxStatus> {
        let mut known = self.known.lock().unwrap();
        known.asked += 1;
        let status = match known.transactions.get(&hash) {
            None => TxStatus::Unknown,
            Some(_) if known.asked <= self.habits.commits_after => TxStatus::Pending { first_seen_ms: 5 },
            Some((number, tx)) => TxStatus::Committed {
                height: 1,
                block: Hash32([1; 32]),
                time_ms: tx.time_ms() + WAIT_MS,
                index: 0,
                void: nth(*number, self.habits.voids).then(|| "it meets another".into()),
                members: 0,
                quorum: 0,
                is_final: false,
                via_sibling: None,
            },
        };
        ready(Ok(status)).boxed()
    }
    fn tip(&self) -> Answer<'_, Tip> {
        let tip = Tip {
            height: 3,
            hash: Hash32([3; 32]),
            time_ms: 1_750_000_123_456,
            work: U256::from(77),
            last_seen: vec![(SecretKey::from_seed([1; 32]).public(), 2)],
            final_height: Some(2),
            pending: 4,
            alarm: None,
            pruned_below: self.habits.pruned_below,
        };
        ready(Ok(tip)).boxed()
    }
    fn headers(&self, _: u64, _: u32) -> Answer<'_, Vec<HeaderRow>> {
        ready(no(ErrorClass::Internal)).boxed()
    }
    fn transaction(&self, hash: TxHash) -> Answer<'_, Option<Transaction<Unverified>>> {
        let known = self.known.lock().unwrap();
        let kept = known.transactions.get(&hash).filter(|_| self.habits.pruned_below == 0);
        ready(Ok(kept.map(|(_, tx)| tx.clone()))).boxed()
    }
    fn block(&self, query: BlockQuery) -> Answer<'_, Option<UncheckedBlock>> {
        let block = UncheckedBlock {
            height: 3,
            time_ms: 9,
            previous: Hash32([2; 32]),
            claimed_hash: Hash32([3; 32]),
            target: 0x2000_ffff,
            nonce: 11,
            txhashes: vec![Hash32([8; 32])],
            miner: Hash32([4; 32]),
            siblings: vec![],
            signature: None,
            history_root: None,
        };
        let known =
            matches!(query, BlockQuery::Tip | BlockQuery::Height(3)) || query == BlockQuery::Hash(Hash32([3; 32]));
        ready(Ok(known.then_some(block))).boxed()
    }
    fn receipt(&self, _: TxHash) -> Answer<'_, String> {
        ready(no(ErrorClass::Internal)).boxed()
    }
    fn watch(&self) -> Answer<'_, BoxStream<'static, Tip>> {
        ready(no(ErrorClass::Internal)).boxed()
    }
    fn peers(&self) -> Answer<'_, Vec<PeerInfo>> {
        ready(no(ErrorClass::Internal)).boxed()
    }
    fn genesis(&self) -> Answer<'_, Vec<u8>> {
        ready(Ok(Node::genesis(self).to_bytes())).boxed()
    }
}

impl PeerService for Node {
    fn hello(&self, _: SocketAddr, _: Hello) -> Answer<'_, Hello> {
        ready(no(ErrorClass::Internal)).boxed()
    }
    fn exchange_nodes(&self, _: SocketAddr, _: Vec<SocketAddr>) -> Answer<'_, Vec<SocketAddr>> {
        ready(no(ErrorClass::Internal)).boxed()
    }
    fn block_from(&self, _: BlockQuery) -> Answer<'_, Option<UncheckedBlock>> {
        ready(no(ErrorClass::Internal)).boxed()
    }
    fn block_to(&self, _: SocketAddr, _: UncheckedBlock) -> Answer<'_, BlockHash> {
        ready(no(ErrorClass::Internal)).boxed()
    }
    fn exchange_block(&self, _: SocketAddr, _: UncheckedBlock) -> Answer<'_, UncheckedBlock> {
        ready(no(ErrorClass::Internal)).boxed()
    }
    fn transaction_to(&self, _: SocketAddr, _: Transaction<Unverified>) -> Answer<'_, TxHash> {
        ready(no(ErrorClass::Internal)).boxed()
    }
    fn transaction_from(&self, _: TxHash) -> Answer<'_, Option<Transaction<Unverified>>> {
        ready(no(ErrorClass::Internal)).boxed()
    }
}

/// Nodes that know the same, each behind its own address.
pub(crate) struct Nodes {
    // Ends the servers when dropped.
    _runtime: tokio::runtime::Runtime,
    nodes: Vec<(String, Arc<Node>)>,
}

impl Nodes {
    /// One for each element, which is the nonce of its chain.
    pub(crate) fn start(habits: Habits, nonces: &[u8]) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let known = Arc::new(Mutex::new(Known::default()));
        let start = |nonce: &u8| {
            let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let node = Arc::new(Node { habits, nonce: *nonce, taken: AtomicUsize::new(0), known: Arc::clone(&known) });
            let services = (Arc::clone(&node), Arc::clone(&node));
            runtime.spawn(async move {
                serve(listener, services.0, services.1, std::future::pending()).await.map_err(drop)
            });
            (address, node)
        };
        let nodes = nonces.iter().map(start).collect();
        Self { _runtime: runtime, nodes }
    }

    /// Runs the command; `NODE` and `NODE2` in its arguments stand for the addresses.
    pub(crate) fn ask(&self, args: &[&str]) -> Done {
        let address = |place: usize| self.nodes[place].0.as_str();
        let known = |arg: &&str| match *arg {
            "NODE" => address(0).to_owned(),
            "NODE2" => address(1).to_owned(),
            other => other.to_owned(),
        };
        blockhie(&args.iter().map(known).collect::<Vec<_>>())
    }

    /// Submissions that each got.
    pub(crate) fn taken(&self) -> Vec<usize> {
        self.nodes.iter().map(|(_, node)| node.taken.load(Ordering::SeqCst)).collect()
    }
}

#[test]
fn a_node_is_asked_for_tip_blocks_and_transactions() {
    let nodes = Nodes::start(Habits::of(ChainKind::Emr), &[7]);
    let ask = |args: &[&str]| nodes.ask(args);
    {
        let tip = ask(&["chain", "tip", "--node", "NODE"]).expect(0).stdout;
        assert!(
            tip.contains("height   3") && tip.contains("2025-06-15T15:08:43.456Z") && tip.contains("0x4d"),
            "{tip}"
        );
        let json = ask(&["chain", "tip", "--node", "NODE", "--json"]).expect(0).json();
        assert_eq!((json["height"].as_u64(), json["final_height"].as_u64()), (Some(3), Some(2)));
        assert_eq!(json["work"].as_str().unwrap().len(), 64);
        for name in ["3", "tip", &"03".repeat(32)] {
            let block = ask(&["chain", "block", name, "--node", "NODE"]).expect(0).stdout;
            assert!(block.contains("transactions  1") && block.contains(&"08".repeat(32)), "{block}");
        }
        let json = ask(&["chain", "block", "3", "--node", "NODE", "--json"]).expect(0).json();
        assert_eq!((json["nonce"].as_str(), json["target"].as_str()), (Some("000000000000000b"), Some("2000ffff")));
        assert!(ask(&["chain", "block", "9", "--node", "NODE"]).expect(1).stderr.contains("no such block"));
        let unknown = "ab".repeat(32);
        assert!(ask(&["chain", "tx", &unknown, "--node", "NODE"]).expect(1).stdout.contains("unknown here"));
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        std::fs::write(&list, unknown.clone() + "\n").unwrap();
        let list = list.to_str().unwrap();
        assert!(ask(&["chain", "tx", "--file", list, "--node", "NODE"]).expect(1).stdout.contains(&unknown));
        ask(&["load", "--node", "NODE", "--tps", "1", "--seconds", "1", "--acks", list]).expect(0);
        let hash = std::fs::read_to_string(list).unwrap().lines().last().unwrap().to_owned();
        let json = ask(&["chain", "tx", &hash, "--node", "NODE", "--json"]).expect(0).json();
        assert_eq!((json["state"].as_str(), json["transaction"]["type"].as_i64()), (Some("submitted"), Some(1)));
    }
}

#[test]
fn a_node_that_has_pruned_a_transaction_says_so() {
    let nodes = Nodes::start(Habits { commits_after: 0, pruned_below: 2, ..Habits::of(ChainKind::Emr) }, &[7]);
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list");
    let list = list.to_str().unwrap();
    nodes.ask(&["load", "--node", "NODE", "--tps", "1", "--seconds", "1", "--acks", list]).expect(0);
    let hash = std::fs::read_to_string(list).unwrap().lines().last().unwrap().to_owned();
    let told = nodes.ask(&["chain", "tx", &hash, "--node", "NODE"]).expect(0).stdout;
    assert!(told.contains("in block 1") && told.contains("this node has pruned what it says"), "{told}");
    let json = nodes.ask(&["chain", "tx", &hash, "--node", "NODE", "--json"]).expect(0).json();
    assert_eq!((json["pruned"].as_bool(), json["transaction"].is_null()), (Some(true), true));
    let tip = nodes.ask(&["chain", "tip", "--node", "NODE"]).expect(0).stdout;
    assert!(tip.contains("pruned   bodies below height 2"), "{tip}");
}

#[test]
fn nobody_there_is_told_with_a_hint() {
    for args in [&["chain", "tip"][..], &["load", "--tps", "1", "--seconds", "1"]] {
        let done = blockhie(&[args, &["--node", "http://127.0.0.1:1"]].concat()).expect(1);
        assert!(done.stderr.contains("127.0.0.1:1") && done.stderr.contains("hint: is the node running"), "{done:?}");
    }
}
