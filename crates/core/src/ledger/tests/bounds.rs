//! What a block may hold, and the work that a block has to show before anything else of it is looked at.

use super::*;
use crate::limits::{BODY_PREFIX_BYTES, MAX_BODY_BYTES, MIN_BLOCK_BYTES};
use crate::tx::TxError;

/// The block of this template with a nonce that does, or does not, answer its target; hash and signature hold.
fn answered(ledger: &Ledger, template: &Template, member: u8, answers: bool) -> UncheckedBlock {
    let mut header = template.header.clone();
    while TestWork.check(&header, &header.hash(ledger.chain_id())).is_ok() != answers {
        header.nonce += 1;
    }
    template.clone().seal(ledger.chain_id(), header.nonce, Some(&secret(member)))
}

fn with_list(mut template: Template, txhashes: Vec<TxHash>) -> Template {
    template.header.tx_root = head(&txhashes);
    template.header.tx_count = u32::try_from(txhashes.len()).unwrap();
    template.txhashes = txhashes;
    template
}

fn import(ledger: &mut Ledger, block: &UncheckedBlock) -> Result<Imported, BlockError> {
    ledger.import(block.clone(), &BTreeMap::new(), START + 60_000)
}

#[test]
fn a_block_without_work_is_refused_before_its_lists_and_bodies_are_looked_at() {
    let (mut ledger, _) = open(&genesis(3));
    let template = ledger.template(&request(2, START + 1_000)).unwrap();
    // A body that nobody has: it is not asked for.
    let lazy = answered(&ledger, &with_list(template.clone(), vec![Hash32([1; 32])]), 2, false);
    let error = import(&mut ledger, &lazy).unwrap_err();
    assert!(matches!(error, BlockError::Work(_)) && error.misbehaviour(), "{error}");
    let mut foreign = lazy;
    foreign.signature = Some(secret(3).sign(b"other"));
    assert!(matches!(import(&mut ledger, &foreign), Err(BlockError::Work(_))), "nor is its signature");
    assert!(!ledger.has_staged() && ledger.tip().height == 0);
    let good = answered(&ledger, &template, 2, true);
    assert_eq!(import(&mut ledger, &good), Ok(Imported::Extended));
}

#[test]
fn an_orphan_shows_its_hash_its_work_and_a_members_signature_or_is_refused() {
    let (mut ledger, _) = open(&genesis(3));
    let mut template = ledger.template(&request(2, START + 1_000)).unwrap();
    template.header.previous = Hash32([1; 32]);
    let good = answered(&ledger, &template, 2, true);
    let is_orphan = |error: BlockError| matches!(error, BlockError::UnknownParent { .. }) && !error.misbehaviour();
    assert!(is_orphan(import(&mut ledger, &good).unwrap_err()));
    let lazy = answered(&ledger, &template, 2, false);
    let mut renamed = good.clone();
    renamed.claimed_hash = Hash32([2; 32]);
    let mut unsigned = good.clone();
    unsigned.signature = Some(secret(3).sign(b"other"));
    template.header.miner = secret(9).public().into();
    let stranger = answered(&ledger, &template, 9, true);
    for (block, text) in
        [(lazy, "proof of work"), (renamed, "blockhash"), (unsigned, "signature"), (stranger, "a member")]
    {
        for error in [ledger.check_orphan(&block).unwrap_err(), import(&mut ledger, &block).unwrap_err()] {
            assert!(error.misbehaviour() && error.to_string().contains(text), "{text}: {error}");
        }
        // Without tag 12 it is a mere claim, of which nothing is believed and nobody blamed.
        let claim = UncheckedBlock { history_root: None, ..block };
        assert!(is_orphan(import(&mut ledger, &claim).unwrap_err()), "{text}");
    }
}

#[test]
fn a_block_lists_no_more_than_its_genesis_allows() {
    let mut genesis = genesis(2);
    genesis.max_transactions = 2;
    let (mut ledger, _) = open(&genesis);
    let template = ledger.template(&request(1, START + 1_000)).unwrap();
    let list = |count: u8| (0..count).map(|n| Hash32([n; 32])).collect::<Vec<_>>();
    let over = seal(&ledger, &with_list(template.clone(), list(3)), 1);
    assert_eq!(import(&mut ledger, &over), Err(BlockError::TooMany { field: "txshash", limit: 2, got: 3 }));
    let full = seal(&ledger, &with_list(template, list(2)), 1);
    assert_eq!(import(&mut ledger, &full), Err(BlockError::MissingBodies { missing: list(2) }));
}

#[test]
fn the_bodies_of_a_block_keep_within_its_bytes() {
    let mut genesis = genesis(2);
    genesis.max_bytes = MIN_BLOCK_BYTES;
    let (mut ledger, _) = open(&genesis);
    let of = |ledger: &Ledger, bytes: usize, fill: &str| {
        let tx = tx(ledger, 9, &fill.repeat(bytes - BODY_PREFIX_BYTES));
        assert_eq!(tx.body().len(), bytes);
        tx
    };
    let half = MIN_BLOCK_BYTES as usize / 2;
    let (a, b, more) = (of(&ledger, half, "a"), of(&ledger, half, "b"), of(&ledger, half + 1, "c"));
    let template = ledger.template(&request(1, START + 1_000)).unwrap();
    let over = seal(&ledger, &with_list(template.clone(), vec![a.hash(), more.hash()]), 1);
    let error = ledger.import(over, &bodies(&[a.clone(), more]), START + 60_000).unwrap_err();
    assert!(matches!(error, BlockError::Unsound { rule: "bytes of the bodies", .. }), "{error}");
    assert!(error.misbehaviour() && ledger.tip().height == 0);
    let full = seal(&ledger, &with_list(template, vec![a.hash(), b.hash()]), 1);
    assert_eq!(ledger.import(full, &bodies(&[a, b]), START + 60_000), Ok(Imported::Extended));
}

#[test]
fn the_work_of_a_chain_never_wraps() {
    let (mut ledger, _) = open(&genesis(2));
    let template = ledger.template(&request(1, START + 1_000)).unwrap();
    let block = seal(&ledger, &template, 1);
    let mut row = ledger.index_row(&ledger.tip().hash).unwrap();
    row.work = Hash32([0xff; 32]);
    ledger.staged.index.insert(ledger.tip().hash, row);
    let error = import(&mut ledger, &block).unwrap_err();
    assert!(matches!(error, BlockError::Unsound { rule: "chain work", .. }), "{error}");
    // Of headers ahead of their blocks neither.
    let (mut tip, _) = (ledger.header_tip(&ledger.tip().hash).unwrap().unwrap(), ledger.unsound.clear());
    let header = Header { nonce: block.nonce, ..template.header };
    let unchecked = UncheckedHeader { header, signature: block.signature };
    let error = ledger.check_header(&mut tip, &unchecked, START + 60_000).unwrap_err();
    assert!(matches!(error, BlockError::Unsound { rule: "chain work", .. }), "{error}");
}

#[test]
fn a_body_has_its_version_and_its_bounds() {
    let (ledger, _) = open(&genesis(2));
    let verify = |body: Vec<u8>| {
        let good = tx(&ledger, 9, "x");
        let unverified = |hash| Transaction::new(START, 1, *good.from(), None, body.clone().into(), hash);
        // With the hash that these bytes have.
        let hash = Transaction::from_bytes(&unverified(Hash32::ZERO).to_bytes(), ledger.chain_id()).unwrap().hash();
        unverified(hash).verify(ledger.chain_id(), ChainKind::Emr).unwrap_err()
    };
    let longest = [vec![1], vec![0; MAX_BODY_BYTES - 1]].concat();
    assert!(matches!(verify(longest.clone()), TxError::Signature { .. }));
    assert_eq!(verify([longest, vec![0]].concat()), TxError::BodyLength { got: MAX_BODY_BYTES + 1 });
    assert_eq!(verify(vec![1; 64]), TxError::BodyLength { got: 64 });
    assert_eq!(verify(vec![2; 65]), TxError::Version { got: 2 });
    // As bytes of a receipt: one form for each transaction.
    let bytes = tx(&ledger, 9, "x").to_bytes();
    let parse = |bytes: &[u8]| Transaction::from_bytes(bytes, ledger.chain_id());
    assert!(parse(&bytes).is_ok());
    assert!(parse(&[&bytes[..], &[0]].concat()).unwrap_err().contains("transaction body"), "one byte more");
    let mut flagged = bytes;
    flagged[44] = 2;
    assert!(parse(&flagged).unwrap_err().contains("expected 00 or 01, got 02"));
}

/// A claimed time long ago buys no place before who came first; one of a moment ago does.
#[test]
fn a_back_dated_transaction_does_not_go_before_one_that_waits() {
    let mut genesis = genesis(2);
    genesis.max_transactions = 1;
    for (claims_ms, first) in [(START - 3_600_000, 0), (START + 8_500, 0), (START + 8_500, 1)] {
        let (mut ledger, _) = open(&genesis);
        let sign = |ledger: &Ledger, sender: u8, time_ms: u64| {
            Transaction::sign(ledger.chain_id(), &secret(sender), time_ms, 1, None, b"x")
        };
        let seen_ms = if first == 0 { START + 1_000 } else { START + 9_000 };
        let both = [sign(&ledger, 8, seen_ms), sign(&ledger, 9, claims_ms)];
        ledger.submit(both[0].clone(), seen_ms).unwrap();
        ledger.submit(both[1].clone(), START + 10_000).unwrap();
        let template = ledger.template(&request(1, START + 11_000)).unwrap();
        assert_eq!(template.txhashes, [both[first].hash()], "{claims_ms} {first}");
    }
}

#[test]
fn hashes_found_unsound_are_remembered_up_to_a_number() {
    let (mut ledger, _) = open(&genesis(2));
    let hash = |n: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        Hash32(bytes)
    };
    for n in 0..=MAX_UNSOUND {
        ledger.remember_unsound(hash(n));
    }
    assert_eq!(ledger.unsound.len(), MAX_UNSOUND);
    assert!(!ledger.unsound.contains(&hash(0)) && ledger.unsound.contains(&hash(1)), "the oldest goes");
}
