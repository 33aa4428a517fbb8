//! Engines that talk to each other: exchange, forks, late joiners.

mod common;

use blockhie_core::{BlockQuery, ErrorClass, TxStatus};
use blockhie_engine::{Event, Reply, Request, limits};
use common::forge::Forge;
use common::{Net, Serves, address, genesis, tx};
use std::sync::atomic::Ordering;

#[test]
fn blocks_and_transactions_are_exchanged() {
    let mut net = Net::new(genesis(2), 2, 1);
    net.connect_all();
    let (first, second) = (tx(&net.genesis, 1), tx(&net.genesis, 2));
    let ticket = net.submit(0, first.clone());
    assert_eq!(net.reply(0, ticket), Some(&Ok(Reply::Tx(first.hash()))));
    net.submit(1, second.clone());
    net.run(1_000);
    let block = net.mine(0).unwrap();
    assert_eq!(block.txhashes.len(), 2, "the other node's transaction was relayed");
    net.run(200);
    assert!(net.agree() && net.tip(1).height == 1);
    net.run(800);
    net.mine(1).unwrap();
    net.run(200);
    assert!(net.agree() && net.tip(0).height == 2);
    assert!(net.committed(0, &second.hash()) && net.committed(1, &first.hash()));
    assert_eq!(net.tip(0).final_height, Some(1));
    // Each transaction crossed the link once, and no body was asked for.
    assert_eq!((net.nodes[0].sent_txs, net.nodes[1].sent_txs), (1, 1));
    assert!(net.nodes.iter().all(|node| !node.asked.iter().any(|request| matches!(request, Request::Tx(_)))));
    assert!(net.nodes.iter().all(|node| node.bans.is_empty()));
}

#[test]
fn a_partition_heals_and_what_was_abandoned_commits_again() {
    for seed in 1..=5 {
        let mut net = Net::new(genesis(4), 4, seed);
        net.connect_all();
        net.run_mining(5_000, &[0, 1, 2, 3]);
        for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
            net.cut(a, b);
        }
        let txs: Vec<_> = (0..20).map(|n| tx(&net.genesis, n)).collect();
        for (i, tx) in txs.iter().enumerate() {
            net.submit(i % 4, tx.clone());
        }
        for _ in 0..20 {
            net.run_mining(1_000, &[0, 1]);
            net.mine(2);
            net.run(100);
            net.mine(3);
            net.run(100);
        }
        let heavy = net.tip(2);
        assert!(heavy.work > net.tip(0).work && net.tip(0).height > 10, "seed {seed}");
        assert_ne!(net.tip(0).hash, heavy.hash);
        // No Hello, no new block: only the tips are asked for now and then.
        net.heal();
        net.run(15_000);
        assert!(net.agree(), "seed {seed} {}", net.describe());
        assert_eq!(net.tip(0).hash, heavy.hash);
        assert!(net.nodes[0].notes.iter().any(|note| note.starts_with("reorganised at height")));
        for node in &mut net.nodes {
            node.engine.ledger_mut().clear_alarm().unwrap();
        }
        // Mined by those who never saw them in a block of their own branch.
        net.run_mining(10_000, &[2, 3]);
        net.run(1_000);
        for tx in &txs {
            assert!(net.nodes.iter().enumerate().all(|(i, _)| net.committed(i, &tx.hash())), "seed {seed}");
        }
    }
}

#[test]
fn a_late_joiner_catches_up_over_the_frozen_calls() {
    let mut net = Net::new(genesis(3), 2, 3);
    net.connect_all();
    let mut txs = Vec::new();
    for round in 0..300 {
        for n in 0..3 {
            txs.push(tx(&net.genesis, round * 3 + n));
            net.submit(1, txs.last().unwrap().clone());
        }
        net.run_mining(1_600, &[0, 1]);
    }
    net.run_mining(3_000, &[0, 1]);
    assert!(net.agree() && net.tip(0).height >= 250, "{}", net.describe());
    let late = net.add_node();
    net.connect(late, 0);
    net.connect(late, 1);
    net.run(500);
    // Until it is there it neither mines nor tells others what they have.
    assert!((20..net.tip(0).height - 20).contains(&net.tip(late).height), "{}", net.describe());
    assert!(net.nodes[late].template.is_none() && net.nodes[late].sent_blocks <= 2);
    net.run(12_000);
    assert_eq!(net.tip(late).hash, net.tip(0).hash);
    assert!(net.nodes[late].template.is_some() && net.nodes[late].sent_blocks <= 4);
    let committed = txs.iter().filter(|tx| net.committed(late, &tx.hash())).count();
    assert!(committed > 850, "{committed}");
    // Each block and each body was asked for about once, and both peers served.
    let asked = &net.nodes[late].asked;
    let bodies = asked.iter().filter(|request| matches!(request, Request::Tx(_))).count();
    assert!(bodies <= txs.len(), "{bodies}");
    assert!(asked.len() - bodies < 2 * usize::try_from(net.tip(0).height).unwrap(), "{}", asked.len());
    net.run_mining(3_000, &[0]);
    net.run(200);
    assert!(net.agree());
}

#[test]
fn a_joiner_goes_on_with_another_when_its_leader_dies() {
    let mut net = Net::new(genesis(2), 2, 4);
    net.connect_all();
    net.run_mining(200_000, &[0, 1]);
    net.run(1_000);
    let late = net.add_node();
    // It starts with node 0 alone, which goes silent half-way.
    net.connect(late, 0);
    net.run(200);
    net.nodes[0].serves = Serves::Nothing;
    net.run(100);
    let half = net.tip(late).height;
    assert!(half > 5 && half < net.tip(1).height - 50, "{half}");
    net.connect(late, 1);
    net.run(15_000);
    assert_eq!(net.tip(late).hash, net.tip(1).hash);
}

#[test]
fn peers_that_claim_and_do_not_serve_do_not_hold_a_joiner() {
    let mut net = Net::new(genesis(2), 2, 5);
    net.connect_all();
    net.run_mining(100_000, &[0, 1]);
    net.run(500);
    let silent: Vec<usize> = (0..5).map(|_| net.add_node()).collect();
    let late = net.add_node();
    for node in &silent {
        net.connect(late, *node);
        net.nodes[*node].serves = Serves::Nothing;
        let peer = address(*node);
        let work = blockhie_core::U256::MAX;
        net.event(late, Event::PeerTip { peer, height: u64::MAX, work });
    }
    net.connect(late, 0);
    net.run(60_000);
    assert_eq!(net.tip(late).hash, net.tip(0).hash);
}

#[test]
fn a_leader_that_drips_loses_the_session() {
    // Two chains that never met; the lighter one is served so slowly that no request times out.
    let mut net = Net::new(genesis(2), 2, 6);
    net.run_mining(200_000, &[0]);
    net.run_mining(300_000, &[1]);
    assert!(net.tip(0).height > 150 && net.tip(1).work > net.tip(0).work);
    let late = net.add_node();
    net.nodes[0].serves = Serves::Slowly(4_900);
    net.connect(late, 0);
    net.run(16_000);
    assert!(net.tip(late).height < 40, "the drip leads");
    net.connect(late, 1);
    net.run(25_000);
    assert_eq!(net.tip(late).hash, net.tip(1).hash, "{}", net.describe());
}

#[test]
fn peers_that_show_a_tip_and_do_not_serve_their_chain_lose_time_only_once() {
    let mut net = Net::new(genesis(2), 6, 16);
    net.connect_all();
    net.run_mining(400_000, &[0, 1]);
    net.run(2_000);
    assert!(net.agree() && net.tip(0).height > 300);
    for node in 1..6 {
        net.nodes[node].serves = Serves::TipOnly;
    }
    let late = net.add_node();
    net.connect(late, 0);
    net.run(100);
    for node in 1..6 {
        net.connect(late, node);
    }
    net.run(9_000);
    assert_eq!(net.tip(late).hash, net.tip(0).hash, "{}", net.describe());
    // The same with liars that are always quicker than the honest one.
    let second = net.add_node();
    for node in 0..6 {
        net.connect(second, node);
    }
    net.nodes[0].serves = Serves::Slowly(100);
    net.run(120_000);
    assert_eq!(net.tip(second).hash, net.tip(0).hash, "{}", net.describe());
}

#[test]
fn a_few_missed_blocks_are_asked_for_by_hash() {
    let mut net = Net::new(genesis(2), 2, 17);
    net.connect_all();
    net.run(500);
    net.cut(0, 1);
    net.run_mining(3_000, &[0]);
    net.heal();
    assert!(net.tip(0).height >= 2 && net.tip(1).height == 0);
    net.mine(0).unwrap();
    net.run(300);
    assert!(net.agree());
    assert!(!net.nodes[1].asked.iter().any(|request| matches!(request, Request::Block(BlockQuery::Height(_)))));
}

#[test]
fn a_healed_link_is_noticed_within_a_stall_however_long_it_was_cut() {
    for seconds in 5..40 {
        let mut net = Net::new(genesis(2), 2, 18);
        net.connect_all();
        net.cut(0, 1);
        net.run(seconds * 1_000);
        net.mine(0).unwrap();
        net.heal();
        net.run(limits::STALL_MS + 1_500);
        assert!(net.agree(), "{seconds} s {}", net.describe());
    }
}

#[test]
fn what_waits_is_offered_to_a_peer_that_comes_up() {
    let mut net = Net::new(genesis(2), 2, 19);
    let txs: Vec<_> = (0..200).map(|n| tx(&net.genesis, n)).collect();
    for tx in &txs {
        net.submit(0, tx.clone());
    }
    net.connect(0, 1);
    net.run(1_000);
    assert_eq!(net.nodes[1].engine.ledger().mempool_len(), 200);
    assert_eq!((net.nodes[0].sent_txs, net.nodes[1].sent_txs), (200, 0));
}

#[test]
fn bodies_that_the_mempool_refused_serve_the_block_that_carries_them() {
    let mut net = Net::new(genesis(2), 2, 7);
    net.nodes[1].engine.ledger_mut().set_mempool_limit(1);
    net.connect_all();
    let txs: Vec<_> = (0..10).map(|n| tx(&net.genesis, n)).collect();
    for tx in &txs {
        net.submit(0, tx.clone());
    }
    let ticket = net.submit(1, tx(&net.genesis, 11));
    net.run(300);
    assert!(net.nodes[1].replies.values().any(|reply| matches!(reply, Err((ErrorClass::Exhausted, _)))));
    assert!(net.reply(1, ticket).is_some());
    net.mine(0).unwrap();
    net.run(100);
    assert!(txs.iter().all(|tx| net.committed(1, &tx.hash())));
    assert!(!net.nodes[1].asked.iter().any(|request| matches!(request, Request::Tx(_))));
}

#[test]
fn nothing_is_acknowledged_or_sent_before_it_is_durable() {
    let mut net = Net::new(genesis(2), 2, 8);
    net.connect_all();
    net.run(500);
    let tx = tx(&net.genesis, 1);
    net.nodes[0].store.fails.store(true, Ordering::Relaxed);
    // The second is known already, and waits for durability all the same.
    for _ in 0..2 {
        let ticket = net.submit(0, tx.clone());
        let Some(Err((ErrorClass::Unavailable, text))) = net.reply(0, ticket) else { panic!("acknowledged") };
        assert!(text.contains("disk full"), "{text}");
    }
    let before = net.tip(1).height;
    net.mine(0).unwrap();
    net.run(5_000);
    assert_eq!((net.tip(1).height, net.nodes[0].sent_txs), (before, 0));
    // The medium recovers: all of it goes out.
    net.nodes[0].store.fails.store(false, Ordering::Relaxed);
    net.run(1_000);
    let ticket = net.submit(0, tx.clone());
    assert_eq!(net.reply(0, ticket), Some(&Ok(Reply::Tx(tx.hash()))));
    assert!(net.agree() && net.tip(1).height == before + 1);
    let status = |node: usize| net.nodes[node].engine.ledger().status(&tx.hash()).unwrap();
    assert!(!matches!(status(1), TxStatus::Unknown) && !matches!(status(0), TxStatus::Unknown));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut net = Net::new(genesis(3), 3, seed);
        net.connect_all();
        for n in 0..30 {
            net.submit(usize::try_from(n % 3).unwrap(), tx(&net.genesis, n));
            net.run_mining(700, &[0, 1, 2]);
        }
        let asked: Vec<_> = net.nodes.iter().map(|node| node.asked.clone()).collect();
        (net.tip(0), asked)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0.hash, run(2).0.hash);
}

#[test]
fn nodes_agree_soon_after_faults_stop() {
    for seed in 0..12 {
        let mut net = Net::new(genesis(4), 4, 100 + seed);
        net.connect_all();
        net.loss = 5;
        net.delay_ms = 200;
        let txs: Vec<_> = (0..40).map(|n| tx(&net.genesis, n)).collect();
        for (i, tx) in txs.iter().enumerate() {
            net.submit(i % 4, tx.clone());
            let (a, b) = (net.random(4), net.random(4));
            if a != b && net.random(3) == 0 {
                net.cut(usize::try_from(a).unwrap(), usize::try_from(b).unwrap());
            }
            if net.random(4) == 0 {
                net.heal();
            }
            net.run_mining(1_000, &[0, 1, 2, 3]);
        }
        net.heal();
        (net.loss, net.delay_ms) = (0, 20);
        for node in &mut net.nodes {
            node.engine.ledger_mut().clear_alarm().unwrap();
        }
        // What was lost on its way is offered again.
        net.run(35_000);
        for _ in 0..5 {
            net.run_mining(2_000, &[0, 1, 2, 3]);
            net.run(3_000);
            for node in &mut net.nodes {
                node.engine.ledger_mut().clear_alarm().unwrap();
            }
        }
        assert!(net.agree(), "seed {seed} {}", net.describe());
        for tx in &txs {
            assert!(net.committed(0, &tx.hash()), "seed {seed}: acknowledged and not committed");
        }
        assert!(net.nodes.iter().all(|node| node.bans.is_empty()), "seed {seed}: {:?}", net.nodes[0].bans);
    }
}

#[test]
fn what_was_lost_on_its_way_is_offered_again() {
    let mut net = Net::new(genesis(2), 2, 20);
    net.connect_all();
    net.cut(0, 1);
    net.submit(0, tx(&net.genesis, 1));
    net.run(100);
    net.heal();
    net.run(limits::REOFFER_MS + 500);
    assert_eq!(net.nodes[1].engine.ledger().mempool_len(), 1);
}

#[test]
fn a_block_that_waits_for_a_body_goes_back_to_none_of_those_who_showed_it() {
    let mut net = Net::new(genesis(4), 4, 21);
    for peer in 1..4 {
        net.nodes[peer].serves = Serves::Nothing;
        net.connect(0, peer);
    }
    net.run(10_000);
    let body = tx(&net.genesis, 1);
    let block = Forge::new(&net.genesis, 1).block(vec![body.hash()]);
    net.push(0, Some(1), block.clone());
    net.push(0, Some(2), block.clone());
    let sent = net.nodes[0].sent_blocks;
    net.event(0, Event::GotTx { peer: address(1), hash: body.hash(), tx: Some(body) });
    assert_eq!(net.tip(0).hash, block.claimed_hash);
    assert_eq!(net.nodes[0].sent_blocks - sent, 1, "to the third alone");
}
