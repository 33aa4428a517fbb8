//! Pruning: what goes, what stays, and what is proved all the same.

use super::siblings::{LATE, Maker, give, merging};
use super::*;
use crate::app::{Application, Outcome, Position, Refused, State, StateRead};
use crate::fsck::{FsckReport, fsck, state_hash};
use crate::limits::{MIN_PRUNE_DEPTH, PRUNED_AT_ONCE};
use crate::query::{build_receipt_of, waits::waits};
use crate::store::Op;
use crate::tx::TxError;

/// The first byte of a payload is a key whose value is counted up; `!` is void; `=` is kept by pruning nodes.
struct Counts;

impl Application for Counts {
    fn validate(&self, _: &Transaction<Verified>) -> Result<(), TxError> {
        Ok(())
    }
    fn admit(&self, _: &Transaction<Verified>, _: &dyn StateRead) -> Result<Result<(), Refused>, StoreError> {
        Ok(Ok(()))
    }
    fn apply(&self, tx: &Transaction<Verified>, _: Position, state: &mut dyn State) -> Result<Outcome, StoreError> {
        let key = &tx.payload()[..1];
        if key == b"!" {
            return Ok(Outcome::Void("it says so".into()));
        }
        let mut value = state.get(key)?.unwrap_or_default();
        value.push(1);
        state.put(key, &value);
        Ok(Outcome::Applied)
    }
    fn keeps(&self, tx: &Transaction<Verified>) -> bool {
        tx.payload().starts_with(b"=")
    }
}

const DEPTH: u64 = 10;
/// Whose data is kept.
const OURS: u8 = 8;

fn keep() -> Option<Keep> {
    Some(Keep { depth: DEPTH, senders: [secret(OURS).public()].into() })
}

fn reopen(store: &Arc<MemoryStore>) -> Ledger {
    Ledger::open(store.clone(), Arc::new(TestWork), Arc::new(Counts)).unwrap()
}

/// Pruning to `DEPTH`: less than an operator may ask for, or these tests would take long.
fn open_pruning(genesis: &Genesis) -> (Ledger, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new(genesis));
    let mut ledger = reopen(&store);
    ledger.pruning = keep();
    (ledger, store)
}

/// Which of two members mines a height, so that the one below is final.
fn turn(height: u64) -> u8 {
    1 + u8::try_from(height % 2).unwrap()
}

/// Blocks of both members in turn, each with one transaction of ours, one of another, and now and then others.
fn grow(ledger: &mut Ledger, blocks: u64) -> Vec<Transaction<Verified>> {
    let mut all = Vec::new();
    for _ in 0..blocks {
        let height = ledger.tip().height + 1;
        let mut texts = vec![(OURS, format!("a {height}")), (9, format!("b {height}"))];
        texts.extend(height.is_multiple_of(4).then(|| (11, format!("= {height}"))));
        for (sender, text) in texts {
            let tx = tx(ledger, sender, &text);
            ledger.submit(tx.clone(), START + height).unwrap();
            all.push(tx);
        }
        let (member, now_ms) = (turn(height), START + height * 1_000);
        let mut template = ledger.template(&request(member, now_ms)).unwrap();
        // No template picks what would be void.
        let void: Vec<_> =
            height.is_multiple_of(3).then(|| tx(ledger, 10, &format!("! {height}"))).into_iter().collect();
        template.txhashes.extend(void.iter().map(Transaction::hash));
        template.header.tx_root = head(&template.txhashes);
        template.header.tx_count = u32::try_from(template.txhashes.len()).unwrap();
        let block = seal(ledger, &template, member);
        assert_eq!(ledger.import(block, &bodies(&void), now_ms), Ok(Imported::Extended));
        ledger.commit().unwrap();
        all.extend(void);
    }
    all
}

/// A ledger that prunes, with so many blocks of [`grow`] and nothing gone yet, and what they carry.
fn grown(genesis: &Genesis, blocks: u64) -> (Ledger, Arc<MemoryStore>, Vec<Transaction<Verified>>) {
    let (mut ledger, store) = open_pruning(genesis);
    let all = grow(&mut ledger, blocks);
    (ledger, store, all)
}

/// Steps until nothing more goes; answers how many bodies each dropped.
fn prune_all(ledger: &mut Ledger) -> Vec<u64> {
    let mut steps = Vec::new();
    loop {
        let dropped = ledger.prune().unwrap();
        if !ledger.has_staged() {
            return steps;
        }
        ledger.commit().unwrap();
        steps.push(dropped);
    }
}

fn check(store: &MemoryStore) -> FsckReport {
    fsck(store.snapshot().as_ref(), Arc::new(TestWork), Arc::new(Counts)).unwrap()
}

fn assert_clean(store: &MemoryStore) -> FsckReport {
    let report = check(store);
    assert_eq!(report.differences, 0, "{:#?}", report.described);
    report
}

fn has_body(store: &MemoryStore, tx: &Transaction<Verified>) -> bool {
    store.snapshot().tx(&tx.hash()).unwrap().is_some()
}

fn height_of(store: &MemoryStore, tx: &Transaction<Verified>) -> u64 {
    store.snapshot().tx_position(&tx.hash()).unwrap().unwrap().height
}

#[test]
fn bodies_below_the_depth_go_and_receipts_of_what_is_kept_stay_as_they_were() {
    let genesis = genesis(2);
    let (mut ledger, store, all) = grown(&genesis, 30);
    let below = 30 - DEPTH;
    assert_eq!(ledger.tip().final_height, Some(29));
    let receipts: Vec<_> = all.iter().map(|tx| ledger.receipt(&tx.hash())).collect();
    let (state, before) = (state_hash(store.snapshot().as_ref()).unwrap(), assert_clean(&store));
    assert_eq!(prune_all(&mut ledger).iter().sum::<u64>(), 19 + 6, "of 19 blocks b each, and ! in every third");
    assert_eq!((ledger.tip().pruned_below, reopen(&store).tip().pruned_below), (below, below));
    let trust = Trust { genesis: Some(&genesis), ..Trust::default() };
    for (tx, receipt) in all.iter().zip(receipts) {
        let (hash, height) = (tx.hash(), height_of(&store, tx));
        let kept = height >= below || *tx.from() == secret(OURS).public() || tx.payload().starts_with(b"=");
        assert_eq!(has_body(&store, tx), kept, "height {height}");
        assert!(matches!(ledger.status(&hash).unwrap(), TxStatus::Committed { .. }));
        let Ok(receipt) = receipt else {
            assert!(matches!(ledger.receipt(&hash), Err(ReceiptError::Void { .. })), "void ones stay void");
            continue;
        };
        if kept {
            assert_eq!(ledger.receipt(&hash), Ok(receipt.clone()));
        } else {
            let error = ledger.receipt(&hash).unwrap_err();
            assert_eq!(error, ReceiptError::Pruned { txhash: hash, height, below });
            assert_eq!(error.class(), ErrorClass::NotFound);
        }
        // Whoever holds the body gets the same proof of it, pruned or not.
        let again = build_receipt_of(store.snapshot().as_ref(), &genesis, tx).unwrap();
        assert_eq!(again, receipt);
        let verdict = verify_receipt(&again, &trust).unwrap().verdict;
        assert_eq!(verdict, if height == 30 { Verdict::NotFinal } else { Verdict::Proved });
    }
    assert_eq!(state_hash(store.snapshot().as_ref()).unwrap(), state);
    let after = assert_clean(&store);
    assert_eq!((after.pruned_below, after.bodies_pruned), (below, 25));
    assert_eq!((after.state_hash, after.transactions), (before.state_hash, before.transactions));
    // What is pruned is known to be committed, and its body is not taken again.
    let gone = all.iter().find(|tx| !has_body(&store, tx)).unwrap();
    assert_eq!(ledger.submit(gone.clone(), LATE), Ok(Submitted::Committed));
    assert!(!ledger.has_staged());
    // Waits are told as far down as claims are known.
    let told = waits(store.snapshot().as_ref(), 100, 1_000, LATE).unwrap();
    assert_eq!(told.blocks.first().map(|block| block.height), Some(below));
}

#[test]
fn fsck_sees_what_is_wrong_in_a_pruned_store() {
    let (mut ledger, store, all) = grown(&genesis(2), 30);
    prune_all(&mut ledger);
    let at = |height: u64| all.iter().find(|tx| height_of(&store, tx) == height).unwrap();
    let spoiled = |ops: Vec<Op>, what: &str| {
        let copy = MemoryStore::new(ledger.genesis());
        copy_all(&store, &copy);
        assert_eq!(check(&copy).differences, 0);
        copy.commit(ops).unwrap();
        let report = check(&copy);
        assert!(report.differences > 0 && report.described[0].contains(what), "{what}: {:?}", report.described);
    };
    let first = ledger.tip().pruned_below;
    spoiled(vec![Op::DropTx(at(first).hash())], "expected a body");
    let mut position = store.snapshot().tx_position(&at(5).hash()).unwrap().unwrap();
    position.index += 1;
    spoiled(vec![Op::TxPosition(at(5).hash(), Some(position))], "tx_positions");
    spoiled(vec![Op::TxPosition(at(5).hash(), None)], "");
    spoiled(vec![Op::State(b"a".to_vec(), Some(vec![7; 99]))], "");
    spoiled(vec![Op::Pruned(crate::store::Pruned { below: 5, next: 0 })], "expected a body");
    spoiled(vec![Op::Pruned(crate::store::Pruned { below: 31, next: 0 })], "pruned");
    spoiled(vec![Op::Carried((at(5).hash(), ledger.tip().hash), true)], "carried");
    let mut block = store.snapshot().block(&ledger.view().hash_at(7).unwrap().unwrap()).unwrap().unwrap();
    block.txhashes.swap(0, 1);
    spoiled(vec![Op::PutBlock(block)], "height 7");
}

/// Everything of one store that fsck reads.
fn copy_all(from: &MemoryStore, to: &MemoryStore) {
    let view = from.snapshot();
    let mut ops = vec![Op::Meta(view.meta().unwrap()), Op::Pruned(view.pruned().unwrap())];
    for (hash, row) in view.index_page(None, 9_999).unwrap() {
        ops.push(Op::Height(row.height, Some(hash)));
        ops.push(Op::Undo(hash, view.undo(&hash).unwrap()));
        ops.push(Op::PutBlock(view.block(&hash).unwrap().unwrap()));
        ops.push(Op::PutIndex(hash, row));
    }
    for (hash, position) in view.tx_positions_page(None, 9_999).unwrap() {
        ops.push(Op::TxPosition(hash, Some(position)));
        ops.extend(view.tx(&hash).unwrap().map(Op::PutTx));
    }
    for ((level, index), hash) in view.history_page(None, 9_999).unwrap() {
        ops.push(Op::HistoryNode(level, index, Some(hash)));
    }
    for (key, value) in view.state_range(b"", None, 9_999).unwrap() {
        ops.push(Op::State(key, Some(value)));
    }
    to.commit(ops).unwrap();
}

#[test]
fn each_step_is_bounded_and_a_restart_goes_on_where_it_was() {
    let mut genesis = genesis(2);
    genesis.max_transactions = crate::limits::MAX_BLOCK_TRANSACTIONS;
    let (mut ledger, store) = open_pruning(&genesis);
    // So that the third step begins where the second has ended, and not the first.
    let many = 2 * PRUNED_AT_ONCE + 100;
    let all: Vec<_> = (0..many).map(|i| tx(&ledger, 9, &format!("a {i}"))).collect();
    for tx in &all {
        ledger.submit(tx.clone(), START).unwrap();
    }
    let others = grow(&mut ledger, 20);
    let here = |store: &MemoryStore| all.iter().filter(|tx| has_body(store, tx)).count();
    assert_eq!(here(&store), many);
    // What is staged and not committed is as if it had not been.
    assert!(ledger.prune().unwrap() > 0);
    drop(ledger);
    let mut ledger = reopen(&store);
    assert_eq!((here(&store), ledger.tip().pruned_below, assert_clean(&store).bodies_pruned), (many, 0, 0));
    ledger.pruning = keep();
    ledger.prune().unwrap();
    ledger.commit().unwrap();
    let left = here(&store);
    assert!((many - PRUNED_AT_ONCE..many).contains(&left), "{left} of {many}");
    let gone = all.iter().chain(&others).filter(|tx| !has_body(&store, tx)).count();
    assert_eq!((assert_clean(&store).bodies_pruned, store.snapshot().pruned().unwrap().below), (gone as u64, 1));
    // Another life, told to keep everything: what is gone stays gone, and nobody claims that it is here.
    let mut ledger = reopen(&store);
    assert_eq!((prune_all(&mut ledger), ledger.tip().pruned_below, here(&store)), (vec![], 2, left));
    ledger.pruning = keep();
    assert!(!prune_all(&mut ledger).is_empty());
    assert_eq!((here(&store), ledger.tip().pruned_below), (0, 10));
    assert_clean(&store);
}

#[test]
fn an_old_store_is_pruned_over_many_steps() {
    let (mut ledger, store) = open_pruning(&genesis(2));
    ledger.pruning = None;
    let blocks = PRUNED_AT_ONCE as u64 + 40;
    for height in 1..=blocks {
        mine(&mut ledger, turn(height), START + height * 1_000);
    }
    ledger.pruning = keep();
    // An empty block costs a look, too.
    assert_eq!(prune_all(&mut ledger).len(), 2);
    assert_eq!((ledger.tip().pruned_below, assert_clean(&store).pruned_below), (blocks - DEPTH, blocks - DEPTH));
}

#[test]
fn nothing_goes_that_is_not_final_or_while_the_alarm_stands() {
    let (mut ledger, store) = open_pruning(&genesis(2));
    for height in 1..=30 {
        ledger.submit(tx(&ledger, 9, &format!("a {height}")), START).unwrap();
        mine(&mut ledger, 1, START + height * 1_000);
    }
    assert_eq!((prune_all(&mut ledger), ledger.tip().final_height), (vec![], None));
    mine(&mut ledger, 2, START + 31_000);
    mine(&mut ledger, 1, START + 32_000);
    ledger.raise_alarm(Some(3)).unwrap();
    ledger.commit().unwrap();
    assert_eq!(prune_all(&mut ledger), [0; 0]);
    ledger.clear_alarm().unwrap();
    ledger.commit().unwrap();
    assert_eq!(prune_all(&mut ledger), [21]);
    assert_clean(&store);
}

/// Blocks of one member upon `from`, heavier than 30 blocks of the others.
fn branch_upon(maker: &Maker, from: Made, count: u64) -> Vec<Made> {
    let mut branch = vec![from];
    for _ in 0..count {
        branch.push(maker.child(branch.last().unwrap(), 3, 5, &[], &[]));
    }
    branch.split_off(1)
}

use super::siblings::Made;

#[test]
fn a_reorganisation_reaches_down_to_what_is_pruned_and_no_further() {
    let mut genesis = merging(3, 4, 2);
    genesis.quorum = 2;
    let (mut ledger, store) = open_pruning(&genesis);
    let maker = Maker::new(&genesis);
    let mut made = vec![maker.root.clone()];
    for height in 1..=30u64 {
        let tx = tx(&ledger, 9, &format!("a {height}"));
        made.push(maker.child(made.last().unwrap(), turn(height), 1_000, &[&tx], &[]));
        assert_eq!(give(&mut ledger, made.last().unwrap(), &[&tx]), Ok(Imported::Extended));
    }
    prune_all(&mut ledger);
    let least = ledger.tip().pruned_below - 1;
    assert_eq!(least, 19);
    let (tip, hash) = (ledger.tip().clone(), ledger.tip().hash);
    let low = branch_upon(&maker, made[usize::try_from(least).unwrap() - 1].clone(), 13);
    for block in &low[..12] {
        assert_eq!(give(&mut ledger, block, &[]), Ok(Imported::Side));
    }
    let error = give(&mut ledger, &low[12], &[]).unwrap_err();
    assert_eq!(error, BlockError::BelowPruned { block: low[12].hash, fork_height: least - 1, least });
    assert!(!error.misbehaviour() && error.fault().is_none() && error.class() == ErrorClass::Unavailable);
    assert_eq!((ledger.tip().hash, ledger.alarm()), (hash, tip.final_height));
    assert_eq!(reopen(&store).alarm(), tip.final_height, "it is durable");
    assert!(matches!(ledger.template(&request(1, LATE)), Err(TemplateError::Alarm { .. })));
    assert_clean(&store);
    // One block higher the way is open, with the alarm that a final block was abandoned.
    ledger.clear_alarm().unwrap();
    let high = branch_upon(&maker, made[usize::try_from(least).unwrap()].clone(), 12);
    let results: Vec<_> = high.iter().map(|block| give(&mut ledger, block, &[]).unwrap()).collect();
    let expected = Imported::Reorganised { fork_height: least, abandoned: 11, applied: 12 };
    assert_eq!(results.last(), Some(&expected));
    assert_eq!((ledger.tip().height, ledger.tip().pending, ledger.alarm()), (31, 11, tip.final_height));
    assert_clean(&store);
}

#[test]
fn a_stale_block_that_carries_a_pruned_transaction_brings_no_body_back() {
    let genesis = merging(2, 4, 2);
    let (mut ledger, store, all) = grown(&genesis, 30);
    let old = all.into_iter().find(|tx| *tx.from() == secret(9).public()).unwrap();
    prune_all(&mut ledger);
    assert!(!has_body(&store, &old));
    let maker = Maker::new(&genesis);
    let parent = made_at(&maker, &ledger, 29);
    let stale = maker.child(&parent, 2, 700, &[&old], &[]);
    let missing = vec![old.hash()];
    assert_eq!(give(&mut ledger, &stale, &[]), Err(BlockError::MissingBodies { missing }));
    assert_eq!(give(&mut ledger, &stale, &[&old]), Ok(Imported::Side));
    assert!(!has_body(&store, &old));
    assert_clean(&store);
    // It is merged, and what it carries is skipped: it is committed already.
    grow(&mut ledger, 1);
    assert_eq!(store.snapshot().listed(&stale.hash).unwrap(), Some(31));
    assert!(!has_body(&store, &old));
    assert_clean(&store);
}

/// The best chain's block at a height, for a maker to build on.
fn made_at(maker: &Maker, ledger: &Ledger, height: u64) -> Made {
    let block = ledger.block_at(height).unwrap().unwrap();
    let peaks = ledger.index_row(&block.hash).unwrap().peaks;
    maker.known(&block, peaks)
}

#[test]
fn a_depth_that_branches_may_need_is_refused() {
    let (mut ledger, _) = open_pruning(&genesis(2));
    let keep = |depth| Some(Keep { depth, ..Keep::default() });
    let refused = ledger.set_pruning(keep(MIN_PRUNE_DEPTH - 1));
    assert_eq!(refused, Err(LedgerError::PruneDepth { least: MIN_PRUNE_DEPTH, got: MIN_PRUNE_DEPTH - 1 }));
    assert_eq!(ledger.set_pruning(keep(MIN_PRUNE_DEPTH)), Ok(()));
    // With a shorter memory of what is beside the chain it may be less: as much as that and W.
    let (mut ledger, _) = open_pruning(&merging(2, 4, 2));
    ledger.set_short_memory(8);
    assert_eq!(ledger.set_pruning(keep(12)), Err(LedgerError::PruneDepth { least: 13, got: 12 }));
    assert_eq!(ledger.set_pruning(keep(13)), Ok(()));
}
