//! Siblings between engines: told of, fetched, merged; and what withholding and flooding come to.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]

mod common;

use blockhie_core::{
    BlockHash, BlockQuery, ErrorClass, Genesis, OpaqueApp, Store, TxHash, TxStatus, UncheckedBlock, fsck::fsck,
    genesis_block,
};
use blockhie_engine::{Reply, Request, Ticket, limits};
use blockhie_pow::ProofOfWork;
use common::forge::Forge;
use common::{Net, Serves, genesis, tx};
use std::sync::Arc;

fn merging(members: usize) -> Genesis {
    let mut genesis = genesis(members);
    (genesis.sibling_window, genesis.sibling_limit) = (16, 8);
    // No test here is about final blocks.
    genesis.quorum = u8::try_from(members).unwrap();
    genesis
}

/// A net at ten seconds, so that blocks made by hand lie in the past.
fn net_of(nodes: usize, seed: u64) -> Net {
    let mut net = Net::new(merging(nodes), nodes, seed);
    net.connect_all();
    net.run(10_000);
    net
}

#[track_caller]
fn assert_clean(net: &Net, node: usize) {
    let view = net.nodes[node].store.snapshot();
    let report = fsck(view.as_ref(), Arc::new(ProofOfWork::new(&net.genesis)), Arc::new(OpaqueApp)).unwrap();
    assert_eq!(report.differences, 0, "{:#?}", report.described);
}

fn listed(net: &Net, node: usize, hash: &BlockHash) -> Option<u64> {
    net.nodes[node].store.snapshot().listed(hash).unwrap()
}

fn asked_for(net: &Net, node: usize, hash: BlockHash) -> usize {
    net.nodes[node].asked.iter().filter(|request| **request == Request::Block(BlockQuery::Hash(hash))).count()
}

#[test]
fn two_blocks_of_one_height_are_both_committed_by_the_next() {
    let mut net = net_of(3, 1);
    let txs = [tx(&net.genesis, 1), tx(&net.genesis, 2)];
    // Each packs its own: the other's does not come.
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        net.cut(a, b);
    }
    for (node, tx) in txs.iter().enumerate() {
        net.submit(node, tx.clone());
    }
    net.run(600);
    net.heal();
    let found = [net.mine(0).unwrap(), net.mine(1).unwrap()];
    assert!(found.iter().zip(&txs).all(|(block, tx)| block.txhashes == [tx.hash()]));
    net.run(300);
    let next = net.mine(2).unwrap();
    net.run(300);
    assert!(net.agree(), "{}", net.describe());
    assert_eq!(next.siblings.len(), 1);
    assert!(found.iter().any(|block| next.siblings == [block.claimed_hash]));
    for node in 0..3 {
        for tx in &txs {
            assert!(net.committed(node, &tx.hash()));
        }
        assert_eq!(listed(&net, node, &next.siblings[0]), Some(2));
        assert_clean(&net, node);
        assert!(net.nodes[node].bans.is_empty());
    }
}

#[test]
fn a_stale_block_is_told_of_beyond_those_who_saw_it_first() {
    // 0 – 1 – 2: what 1 takes as a side block has to reach the other end through it.
    let mut net = Net::new(merging(3), 3, 2);
    net.connect(0, 1);
    net.connect(1, 2);
    net.run(10_000);
    let (a, c) = (net.mine(0).unwrap(), net.mine(2).unwrap());
    net.run(400);
    for node in 0..3 {
        for block in [&a, &c] {
            assert!(net.nodes[node].engine.ledger().knows_block(&block.claimed_hash).unwrap(), "node {node}");
        }
    }
    assert_eq!(
        net.nodes.iter().map(|node| node.asked.len()).max(),
        net.nodes.iter().map(|node| node.asked.len()).max()
    );
    let other = if net.tip(0).hash == a.claimed_hash { &c } else { &a };
    assert_eq!(net.mine(0).unwrap().siblings, [other.claimed_hash]);
    // Once to each: another copy brings nothing on.
    let sent: Vec<_> = net.nodes.iter().map(|node| node.sent_blocks).collect();
    let known = other.clone();
    net.push(1, None, known);
    net.run(0);
    assert_eq!(net.nodes[1].sent_blocks, sent[1]);
}

/// Node 2 alone has a stale branch of two blocks with a transaction, node 1's chain merges it, and its merging block is
/// pushed to node 0. Answers the net, the stale branch, the transaction, and the block with the ticket of the push.
fn pushed_merge(serves: Serves) -> (Net, [UncheckedBlock; 2], TxHash, (UncheckedBlock, Ticket)) {
    let mut net = net_of(3, 3);
    net.nodes[1].serves = serves;
    let hidden = tx(&net.genesis, 7);
    let mut stale = Forge::new(&net.genesis, 2);
    let branch = [stale.block(vec![hidden.hash()]), stale.block(vec![])];
    let mut main = Forge::new(&net.genesis, 1);
    let first = [main.block(vec![]), main.block(vec![])];
    main.siblings = branch.iter().map(|block| block.claimed_hash).collect();
    let merge = main.block(vec![]);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        net.cut(a, b);
    }
    net.submit(2, hidden.clone());
    for block in &first {
        net.push(1, None, block.clone());
        net.push(2, None, block.clone());
    }
    for block in &branch {
        net.push(2, None, block.clone());
    }
    net.run(100);
    net.heal();
    // All but the siblings are known to node 0 as well.
    for block in &first {
        net.push(0, None, block.clone());
    }
    net.run(100);
    assert!(!net.nodes[0].engine.ledger().knows_block(&branch[0].claimed_hash).unwrap());
    let ticket = net.push(0, Some(1), merge.clone());
    assert_eq!(net.reply(0, ticket), None, "it waits");
    (net, branch, hidden.hash(), (merge, ticket))
}

#[test]
fn siblings_that_are_not_here_are_asked_for_by_hash_and_then_the_block_is_taken() {
    let (mut net, branch, hidden, (merge, ticket)) = pushed_merge(Serves::Honestly);
    net.run(400);
    assert_eq!(net.reply(0, ticket), Some(&Ok(Reply::Tip(merge.claimed_hash))), "{}", net.describe());
    assert!(net.committed(0, &hidden), "the bodies of siblings come too");
    for block in &branch {
        assert!((1..=2).contains(&asked_for(&net, 0, block.claimed_hash)), "of the sender, then of another");
    }
    assert_clean(&net, 0);
    assert!(net.nodes[0].bans.is_empty());
}

#[test]
fn a_peer_that_does_not_answer_is_passed_over_for_siblings() {
    let (mut net, _, hidden, (merge, ticket)) = pushed_merge(Serves::Nothing);
    net.run(limits::STALL_MS - 1_000);
    assert_eq!(net.reply(0, ticket), None);
    net.run(3_000);
    assert_eq!(net.reply(0, ticket), Some(&Ok(Reply::Tip(merge.claimed_hash))), "{}", net.describe());
    assert!(net.committed(0, &hidden));
}

#[test]
fn what_stands_on_a_block_that_is_not_valid_is_kept_too() {
    let mut net = net_of(2, 8);
    let mut forge = Forge::new(&net.genesis, 1);
    // Not valid: it lists its own ancestor.
    forge.siblings = vec![genesis_block(&net.genesis).hash];
    let bad = forge.block(vec![]);
    forge.siblings.clear();
    let second = forge.block(vec![]);
    forge.member = 0;
    let third = forge.block(vec![]);
    for block in [&bad, &third, &second] {
        net.push(0, None, block.clone());
    }
    assert_eq!(net.tip(0).height, 0);
    for block in [&bad, &second, &third] {
        assert!(net.nodes[0].engine.ledger().knows_block(&block.claimed_hash).unwrap(), "sound: it may be merged");
    }
    net.run_mining(20_000, &[0]);
    let merged = net.nodes[0].store.snapshot().listed_page(None, 9).unwrap();
    assert_eq!(merged.len(), 3, "{}", net.describe());
    assert_clean(&net, 0);
}

#[test]
fn withheld_siblings_do_not_stop_the_chain_and_are_named() {
    let mut net = net_of(3, 4);
    let mut stale = Forge::new(&net.genesis, 2);
    let hidden = stale.block(vec![]);
    let mut forge = Forge::new(&net.genesis, 1);
    forge.siblings = vec![hidden.claimed_hash];
    let holding = forge.block(vec![]);
    let ticket = net.push(0, Some(1), holding.clone());
    net.run(50);
    net.run_mining(10_000, &[0, 2]);
    let Some(Err((ErrorClass::NotYet, text))) = net.reply(0, ticket) else { panic!("{:?}", net.reply(0, ticket)) };
    assert!(text.contains(&hidden.claimed_hash.to_string()), "{text}");
    assert!(net.tip(0).height >= 5, "{}", net.describe());
    net.run(500);
    assert!(net.agree() && net.nodes[0].bans.is_empty());
    assert!(asked_for(&net, 0, hidden.claimed_hash) >= 2, "of all that are there");
    assert!(listed(&net, 0, &holding.claimed_hash).is_some(), "the block itself is sound, and was merged");
    // Shown at last, it is merged too.
    net.push(2, None, hidden.clone());
    net.run_mining(6_000, &[0, 2]);
    net.run(500);
    assert!(net.agree() && listed(&net, 1, &hidden.claimed_hash).is_some());
    for node in 0..3 {
        assert_clean(&net, node);
    }
}

#[test]
fn a_block_with_siblings_that_nobody_serves_is_followed_when_they_come_after_all() {
    let mut net = net_of(2, 5);
    net.nodes[1].serves = Serves::Nothing;
    let mut stale = Forge::new(&net.genesis, 0);
    let hidden = stale.block(vec![]);
    let mut forge = Forge::new(&net.genesis, 1);
    let first = forge.block(vec![]);
    forge.siblings = vec![hidden.claimed_hash];
    let merge = forge.block(vec![]);
    net.push(0, Some(1), first);
    let ticket = net.push(0, Some(1), merge.clone());
    net.run(limits::WAIT_SIBLINGS_MS + 1_000);
    assert!(matches!(net.reply(0, ticket), Some(Err((ErrorClass::NotYet, _)))), "{:?}", net.reply(0, ticket));
    assert_eq!(net.tip(0).height, 1);
    net.push(0, Some(1), hidden);
    let ticket = net.push(0, Some(1), merge.clone());
    assert_eq!(net.reply(0, ticket), Some(&Ok(Reply::Tip(merge.claimed_hash))));
}

#[test]
fn a_flood_of_stale_blocks_is_not_multiplied_by_the_connections() {
    let mut net = net_of(4, 6);
    net.mine(0).unwrap();
    net.run(500);
    let forge = Forge::new(&net.genesis, 1);
    let sent = net.nodes[0].sent_blocks;
    for i in 0..50 {
        let block = forge.block_at(vec![], forge.time_ms() + common::START_MS + 1 + i, 1, i << 20);
        net.push(0, Some(1), block);
        net.run(100);
    }
    let relayed = net.nodes[0].sent_blocks - sent;
    assert!((1..=limits::MAX_SIDE_RELAYS * 3).contains(&relayed), "{relayed}");
    let next = net.mine(0).unwrap();
    assert_eq!(next.siblings.len(), 2);
}

#[test]
fn a_late_joiner_gets_the_siblings_of_each_block() {
    let mut net = Net::new(merging(3), 2, 7);
    net.connect_all();
    // So slow that many blocks are stale.
    net.delay_ms = 400;
    let txs: Vec<_> = (0..60).map(|n| tx(&net.genesis, n)).collect();
    for (i, tx) in txs.iter().enumerate() {
        net.submit(i % 2, tx.clone());
        net.run_mining(1_500, &[0, 1]);
    }
    net.delay_ms = 10;
    net.run_mining(5_000, &[0]);
    net.run(2_000);
    assert!(net.agree(), "{}", net.describe());
    let merged = net.nodes[0].store.snapshot().listed_page(None, 999).unwrap();
    assert!(merged.len() >= 3, "{}", merged.len());
    let late = net.add_node();
    net.connect(late, 0);
    net.connect(late, 1);
    // A session waits for siblings as it does for bodies, and does not start over.
    net.run(4_000);
    assert_eq!(net.tip(late).hash, net.tip(0).hash, "{}", net.describe());
    assert_eq!(net.nodes[late].store.snapshot().listed_page(None, 999).unwrap(), merged);
    for tx in &txs {
        assert!(net.committed(late, &tx.hash()));
    }
    assert_clean(&net, late);
    assert_clean(&net, 0);
}

#[test]
fn a_session_asks_ahead_for_siblings() {
    let mut net = Net::new(merging(2), 2, 9);
    net.run(60_000);
    // Forty blocks, each with one stale beside it that the next one lists.
    let mut forge = Forge::new(&net.genesis, 1);
    for height in 1..=40 {
        let listed = std::mem::take(&mut forge.siblings);
        forge.member = 0;
        let time_ms = common::START_MS + forge.time_ms() + 500;
        let stale = forge.block_at(vec![], time_ms, height, 0);
        (forge.member, forge.siblings) = (1, listed);
        let block = forge.block(vec![]);
        forge.siblings = vec![stale.claimed_hash];
        net.push(1, None, block);
        net.push(1, None, stale);
    }
    assert_eq!((net.tip(1).height, net.nodes[1].store.snapshot().listed_page(None, 99).unwrap().len()), (40, 39));
    net.delay_ms = 100;
    net.connect(0, 1);
    net.run(5_000);
    assert_eq!(net.tip(0).hash, net.tip(1).hash, "39 ways there and back are 12 s: {}", net.describe());
    assert!(net.nodes[0].asked.len() < 3 * 40, "{}", net.nodes[0].asked.len());
    assert_clean(&net, 0);
}

#[test]
fn nodes_that_merge_agree_soon_after_faults_stop() {
    let mut merges = 0;
    for seed in 0..6 {
        let mut net = Net::new(merging(4), 4, 300 + seed);
        net.connect_all();
        net.loss = 6;
        net.delay_ms = 250;
        let txs: Vec<_> = (0..40).map(|n| tx(&net.genesis, n)).collect();
        for (i, tx) in txs.iter().enumerate() {
            net.submit(i % 4, tx.clone());
            let (a, b) = (net.random(4), net.random(4));
            if a != b && net.random(4) == 0 {
                net.cut(usize::try_from(a).unwrap(), usize::try_from(b).unwrap());
            }
            if net.random(4) == 0 {
                net.heal();
            }
            net.run_mining(1_000, &[0, 1, 2, 3]);
        }
        net.heal();
        (net.loss, net.delay_ms) = (0, 20);
        net.run(35_000);
        for _ in 0..5 {
            for node in &mut net.nodes {
                node.engine.ledger_mut().clear_alarm().unwrap();
            }
            net.run_mining(2_000, &[0, 1, 2, 3]);
            net.run(3_000);
        }
        assert!(net.agree(), "seed {seed} {}", net.describe());
        let merged = net.nodes[0].store.snapshot().listed_page(None, 999).unwrap();
        merges += merged.len();
        for node in 0..4 {
            assert_clean(&net, node);
            assert!(net.nodes[node].bans.is_empty(), "seed {seed}: {:?}", net.nodes[node].bans);
            assert_eq!(net.nodes[node].store.snapshot().listed_page(None, 999).unwrap(), merged);
        }
        for tx in &txs {
            let status = net.nodes[0].engine.ledger().status(&tx.hash()).unwrap();
            assert!(matches!(status, TxStatus::Committed { .. }), "seed {seed}: acknowledged and not committed");
        }
    }
    assert!(merges >= 3, "{merges}");
}

#[test]
fn a_sibling_whose_body_nobody_served_is_asked_for_again_when_it_is_served() {
    let mut net = net_of(2, 9);
    net.cut(0, 1);
    let body = tx(&net.genesis, 7);
    let sibling = Forge::new(&net.genesis, 0).block(vec![body.hash()]);
    let mut main = Forge::new(&net.genesis, 1);
    let first = main.block(vec![]);
    main.siblings = vec![sibling.claimed_hash];
    let merge = main.block(vec![]);
    main.siblings.clear();
    let later = [main.block(vec![]), main.block(vec![])];
    net.submit(1, body);
    for block in [&first, &sibling] {
        net.push(1, None, block.clone());
    }
    net.run(100);
    net.nodes[1].serves = Serves::NoBodies;
    net.heal();
    for block in [first, merge] {
        net.push(0, Some(1), block);
    }
    // Some block always waits for it, so that it is wanted all the time.
    net.run(20_000);
    let [second, third] = later;
    net.push(0, Some(1), second);
    net.run(24_000);
    net.nodes[1].serves = Serves::Honestly;
    net.push(0, Some(1), third.clone());
    net.run(15_000);
    assert_eq!(net.tip(0).hash, third.claimed_hash, "{} {:?}", net.describe(), net.nodes[0].notes);
    assert_clean(&net, 0);
}
