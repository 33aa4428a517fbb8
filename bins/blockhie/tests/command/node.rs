//! `chain` and `load` against a node that can forget.

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
use std::sync::{Arc, Mutex};

/// A node without a chain behind it.
struct Node {
    kind: ChainKind,
    /// Of so many transactions it forgets the last one; 0: none.
    forgets: usize,
    /// Of so many transactions it refuses the last one; 0: none.
    refuses: usize,
    seen: Mutex<(usize, BTreeMap<TxHash, Transaction<Unverified>>)>,
}

fn no<T>(class: ErrorClass) -> Result<T, ServiceError> {
    Err(ServiceError::new(class, "not in this test"))
}

impl Node {
    fn genesis(&self) -> Genesis {
        let target = CompactTarget::new(0x2000_ffff).unwrap();
        Genesis::with_defaults(self.kind, "tests", Hash32([7; 32]), 1_000, target, Vec::new())
    }
}

impl LedgerService for Node {
    fn submit(&self, tx: Transaction<Unverified>) -> Answer<'_, TxHash> {
        let hash = tx.hash();
        let checked = tx.clone().verify(&self.genesis().chain_id(), ChainKind::Emr);
        let mut seen = self.seen.lock().unwrap();
        seen.0 += 1;
        let number = seen.0;
        let nth = |every: usize| every > 0 && number.is_multiple_of(every);
        let answer = match checked {
            Err(error) => Err(ServiceError::new(ErrorClass::Invalid, error.to_string())),
            Ok(_) if nth(self.refuses) => no(ErrorClass::Exhausted),
            Ok(_) => {
                if !nth(self.forgets) {
                    seen.1.insert(hash, tx);
                }
                Ok(hash)
            }
        };
        ready(answer).boxed()
    }
    fn status(&self, hash: TxHash) -> Answer<'_, TxStatus> {
        let known = self.seen.lock().unwrap().1.contains_key(&hash);
        ready(Ok(if known { TxStatus::Pending { first_seen_ms: 5 } } else { TxStatus::Unknown })).boxed()
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
        };
        ready(Ok(tip)).boxed()
    }
    fn headers(&self, _: u64, _: u32) -> Answer<'_, Vec<HeaderRow>> {
        ready(no(ErrorClass::Internal)).boxed()
    }
    fn transaction(&self, hash: TxHash) -> Answer<'_, Option<Transaction<Unverified>>> {
        ready(Ok(self.seen.lock().unwrap().1.get(&hash).cloned())).boxed()
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

/// Runs `ask` against a node; `NODE` in the arguments stands for its address.
fn with_node(kind: ChainKind, forgets: usize, refuses: usize, ask: impl FnOnce(&dyn Fn(&[&str]) -> Done)) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let node = Arc::new(Node { kind, forgets, refuses, seen: Mutex::default() });
    runtime.spawn(async move { serve(listener, node.clone(), node, std::future::pending()).await.map_err(drop) });
    ask(&|args: &[&str]| {
        let args: Vec<&str> = args.iter().map(|arg| if *arg == "NODE" { address.as_str() } else { arg }).collect();
        blockhie(&args)
    });
}

#[test]
fn load_counts_what_is_acknowledged_and_lost() {
    let load = ["load", "--node", "NODE", "--tps", "50", "--seconds", "1", "--json"];
    with_node(ChainKind::Emr, 0, 0, |ask| {
        let folder = tempfile::tempdir().unwrap();
        let acks = folder.path().join("acks");
        let acks = acks.to_str().unwrap();
        let json = ask(&[&load[..], &["--senders", "3", "--acks", acks]].concat()).expect(0).json();
        assert_eq!((json["sent"].as_u64(), json["acknowledged"].as_u64()), (Some(50), Some(50)));
        assert_eq!((json["lost"].as_u64(), json["pending"].as_u64()), (Some(0), Some(50)));
        assert!(json["p50_ms"].as_f64().unwrap() > 0.0 && json["p99_ms"].as_f64() >= json["p50_ms"].as_f64());
        assert_eq!(std::fs::read_to_string(acks).unwrap().lines().count(), 50);
        let checked = ask(&["chain", "tx", "--file", acks, "--node", "NODE", "--json"]).expect(0).json();
        assert_eq!((checked["checked"].as_u64(), checked["pending"].as_u64()), (Some(50), Some(50)));
        let text = ask(&["load", "--node", "NODE", "--tps", "10", "--seconds", "1"]).expect(0).stdout;
        assert!(text.contains("acknowledged  10") && text.contains("lost          0") && text.contains("p99"));
    });
    with_node(ChainKind::Emr, 10, 0, |ask| {
        let json = ask(&load).expect(1).json();
        assert_eq!((json["acknowledged"].as_u64(), json["lost"].as_u64()), (Some(50), Some(5)));
    });
    with_node(ChainKind::Emr, 0, 10, |ask| {
        let json = ask(&load).expect(0).json();
        assert_eq!(
            (json["acknowledged"].as_u64(), json["failed"]["refused (exhausted)"].as_u64()),
            (Some(45), Some(5))
        );
    });
}

#[test]
fn load_wants_an_emr_chain_a_key_it_can_read_and_a_list_it_can_write() {
    let load = ["load", "--node", "NODE", "--tps", "10", "--seconds", "1"];
    with_node(ChainKind::Phd, 0, 0, |ask| {
        assert!(ask(&load).expect(64).stderr.contains("expected an emr-chain, got a phd-chain"));
    });
    with_node(ChainKind::Emr, 0, 0, |ask| {
        assert!(ask(&[&load[..], &["--key", "/nonexistent"]].concat()).expect(3).stderr.contains("key file"));
        assert!(ask(&[&load[..], &["--acks", "/nonexistent/a"]].concat()).expect(1).stderr.contains("acks"));
    });
}

#[test]
fn a_node_is_asked_for_tip_blocks_and_transactions() {
    with_node(ChainKind::Emr, 0, 0, |ask| {
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
    });
}

#[test]
fn nobody_there_is_told_with_a_hint() {
    for args in [&["chain", "tip"][..], &["load", "--tps", "1", "--seconds", "1"]] {
        let done = blockhie(&[args, &["--node", "http://127.0.0.1:1"]].concat()).expect(1);
        assert!(done.stderr.contains("127.0.0.1:1") && done.stderr.contains("hint: is the node running"), "{done:?}");
    }
}
