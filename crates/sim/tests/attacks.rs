//! The short ones of `blockhie-sim attacks`; the whole table is in docs/simulation.md.

use blockhie_sim::attacks::{Game, Interval, deep_reorganisation, mean_interval, selfish_share};
use blockhie_sim::faults::CrashPoint;
use blockhie_sim::world::{Holder, Strategy};

fn play(game: Game) -> Interval {
    let got = mean_interval(game, 1, 800_000).expect("the game is played to its end");
    assert!(got.off().abs() < 5.0, "{game:?}: {got:?}");
    got
}

#[test]
fn an_hour_without_blocks_leaves_a_bounded_burst_and_the_mean_stays() {
    let got = play(Game::Outage);
    // Two half-lives of lag: four blocks a second at most, and not as many as the miners can find.
    assert!((25..=50).contains(&got.burst), "{got:?}");
}

#[test]
fn the_interval_follows_the_hash_rate_up_and_down() {
    play(Game::TimesEight);
    play(Game::OverEight);
}

#[test]
fn games_with_time_do_not_move_the_interval() {
    for strategy in [Strategy::Future, Strategy::Past, Strategy::Zigzag] {
        play(Game::Times(40, strategy));
    }
}

#[test]
fn a_member_without_a_rate_limit_gets_its_turn_and_no_more() {
    let got = play(Game::Unlimited(2));
    assert!((30.0..=34.0).contains(&got.share), "one in three: {got:?}");
}

#[test]
fn back_dated_siblings_do_not_move_the_interval() {
    let got = play(Game::BackDated);
    assert!(got.siblings > 50, "{got:?}");
}

#[test]
fn the_chain_goes_on_with_as_many_members_as_spacing_needs() {
    assert!(play(Game::Missing).blocks > 700);
}

#[test]
fn spacing_bounds_a_withheld_branch_by_its_keys() {
    let both = Holder { withholds: true, pools: true };
    let share = |spacing| selfish_share((3, 2), both, spacing, 1, 800_000).unwrap();
    let (without, with) = (share(0), share(2));
    assert!(without.longest > 4 && with.longest <= 2, "{without:?} {with:?}");
    assert!((without.blocks - without.theory).abs() < 8.0, "{without:?}");
    assert!(with.blocks < 66.7, "two keys of every three blocks: {with:?}");
}

#[test]
fn a_node_that_dies_while_it_reorganises_has_the_one_chain_or_the_other() {
    for (seed, point) in [CrashPoint::BeforeCommit, CrashPoint::AfterCommit, CrashPoint::Midway].into_iter().enumerate()
    {
        let got = deep_reorganisation(40, Some(point), seed as u64).unwrap();
        assert!(got.died && got.left >= 40 && got.taken > got.left, "{point:?}: {got:?}");
    }
    assert!(!deep_reorganisation(5, None, 1).unwrap().died);
}
