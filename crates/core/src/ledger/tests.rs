use super::*;
use crate::app::OpaqueApp;
use crate::block::{Header, Template, UncheckedBlock};
use crate::consensus::WorkError;
use crate::crypto::SecretKey;
use crate::error::{BlockError, ErrorClass, LedgerError, TemplateError};
use crate::genesis::{ChainKind, Member};
use crate::merkle::head;
use crate::query::TxStatus;
use crate::receipt::{Trust, Verdict, verify_receipt};
use crate::store::{Judgement, MemoryStore};
use crate::target::CompactTarget;
use blockhie_packing::FairFirst;
use primitive_types::U256;
use std::collections::BTreeMap;

mod bounds;
mod headers;
mod medium;
mod parked;
mod prune;
mod receipts;
mod siblings;
mod tips;
mod waits;

/// Every hash answers; a block weighs what its target says; λ stays 0.
pub(crate) struct TestWork;

impl Consensus for TestWork {
    fn required_target(&self, _: &ParentContext) -> CompactTarget {
        CompactTarget::MOST
    }
    fn next_lag(&self, _: &ParentContext, _: u64) -> i128 {
        0
    }
    fn check(&self, header: &Header, hash: &BlockHash) -> Result<(), WorkError> {
        // Half of all hashes answer the easiest target.
        if hash.0[0] < 0x80 { Ok(()) } else { Err(WorkError { target: header.target.to_string(), got: *hash }) }
    }
    fn work(&self, target: CompactTarget) -> U256 {
        target.work()
    }
}

const START: u64 = 1_700_000_000_000;

fn secret(i: u8) -> SecretKey {
    SecretKey::from_seed([i; 32])
}

fn genesis(n: u8) -> Genesis {
    let members = (1..=n).map(|i| Member { key: secret(i).public(), name: format!("member {i}") }).collect();
    Genesis::with_defaults(ChainKind::Emr, "test", Hash32([7; 32]), START, CompactTarget::MOST, members)
}

fn open(genesis: &Genesis) -> (Ledger, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new(genesis));
    (Ledger::open(store.clone(), Arc::new(TestWork), Arc::new(OpaqueApp)).unwrap(), store)
}

fn tx(ledger: &Ledger, sender: u8, text: &str) -> Transaction<Verified> {
    Transaction::sign(ledger.chain_id(), &secret(sender), START, 1, None, text.as_bytes())
}

fn seal(ledger: &Ledger, template: &Template, member: u8) -> UncheckedBlock {
    let mut header = template.header.clone();
    while TestWork.check(&header, &header.hash(ledger.chain_id())).is_err() {
        header.nonce += 1;
    }
    template.clone().seal(ledger.chain_id(), header.nonce, Some(&secret(member)))
}

fn request(member: u8, now_ms: u64) -> TemplateRequest<'static> {
    TemplateRequest {
        miner: secret(member).public(),
        now_ms,
        policy: &FairFirst,
        node_index: 1,
        node_count: 2,
        seed: 0,
    }
}

fn mine(ledger: &mut Ledger, member: u8, now_ms: u64) -> UncheckedBlock {
    let template = ledger.template(&request(member, now_ms)).unwrap();
    let block = seal(ledger, &template, member);
    ledger.import(block.clone(), &BTreeMap::new(), now_ms).unwrap();
    ledger.commit().unwrap();
    block
}

fn bodies(txs: &[Transaction<Verified>]) -> BTreeMap<TxHash, Transaction<Verified>> {
    txs.iter().map(|tx| (tx.hash(), tx.clone())).collect()
}

#[test]
fn a_transaction_is_committed_and_proved() {
    let genesis = genesis(2);
    let (mut ledger, _) = open(&genesis);
    let tx = tx(&ledger, 9, "a record");
    let hash = tx.hash();
    assert_eq!(ledger.submit(tx.clone(), START), Ok(Submitted::New));
    assert_eq!(ledger.submit(tx.clone(), START), Ok(Submitted::Pending));
    mine(&mut ledger, 1, START + 1_000);
    assert_eq!(ledger.submit(tx, START), Ok(Submitted::Committed));
    assert_eq!(ledger.mempool_len(), 0);
    let trust = Trust { genesis: Some(&genesis), ..Trust::default() };
    let early = verify_receipt(&ledger.receipt(&hash).unwrap(), &trust).unwrap();
    assert_eq!(early.verdict, Verdict::NotFinal);
    mine(&mut ledger, 1, START + 2_000);
    mine(&mut ledger, 2, START + 3_000);
    let receipt = ledger.receipt(&hash).unwrap();
    let back = Receipt::parse(receipt.to_json().as_bytes()).unwrap();
    let late = verify_receipt(&back, &trust).unwrap();
    assert_eq!((late.verdict, late.proved_time_ms), (Verdict::Proved, Some(START + 3_000)));
    assert_eq!(ledger.tip().final_height, Some(2));
    let TxStatus::Committed { members: 2, is_final: true, height: 1, .. } = ledger.status(&hash).unwrap() else {
        panic!("expected it final")
    };
}

#[test]
fn nothing_is_durable_before_commit_and_all_is_after() {
    let (mut ledger, store) = open(&genesis(2));
    let tx = tx(&ledger, 9, "x");
    ledger.submit(tx.clone(), START + 5).unwrap();
    assert_eq!(store.snapshot().pending(None, 9).unwrap(), vec![]);
    assert!(ledger.has_staged());
    ledger.commit().unwrap();
    assert_eq!(store.snapshot().pending(None, 9).unwrap(), vec![(tx.hash(), START + 5)]);
    drop(ledger);
    let again = Ledger::open(store, Arc::new(TestWork), Arc::new(OpaqueApp)).unwrap();
    assert_eq!(again.mempool_len(), 1);
    assert_eq!(again.status(&tx.hash()).unwrap(), TxStatus::Pending { first_seen_ms: START + 5 });
}

#[test]
fn each_fault_of_a_block_is_named_and_only_its_own_faults_condemn_the_hash() {
    let (mut ledger, _) = open(&genesis(3));
    mine(&mut ledger, 1, START + 1_000);
    let template = ledger.template(&request(2, START + 2_000)).unwrap();
    let good = seal(&ledger, &template, 2);
    let mut tries: Vec<(&str, UncheckedBlock)> = Vec::new();
    let mut with = |name, change: &dyn Fn(&mut UncheckedBlock)| {
        let mut block = good.clone();
        change(&mut block);
        tries.push((name, block));
    };
    with("siblinghash", &|b| b.siblings = vec![Hash32::ZERO]);
    with("minersignature", &|b| b.signature = None);
    with("miner", &|b| b.miner = Hash32::ZERO);
    with("difficulty", &|b| b.target = 0);
    with("blockhash", &|b| b.claimed_hash = Hash32::ZERO);
    with("blockhash", &|b| b.time_ms += 1);
    with("historyroot", &|b| b.history_root = Some(Hash32::ZERO));
    with("signature", &|b| b.signature = Some(secret(3).sign(b"other")));
    let before = ledger.tip().clone();
    for (name, block) in tries {
        let error = ledger.import(block, &BTreeMap::new(), START + 2_000).unwrap_err();
        assert!(error.to_string().contains(name), "{name}: {error}");
        assert!(error.misbehaviour(), "{name}");
        assert!(error.to_string().contains("expected"), "{name}: {error}");
    }
    let mut stranger = good.clone();
    stranger.previous = Hash32([1; 32]);
    stranger.history_root = None;
    let error = ledger.import(stranger, &BTreeMap::new(), START).unwrap_err();
    assert!(matches!(error, BlockError::UnknownParent { .. }) && !error.misbehaviour());
    assert_eq!(*ledger.tip(), before);
    // no relay made the honest block unacceptable
    assert_eq!(ledger.import(good, &BTreeMap::new(), START + 2_000), Ok(Imported::Extended));
}

#[test]
fn header_rules_along_the_ancestors_hold() {
    let (mut ledger, _) = open(&genesis(3));
    mine(&mut ledger, 1, START + 1_000);
    let template = ledger.template(&request(2, START + 2_000)).unwrap();
    type Change = fn(&mut Template);
    let changes: [(&str, u8, Change); 6] = [
        ("height", 2, |t| t.header.height = 7),
        ("time", 2, |t| t.header.time_ms = START + 1_000),
        ("member", 9, |t| t.header.miner = secret(9).public().into()),
        ("spacing", 1, |t| t.header.miner = secret(1).public().into()),
        ("target", 2, |t| t.header.target = CompactTarget::LEAST),
        ("distinct", 2, |t| {
            t.txhashes = vec![Hash32::ZERO; 2];
            t.header.tx_root = head(&t.txhashes);
            t.header.tx_count = 2;
        }),
    ];
    for (name, member, change) in changes {
        let mut changed = template.clone();
        change(&mut changed);
        let block = seal(&ledger, &changed, member);
        let error = ledger.import(block.clone(), &BTreeMap::new(), START + 2_000).unwrap_err();
        assert!(error.to_string().contains(name), "{name}: {error}");
        let again = ledger.import(block, &BTreeMap::new(), START + 2_000).unwrap_err();
        // a wrong target is not remembered: such hashes cost nothing to make
        assert_eq!(matches!(again, BlockError::KnownUnsound { .. }), name != "target", "{name}: {again}");
    }
    assert!(matches!(ledger.template(&request(1, START + 2_000)), Err(TemplateError::NotMyTurn { height: 1, .. })));
    assert!(matches!(ledger.template(&request(9, START + 2_000)), Err(TemplateError::NotAMember { .. })));
}

#[test]
fn what_is_not_yet_becomes_good_in_time() {
    let (mut ledger, _) = open(&genesis(2));
    let late = tx(&ledger, 9, "late");
    let mut template = ledger.template(&request(1, START + 100_000)).unwrap();
    template.txhashes = vec![late.hash()];
    template.header.tx_root = head(&template.txhashes);
    template.header.tx_count = 1;
    let block = seal(&ledger, &template, 1);
    let early = ledger.import(block.clone(), &BTreeMap::new(), START).unwrap_err();
    assert!(matches!(early, BlockError::TooFarAhead { .. }) && !early.misbehaviour());
    let bare = ledger.import(block.clone(), &BTreeMap::new(), START + 100_000).unwrap_err();
    assert_eq!(bare, BlockError::MissingBodies { missing: vec![late.hash()] });
    assert_eq!(ledger.import(block, &bodies(&[late]), START + 100_000), Ok(Imported::Extended));
    // the clock went back: what would be mined now would itself be too far ahead
    let wait = ledger.template(&request(2, START)).unwrap_err();
    assert_eq!(wait, TemplateError::Wait { until_ms: START + 100_001 - 10_000 });
    let ahead = Transaction::sign(ledger.chain_id(), &secret(9), START + 10_001, 1, None, b"x");
    assert!(matches!(ledger.submit(ahead, START), Err(SubmitError::TimeAhead { .. })));
}

#[test]
fn a_full_mempool_refuses_and_loses_nothing() {
    let (mut ledger, _) = open(&genesis(2));
    ledger.set_mempool_limit(8);
    for sender in 10..14 {
        for text in ["a", "b"] {
            ledger.submit(tx(&ledger, sender, text), START).unwrap();
        }
    }
    let error = ledger.submit(tx(&ledger, 20, "x"), START).unwrap_err();
    assert_eq!(error, SubmitError::Full { limit: 8, unit: "transactions", got: 9 });
    assert_eq!(error.class(), ErrorClass::Exhausted);
    assert_eq!(ledger.mempool_len(), 8);
    mine(&mut ledger, 1, START + 1_000);
    for text in ["a", "b"] {
        ledger.submit(tx(&ledger, 20, text), START).unwrap();
    }
    let error = ledger.submit(tx(&ledger, 20, "c"), START).unwrap_err();
    assert_eq!(error, SubmitError::Full { limit: 2, unit: "transactions of one sender", got: 3 });
}

#[test]
fn a_subscriber_sees_each_durable_tip() {
    let (mut ledger, _) = open(&genesis(2));
    let tips = ledger.subscribe();
    mine(&mut ledger, 1, START + 1_000);
    assert_eq!(tips.try_recv().unwrap().height, 1);
    assert!(tips.try_recv().is_err());
}

#[test]
fn a_receipt_without_a_quorum_shows_what_fits() {
    let genesis = genesis(2);
    let (mut ledger, _) = open(&genesis);
    let tx = tx(&ledger, 9, "x");
    ledger.submit(tx.clone(), START).unwrap();
    for i in 1..1_100 {
        mine(&mut ledger, 1, START + i * 10);
    }
    let receipt = ledger.receipt(&tx.hash()).unwrap();
    assert_eq!((receipt.history.len(), receipt.run.len()), (0, crate::limits::MAX_RUN_HEADERS - 1));
    let trust = Trust { genesis: Some(&genesis), ..Trust::default() };
    assert_eq!(verify_receipt(&receipt, &trust).unwrap().verdict, Verdict::NotFinal);
}

#[test]
fn a_receipt_after_a_long_wait_for_a_quorum_is_anchored() {
    let genesis = genesis(2);
    let (mut ledger, _) = open(&genesis);
    let tx = tx(&ledger, 9, "x");
    let hash = tx.hash();
    ledger.submit(tx, START).unwrap();
    for i in 1..1_200 {
        mine(&mut ledger, 1, START + i * 10);
    }
    mine(&mut ledger, 2, START + 20_000);
    let receipt = ledger.receipt(&hash).unwrap();
    assert!(!receipt.history.is_empty());
    assert!(receipt.to_json().len() < crate::limits::MAX_RECEIPT_BYTES);
    let trust = Trust { genesis: Some(&genesis), ..Trust::default() };
    assert_eq!(verify_receipt(&receipt, &trust).unwrap().verdict, Verdict::Proved);
}

#[test]
fn the_genesis_block_is_known_and_another_is_refused() {
    let genesis = genesis(2);
    let (mut ledger, _) = open(&genesis);
    let block = genesis_block(&genesis).to_unchecked();
    assert_eq!(ledger.import(block.clone(), &BTreeMap::new(), START), Ok(Imported::Known));
    let mut other = block;
    other.time_ms += 1;
    assert!(matches!(ledger.import(other, &BTreeMap::new(), START), Err(BlockError::Hash { .. })));
}
