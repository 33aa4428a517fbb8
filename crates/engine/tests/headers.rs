//! Headers first: what a joiner fetches, from whom, and what liars, stallers and branches do to it.

mod common;

use blockhie_core::{BlockHash, BlockQuery, UncheckedBlock, genesis_block};
use blockhie_engine::{Engine, Event, Fetch, Request, SyncState, limits};
use common::forge::Forge;
use common::{Net, Serves, address, genesis, tx};
use std::collections::BTreeMap;

/// `nodes` that all speak and share a chain of so many seconds, with some transactions.
fn net_of(nodes: usize, seconds: u64, seed: u64) -> Net {
    let mut net = Net::new(genesis(nodes + 1), nodes, seed);
    net.all_speak();
    net.connect_all();
    let miners: Vec<usize> = (0..nodes).collect();
    for n in 0..seconds / 2 {
        let tx = tx(&net.genesis, n);
        net.submit(0, tx);
        net.run_mining(2_000, &miners);
    }
    net.run(1_000);
    assert!(net.agree() && net.tip(0).height > seconds / 2, "{}", net.describe());
    net
}

/// One more node, which speaks, connected to nobody.
fn joiner(net: &mut Net) -> usize {
    let late = net.add_node();
    net.nodes[late].speaks = true;
    late
}

/// How often each block was asked for, over all peers.
fn asked(net: &Net, node: usize) -> BTreeMap<BlockHash, usize> {
    let mut counts = BTreeMap::new();
    for (_, fetch) in &net.nodes[node].fetched {
        if let Fetch::Blocks(hashes) = fetch {
            hashes.iter().for_each(|hash| *counts.entry(*hash).or_default() += 1);
        }
    }
    counts
}

fn noted(net: &Net, node: usize, text: &str) -> bool {
    net.nodes[node].notes.iter().any(|note| note.contains(text))
}

fn by_height(net: &Net, node: usize) -> usize {
    let is = |request: &&Request| matches!(request, Request::Block(BlockQuery::Height(_)));
    net.nodes[node].asked.iter().filter(is).count()
}

#[test]
fn a_joiner_fetches_headers_then_each_block_once_from_all_peers() {
    let mut net = net_of(3, 300, 1);
    let late = joiner(&mut net);
    for node in 0..3 {
        net.connect(late, node);
    }
    let mut seen = 0;
    for _ in 0..200 {
        net.run(5);
        if (20..net.tip(0).height - 20).contains(&net.tip(late).height) {
            assert!(net.nodes[late].template.is_none(), "not mining meanwhile");
            seen += 1;
        }
    }
    assert!(seen > 2, "{seen}");
    net.run(3_000);
    assert_eq!(net.tip(late).hash, net.tip(0).hash, "{}", net.describe());
    let counts = asked(&net, late);
    assert!(counts.values().all(|count| *count == 1), "in flight and held are not asked for again");
    assert!(counts.len() as u64 >= net.tip(0).height - 10);
    let served: std::collections::BTreeSet<_> = net.nodes[late]
        .fetched
        .iter()
        .filter(|(_, fetch)| matches!(fetch, Fetch::Blocks(_)))
        .map(|(peer, _)| *peer)
        .collect();
    assert_eq!(served.len(), 3, "all of them serve");
    assert_eq!(by_height(&net, late), 0);
    let bodies = net.nodes[late].asked.iter().filter(|request| matches!(request, Request::Tx(_))).count();
    assert_eq!(bodies, 0, "bodies come with their blocks");
    assert!(net.nodes[late].template.is_some() && net.nodes.iter().all(|node| node.bans.is_empty()));
    net.run_mining(3_000, &[0, late]);
    net.run(200);
    assert!(net.agree());
    assert_eq!(net.nodes[late].engine.sync_state(), SyncState::Synced);
}

/// Its own chain of `blocks` empty ones, from block 0 on. `lists` at a height instead of an empty one.
fn forged(net: &mut Net, member: usize, blocks: u64, lists: &BTreeMap<u64, Vec<BlockHash>>) -> Vec<UncheckedBlock> {
    let mut forge = Forge::new(&net.genesis, member);
    let mut chain = vec![genesis_block(&net.genesis).to_unchecked()];
    chain.extend((1..=blocks).map(|height| forge.block(lists.get(&height).cloned().unwrap_or_default())));
    chain
}

#[test]
fn a_header_that_does_not_hold_costs_its_sender_the_connection_and_nobody_fetches_a_block() {
    type Break = fn(&mut UncheckedBlock);
    let breaks: [(&str, Break); 4] = [
        ("proof of work", |block| block.nonce ^= 0xffff),
        ("does not verify", |block| block.signature = Some(blockhie_core::Signature([1; 64]))),
        ("historyroot", |block| block.history_root = Some(block.previous)),
        ("difficulty", |block| block.target = 0x1f7f_ffff),
    ];
    for (text, change) in breaks {
        let mut net = net_of(2, 60, 2);
        let mut fake = forged(&mut net, 1, 40, &BTreeMap::new());
        // Any that does not answer the target will do.
        loop {
            change(&mut fake[30]);
            let header = fake[30].header(fake[30].history_root.unwrap()).unwrap();
            if text != "proof of work" || header.hash(&net.genesis.chain_id()).0[0] >= 0x80 {
                break;
            }
        }
        let liar = joiner(&mut net);
        net.nodes[liar].fake = Some(fake);
        let late = joiner(&mut net);
        net.connect(late, liar);
        net.run(2_000);
        // Its tip stands on what it cannot prove.
        let bans = &net.nodes[late].bans;
        assert_eq!(bans.len(), 1, "{text}: {bans:?} {}", net.describe());
        assert!(bans[0].2.contains(text) || text == "difficulty" && bans[0].2.contains("target"), "{}", bans[0].2);
        assert_eq!(asked(&net, late).len(), 0, "{text}: no block was fetched");
        net.connect(late, 0);
        net.run(3_000);
        assert_eq!(net.tip(late).hash, net.tip(0).hash, "{text}");
    }
}

#[test]
fn a_block_that_is_unsound_late_in_the_chain_bans_and_one_that_is_not_valid_does_not() {
    let mut net = net_of(3, 60, 3);
    let twice = tx(&net.genesis, 1).hash();
    for (lists, bans) in [
        // Twice in one list is seen by nobody who has headers only; nor is what an ancestor committed.
        (BTreeMap::from([(30, vec![twice, twice])]), 1),
        (BTreeMap::from([(5, vec![twice]), (30, vec![twice])]), 0),
    ] {
        let fake = forged(&mut net, 1, 50, &lists);
        let liar = joiner(&mut net);
        net.run(2_000);
        net.submit(liar, tx(&net.genesis, 1));
        net.nodes[liar].fake = Some(fake);
        let late = joiner(&mut net);
        net.connect(late, liar);
        net.run(4_000);
        assert_eq!(net.tip(late).height, 29, "what held was taken: {}", net.describe());
        assert_eq!(net.nodes[late].bans.len(), bans);
        let fetched = net.nodes[late].fetched.len();
        if bans == 0 {
            assert_eq!(net.nodes[late].engine.sync_state().reason(), "refused");
            net.run(20_000);
            // It is left alone for a minute, and asked for its tip alone.
            assert_eq!(net.nodes[late].fetched.len(), fetched);
        }
        net.connect(late, 0);
        net.run_mining(40_000, &[0]);
        net.run(3_000);
        assert_eq!(net.tip(late).hash, net.tip(0).hash, "{}", net.describe());
    }
}

#[test]
fn a_leader_that_gives_headers_and_withholds_blocks_does_not_hold_a_joiner() {
    for serves in [Serves::NoBlocks, Serves::KeepsNone] {
        let mut net = net_of(3, 200, 4);
        net.nodes[0].serves = serves;
        let late = joiner(&mut net);
        // It leads before the others are there.
        net.connect(late, 0);
        net.run(100);
        net.connect(late, 1);
        net.connect(late, 2);
        net.run(9_000);
        assert_eq!(net.tip(late).hash, net.tip(0).hash, "{serves:?} {}", net.describe());
        assert!(net.nodes[late].bans.is_empty(), "it may be overloaded");

        // Alone, it is named, and the state says so.
        let lonely = joiner(&mut net);
        net.connect(lonely, 0);
        net.run(8_000);
        assert_eq!(net.tip(lonely).height, 0);
        let state = net.nodes[lonely].engine.sync_state();
        assert_eq!(state, SyncState::Stalled { peer: address(0) }, "{serves:?}");
        assert!(noted(
            &net,
            lonely,
            if serves == Serves::NoBlocks { "gave no blocks within" } else { "nobody serves" }
        ));
        net.connect(lonely, 1);
        net.run(30_000);
        assert_eq!(net.tip(lonely).hash, net.tip(1).hash, "{serves:?} {}", net.describe());
    }
}

#[test]
fn a_peer_that_stalls_is_passed_over_and_its_blocks_are_asked_of_others() {
    let mut net = net_of(3, 400, 5);
    let late = joiner(&mut net);
    for node in 0..3 {
        net.connect(late, node);
    }
    net.run(45);
    net.nodes[2].serves = Serves::Nothing;
    net.run(9_000);
    assert_eq!(net.tip(late).hash, net.tip(0).hash, "{}", net.describe());
    assert!(asked(&net, late).values().all(|count| *count <= 2), "only what it owed is asked for again");
}

#[test]
fn a_leader_that_dies_half_way_is_replaced_and_what_was_imported_stays() {
    let mut net = net_of(2, 400, 6);
    let late = joiner(&mut net);
    net.connect(late, 0);
    net.run(100);
    net.nodes[0].serves = Serves::Nothing;
    net.run(100);
    let half = net.tip(late).height;
    assert!(half > 5 && half < net.tip(1).height - 50, "{half}");
    net.connect(late, 1);
    net.run(12_000);
    assert_eq!(net.tip(late).hash, net.tip(1).hash, "{}", net.describe());
}

#[test]
fn a_restart_in_the_middle_goes_on_from_what_is_stored() {
    let mut net = net_of(2, 400, 7);
    let late = joiner(&mut net);
    net.connect(late, 0);
    net.run(120);
    let half = net.tip(late);
    assert!(half.height > 5 && half.height < net.tip(0).height - 50, "{}", half.height);
    let counts = asked(&net, late);
    net.restart(late);
    net.nodes[late].fetched.clear();
    assert_eq!(net.tip(late).hash, half.hash);
    net.connect(late, 1);
    net.run(4_000);
    assert_eq!(net.tip(late).hash, net.tip(0).hash, "{}", net.describe());
    let again = asked(&net, late).keys().filter(|hash| counts.contains_key(*hash)).count();
    assert!(again <= 64 * limits::MAX_FETCHES_PER_PEER, "{again}: only what was on its way");
}

#[test]
fn of_two_branches_the_heavier_is_fetched_and_the_lighter_is_not() {
    let mut net = net_of(4, 60, 8);
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        net.cut(a, b);
    }
    for _ in 0..40 {
        net.run_mining(1_000, &[0]);
        net.mine(2);
        net.run(100);
        net.mine(3);
        net.run(100);
    }
    let (light, heavy) = (net.tip(0), net.tip(2));
    assert!(heavy.work > light.work && light.height > 50);
    // It is on the lighter one, and goes over.
    let other = joiner(&mut net);
    net.connect(other, 0);
    net.run(3_000);
    assert_eq!(net.tip(other).hash, light.hash);
    net.connect(other, 2);
    // It says nothing any more, and is believed to have what lies below its tip: that times out once.
    net.cut(other, 0);
    net.run(9_000);
    let state = net.nodes[other].engine.sync_state();
    assert!(net.tip(other).work >= heavy.work, "{state} {:?} {}", net.nodes[other].fetched.len(), net.describe());
    assert!(noted(&net, other, "reorganised at height"));
    // The other way round nothing is fetched.
    let late = joiner(&mut net);
    net.connect(late, 2);
    net.run(3_000);
    assert_eq!(net.tip(late).hash, heavy.hash);
    net.nodes[late].fetched.clear();
    net.connect(late, 0);
    net.run(1_000);
    let headers = net.nodes[late].fetched.iter().filter(|(peer, _)| *peer == address(0)).count();
    assert!(headers >= 1, "its headers were looked at");
    assert_eq!(asked(&net, late).len(), 0, "{}", net.describe());
}

#[test]
fn a_leader_that_changes_its_chain_under_the_session_is_followed() {
    let mut net = net_of(4, 200, 9);
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        net.cut(a, b);
    }
    for _ in 0..40 {
        net.run_mining(1_000, &[0]);
        net.mine(2);
        net.run(100);
        net.mine(3);
        net.run(100);
    }
    let late = joiner(&mut net);
    net.connect(late, 0);
    net.run(90);
    // While the joiner fetches its branch, node 0 goes over to the heavier one.
    net.heal();
    net.cut(late, 1);
    net.cut(late, 2);
    net.cut(late, 3);
    net.run(12_000);
    assert_eq!(net.tip(0).hash, net.tip(2).hash);
    assert_eq!(net.tip(late).hash, net.tip(2).hash, "{}", net.describe());
}

/// The second answer of the leader belongs to another branch than the first.
#[test]
fn headers_that_leave_the_chain_given_before_are_followed_from_where_they_do() {
    let mut net = net_of(2, 20, 14);
    let tx = tx(&net.genesis, 1_000);
    let first = forged(&mut net, 1, 700, &BTreeMap::new());
    let second = forged(&mut net, 1, 900, &BTreeMap::from([(101, vec![tx.hash()])]));
    assert!(first[100] == second[100] && first[101] != second[101]);
    let leader = joiner(&mut net);
    net.run(900_000);
    net.submit(leader, tx);
    net.nodes[leader].fake = Some(first);
    let late = joiner(&mut net);
    net.connect(late, leader);
    let headers =
        |net: &Net| net.nodes[late].fetched.iter().filter(|(_, fetch)| matches!(fetch, Fetch::Headers { .. })).count();
    while headers(&net) < 2 {
        net.run(1);
    }
    let end = second[900].claimed_hash;
    net.nodes[leader].fake = Some(second);
    net.run(9_000);
    assert_eq!(net.tip(late).hash, end, "{}", net.describe());
    assert!(net.nodes[late].bans.is_empty());
}

#[test]
fn peers_of_the_frozen_contract_alone_serve_and_are_served_as_before() {
    let mut net = net_of(3, 200, 10);
    for node in 0..2 {
        net.nodes[node].speaks = false;
    }
    // Alone, by height; beside one that speaks, by headers.
    let late = joiner(&mut net);
    net.connect(late, 0);
    net.connect(late, 1);
    net.run(6_000);
    assert_eq!(net.tip(late).hash, net.tip(0).hash);
    assert!(net.nodes[late].fetched.is_empty() && by_height(&net, late) > 100);
    let mixed = joiner(&mut net);
    net.connect(mixed, 2);
    net.connect(mixed, 0);
    net.run(6_000);
    assert_eq!(net.tip(mixed).hash, net.tip(0).hash);
    assert!(net.nodes[mixed].fetched.iter().all(|(peer, _)| *peer == address(2)));
    // A new block reaches those who do not speak as a whole one, whoever passes it on.
    let frozen = net.add_node();
    net.connect(frozen, mixed);
    net.run(8_000);
    assert_eq!(net.tip(frozen).hash, net.tip(0).hash);
    net.mine(2);
    net.run(300);
    assert!(net.agree(), "{}", net.describe());
}

#[test]
fn a_block_goes_out_whole_from_its_miner_and_by_header_from_others() {
    let mut net = Net::new(genesis(3), 3, 11);
    net.all_speak();
    // A line: node 2 hears of node 0's blocks from node 1 alone.
    net.connect(0, 1);
    net.connect(1, 2);
    net.run(1_000);
    let first = tx(&net.genesis, 1);
    net.submit(2, first.clone());
    net.run(300);
    let block = net.mine(0).unwrap();
    assert_eq!(block.txhashes, [first.hash()]);
    net.run(300);
    assert!(net.agree() && net.tip(2).height == 1, "{}", net.describe());
    assert_eq!((net.nodes[0].sent_blocks, net.nodes[0].announced), (1, 0));
    assert_eq!((net.nodes[1].sent_blocks, net.nodes[1].announced), (0, 1));
    let by_hash = Request::Block(BlockQuery::Hash(block.claimed_hash));
    assert_eq!(net.nodes[2].asked.iter().filter(|request| **request == by_hash).count(), 1);
    assert!(!net.nodes[2].asked.contains(&Request::Tx(first.hash())), "it had the body");

    // A header without work is nobody's block, and costs its sender the connection.
    let mut forge = Forge::new(&net.genesis, 1);
    forge.block(vec![]);
    let mut lazy = forge.block(vec![]);
    (lazy.previous, lazy.nonce) = (block.claimed_hash, 0);
    let header = lazy.header(lazy.history_root.unwrap()).unwrap();
    let unchecked = blockhie_core::UncheckedHeader { header, signature: lazy.signature };
    let before = net.nodes[2].asked.len();
    net.event(2, Event::Announced { peer: address(1), header: unchecked });
    assert_eq!((net.nodes[2].bans.len(), net.nodes[2].asked.len()), (1, before));
}

#[test]
fn claims_without_an_end_cost_bounded_memory() {
    let mut net = net_of(2, 60, 12);
    let late = joiner(&mut net);
    // Whole blocks are held only within the window, whatever is offered.
    net.nodes[0].serves = Serves::Slowly(30);
    net.connect(late, 0);
    net.connect(late, 1);
    for _ in 0..40 {
        net.run(20);
        let (blocks, bytes) = net.nodes[late].engine.held_blocks();
        assert!(blocks <= limits::MAX_WINDOW && bytes <= limits::MAX_HELD_BYTES);
    }
    // An answer that nobody asked for is of no interest, and headers on nothing of ours are a lie.
    let stray = blockhie_engine::FetchId(9_999_999);
    let nothing = Ok(blockhie_engine::Fetched::Headers(Some(vec![])));
    net.event(late, Event::Fetched { peer: address(0), id: stray, result: nothing });
    assert!(net.nodes[late].bans.is_empty());
    let liar = joiner(&mut net);
    let mut fake = forged(&mut net, 1, 40, &BTreeMap::new());
    fake.drain(1..20);
    net.run(60_000);
    net.nodes[liar].fake = Some(fake);
    let new = joiner(&mut net);
    net.connect(new, liar);
    net.run(1_000);
    assert_eq!(net.nodes[new].bans.len(), 1);
    assert!(net.nodes[new].bans[0].2.contains("locator"), "{}", net.nodes[new].bans[0].2);
}

/// The engine says why nothing advances, whatever it waits for.
#[test]
fn the_state_says_what_is_waited_for() {
    let mut net = net_of(2, 100, 13);
    let late = joiner(&mut net);
    let state = |net: &Net| -> SyncState { Engine::sync_state(&net.nodes[late].engine) };
    net.run(200);
    assert_eq!(state(&net), SyncState::NoPeers);
    net.connect(late, 0);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        net.run(5);
        seen.insert(state(&net).reason());
        assert!(SyncState::REASONS.contains(&state(&net).reason()));
        assert!(!state(&net).to_string().is_empty());
    }
    for reason in ["locating", "bodies", "synced"] {
        assert!(seen.contains(reason), "{reason} in {seen:?}");
    }
    // Headers do not come.
    net.nodes[1].serves = Serves::TipOnly;
    let other = joiner(&mut net);
    net.connect(other, 1);
    net.run(500);
    assert_eq!(net.nodes[other].engine.sync_state(), SyncState::Locating { peer: address(1) });
    net.run(6_000);
    assert_eq!(net.nodes[other].engine.sync_state(), SyncState::Stalled { peer: address(1) });
}

/// All blocks come from peers that let each question time out: there are never more of these than the bound.
#[test]
fn questions_for_blocks_under_way_are_bounded_over_all_peers() {
    let mut net = net_of(7, 120, 40);
    let late = joiner(&mut net);
    for node in 0..7 {
        net.nodes[node].serves = Serves::NoBlocks;
        net.connect(late, node);
    }
    net.run(limits::STALL_MS - 500);
    let asked = net.nodes[late].fetched.iter().filter(|(_, fetch)| matches!(fetch, Fetch::Blocks(_))).count();
    assert_eq!(
        asked,
        limits::MAX_FETCHES,
        "of {} that each peer for itself may have",
        7 * limits::MAX_FETCHES_PER_PEER
    );
}

/// A leader that answers each question just in time gives way to a peer that is quick.
#[test]
fn a_leader_that_answers_just_in_time_does_not_hold_a_joiner() {
    let mut net = net_of(2, 600, 41);
    net.nodes[1].speaks = false;
    net.nodes[0].serves = Serves::Slowly(limits::STALL_MS - 500);
    let late = joiner(&mut net);
    net.connect(late, 0);
    net.run(limits::STALL_MS);
    net.connect(late, 1);
    net.run(3 * limits::REVIEW_MS);
    assert!(noted(&net, late, "leads too slowly"), "{:?}", net.nodes[late].notes);
    assert_eq!(net.tip(late).hash, net.tip(1).hash, "{}", net.describe());
    assert!(net.nodes[late].bans.is_empty());
}
