//! A node whose wall clock disagrees with those of the other members does not mine.

mod common;

use blockhie_engine::{SyncState, limits};
use common::forge::Forge;
use common::{Net, START_MS, genesis};

/// Members of which the first is under test: four others, all of whose clocks are known.
fn net(seed: u64) -> Net {
    let mut net = Net::new(genesis(5), 5, seed);
    net.connect_all();
    net.run(1_000);
    net.run_mining(40_000, &[1, 2, 3, 4]);
    net
}

fn is_off(net: &Net, node: usize) -> bool {
    matches!(net.nodes[node].engine.sync_state(), SyncState::Clock(_))
}

/// 50 ms more than the ticks need.
const SOON_MS: u64 = limits::CLOCK_STEADY_MS + 250;

#[test]
fn a_step_of_the_clock_stops_mining_and_the_way_back_starts_it() {
    let mut net = net(1);
    let limit_ms = i64::try_from(net.genesis.future_limit_ms()).unwrap();
    assert!(!is_off(&net, 0) && net.nodes[0].template.is_some());
    // Nothing is mined meanwhile: what was known of the others' clocks is enough.
    for skew_ms in [limit_ms + 2_000, -limit_ms - 2_000, 3_600_000, -3_600_000] {
        net.nodes[0].skew_ms = skew_ms;
        net.run(limits::CLOCK_STEADY_MS - 200);
        assert!(!is_off(&net, 0), "{skew_ms}: it may be a backlog that is read");
        net.run(450);
        assert!(is_off(&net, 0) && net.nodes[0].template.is_none(), "{skew_ms}: {}", net.describe());
        let way = if skew_ms > 0 { "ms ahead of those of 4 other members" } else { "ms behind those of 4" };
        assert!(net.nodes[0].notes.last().unwrap().contains(way), "{:?}", net.nodes[0].notes);
        let offset_ms = net.nodes[0].engine.clock_offset_ms().unwrap();
        assert!((offset_ms + skew_ms).abs() < 1_500, "{skew_ms}: {offset_ms}");
        net.nodes[0].skew_ms = 0;
        net.run(200);
        assert!(!is_off(&net, 0) && net.nodes[0].template.is_some(), "{skew_ms}: {}", net.describe());
    }
    // What others admit stops nobody.
    for skew_ms in [limit_ms - 2_000, 2_000 - limit_ms] {
        net.nodes[0].skew_ms = skew_ms;
        net.run(SOON_MS);
        assert!(!is_off(&net, 0) && net.nodes[0].template.is_some(), "{skew_ms}");
    }
}

#[test]
fn a_clock_that_is_off_from_the_start_is_found_out_by_what_the_others_mine() {
    for skew_ms in [45_000, -45_000] {
        let mut net = Net::new(genesis(5), 5, 2);
        net.nodes[0].skew_ms = skew_ms;
        net.connect_all();
        net.run(1_000);
        net.run_mining(40_000, &[1, 2, 3, 4]);
        assert!(is_off(&net, 0) && net.nodes[0].template.is_none(), "{skew_ms}: {}", net.describe());
        // It follows all the same, as far as its clock lets it.
        net.nodes[0].skew_ms = 0;
        net.run_mining(20_000, &[1, 2, 3, 4]);
        net.run(4_000);
        assert!(!is_off(&net, 0) && net.agree() && net.nodes[0].template.is_some(), "{skew_ms}: {}", net.describe());
    }
}

#[test]
fn a_late_joiner_whose_clock_is_behind_is_told_by_blocks_whose_parents_it_may_not_take() {
    let mut net = net(3);
    let late = net.add_node();
    net.nodes[late].skew_ms = -100_000;
    for node in 0..late {
        net.connect(late, node);
    }
    net.run_mining(40_000, &[1, 2, 3, 4]);
    assert_eq!(net.tip(late).height, 0);
    assert!(is_off(&net, late), "{}", net.describe());
}

#[test]
fn a_minority_of_liars_stops_nobody() {
    // Of four others each liar is heard once with a time far ahead, and the middle is honest until three lie.
    for liars in 0..=3usize {
        let mut net = net(4);
        for liar in 1..=liars {
            let mut forge = Forge::new(&net.genesis, liar);
            forge.block(vec![]);
            let times = (1..=limits::CLOCK_SAMPLES as u64).map(|n| START_MS + 10_000_000 + n);
            let blocks: Vec<_> = times.map(|time_ms| forge.block_at(vec![], time_ms, 2, 0)).collect();
            for block in blocks {
                net.push(0, Some(liar), block);
            }
        }
        net.run(SOON_MS);
        assert_eq!(is_off(&net, 0), liars == 3, "{liars} liars: {}", net.describe());
    }
}

#[test]
fn a_block_that_is_refused_as_too_early_tells_of_its_miners_clock() {
    let mut net = net(9);
    for member in 1..=3 {
        let block = Forge::new(&net.genesis, member).block_at(vec![], START_MS + 10_000_000, 1, 0);
        net.push(0, Some(member), block);
    }
    net.run(SOON_MS);
    assert!(is_off(&net, 0), "{}", net.describe());
}

#[test]
fn a_minority_that_is_late_or_says_so_stops_nobody() {
    for liars in [1, 3] {
        let mut net = net(10);
        for _ in 0..limits::CLOCK_SAMPLES {
            for liar in 1..=liars {
                // Long after the last block, so that its miner's clock shows.
                net.run(40_000);
                net.nodes[liar].skew_ms = -30_000;
                net.run(600);
                net.mine(liar).unwrap();
                net.nodes[liar].skew_ms = 0;
            }
        }
        net.run(SOON_MS);
        assert_eq!(is_off(&net, 0), liars == 3, "{liars} liars: {}", net.describe());
    }
}

#[test]
fn old_blocks_beside_the_chain_say_nothing() {
    let mut net = net(11);
    for member in 1..=4 {
        let mut forge = Forge::new(&net.genesis, member);
        for _ in 0..limits::CLOCK_SAMPLES {
            net.push(0, Some(member), forge.block(vec![]));
        }
    }
    net.run(SOON_MS);
    assert!(!is_off(&net, 0), "{}", net.describe());
}

#[test]
fn one_block_of_each_that_comes_late_is_not_a_clock() {
    let mut net = net(12);
    net.nodes[0].paused = true;
    for member in 1..=4 {
        net.run(1_000);
        net.mine(member).unwrap();
    }
    net.run(15_000);
    net.resume();
    net.run(SOON_MS);
    assert!(!is_off(&net, 0), "{}", net.describe());
}

#[test]
fn times_that_a_parent_dragged_ahead_are_not_taken_for_a_clock() {
    let mut net = net(5);
    // All times lie at the edge of what is admitted, because of one: the next ones are that and a ms.
    net.nodes[4].skew_ms = 9_500;
    net.nodes[0].skew_ms = -6_000;
    net.run_mining(30_000, &[1, 2, 3, 4]);
    assert!((1..4).all(|node| !is_off(&net, node)) && !is_off(&net, 0), "{}", net.describe());
}

#[test]
fn a_pause_of_a_minute_stops_mining_for_no_longer_than_its_backlog_takes() {
    let mut net = net(6);
    net.nodes[0].paused = true;
    net.run_mining(60_000, &[1, 2, 3, 4]);
    net.resume();
    for _ in 0..100 {
        net.run_mining(1_000, &[1, 2, 3, 4]);
        assert!(!is_off(&net, 0), "{}", net.describe());
    }
    assert!(net.agree() && net.nodes[0].template.is_some(), "{}", net.describe());
}

#[test]
fn old_blocks_that_are_asked_for_say_nothing_of_clocks() {
    let mut net = net(7);
    // Nobody mines for ten minutes; then somebody joins and fetches what is there.
    net.run(600_000);
    let late = net.add_node();
    for node in 0..late {
        net.connect(late, node);
    }
    net.run(20_000);
    assert!(net.agree() && !is_off(&net, late), "{}", net.describe());
    assert_eq!(net.nodes[late].engine.clock_offset_ms(), None, "too little is known");
}

#[test]
fn two_others_are_too_few_to_judge_by() {
    let mut net = Net::new(genesis(3), 3, 8);
    net.nodes[0].skew_ms = -45_000;
    net.connect_all();
    net.run(1_000);
    net.run_mining(40_000, &[1, 2]);
    net.run(SOON_MS);
    assert!(!is_off(&net, 0) && net.nodes[0].engine.clock_offset_ms().is_none());
}

#[test]
fn half_of_the_clocks_stop_nobody_and_a_chain_that_stood_for_clocks_goes_on() {
    let mut net = Net::new(genesis(4), 4, 12);
    net.connect_all();
    net.run(1_000);
    net.run_mining(40_000, &[1, 2, 3]);
    let is_stopped_by = |net: &mut Net, liar: usize| {
        let mut forge = Forge::new(&net.genesis, liar);
        forge.block(vec![]);
        for n in 1..=limits::CLOCK_SAMPLES as u64 {
            let block = forge.block_at(vec![], START_MS + 10_000_000 + n, 2, 0);
            net.push(0, Some(liar), block);
        }
        net.run(SOON_MS);
        is_off(net, 0)
    };
    assert!(!is_stopped_by(&mut net, 1));
    assert!(!is_stopped_by(&mut net, 2), "two of four, ours included: {}", net.describe());
    assert!(is_stopped_by(&mut net, 3), "{}", net.describe());
    // If all think so, nothing new comes that could say otherwise.
    net.run(limits::CLOCK_SAMPLE_MS);
    assert!(!is_off(&net, 0) && net.nodes[0].template.is_some(), "{}", net.describe());
}

/// Blocks of these members with times far ahead, all of the same height: of each of them its clock is heard.
fn far_ahead(net: &mut Net, members: &[usize]) -> Vec<(usize, blockhie_core::UncheckedBlock)> {
    let time_ms = START_MS + 10_000_000;
    let block = |member: usize| (member, Forge::new(&net.genesis, member).block_at(vec![], time_ms, 1, 0));
    let blocks: Vec<_> = members.iter().map(|member| block(*member)).collect();
    for (member, block) in &blocks {
        net.push(0, Some(*member), block.clone());
    }
    blocks
}

#[test]
fn a_block_that_is_sent_again_and_again_tells_the_time_once() {
    let mut net = net(13);
    let blocks = far_ahead(&mut net, &[1, 2, 3]);
    net.run(SOON_MS);
    assert!(is_off(&net, 0), "{}", net.describe());
    for _ in 0..=limits::CLOCK_SAMPLE_MS / 10_000 {
        net.run(10_000);
        for (member, block) in &blocks {
            net.push(0, Some(*member), block.clone());
        }
    }
    net.run(SOON_MS);
    assert!(!is_off(&net, 0), "whoever repeats them does not stop the node for ever: {}", net.describe());
}

#[test]
fn the_newest_blocks_of_a_member_count_and_not_all_it_ever_made() {
    let mut net = net(14);
    far_ahead(&mut net, &[1, 2, 3]);
    net.run(SOON_MS);
    assert!(is_off(&net, 0), "{}", net.describe());
    // Their clocks are right again, and a few blocks of each say so.
    net.run_mining(40_000, &[1, 2, 3, 4]);
    assert!(limits::CLOCK_SAMPLE_MS > 60_000 && !is_off(&net, 0), "{}", net.describe());
}

#[test]
fn blocks_of_our_own_key_are_nobody_elses_clock() {
    let mut net = Net::new(genesis(5), 5, 15);
    net.connect_all();
    net.run(10_000);
    far_ahead(&mut net, &[0, 1, 2]);
    net.run(SOON_MS);
    assert!(!is_off(&net, 0) && net.nodes[0].engine.clock_offset_ms().is_none(), "two others are too few");
    far_ahead(&mut net, &[3]);
    net.run(SOON_MS);
    assert!(is_off(&net, 0), "{}", net.describe());
}

#[test]
fn what_nobody_signed_tells_no_time() {
    // Orphans without a history root: neither work nor signature of them can be checked.
    let mut net = net(16);
    for member in 1..=4 {
        let mut forge = Forge::new(&net.genesis, member);
        forge.block(vec![]);
        let mut block = forge.block_at(vec![], START_MS + 10_000_000, 2, 0);
        block.history_root = None;
        block.signature = Some(blockhie_core::Signature([1; 64]));
        net.push(0, Some(4), block);
    }
    net.run(SOON_MS);
    assert!(!is_off(&net, 0), "{}", net.describe());
    // On an open chain anybody makes up as many miners as he likes.
    let mut open = Net::new(genesis(0), 2, 17);
    open.connect_all();
    open.run(10_000);
    far_ahead(&mut open, &[1, 2, 3, 4]);
    open.run(SOON_MS);
    assert!(!is_off(&open, 0) && open.nodes[0].engine.clock_offset_ms().is_none(), "{}", open.describe());
}
