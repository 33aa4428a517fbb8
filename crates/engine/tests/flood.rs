//! Floods of blocks and transactions that cost their sender little: what is stored, asked and said stays bounded, and the
//! honest chain goes on.

mod common;

use blockhie_core::{
    BlockError, BlockQuery, ErrorClass, Fault, Genesis, Hash32, Ledger, OpaqueApp, SubmitError, TxError,
};
use blockhie_engine::{Event, Reply, Request, limits};
use blockhie_pow::ProofOfWork;
use common::forge::Forge;
use common::{Net, START_MS, Serves, address, genesis, open_ledger};
use std::sync::Arc;

/// (P5) Forks at the easiest target, on an open chain and by a member: what is stored of them stays within its bound.
#[test]
fn forks_that_cost_nothing_are_stored_up_to_a_bound() {
    for members in [0, 2] {
        let mut net = Net::new(genesis(members), 2, 21);
        net.connect_all();
        net.run(10_000);
        net.mine(0).unwrap();
        net.run(1_000);
        net.mine(0).unwrap();
        net.run(1_000);
        let forge = Forge::new(&net.genesis, 1);
        let (mut taken, mut not_yet) = (0u64, 0u64);
        let count = common::flood_size(12_000);
        for i in 0..count {
            let block = forge.block_at(vec![], START_MS + 1 + i % 9_000, 1, i << 32);
            let ticket = net.push(0, Some(1), block);
            match net.reply(0, ticket).cloned().unwrap() {
                Ok(_) => taken += 1,
                Err((ErrorClass::NotYet, text)) if text.contains("beside the best chain") => not_yet += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        let bound = limits::SIDE_KIB + limits::SIDE_KIB_PER_INTERVAL;
        assert!(taken <= bound && taken > limits::SIDE_KIB / 2, "{members} members: {taken} of {bound}");
        assert_eq!(taken + not_yet, count);
        let notes = net.nodes[0].notes.iter().filter(|note| note.contains("beside the best chain")).count();
        assert_eq!(notes, 1, "said once");
        assert!(net.nodes[0].bans.is_empty(), "a block beside is no fault");
        // The honest chain goes on, also by one fork more.
        let height = net.tip(0).height;
        net.run_mining(5_000, &[0, 1]);
        net.run(500);
        assert!(net.tip(0).height > height && net.agree());
    }
}

/// What was stored of a branch that became the best chain is not held against anybody.
#[test]
fn a_heavier_branch_is_followed_whatever_was_spent_on_forks() {
    let mut net = Net::new(genesis(2), 2, 22);
    net.run(10_000);
    net.mine(0).unwrap();
    let forge = Forge::new(&net.genesis, 1);
    for i in 0..9_000u64 {
        net.push(0, None, forge.block_at(vec![], START_MS + 1 + i % 9_000, 1, i << 32));
    }
    net.run_mining(60_000, &[1]);
    assert!(net.tip(1).height > 20);
    net.connect(0, 1);
    net.run(5_000);
    assert_eq!(net.tip(0).hash, net.tip(1).hash, "it was asked for");
}

/// (P5) What is stored beside the chain comes back with time, and at once for a branch that became the best chain.
#[test]
fn room_beside_the_chain_comes_back_with_time_and_for_a_branch_that_wins() {
    let mut net = Net::new(genesis(2), 2, 28);
    net.run(10_000);
    net.mine(0).unwrap();
    let forge = Forge::new(&net.genesis, 1);
    let mut made = 0u64;
    // As many forks as are taken before one is not.
    let mut taken = |net: &mut Net| {
        (0..).find(|_| {
            made += 1;
            let ticket = net.push(0, None, forge.block_at(vec![], START_MS + 1 + made % 9_000, 1, made << 32));
            matches!(net.reply(0, ticket), Some(Err((ErrorClass::NotYet, _))))
        })
    };
    assert_eq!(taken(&mut net), Some(limits::SIDE_KIB));
    let intervals = 2;
    net.run(intervals * u64::from(net.genesis.block_interval_ms));
    assert_eq!(taken(&mut net), Some(intervals * limits::SIDE_KIB_PER_INTERVAL));
    assert_eq!(taken(&mut net), Some(0));
    // Asked for, it is followed however little room there is.
    let mut heavier = Forge::new(&net.genesis, 1);
    net.event(0, Event::PeerUp { peer: address(1) });
    for _ in 0..3 {
        let block = heavier.block(vec![]);
        let query = BlockQuery::Hash(block.claimed_hash);
        net.event(0, Event::GotBlock { peer: address(1), query, block: Some(block) });
    }
    assert_eq!(net.tip(0).height, 3);
    assert_eq!(taken(&mut net), Some(2), "two blocks won at once, the third extended them");
}

/// (P11) A block, a signature and a transaction of one chain are worth nothing on another.
#[test]
fn nothing_of_another_chain_is_taken() {
    let (ours, mut theirs) = (genesis(2), genesis(2));
    theirs.nonce = Hash32([9; 32]);
    let mut net = Net::new(ours.clone(), 2, 23);
    net.run(10_000);
    let foreign = Forge::new(&theirs, 1).block(vec![]);
    let own = Forge::new(&ours, 1).block(vec![]);
    let mut resigned = own.clone();
    resigned.signature = foreign.signature;
    let mut moved = foreign.clone();
    moved.previous = own.previous;
    moved.history_root = None;
    for block in [foreign, resigned, moved] {
        let ticket = net.push(0, None, block);
        assert!(matches!(net.reply(0, ticket), Some(Err((ErrorClass::Invalid | ErrorClass::NotYet, _)))));
        assert_eq!(net.tip(0).height, 0);
    }
    // The same block again is known, and changes nothing.
    for _ in 0..3 {
        let ticket = net.push(0, None, own.clone());
        assert_eq!(net.reply(0, ticket), Some(&Ok(Reply::Tip(own.claimed_hash))));
    }
    assert_eq!(net.tip(0).height, 1);
}

/// (P8) A node whose peers show it nothing new says so, once, and takes it back.
#[test]
fn a_tip_that_stands_while_peers_are_connected_is_an_alarm() {
    let mut net = Net::new(genesis(2), 2, 24);
    net.run(100_000);
    assert!(!net.nodes[0].engine.is_stale(), "nobody is connected");
    net.connect_all();
    let limit_ms = limits::STALE_INTERVALS * u64::from(net.genesis.block_interval_ms);
    net.run(limit_ms - 1_000);
    assert!(!net.nodes[0].engine.is_stale());
    net.run(60_000);
    assert!(net.nodes[0].engine.is_stale());
    let said = net.nodes[0].notes.iter().filter(|note| note.contains("stale tip")).count();
    assert_eq!(said, 1, "{:?}", net.nodes[0].notes);
    net.mine(1).unwrap();
    net.run(1_000);
    assert!(!net.nodes[0].engine.is_stale());
}

/// Errors say how their sender is to blame, and only the engine how much that weighs.
#[test]
fn faults_are_named_by_the_errors_and_weighed_in_one_place() {
    let hash = Hash32([1; 32]);
    let unsound = BlockError::KnownUnsound { block: hash };
    assert_eq!(unsound.fault(), Some(Fault::Block));
    for blameless in [
        BlockError::UnknownParent { parent: hash },
        BlockError::TooFarAhead { limit_ms: 1, got_ms: 2 },
        BlockError::MissingBodies { missing: vec![hash] },
    ] {
        assert_eq!(blameless.fault(), None, "{blameless}");
    }
    let invalid = TxError::Version { got: 7 };
    assert_eq!(SubmitError::Invalid(invalid.clone()).fault(), Some(invalid.fault()));
    assert_eq!(SubmitError::Full { limit: 1, unit: "bytes", got: 2 }.fault(), None);
    assert_eq!([Fault::Block, Fault::Answer].map(limits::points), [limits::BAN_SCORE; 2]);
    assert!([Fault::Message, Fault::Transaction].map(limits::points).iter().all(|points| (20..50).contains(points)));
}

/// (P6) The future is "not yet", over and over, and never a ban.
#[test]
fn blocks_from_the_future_are_never_a_ban() {
    let mut net = Net::new(genesis(2), 2, 25);
    net.connect_all();
    net.run(10_000);
    let forge = Forge::new(&net.genesis, 1);
    for i in 0..200 {
        let ticket = net.push(0, Some(1), forge.block_at(vec![], START_MS + 60_000 + i, 1, 0));
        assert!(matches!(net.reply(0, ticket), Some(Err((ErrorClass::NotYet, _)))));
    }
    assert!(net.nodes[0].bans.is_empty() && net.nodes[0].engine.scores().is_empty());
    assert_eq!(net.tip(0).height, 0);
}

/// (P12) Announced and never served: a waiting block's places are few, are given back, and stop nobody.
#[test]
fn blocks_whose_bodies_nobody_has_are_held_up_to_a_bound() {
    let mut net = Net::new(genesis(3), 3, 26);
    net.connect_all();
    net.run(10_000);
    net.nodes[2].serves = Serves::NoBodies;
    let forge = Forge::new(&net.genesis, 2);
    let tickets: Vec<_> = (0..200u64)
        .map(|i| {
            let mut hash = [7; 32];
            hash[..8].copy_from_slice(&i.to_be_bytes());
            net.push(0, Some(2), forge.block_at(vec![Hash32(hash)], START_MS + 1 + i, 1, 0))
        })
        .collect();
    let at_once = tickets.iter().filter(|ticket| net.reply(0, **ticket).is_some()).count();
    assert_eq!(at_once, 200 - limits::MAX_WAITING_BLOCKS, "the rest is told at once");
    net.run_mining(limits::WAIT_BODIES_MS + 5_000, &[0, 1]);
    assert!(tickets.iter().all(|ticket| matches!(net.reply(0, *ticket), Some(Err((ErrorClass::NotYet, _))))));
    assert!(net.tip(0).height > 20 && net.tip(0).hash == net.tip(1).hash);
    net.event(0, Event::PeerDown { peer: address(2) });
}

/// What was refused leaves nothing behind: after all of the above a store opens and holds what it held.
#[test]
fn a_store_after_a_flood_opens() {
    let chain = genesis(0);
    let (mut ledger, store) = open_ledger(&chain);
    let forge = Forge::new(&chain, 1);
    for i in 0..500u64 {
        let block = forge.block_at(vec![], START_MS + 1 + i, 1, i << 32);
        ledger.import(block, &Default::default(), START_MS + 60_000).unwrap();
    }
    ledger.commit().unwrap();
    let tip = ledger.tip().clone();
    drop(ledger);
    let again = Ledger::open(store, Arc::new(ProofOfWork::new(&chain)), Arc::new(OpaqueApp)).unwrap();
    assert_eq!(again.tip().hash, tip.hash);
}

/// A flood of bad blocks does not fill the log.
#[test]
fn refused_blocks_are_noted_up_to_a_number_and_then_counted() {
    let mut net = Net::new(genesis(2), 1, 27);
    net.run(10_000);
    let good = Forge::new(&net.genesis, 1).block(vec![]);
    let flood = |net: &mut Net| {
        for i in 0..500 {
            let mut bad = good.clone();
            bad.nonce ^= i + 1;
            bad.claimed_hash.0[..8].copy_from_slice(&(net.now_ms + i).to_be_bytes());
            net.push(0, None, bad);
        }
    };
    flood(&mut net);
    let noted = |net: &Net, text: &str| net.nodes[0].notes.iter().filter(|note| note.contains(text)).count();
    assert_eq!(noted(&net, "refused: blockhash"), limits::MAX_REFUSALS as usize);
    net.run(limits::REFUSALS_MS);
    flood(&mut net);
    assert_eq!(noted(&net, "refused: blockhash"), 2 * limits::MAX_REFUSALS as usize);
    assert_eq!(noted(&net, "480 more blocks were refused"), 1);
}

/// Nobody's hash.
fn unknown(n: u64) -> Hash32 {
    let mut hash = [7; 32];
    hash[..8].copy_from_slice(&n.to_be_bytes());
    Hash32(hash)
}

fn merging(members: usize) -> Genesis {
    let mut genesis = genesis(members);
    (genesis.sibling_window, genesis.sibling_limit) = (16, 8);
    genesis
}

/// (P12) The same of blocks that list siblings which nobody has.
#[test]
fn blocks_whose_siblings_nobody_has_are_held_up_to_a_bound() {
    let mut net = Net::new(merging(3), 3, 29);
    net.connect_all();
    net.run(10_000);
    net.nodes[2].serves = Serves::TipOnly;
    let mut forge = Forge::new(&net.genesis, 2);
    let tickets: Vec<_> = (0..100u64)
        .map(|n| {
            forge.siblings = vec![unknown(n)];
            net.push(0, Some(2), forge.block_at(vec![], START_MS + 1 + n, 1, 0))
        })
        .collect();
    let at_once = tickets.iter().filter(|ticket| net.reply(0, **ticket).is_some()).count();
    assert_eq!(at_once, 100 - limits::MAX_WAITING_MERGES, "the rest is told at once");
    net.run_mining(limits::WAIT_SIBLINGS_MS + 5_000, &[0, 1]);
    net.run(500);
    assert!(tickets.iter().all(|ticket| matches!(net.reply(0, *ticket), Some(Err((ErrorClass::NotYet, _))))));
    assert!(net.tip(0).height > 15 && net.tip(0).hash == net.tip(1).hash, "{}", net.describe());
    assert!(net.nodes[0].bans.is_empty());
}

/// (P12) However many peers there are to be asked, each of which lets its question time out.
#[test]
fn a_block_waits_for_a_time_only_for_what_nobody_gives() {
    for (serves, wait_ms) in [(Serves::NoBodies, limits::WAIT_BODIES_MS), (Serves::TipOnly, limits::WAIT_SIBLINGS_MS)] {
        let mut net = Net::new(merging(10), 10, 30);
        for node in 1..10 {
            net.connect(0, node);
            net.nodes[node].serves = serves;
        }
        net.run(10_000);
        let mut forge = Forge::new(&net.genesis, 1);
        let lists = if serves == Serves::NoBodies { vec![unknown(1)] } else { vec![] };
        forge.siblings = if lists.is_empty() { vec![unknown(1)] } else { vec![] };
        let ticket = net.push(0, Some(1), forge.block(lists));
        net.run(wait_ms - 500);
        assert_eq!(net.reply(0, ticket), None, "{serves:?}: there is still somebody to be asked");
        net.run(1_000);
        assert!(matches!(net.reply(0, ticket), Some(Err((ErrorClass::NotYet, _)))), "{serves:?}");
        assert!(net.nodes[0].bans.is_empty());
    }
}

/// (P12) A peer that does not answer is left alone for a while, whatever it goes on to push.
#[test]
fn who_does_not_answer_is_not_asked_for_everything_it_names() {
    let mut net = Net::new(genesis(2), 2, 31);
    net.connect_all();
    net.run(10_000);
    net.nodes[1].serves = Serves::Nothing;
    let forge = Forge::new(&net.genesis, 1);
    let seconds = 60;
    for n in 0..seconds {
        net.push(0, Some(1), forge.block_at(vec![unknown(n)], START_MS + 1 + n, 1, 0));
        net.run(1_000);
    }
    let asked = net.nodes[0].asked.iter().filter(|request| matches!(request, Request::Tx(_))).count() as u64;
    assert!((5..seconds * 2 / 3).contains(&asked), "{asked} of {seconds}");
}

/// (P12) Stale blocks of many miners at once: each connection carries a few of them in a tick.
#[test]
fn stale_blocks_of_many_miners_are_passed_on_a_few_at_a_time() {
    let mut net = Net::new(merging(20), 3, 32);
    net.connect_all();
    net.run(10_000);
    net.mine(0).unwrap();
    net.run(510);
    let sent = net.nodes[0].sent_blocks;
    for member in 3..20 {
        net.push(0, None, Forge::new(&net.genesis, member).block_at(vec![], START_MS + 1_000, 1, 0));
    }
    assert_eq!(net.nodes[0].sent_blocks - sent, 2 * limits::SIDE_RELAYS_PER_TICK);
}

/// (P12) However much a peer makes us want of it: bodies, and blocks by hash beside them.
#[test]
fn questions_under_way_to_one_peer_are_bounded() {
    let mut net = Net::new(merging(2), 2, 33);
    net.connect_all();
    net.run(10_000);
    net.nodes[1].serves = Serves::TipOnly;
    let mut forge = Forge::new(&net.genesis, 1);
    let asked = net.nodes[0].asked.len();
    net.push(0, Some(1), forge.block_at((0..100).map(unknown).collect(), START_MS + 1, 1, 0));
    net.run(1_000);
    let is_body = |request: &&Request| matches!(request, Request::Tx(_));
    let bodies = |net: &Net| net.nodes[0].asked[asked..].iter().filter(is_body).count();
    assert_eq!(bodies(&net), limits::MAX_BODY_ASKS_PER_PEER);
    for n in 0..20u64 {
        forge.siblings = (0..8).map(|i| unknown(1_000 + 8 * n + i)).collect();
        net.push(0, Some(1), forge.block_at(vec![], START_MS + 2 + n, 1, 0));
    }
    net.run(1_000);
    let tips =
        net.nodes[0].asked[asked..].iter().filter(|request| **request == Request::Block(BlockQuery::Tip)).count();
    assert_eq!(net.nodes[0].asked.len() - asked - tips, limits::MAX_ASKS_PER_PEER);
}

/// (P8) More peers than the engine may have are not used, and said so.
#[test]
fn peers_are_bounded() {
    let mut net = Net::new(genesis(2), 1, 34);
    for n in 0..limits::MAX_PEERS + 20 {
        net.event(0, Event::PeerUp { peer: address(n + 1) });
    }
    assert_eq!(net.nodes[0].engine.peers().count(), limits::MAX_PEERS);
    assert!(net.nodes[0].notes.iter().any(|note| note.contains("is not used")), "{:?}", net.nodes[0].notes);
}
