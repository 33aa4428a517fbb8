//! Headers ahead of their bodies: what is checked of them, and that nothing else is needed.

use super::*;
use crate::block::block_sign_bytes;
use crate::query::headers::{blocks_after, whole_block};

/// A chain of this many blocks by members 1 to 3 in turn, and its headers.
fn chain(genesis: &Genesis, blocks: u64) -> (Ledger, Vec<UncheckedHeader>) {
    let (mut ledger, _) = open(genesis);
    for n in 1..=blocks {
        let tx = tx(&ledger, 9, &format!("{n}"));
        ledger.submit(tx, START).unwrap();
        let member = u8::try_from(1 + n % 3).unwrap();
        mine(&mut ledger, member, START + n * 1_000);
    }
    ledger.commit().unwrap();
    let headers = (1..=blocks).map(|height| of(&ledger.block_at(height).unwrap().unwrap())).collect();
    (ledger, headers)
}

fn of(block: &Block) -> UncheckedHeader {
    UncheckedHeader { header: block.header.clone(), signature: block.signature }
}

/// With an answer to its target, and signed by this member.
fn resealed(ledger: &Ledger, mut header: Header, member: u8) -> UncheckedHeader {
    while TestWork.check(&header, &header.hash(ledger.chain_id())).is_err() {
        header.nonce += 1;
    }
    let hash = header.hash(ledger.chain_id());
    let signature = Some(secret(member).sign(&block_sign_bytes(ledger.chain_id(), &hash)));
    UncheckedHeader { header, signature }
}

#[test]
fn a_chain_of_headers_is_checked_without_its_bodies() {
    let genesis = genesis(3);
    let (far, headers) = chain(&genesis, 40);
    let (near, _) = open(&genesis);
    let mut tip = near.header_tip(&near.tip().hash).unwrap().unwrap();
    for header in &headers {
        let hash = near.check_header(&mut tip, header, START + 60_000).unwrap();
        assert_eq!((hash, tip.hash(), tip.height()), (hash, hash, header.header.height));
    }
    assert_eq!((tip.hash(), tip.work()), (far.tip().hash, far.tip().work));
    assert_eq!(near.tip().height, 0, "nothing was taken");
    // From the middle, on blocks that are there, it comes to the same.
    let mut tip = far.header_tip(&headers[19].header.hash(far.chain_id())).unwrap().unwrap();
    for header in &headers[20..] {
        far.check_header(&mut tip, header, START + 60_000).unwrap();
    }
    assert_eq!((tip.hash(), tip.work()), (far.tip().hash, far.tip().work));
    assert!(near.header_tip(&far.tip().hash).unwrap().is_none());
}

#[test]
fn each_rule_of_a_header_is_held() {
    let genesis = genesis(3);
    assert_eq!(genesis.spacing, 1);
    let (_, headers) = chain(&genesis, 6);
    let (ledger, _) = open(&genesis);
    let mut tip = ledger.header_tip(&ledger.tip().hash).unwrap().unwrap();
    for header in &headers[..5] {
        ledger.check_header(&mut tip, header, START + 60_000).unwrap();
    }
    let (good, before) = (&headers[5], tip.clone());
    let mut check = |header: UncheckedHeader, now_ms: u64| {
        let error = ledger.check_header(&mut tip, &header, now_ms).unwrap_err();
        assert_eq!((tip.hash(), tip.work()), (before.hash(), before.work()), "{error}");
        error
    };
    let changed = |change: &dyn Fn(&mut Header), member: u8| {
        let mut header = good.header.clone();
        change(&mut header);
        resealed(&ledger, header, member)
    };
    // Member 1 has block 6; member 3 has block 5, member 2 block 4.
    let rule = |error: BlockError| match error {
        BlockError::Unsound { rule, .. } => rule,
        other => panic!("{other}"),
    };
    let late = START + 60_000;
    let unsigned = UncheckedHeader { signature: None, ..good.clone() };
    assert!(matches!(check(unsigned, late), BlockError::SignaturePresence { .. }));
    assert!(matches!(check(changed(&|header| header.tx_count = 4_001, 1), late), BlockError::TooMany { .. }));
    assert!(matches!(check(changed(&|header| header.miner = Hash32::ZERO, 1), late), BlockError::MinerKey(_)));
    let unlinked = changed(&|header| header.previous = Hash32([1; 32]), 1);
    assert!(matches!(check(unlinked, late), BlockError::UnknownParent { .. }));
    let other = changed(&|header| header.history_root = Hash32([1; 32]), 1);
    assert!(matches!(check(other, late), BlockError::HistoryRoot { .. }));
    let easier = CompactTarget::new(0x1f7f_ffff).unwrap();
    let other = changed(&|header| header.target = easier, 1);
    assert!(matches!(check(other, late), BlockError::WrongTarget { .. }));
    let mut lazy = good.clone();
    while TestWork.check(&lazy.header, &lazy.header.hash(ledger.chain_id())).is_ok() {
        lazy.header.nonce += 1;
    }
    assert!(matches!(check(lazy, late), BlockError::Work(_)));
    let foreign = changed(&|header| header.nonce += 1, 2);
    assert!(matches!(check(foreign, late), BlockError::Signature { .. }));
    assert_eq!(rule(check(changed(&|header| header.height += 1, 1), late)), "height");
    let parent_ms = headers[4].header.time_ms;
    assert_eq!(rule(check(changed(&|header| header.time_ms = parent_ms, 1), late)), "time");
    assert_eq!(rule(check(changed(&|header| header.miner = secret(8).public().into(), 8), late)), "miner");
    assert_eq!(rule(check(changed(&|header| header.miner = headers[4].header.miner, 3), late)), "spacing");
    assert!(matches!(check(good.clone(), START - 60_000), BlockError::TooFarAhead { .. }));
    assert!(ledger.check_header(&mut tip, good, late).is_ok());
}

#[test]
fn nothing_stands_on_a_block_that_was_judged() {
    let genesis = genesis(3);
    let (mut ledger, _) = chain(&genesis, 3);
    // Sound and not valid: it repeats what its ancestor committed.
    let repeated = ledger.block_at(2).unwrap().unwrap().txhashes;
    let mut template = ledger.template(&request(2, START + 9_000)).unwrap();
    (template.header.tx_root, template.header.tx_count) = (head(&repeated), 1);
    template.txhashes = repeated;
    let bad = seal(&ledger, &template, 2);
    assert!(matches!(ledger.import(bad.clone(), &BTreeMap::new(), START), Err(BlockError::NotValid { .. })));
    let mut header = template.header.clone();
    header.nonce = bad.nonce;
    let mut tip = ledger.header_tip(&ledger.tip().hash).unwrap().unwrap();
    let unchecked = UncheckedHeader { header, signature: bad.signature };
    let error = ledger.check_header(&mut tip, &unchecked, START).unwrap_err();
    assert!(matches!(error, BlockError::NotValid { .. }) && !error.misbehaviour(), "{error}");
    let mut on_it = ledger.header_tip(&bad.claimed_hash).unwrap().unwrap();
    let child = Header { previous: bad.claimed_hash, height: 5, ..unchecked.header };
    let mut child = Header {
        history_root: ledger.index_row(&bad.claimed_hash).unwrap().peaks.head(),
        time_ms: child.time_ms + 1,
        ..child
    };
    child.miner = secret(3).public().into();
    let child = resealed(&ledger, child, 3);
    assert!(matches!(ledger.check_header(&mut on_it, &child, START), Err(BlockError::NotValid { .. })));
}

#[test]
fn a_locator_is_short_and_finds_the_fork() {
    let genesis = genesis(3);
    let (mut far, _) = chain(&genesis, 300);
    let locator = far.locator().unwrap();
    assert!((12..24).contains(&locator.len()), "{}", locator.len());
    assert_eq!(locator[0], far.tip().hash);
    assert_eq!(locator[9], far.block_at(291).unwrap().unwrap().hash);
    assert_eq!(*locator.last().unwrap(), genesis_block(&genesis).hash);
    let view = far.view();
    let heights = |locator: &[BlockHash], limit: u32| {
        let blocks = blocks_after(&view, locator, limit).unwrap();
        blocks.map(|blocks| blocks.iter().map(|block| block.header.height).collect::<Vec<_>>())
    };
    assert_eq!(heights(&[Hash32([1; 32]), locator[9], locator[0]], 3), Some(vec![292, 293, 294]));
    assert_eq!(heights(&locator[9..], 100).unwrap().len(), 9);
    assert_eq!(heights(&locator, 5), Some(vec![]), "nothing above the tip");
    assert_eq!(heights(&[Hash32([1; 32])], 5), None);
    drop(view);
    // A block beside the best chain is not on it.
    let (mut other, _) = open(&genesis);
    let side = mine(&mut other, 1, START + 500);
    assert_eq!(far.import(side.clone(), &BTreeMap::new(), START + 60_000), Ok(Imported::Side));
    let genesis_hash = *locator.last().unwrap();
    let blocks = blocks_after(&far.view(), &[side.claimed_hash, genesis_hash], 1).unwrap().unwrap();
    assert_eq!(blocks[0], far.block_at(1).unwrap().unwrap());

    let (block, transactions) = whole_block(&far.view(), &locator[3]).unwrap().unwrap();
    assert_eq!(block.txhashes, transactions.iter().map(Transaction::hash).collect::<Vec<_>>());
    assert!(whole_block(&far.view(), &Hash32([1; 32])).unwrap().is_none());
}
