//! Transactions that would be void wait apart: they take nobody's room, are tried again, and are bounded.

use super::*;
use crate::app::{Application, Outcome, Refused, State, StateRead};
use crate::limits::{MAX_PARKED_TRANSACTIONS, MAX_RETRIED};
use crate::tx::TxError;
use blockhie_packing::{PackingContext, PackingPolicy, WaitingPool};

/// `+k` sets k; anything else is void unless it is set. Everything is admitted.
struct Dependent;

impl Application for Dependent {
    fn validate(&self, _: &Transaction<Verified>) -> Result<(), TxError> {
        Ok(())
    }
    fn admit(&self, _: &Transaction<Verified>, _: &dyn StateRead) -> Result<Result<(), Refused>, StoreError> {
        Ok(Ok(()))
    }
    fn apply(
        &self,
        tx: &Transaction<Verified>,
        _: crate::app::Position,
        state: &mut dyn State,
    ) -> Result<Outcome, StoreError> {
        match tx.payload().split_first() {
            Some((b'+', key)) => state.put(key, b"set"),
            _ if state.get(tx.payload().split(|byte| *byte == b' ').next().unwrap_or_default())?.is_none() => {
                return Ok(Outcome::Void("not set".into()));
            }
            _ => {}
        }
        Ok(Outcome::Applied)
    }
}

/// Never the transactions that set something: as a policy whose choice leaves out what others depend on.
struct LeavesOut(Vec<TxHash>);

impl PackingPolicy<TxHash> for LeavesOut {
    fn pick(&self, pool: &WaitingPool<TxHash>, context: &PackingContext) -> Vec<TxHash> {
        FairFirst.pick(pool, context).into_iter().filter(|hash| !self.0.contains(hash)).collect()
    }
    fn name(&self) -> &'static str {
        "leaves-out"
    }
}

fn open_dependent(genesis: &Genesis) -> (Ledger, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new(genesis));
    (Ledger::open(store.clone(), Arc::new(TestWork), Arc::new(Dependent)).unwrap(), store)
}

#[test]
fn what_was_void_commits_once_it_is_not() {
    let (mut ledger, _) = open_dependent(&genesis(2));
    let (first, then) = (tx(&ledger, 9, "+a"), tx(&ledger, 8, "a x"));
    ledger.submit(first.clone(), START).unwrap();
    ledger.submit(then.clone(), START).unwrap();
    let policy = LeavesOut(vec![first.hash()]);
    let without = ledger.template(&TemplateRequest { policy: &policy, ..request(1, START + 1) }).unwrap();
    assert!(without.txhashes.is_empty(), "the second one would be void without the first");
    mine(&mut ledger, 1, START + 1_000);
    assert!(matches!(ledger.status(&then.hash()).unwrap(), TxStatus::Pending { .. }));
    mine(&mut ledger, 2, START + 2_000);
    let status = ledger.status(&then.hash()).unwrap();
    assert!(matches!(status, TxStatus::Committed { void: None, height: 2, .. }), "{status:?}");
}

#[test]
fn parked_ones_take_nobodys_room() {
    let (mut ledger, _) = open_dependent(&genesis(2));
    ledger.set_mempool_limit(8);
    for text in ["x 1", "x 2"] {
        ledger.submit(tx(&ledger, 9, text), START).unwrap();
    }
    assert!(matches!(ledger.submit(tx(&ledger, 9, "x 3"), START), Err(SubmitError::Full { limit: 2, .. })));
    ledger.template(&request(1, START + 1)).unwrap();
    assert_eq!(ledger.submit(tx(&ledger, 9, "x 3"), START), Ok(Submitted::New));
    assert_eq!(ledger.tip().pending, 3, "parked ones still wait");
    for sender in 10..17 {
        ledger.submit(tx(&ledger, sender, "x"), START).unwrap();
    }
    let error = ledger.submit(tx(&ledger, 20, "x"), START).unwrap_err();
    assert_eq!(error, SubmitError::Full { limit: 8, unit: "transactions", got: 9 });
}

#[test]
fn the_longest_untried_are_let_go_from_the_journal_too() {
    let (mut ledger, store) = open_dependent(&genesis(2));
    let mut hashes = Vec::new();
    for number in 0..=MAX_PARKED_TRANSACTIONS {
        let tx = tx(&ledger, 9, &format!("x {number}"));
        hashes.push(tx.hash());
        ledger.submit(tx, START + number as u64).unwrap();
    }
    while ledger.tip().pending > MAX_PARKED_TRANSACTIONS {
        assert!(ledger.template(&request(1, START + 100_000)).unwrap().txhashes.is_empty());
    }
    ledger.commit().unwrap();
    let gone: Vec<_> = hashes.iter().filter(|hash| ledger.status(hash).unwrap() == TxStatus::Unknown).collect();
    assert_eq!(gone.len(), 1);
    assert_eq!(store.snapshot().pending_since(gone[0]).unwrap(), None);
    assert_eq!(store.snapshot().tx(gone[0]).unwrap(), None, "nothing else needs its body");
    // They come back after a restart, all but that one.
    drop(ledger);
    let ledger = Ledger::open(store, Arc::new(TestWork), Arc::new(Dependent)).unwrap();
    assert_eq!(ledger.mempool_len(), MAX_PARKED_TRANSACTIONS);
}

#[test]
fn void_ones_that_waited_longest_do_not_fill_the_blocks() {
    let genesis = Genesis { max_transactions: 4, ..genesis(2) };
    let (mut ledger, _) = open_dependent(&genesis);
    for number in 0..2 * MAX_RETRIED {
        ledger.submit(tx(&ledger, 9, &format!("x {number}")), START).unwrap();
    }
    // Some templates until all are parked; each tries as many as its rounds allow.
    for _ in 0..8 {
        ledger.template(&request(1, START + 500)).unwrap();
    }
    let good = tx(&ledger, 8, "+y");
    // Seen long after the void ones.
    ledger.submit(good.clone(), START + 10_000).unwrap();
    mine(&mut ledger, 1, START + 11_000);
    assert!(matches!(ledger.status(&good.hash()).unwrap(), TxStatus::Committed { .. }));
    let next = tx(&ledger, 8, "+z");
    ledger.submit(next.clone(), START + 20_000).unwrap();
    mine(&mut ledger, 2, START + 21_000);
    assert!(matches!(ledger.status(&next.hash()).unwrap(), TxStatus::Committed { .. }));
}
