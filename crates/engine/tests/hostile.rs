//! Peers that lie, withhold, flood or break: the engine says why, and the honest chain goes on.

mod common;

use blockhie_core::{BlockQuery, ErrorClass, Hash32, Signature, UncheckedBlock, genesis_block};
use blockhie_engine::{AskError, Event, PeerId, Reply, Request, Ticket, limits};
use common::forge::Forge;
use common::{Net, START_MS, Serves, address, genesis, tx};

fn refusal(net: &Net, node: usize, ticket: Ticket) -> (ErrorClass, String) {
    match net.reply(node, ticket) {
        Some(Err(refusal)) => refusal.clone(),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn noted(net: &Net, node: usize, text: &str) -> bool {
    net.nodes[node].notes.iter().any(|note| note.contains(text))
}

/// A net at ten seconds, so that blocks made by hand lie in the past. Node 0 is the one under test.
fn net_of(nodes: usize, seed: u64) -> Net {
    let mut net = Net::new(genesis(nodes), nodes, seed);
    net.connect_all();
    net.run(10_000);
    net
}

#[test]
fn a_heavier_chain_that_is_not_valid_is_not_followed_and_the_answer_says_why() {
    let mut net = net_of(2, 1);
    let twice = tx(&net.genesis, 1);
    net.submit(0, twice.clone());
    net.cut(0, 1);
    let mut forge = Forge::new(&net.genesis, 1);
    let chain = [vec![twice.hash()], vec![twice.hash()], vec![], vec![]].map(|list| forge.block(list));
    let own = net.mine(0).unwrap().claimed_hash;
    let tickets = chain.each_ref().map(|block| net.push(0, Some(1), block.clone()));
    assert_eq!(net.reply(0, tickets[0]), Some(&Ok(Reply::Tip(own))), "sound, and beside");
    let (class, text) = refusal(&net, 0, tickets[1]);
    assert_eq!(class, ErrorClass::Invalid);
    for part in ["not valid", "own transactions", "expected none that an ancestor committed", "committed at height 1"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(noted(&net, 0, &text));
    assert!(refusal(&net, 0, tickets[2]).1.contains("ancestors"));
    assert_eq!(net.tip(0).hash, own);
    assert!(net.nodes[0].bans.is_empty(), "an honest peer may know less than we do");
    net.mine(0).unwrap();
    assert_eq!(net.tip(0).height, 2);
}

#[test]
fn a_joiner_leaves_an_invalid_heavier_chain_for_the_valid_one() {
    let mut net = net_of(3, 2);
    let twice = tx(&net.genesis, 1);
    net.submit(2, twice.clone());
    net.run_mining(20_000, &[2]);
    let late = net.add_node();
    let mut forge = Forge::new(&net.genesis, 1);
    let mut fake = vec![genesis_block(&net.genesis).to_unchecked()];
    fake.extend((0..40).map(|i| forge.block(if i == 10 || i == 20 { vec![twice.hash()] } else { vec![] })));
    net.run(60_000);
    net.nodes[1].fake = Some(fake);
    net.connect(late, 1);
    net.run(3_000);
    assert_eq!(net.tip(late).height, 20, "the valid part");
    assert!(noted(&net, late, "own transactions"), "{:?}", net.nodes[late].notes);
    net.connect(late, 2);
    net.run(5_000);
    // 20 blocks by hand against about as many honest ones: whichever is heavier, the invalid rest is not in it.
    let height = net.tip(2).height;
    net.run_mining(10_000, &[2]);
    assert!(net.tip(2).height > height);
    net.run(1_000);
    assert!(net.tip(late).work >= net.tip(2).work && net.tip(late).height < 40);
    assert!(net.nodes[late].bans.is_empty());
}

#[test]
fn withheld_bodies_do_not_stop_the_chain_and_are_named() {
    let mut net = net_of(3, 3);
    let hidden = tx(&net.genesis, 9);
    net.nodes[2].serves = Serves::NoBodies;
    let mut forge = Forge::new(&net.genesis, 2);
    let block = forge.block(vec![hidden.hash()]);
    let ticket = net.push(0, Some(2), block.clone());
    net.run(100);
    assert_eq!(net.reply(0, ticket), None, "its bodies are being asked for");
    // The honest chain grows meanwhile.
    net.run_mining(12_000, &[0, 1]);
    let (class, text) = refusal(&net, 0, ticket);
    assert_eq!(class, ErrorClass::NotYet);
    assert!(text.contains(&hidden.hash().to_string()), "{text}");
    assert!(net.tip(0).height >= 5);
    assert!(net.nodes[0].asked.iter().filter(|request| **request == Request::Tx(hidden.hash())).count() >= 2);
    assert!(net.nodes[0].bans.is_empty());
    // Once somebody has the body the block is taken.
    net.submit(1, hidden.clone());
    net.run(100);
    let ticket = net.push(0, Some(2), block);
    net.run(100);
    assert!(matches!(net.reply(0, ticket), Some(Ok(Reply::Tip(_)))));
}

#[test]
fn a_body_submitted_by_anybody_completes_a_waiting_block() {
    let mut net = net_of(2, 4);
    let late = tx(&net.genesis, 5);
    net.nodes[1].serves = Serves::Nothing;
    let block = Forge::new(&net.genesis, 1).block(vec![late.hash()]);
    let ticket = net.push(0, Some(1), block.clone());
    assert_eq!(net.reply(0, ticket), None);
    net.submit(0, late);
    assert_eq!(net.reply(0, ticket), Some(&Ok(Reply::Tip(block.claimed_hash))));
    // Without a peer to ask, the answer comes at once.
    let mut alone = Net::new(net.genesis.clone(), 1, 4);
    alone.run(10_000);
    let ticket = alone.push(0, None, block);
    assert_eq!(refusal(&alone, 0, ticket).0, ErrorClass::NotYet);
}

#[test]
fn faults_condemn_the_message_and_its_sender_and_never_the_hash() {
    let good = Forge::new(&genesis(3), 2).block(vec![]);
    type Break = fn(&mut UncheckedBlock);
    let breaks: [(&str, Break); 7] = [
        ("signature", |block| block.signature = Some(Signature([1; 64]))),
        ("minersignature", |block| block.signature = None),
        ("blockhash", |block| block.nonce ^= 1),
        ("blockhash", |block| block.txhashes.push(Hash32([1; 32]))),
        ("historyroot", |block| block.history_root = Some(Hash32([1; 32]))),
        ("difficulty", |block| block.target = 7),
        ("miner", |block| block.miner = Hash32::ZERO),
    ];
    for (i, (part, change)) in breaks.into_iter().enumerate() {
        let mut net = net_of(3, 5);
        let mut bad = good.clone();
        change(&mut bad);
        let ticket = net.push(0, Some(1), bad);
        let (class, text) = refusal(&net, 0, ticket);
        assert_eq!(class, ErrorClass::Invalid, "{i}: {text}");
        assert!(text.contains(part) && noted(&net, 0, &text), "{i}: {text}");
        assert_eq!(net.tip(0).height, 0);
        let [(peer, for_ms, _)] = &net.nodes[0].bans[..] else { panic!("{i}: {:?}", net.nodes[0].bans) };
        assert_eq!((*peer, *for_ms), (address(1), limits::BAN_MS));
        let ticket = net.push(0, Some(2), good.clone());
        assert_eq!(net.reply(0, ticket), Some(&Ok(Reply::Tip(good.claimed_hash))), "{i}");
    }
}

#[test]
fn unsound_blocks_and_false_answers_are_banned() {
    let forge = Forge::new(&genesis(2), 1);
    let bad_blocks = [
        forge.block_at(vec![], START_MS, 1, 0),
        forge.block_at(vec![], START_MS + 1_000, 2, 0),
        forge.block_at(vec![Hash32([1; 32]); 2], START_MS + 1_000, 1, 0),
        Forge::new(&genesis(2), 7).block(vec![]),
    ];
    for (block, part) in bad_blocks.into_iter().zip(["time", "height", "distinct", "member"]) {
        let mut net = net_of(2, 6);
        let ticket = net.push(0, Some(1), block);
        let (class, text) = refusal(&net, 0, ticket);
        assert!(class == ErrorClass::Invalid && text.contains(part), "{text}");
        assert_eq!((net.nodes[0].bans.len(), net.tip(0).height), (1, 0));
    }
    let other = Forge::new(&genesis(2), 1).block(vec![]);
    let peer = address(1);
    let false_tx = Some(tx(&genesis(2), 1));
    let answers = [
        Event::GotBlock { peer, query: BlockQuery::Hash(Hash32([3; 32])), block: Some(other.clone()) },
        Event::GotBlock { peer, query: BlockQuery::Height(7), block: Some(other) },
        Event::GotTx { peer, hash: Hash32([3; 32]), tx: false_tx },
        Event::AskFailed {
            peer,
            request: Request::Block(BlockQuery::Tip),
            error: AskError::Malformed("block: expected a hash of 32 bytes, got 0".into()),
        },
    ];
    for answer in answers {
        let mut net = net_of(2, 7);
        net.event(0, answer);
        assert_eq!(net.nodes[0].bans.len(), 1);
        assert_eq!(net.nodes[0].engine.peers().count(), 0);
    }
}

#[test]
fn a_block_too_far_ahead_is_not_yet_and_later_welcome() {
    let mut net = net_of(2, 8);
    let block = Forge::new(&net.genesis, 1).block_at(vec![], START_MS + 40_000, 1, 0);
    let ticket = net.push(0, Some(1), block.clone());
    assert_eq!(refusal(&net, 0, ticket).0, ErrorClass::NotYet);
    net.run(25_000);
    let ticket = net.push(0, Some(1), block.clone());
    assert_eq!(net.reply(0, ticket), Some(&Ok(Reply::Tip(block.claimed_hash))));
    assert!(net.nodes[0].bans.is_empty());
}

#[test]
fn orphan_floods_are_bounded_and_the_honest_chain_goes_on() {
    let mut net = net_of(3, 9);
    net.nodes[2].serves = Serves::Nothing;
    let mut forge = Forge::new(&net.genesis, 2);
    forge.block(vec![]);
    forge.block(vec![]);
    for i in 0..common::flood_size(400) {
        let mut block = forge.block_at(vec![], START_MS + 5_000 + i % 4_000, 3, i << 32);
        let ticket = net.push(0, Some(2), block.clone());
        let (class, text) = refusal(&net, 0, ticket);
        assert!(class == ErrorClass::NotYet && text.contains(&block.previous.to_string()), "{text}");
        // Without tag 12 nothing can be checked.
        block.history_root = None;
        block.claimed_hash = Hash32([u8::try_from(i % 251).unwrap(); 32]);
        net.push(0, Some(2), block.clone());
        net.push(0, None, block);
    }
    let (held, bytes) = net.nodes[0].engine.orphans();
    assert_eq!(held, limits::MAX_ORPHANS_PER_PEER + 2 * limits::MAX_CLAIMS_PER_PEER);
    assert!(bytes < 1 << 20);
    assert!(net.nodes[0].asked.len() < 100, "the missing parent is not asked for each time");
    net.run_mining(5_000, &[0, 1]);
    net.run(500);
    assert!(net.tip(0).height >= 3 && net.tip(0).hash == net.tip(1).hash);
    net.run(limits::ORPHAN_MS);
    assert_eq!(net.nodes[0].engine.orphans(), (0, 0));
}

#[test]
fn orphans_connect_in_any_order_with_and_without_their_history_root() {
    let mut net = net_of(2, 10);
    net.nodes[1].serves = Serves::Nothing;
    let mut forge = Forge::new(&net.genesis, 1);
    let mut chain: Vec<_> = (0..6).map(|_| forge.block(vec![])).collect();
    for block in chain.iter_mut().step_by(2) {
        block.history_root = None;
    }
    let (first, rest) = chain.split_first().unwrap();
    for block in rest.iter().rev() {
        net.push(0, Some(1), block.clone());
    }
    assert_eq!((net.tip(0).height, net.nodes[0].engine.orphans().0), (0, 5));
    net.push(0, Some(1), first.clone());
    assert_eq!((net.tip(0).height, net.nodes[0].engine.orphans()), (6, (0, 0)));
}

#[test]
fn static_peers_are_left_alone_for_a_short_time_only() {
    let mut net = net_of(2, 11);
    let (ledger, _) = common::open_ledger(&net.genesis);
    let config = blockhie_engine::EngineConfig {
        miner: None,
        policy: Box::new(blockhie_core::packing::FairFirst),
        node_index: 1,
        node_count: 2,
        seed: 0,
        static_peers: [address(1)].into(),
    };
    net.nodes[0].engine = blockhie_engine::Engine::new(ledger, config);
    let mut block = Forge::new(&net.genesis, 1).block(vec![]);
    block.nonce ^= 1;
    net.push(0, Some(1), block);
    let [(_, for_ms, reason)] = &net.nodes[0].bans[..] else { panic!("not cut") };
    assert_eq!(*for_ms, limits::STATIC_BAN_MS);
    assert!(reason.starts_with("blockhash: expected"), "{reason}");
}

#[test]
fn spacing_stops_a_miner_until_another_has_gone() {
    let mut rules = genesis(3);
    rules.spacing = 1;
    let mut net = Net::new(rules, 3, 12);
    net.connect_all();
    net.run(1_000);
    net.mine(0).unwrap();
    assert!(net.nodes[0].template.is_none());
    // The others are dead: it says so, once.
    net.cut(0, 1);
    net.cut(0, 2);
    net.run(60_000);
    let silent = net.nodes[0].notes.iter().filter(|note| note.contains("no block since height 1")).count();
    assert_eq!(silent, 1, "{:?}", net.nodes[0].notes);
    net.heal();
    net.run(8_000);
    net.mine(1).unwrap();
    net.run(100);
    assert!(net.nodes[0].template.is_some() && net.nodes[1].template.is_none());
}

#[test]
fn templates_follow_the_tip_the_mempool_and_the_clock() {
    let mut net = net_of(2, 13);
    let order = |net: &Net| net.nodes[0].template.clone().unwrap();
    let before = order(&net);
    net.run(1_000);
    assert!(order(&net).header.time_ms >= before.header.time_ms + 500);
    net.submit(0, tx(&net.genesis, 1));
    net.run(limits::TEMPLATE_GROWN_MS + 100);
    assert_eq!(order(&net).txhashes.len(), 1);
    let block = net.mine(1).unwrap();
    net.run(50);
    assert_eq!(order(&net).header.previous, block.claimed_hash);
    // A node whose key is no member's says so, and mines nothing.
    let mut foreign = Net::new(genesis(2), 2, 14);
    foreign.nodes[0].secret = common::secret(9);
    let (ledger, _) = common::open_ledger(&foreign.genesis);
    let config = blockhie_engine::EngineConfig {
        miner: Some(common::secret(9).public()),
        policy: Box::new(blockhie_core::packing::FairFirst),
        node_index: 1,
        node_count: 2,
        seed: 0,
        static_peers: Default::default(),
    };
    foreign.nodes[0].engine = blockhie_engine::Engine::new(ledger, config);
    foreign.run(2_000);
    assert!(foreign.nodes[0].template.is_none() && noted(&foreign, 0, "expected a member"));
}

#[test]
fn a_peer_that_goes_away_is_replaced_for_what_it_was_asked() {
    let mut net = net_of(3, 15);
    let body = tx(&net.genesis, 3);
    net.cut(0, 1);
    net.cut(0, 2);
    net.submit(1, body.clone());
    net.run(100);
    net.heal();
    net.nodes[2].serves = Serves::Nothing;
    let block = Forge::new(&net.genesis, 2).block(vec![body.hash()]);
    net.push(0, Some(2), block.clone());
    net.run(50);
    assert_eq!(net.tip(0).height, 0);
    net.event(0, Event::PeerDown { peer: address(2) });
    net.run(100);
    assert_eq!(net.tip(0).hash, block.claimed_hash);
}

#[test]
fn who_lets_bodies_time_out_is_not_asked_first_again() {
    let mut net = net_of(3, 16);
    net.cut(0, 1);
    net.cut(1, 2);
    let bodies = [tx(&net.genesis, 1), tx(&net.genesis, 2)];
    for body in &bodies {
        net.submit(1, body.clone());
    }
    net.run(100);
    net.heal();
    net.nodes[2].serves = Serves::NoBodies;
    let mut forge = Forge::new(&net.genesis, 2);
    let blocks = bodies.map(|body| forge.block(vec![body.hash()]));
    net.push(0, Some(2), blocks[0].clone());
    net.run(1_000);
    assert_eq!(net.tip(0).height, 0);
    net.run(limits::STALL_MS - 800);
    assert_eq!(net.tip(0).hash, blocks[0].claimed_hash, "the sender is asked first, then another");
    net.push(0, Some(2), blocks[1].clone());
    net.run(200);
    assert_eq!(net.tip(0).hash, blocks[1].claimed_hash);
}

/// The port that a client on loopback says it listens at may be anybody's: nobody there is cut off for what it sends.
#[test]
fn nobody_on_loopback_is_banned_and_each_message_gets_its_own_answer() {
    for ip in ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"] {
        let mut net = net_of(1, 17);
        let peer = PeerId::new(ip.parse().unwrap(), 10_001);
        net.event(0, Event::PeerUp { peer });
        let mut forge = Forge::new(&net.genesis, 0);
        let good = forge.block(vec![]);
        let mut bad = good.clone();
        bad.nonce ^= 1;
        let mut push = |block: &UncheckedBlock| {
            let ticket = net.ticket();
            net.event(0, Event::Block { ticket: Some(ticket), from: Some(peer), block: block.clone() });
            net.reply(0, ticket).cloned().unwrap()
        };
        for _ in 0..3 {
            let (class, text) = push(&bad).unwrap_err();
            assert!(class == ErrorClass::Invalid && text.contains("blockhash"), "{ip}: {text}");
        }
        assert_eq!(push(&good), Ok(Reply::Tip(good.claimed_hash)));
        let node = &net.nodes[0];
        assert!(node.bans.is_empty() && node.engine.peers().any(|(known, _)| known == peer), "{ip}");
        assert!(noted(&net, 0, "is passed over") && noted(&net, 0, "blockhash"), "{ip}");
    }
}

#[test]
fn four_malformed_messages_in_a_minute_are_a_ban_and_a_few_over_time_are_not() {
    let malformed = || Event::Malformed { peer: address(1), reason: "hello: expected 83 bytes, got 82".into() };
    let mut net = net_of(2, 18);
    for _ in 0..6 {
        net.event(0, malformed());
        net.run(limits::SCORE_HALVES_MS);
    }
    assert!(net.nodes[0].bans.is_empty());
    for _ in 0..4 {
        net.event(0, malformed());
    }
    let [(peer, _, reason)] = &net.nodes[0].bans[..] else { panic!("{:?}", net.nodes[0].bans) };
    assert!(*peer == address(1) && reason.contains("expected 83 bytes"), "{reason}");
}

/// Whoever pushes a block right after its Hello is asked for the bodies once the connection back to it stands.
#[test]
fn a_sender_that_is_not_connected_yet_is_waited_for_and_no_longer_than_needed() {
    let mut net = Net::new(genesis(2), 2, 19);
    net.run(10_000);
    let body = tx(&net.genesis, 1);
    net.submit(1, body.clone());
    let block = Forge::new(&net.genesis, 1).block(vec![body.hash()]);
    let ticket = net.push(0, Some(1), block.clone());
    net.run(limits::SOURCE_MS / 2);
    assert_eq!(net.reply(0, ticket), None, "it may still come");
    net.event(0, Event::PeerUp { peer: address(1) });
    net.run(100);
    assert_eq!(net.reply(0, ticket), Some(&Ok(Reply::Tip(block.claimed_hash))));
    // One that never comes: the answer names the bodies.
    let mut net = Net::new(genesis(2), 1, 20);
    net.run(10_000);
    let ticket = net.push(0, Some(1), block);
    net.run(limits::SOURCE_MS - 200);
    assert_eq!(net.reply(0, ticket), None);
    net.run(400);
    let (class, text) = refusal(&net, 0, ticket);
    assert!(class == ErrorClass::NotYet && text.contains(&body.hash().to_string()), "{text}");
}
