//! `blockhie-sim attacks`.

use blockhie_sim::attacks::{Game, Share, deep_reorganisation, mean_interval, selfish_share};
use blockhie_sim::faults::CrashPoint;
use blockhie_sim::world::{Holder, Strategy};

/// A mean interval is at most so many hundredths off T.
const BOUND: f64 = 5.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The seed of every scenario
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Virtual seconds over which means and shares are taken
    #[arg(long, value_name = "S", default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(100..=100_000))]
    seconds: u64,
    /// The deepest reorganisation
    #[arg(long, value_name = "BLOCKS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=2_000))]
    depth: u64,
}

fn games() -> Vec<(String, Game)> {
    let mut games: Vec<(String, Game)> = vec![
        ("nothing happens".into(), Game::Steady),
        ("nobody mines for an hour".into(), Game::Outage),
        ("hash rate x 8".into(), Game::TimesEight),
        ("hash rate / 8".into(), Game::OverEight),
        ("no rate limit, spacing 0".into(), Game::Unlimited(0)),
        ("no rate limit, spacing 2".into(), Game::Unlimited(2)),
        ("back-dated siblings".into(), Game::BackDated),
        ("2 of 5 dead, spacing 2".into(), Game::Missing),
    ];
    for percent in [12, 20, 30, 40] {
        for strategy in [Strategy::Future, Strategy::Past, Strategy::Zigzag] {
            games.push((format!("{percent} % write times: {strategy:?}"), Game::Times(percent, strategy)));
        }
    }
    games
}

pub(crate) fn run(args: &Args) -> u8 {
    let ok = [difficulty(args), selfish(args), deep(args)];
    println!("commit {}, seed {}", env!("BLOCKHIE_COMMIT"), args.seed);
    u8::from(ok.contains(&false))
}

fn difficulty(args: &Args) -> bool {
    let mut ok = true;
    println!(
        "{:<28} {:>9} {:>7} {:>7} {:>9} {:>9} {:>8}",
        "T 1 s", "mean s", "off %", "blocks", "its share", "in 10 s", "siblings"
    );
    for (name, game) in games() {
        match mean_interval(game, args.seed, args.seconds * 1_000) {
            Ok(got) => {
                let holds = got.off().abs() <= BOUND;
                ok &= holds;
                println!(
                    "{name:<28} {:>9.3} {:>7.2} {:>7} {:>9.1} {:>9} {:>8}{}",
                    got.mean_ms / 1_000.0,
                    got.off(),
                    got.blocks,
                    got.share,
                    got.burst,
                    got.siblings,
                    if holds { "" } else { "  MORE THAN 5 % OFF" }
                );
            }
            Err(what) => {
                ok = false;
                println!("{name:<28} {what}");
            }
        }
    }
    ok
}

/// Hundredths of the chain's blocks for each way of mining.
fn selfish(args: &Args) -> bool {
    let mut ok = true;
    println!(
        "{:<28} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}",
        "share of the blocks, %", "work", "as all", "selfish", "theory", "pooled", "and both", "longest"
    );
    for (honest, keys) in [(6, 2), (4, 2), (6, 4)] {
        for spacing in [0, (honest + keys - 1) / 2] {
            let name = format!("{honest} + {keys} members, spacing {spacing}");
            let spacing = u8::try_from(spacing).unwrap_or(u8::MAX);
            let ways = [(false, false), (true, false), (false, true), (true, true)];
            let got: Result<Vec<Share>, String> = ways
                .into_iter()
                .map(|(withholds, pools)| {
                    let holder = Holder { withholds, pools };
                    selfish_share((honest, keys), holder, spacing, args.seed, args.seconds * 1_000)
                })
                .collect();
            match got.as_deref() {
                Ok([plain, selfish, pooled, both]) => println!(
                    "{name:<28} {:>7.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>8}",
                    plain.work,
                    plain.blocks,
                    selfish.blocks,
                    plain.theory,
                    pooled.blocks,
                    both.blocks,
                    selfish.longest.max(both.longest)
                ),
                Ok(_) => {}
                Err(what) => {
                    ok = false;
                    println!("{name:<28} {what}");
                }
            }
        }
    }
    ok
}

fn deep(args: &Args) -> bool {
    let mut ok = true;
    println!("{:<28} {:>9} {:>9} {:>6}", "reorganisation", "left", "taken", "died");
    let points = [None, Some(CrashPoint::BeforeCommit), Some(CrashPoint::AfterCommit), Some(CrashPoint::Midway)];
    let depths = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000];
    for (at, depth) in depths.into_iter().filter(|depth| *depth <= args.depth).enumerate() {
        let point = points[at % points.len()];
        let name = format!("{depth}, dies {}", point.map_or("not".to_owned(), |point| format!("{point:?}")));
        match deep_reorganisation(depth, point, args.seed) {
            Ok(got) => println!("{name:<28} {:>9} {:>9} {:>6}", got.left, got.taken, got.died),
            Err(what) => {
                ok = false;
                println!("{name:<28} {what}");
            }
        }
    }
    ok
}
