//! `cargo xtask kill9`: kill -9 of a node under load and while it comes back (the crash test of `emr-node`), then of
//! anything in the whole system while people publish, push and link. `cargo xtask crash`: death at every failpoint.

mod town;
mod work;

use crate::process::Tool;
use crate::rocksdb;
use crate::system::Binaries;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use town::Town;
use work::Work;

/// Kills of the first part.
const DEFAULT_KILLS: u32 = 50;
/// Kills of the second part at most, where nothing else is asked for: each takes seconds.
const MAX_DEFAULT_ROUNDS: u32 = 25;
/// Passes of `crash`.
const DEFAULT_PASSES: u32 = 10;
/// Bits that `crash` flips in a store's files.
const FLIPS: u32 = 500;
/// Between two kills of the second part, ms: long enough that all come back and work goes on, and short against the
/// time that a link takes.
const BETWEEN_KILLS_MS: (u64, u64) = (500, 3_500);
/// How long the killed one stays away, ms.
const AWAY_MS: (u64, u64) = (0, 600);

/// What it is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    kills: u32,
    rounds: u32,
    seed: Option<u64>,
}

impl Options {
    /// Reads the arguments; an error is one of usage.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let (mut kills, mut rounds, mut seed) = (None, None, None);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                let value = words.next().with_context(|| format!("{word}: expected a value"))?;
                value.parse::<u64>().with_context(|| format!("{word}: expected a number, got `{value}`"))
            };
            match *word {
                "--rounds" => rounds = Some(u32::try_from(value()?).context("--rounds: expected fewer")?),
                "--seed" => seed = Some(value()?),
                other if kills.is_none() && !other.starts_with('-') => {
                    kills = Some(other.parse().with_context(|| format!("expected a number of kills, got `{other}`"))?);
                }
                other => bail!("kill9: unknown argument `{other}`"),
            }
        }
        let kills = kills.unwrap_or(DEFAULT_KILLS);
        Ok(Self { kills, rounds: rounds.unwrap_or(kills.div_ceil(2).min(MAX_DEFAULT_ROUNDS)), seed })
    }
}

/// Runs both parts. The last line is `kill9: ok`.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    if options.kills > 0 {
        println!("part one: {} kills of a node under load", options.kills);
        part_one(root, options.kills)?;
    }
    if options.rounds > 0 {
        println!("part two: {} kills of any process of a system of both chains", options.rounds);
        part_two(root, options)?;
    }
    println!("kill9: ok");
    Ok(())
}

/// Reads the number of passes of `crash`; an error is one of usage.
pub(crate) fn passes(words: &[&str]) -> Result<u32> {
    match words {
        [] => Ok(DEFAULT_PASSES),
        [number] => number.parse().with_context(|| format!("crash: expected a number of passes, got `{number}`")),
        _ => bail!("crash: expected one number at most, got `{}`", words.join(" ")),
    }
}

/// A node, built with failpoints, dies at each of them in each pass; then files of a store are damaged. The last line is `crash: ok`.
pub(crate) fn crash(root: &Path, passes: u32) -> Result<()> {
    let variables = rocksdb::environment(root)?;
    let build = ["test", "--package", "emr-node", "--features", "failpoints", "--test", "failpoints"];
    Tool::cargo()
        .args(build)
        .args(["--", "--nocapture"])
        .envs(&variables)
        .env("BLOCKHIE_CRASH_PASSES", passes.to_string())
        .dir(root)
        .run()?;
    println!("every end of every file cut off, {FLIPS} bits flipped");
    Tool::cargo()
        .args(["test", "--package", "blockhie-store", "--lib", "--", "--nocapture", "tests::rot"])
        .envs(&variables)
        .env("BLOCKHIE_STORE_TEST_ROT", FLIPS.to_string())
        .dir(root)
        .run()?;
    println!("crash: ok");
    Ok(())
}

/// The crash test of `emr-node` with this many kills.
fn part_one(root: &Path, kills: u32) -> Result<()> {
    let variables = rocksdb::environment(root)?;
    Tool::cargo()
        .args(["test", "--package", "emr-node", "--test", "crash", "--", "--nocapture"])
        .envs(&variables)
        .env("BLOCKHIE_KILLS", kills.to_string())
        .dir(root)
        .run()
}

fn part_two(root: &Path, options: &Options) -> Result<()> {
    let binaries = Binaries::build(root)?;
    let folder = tempfile::tempdir().context("make a temporary folder")?;
    let seed = options.seed.unwrap_or_else(now_ms);
    println!("seed {seed} (--seed {seed} chooses the same victims and pauses; what they meet is up to the machine)");
    let mut dice = Dice(seed);
    let mut town = Town::start(&binaries, folder.path())?;
    let work = Arc::new(Work::prepare(&binaries, folder.path(), &town)?);
    let started = Instant::now();
    let step = |what: &str| println!("[{:>6.1} s] {what}", started.elapsed().as_secs_f64());
    let workers = Work::begin(&work);
    let mut outcome = Ok(());
    for round in 1..=options.rounds {
        std::thread::sleep(Duration::from_millis(dice.between(BETWEEN_KILLS_MS)));
        outcome = town
            .kill_one(&mut dice)
            .map(|victim| step(&format!("round {round}: {victim} killed and back; acknowledged: {}", work.told())));
        if outcome.is_err() || work.has_failed() {
            break;
        }
    }
    work.end(workers)?;
    outcome?;
    work.collect()?;
    step("everything acknowledged is final and came back with its receipts");
    let (emr, phd) = town.finish()?;
    step(&format!(
        "both nodes agree on block {emr} of the EMR-Chain, and on block {phd} of the PHD-Chain; all stopped"
    ));
    town.check_stores()?;
    step("fsck of all four nodes finds nothing");
    work.verify(&town)?;
    step("everything is proved offline");
    println!("{} kills, acknowledged: {}; nothing is missing", options.rounds, work.told());
    Ok(())
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Choices that a seed repeats (SplitMix64; Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `from..to`.
    fn between(&mut self, (from, to): (u64, u64)) -> u64 {
        from + self.next() % to.saturating_sub(from).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_and_wrong_ones_refused() {
        assert_eq!(Options::parse(&[]).unwrap(), Options { kills: 50, rounds: 25, seed: None });
        let all = Options::parse(&["3", "--rounds", "7", "--seed", "9"]).unwrap();
        assert_eq!(all, Options { kills: 3, rounds: 7, seed: Some(9) });
        assert_eq!(Options::parse(&["300"]).unwrap(), Options { kills: 300, rounds: 25, seed: None });
        assert_eq!((passes(&[]).unwrap(), passes(&["3"]).unwrap()), (10, 3));
        assert!(passes(&["x"]).is_err() && passes(&["1", "2"]).is_err());
        for wrong in [&["x"][..], &["1", "2"], &["--rounds"], &["--rounds", "x"], &["--nonsense"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_seed_repeats_its_choices() {
        let rolls = |seed| {
            let mut dice = Dice(seed);
            (0..50).map(|_| dice.between((3, 8))).collect::<Vec<_>>()
        };
        assert!(rolls(1) == rolls(1) && rolls(1) != rolls(2));
        assert!(rolls(1).iter().all(|roll| (3..8).contains(roll)));
        assert_eq!(Dice(1).between((4, 4)), 4);
    }
}
