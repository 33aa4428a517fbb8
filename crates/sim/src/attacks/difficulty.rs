//! The mean interval of blocks under outages, steps of the hash rate, and games with time.

use super::{INTERVAL_MS, Quiet, broken};
use crate::setup::{HASHES_PER_S, Work};
use crate::world::{Strategy, World};

/// Nodes, all of them members.
const NODES: usize = 5;
/// Their hash rate together.
const RATE: u64 = NODES as u64 * HASHES_PER_S;
/// An hour.
const OUTAGE_MS: u64 = 3_600_000;
/// In this window after an outage blocks are counted.
const BURST_MS: u64 = 10_000;

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Game {
    /// Nothing.
    Steady,
    /// Nobody mines for an hour.
    Outage,
    /// The hash rate of everybody becomes eight times as high.
    TimesEight,
    /// Or an eighth.
    OverEight,
    /// A member with so many hundredths of the hash rate writes times as a strategy says.
    Times(u64, Strategy),
    /// A member without a rate limit: a hundred times the hash rate of each other one. With spacing or without.
    Unlimited(u8),
    /// A member dates a sibling back with each block that it finds.
    BackDated,
    /// Two of five members are dead, with a spacing of two.
    Missing,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// Mean ms between two blocks of the best chain, by a right clock, once things have settled.
    pub mean_ms: f64,
    /// Blocks that were counted.
    pub blocks: u64,
    /// Of these, by the member that plays; hundredths.
    pub share: f64,
    /// Most blocks in ten seconds on the way to that.
    pub burst: u64,
    /// Siblings merged.
    pub siblings: u64,
}

impl Interval {
    /// By how many hundredths the mean is off T.
    #[must_use]
    pub fn off(&self) -> f64 {
        100.0 * (self.mean_ms - f64::from(INTERVAL_MS)) / f64::from(INTERVAL_MS)
    }
}

impl Game {
    fn spacing(self) -> u8 {
        match self {
            Self::Unlimited(spacing) => spacing,
            Self::Missing => 2,
            _ => 0,
        }
    }

    fn begin(self, world: &mut World) {
        match self {
            Self::Steady => {}
            Self::Outage => all(world, 0),
            Self::TimesEight => all(world, 8 * HASHES_PER_S),
            Self::OverEight => all(world, HASHES_PER_S / 8),
            Self::Times(percent, strategy) => {
                all(world, RATE * (100 - percent) / 100 / (NODES as u64 - 1));
                world.set_rate(0, RATE * percent / 100);
                world.set_strategy(0, strategy);
            }
            Self::Unlimited(_) => world.set_rate(0, 100 * HASHES_PER_S),
            Self::BackDated => world.set_strategy(0, Strategy::BackDated),
            Self::Missing => [0, 1].into_iter().for_each(|node| world.set_rate(node, 0)),
        }
    }

    /// Until the difficulty has followed: an exponential approach with a half-life of 144 intervals, from up to three
    /// doublings away, and as many blocks of backlog as an outage leaves.
    fn settles_ms(self) -> u64 {
        match self {
            Self::Steady | Self::Times(..) | Self::BackDated => 0,
            _ => 2_500 * u64::from(INTERVAL_MS),
        }
    }
}

fn all(world: &mut World, hashes_per_s: u64) {
    (0..NODES).for_each(|node| world.set_rate(node, hashes_per_s));
}

/// Plays, lets the difficulty settle, and measures for `measure_ms`.
///
/// # Errors
/// An invariant that did not hold.
pub fn mean_interval(game: Game, seed: u64, measure_ms: u64) -> Result<Interval, String> {
    let siblings = if game == Game::BackDated { (16, 8) } else { (0, 0) };
    let quiet = Quiet { spacing: game.spacing(), siblings, ..Quiet::of(seed, NODES, Work::Proof) };
    let mut world = quiet.world();
    let mut end_ms = 300_000;
    world.run_until(end_ms);
    game.begin(&mut world);
    if game == Game::Outage {
        end_ms += OUTAGE_MS;
        world.run_until(end_ms);
        all(&mut world, HASHES_PER_S);
    }
    // A living node, and not the one that plays.
    let observer = NODES - 1;
    let (settled_ms, mut burst) = (end_ms + game.settles_ms(), 0);
    while end_ms < settled_ms {
        let before = world.height_of(observer);
        end_ms += BURST_MS;
        world.run_until(end_ms);
        burst = burst.max(world.height_of(observer) - before);
    }
    let from = world.height_of(observer);
    world.run_until(end_ms + measure_ms);
    broken(&world)?;
    let blocks = world.height_of(observer) - from;
    let mined = world.mined_by(observer, from, &[world.setup.nodes[0].public]);
    let percent = |of: u64| 100.0 * of as f64 / blocks.max(1) as f64;
    let siblings = world.listed_at(observer);
    Ok(Interval { mean_ms: measure_ms as f64 / blocks.max(1) as f64, blocks, share: percent(mined), burst, siblings })
}
