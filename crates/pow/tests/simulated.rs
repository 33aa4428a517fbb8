//! The difficulty rule along simulated chains: outages, steps of hash power, false times, members that come and go.
//!
//! A model of what the rule sees, and nothing else: members race by their hash rates, whoever finds a block writes a
//! time into it, and the header rules hold (time above the parent's, at most max(5 s, 10·T) ahead, spacing).

use blockhie_core::CompactTarget;
use blockhie_pow::{Difficulty, first_target_for};

/// T of these chains, ms.
const T: u64 = 1_000;
/// How far ahead of the clock a block may be, ms: max(5 s, 10·T).
const AHEAD: u64 = 10 * T;
/// The default hash-rate limit of a member, hashes a ms.
const RATE: f64 = 32.768;
/// Half-life in blocks, the default.
const HALF_LIFE: u64 = 144;

/// What a member writes into its blocks as time.
#[derive(Clone, Copy)]
enum Times {
    Honest,
    /// As far ahead as the others accept.
    Ahead,
    /// One ms above the parent's.
    Back,
    /// Ahead and back by turns.
    ByTurns,
    /// Anything that is allowed.
    Random,
}

#[derive(Clone, Copy)]
struct Member {
    /// Hashes a ms; 0 while it is away.
    rate: f64,
    times: Times,
}

/// Uniform in (0, 1], from splitmix64: the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11).wrapping_add(1) as f64 / (1u64 << 53) as f64
    }
}

struct Chain {
    rule: Difficulty,
    /// Whether the lag is bounded as the rule says; without it this is ASERT as published.
    bounded: bool,
    members: Vec<Member>,
    spacing: usize,
    random: Random,
    /// True time, ms; whole and part.
    clock: f64,
    /// Time in the tip.
    tip_ms: u64,
    lag_ms: i128,
    miners: Vec<usize>,
}

impl Chain {
    fn new(members: Vec<Member>, spacing: usize, seed: u64) -> Self {
        let first_target = first_target_for(members.len(), 1 << 15, 1_000);
        let (most_target, half_life_ms) = (CompactTarget::MOST, HALF_LIFE * T);
        let rule = Difficulty { first_target, most_target, half_life_ms, interval_ms: 1_000 };
        let (clock, tip_ms) = (1e9, 1_000_000_000);
        Self { rule, bounded: true, members, spacing, random: Random(seed), clock, tip_ms, lag_ms: 0, miners: vec![] }
    }

    /// Honest ones of the default rate.
    fn honest(count: usize, spacing: usize, seed: u64) -> Self {
        Self::new(vec![Member { rate: RATE, times: Times::Honest }; count], spacing, seed)
    }

    fn may_mine(&self, member: usize) -> bool {
        self.members[member].rate > 0.0 && !self.miners.iter().rev().take(self.spacing).any(|miner| *miner == member)
    }

    /// Blocks a ms now, if anybody may mine.
    fn speed(&self) -> f64 {
        let rates = (0..self.members.len()).filter(|member| self.may_mine(*member)).map(|m| self.members[m].rate);
        rates.sum::<f64>() / self.rule.target(self.lag_ms).work().low_u128() as f64
    }

    /// One block; false if nobody is left who may.
    fn step(&mut self) -> bool {
        let speed = self.speed();
        if speed <= 0.0 {
            return false;
        }
        self.clock += -self.random.uniform().ln() / speed;
        let mut ticket = self.random.uniform() * speed;
        let may: Vec<usize> = (0..self.members.len()).filter(|member| self.may_mine(*member)).collect();
        let work = self.rule.target(self.lag_ms).work().low_u128() as f64;
        let winner = may.iter().find(|member| {
            ticket -= self.members[**member].rate / work;
            ticket <= 0.0
        });
        let miner = *winner.unwrap_or(&may[may.len() - 1]);
        self.append(miner);
        true
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a clock of some years in ms")]
    fn append(&mut self, miner: usize) {
        let least = self.tip_ms + 1;
        let wanted = |clock: f64, times: Times, random: &mut Random, height: usize| match times {
            Times::Honest => clock as u64,
            Times::Ahead => clock as u64 + AHEAD,
            Times::Back => 0,
            Times::ByTurns => (clock as u64 + AHEAD) * u64::from(height.is_multiple_of(2)),
            Times::Random => least + random.next() % (clock as u64 + AHEAD).saturating_sub(least).max(1),
        };
        let wanted = wanted(self.clock, self.members[miner].times, &mut self.random, self.miners.len()).max(least);
        // Nobody mines what would be refused: it waits until the time is not too far ahead.
        self.clock = self.clock.max(wanted.saturating_sub(AHEAD) as f64);
        self.lag_ms = if self.bounded {
            self.rule.next_lag(self.lag_ms, self.tip_ms, wanted)
        } else {
            self.lag_ms + i128::from(wanted) - i128::from(self.tip_ms) - i128::from(T)
        };
        self.tip_ms = wanted;
        self.miners.push(miner);
    }

    /// Mean true ms between blocks over the next `count`.
    fn mean(&mut self, count: u32) -> f64 {
        let start = self.clock;
        for _ in 0..count {
            assert!(self.step(), "nobody may mine");
        }
        (self.clock - start) / f64::from(count)
    }

    /// Blocks in the next `ms` of true time.
    fn blocks_in(&mut self, ms: u64) -> u64 {
        let (end, before) = (self.clock + ms as f64, self.miners.len());
        while self.clock < end && self.step() {}
        (self.miners.len() - before) as u64
    }
}

#[track_caller]
fn within_5_percent(mean: f64, what: &str) {
    assert!((mean - T as f64).abs() < 0.05 * T as f64, "{what}: {mean:.0} ms");
}

const ATTACKS: [(&str, Times); 4] =
    [("ahead", Times::Ahead), ("back", Times::Back), ("by turns", Times::ByTurns), ("random", Times::Random)];

#[test]
fn false_times_of_12_to_40_percent_move_no_interval() {
    for share in [0.12, 0.25, 0.40] {
        for (name, times) in ATTACKS {
            for seed in 1..=2 {
                let total = 10.0 * RATE;
                let mut members = vec![Member { rate: total * (1.0 - share) / 9.0, times: Times::Honest }; 9];
                members.push(Member { rate: total * share, times });
                let mut chain = Chain::new(members, 0, seed);
                chain.mean(1_000);
                within_5_percent(chain.mean(8_000), &format!("{share} {name} seed {seed}"));
                // However it lies, nobody has to wait: the tip is never further ahead than a block may be.
                assert!(chain.tip_ms as f64 <= chain.clock + AHEAD as f64 + 1.0);
            }
        }
    }
}

#[test]
fn even_if_all_lie_the_interval_stays() {
    for (name, times) in ATTACKS {
        let mut chain = Chain::new(vec![Member { rate: RATE, times }; 4], 1, 5);
        chain.mean(1_000);
        // Only ones that always back-date: then a ms is an interval, and no rule on times can know better.
        if !matches!(times, Times::Back) {
            within_5_percent(chain.mean(8_000), name);
        }
    }
}

#[test]
fn a_member_without_a_rate_limit_gets_no_more_than_its_turns() {
    for (spacing, most_share) in [(1, 0.51), (3, 0.26)] {
        for seed in 1..=2 {
            // A core does 15 million a second; the others keep to 2^15.
            let mut members = vec![Member { rate: RATE, times: Times::Honest }; 7];
            members.push(Member { rate: 15_000.0, times: Times::Honest });
            let mut chain = Chain::new(members, spacing, seed);
            chain.mean(2_500);
            let from = chain.miners.len();
            within_5_percent(chain.mean(8_000), &format!("spacing {spacing} seed {seed}"));
            let turns = chain.miners[from..].iter().filter(|miner| **miner == 7).count();
            let share = turns as f64 / 8_000.0;
            assert!(share < most_share && share > most_share / 2.0, "spacing {spacing}: {share}");
        }
    }
    let mut members = vec![Member { rate: RATE, times: Times::Honest }; 7];
    members.push(Member { rate: 15_000.0, times: Times::Honest });
    let mut chain = Chain::new(members, 0, 1);
    chain.mean(2_500);
    within_5_percent(chain.mean(8_000), "without spacing");
    assert!(chain.miners.iter().filter(|miner| **miner == 7).count() > 9_000, "spacing is what bounds it");
}

#[test]
fn the_chain_goes_on_without_missing_members_and_stops_with_too_few() {
    for (present, spacing) in [(8, 3), (6, 3), (4, 3), (3, 2)] {
        let mut chain = Chain::honest(8, spacing, 9);
        for member in present..8 {
            chain.members[member].rate = 0.0;
        }
        chain.mean(2_000);
        within_5_percent(chain.mean(8_000), &format!("{present} of 8, spacing {spacing}"));
    }
    let mut chain = Chain::honest(8, 3, 9);
    for member in 3..8 {
        chain.members[member].rate = 0.0;
    }
    assert_eq!(chain.blocks_in(3_600_000), 3, "spacing + 1 members are needed");
}

#[test]
fn steps_of_hash_power_settle_in_the_blocks_they_owe() {
    for seed in 1..=3 {
        let mut chain = Chain::honest(4, 1, seed);
        chain.mean(2_000);
        // Eight times the power is worth 3 half-lives of blocks too many, until the target is an eighth.
        chain.members.iter_mut().for_each(|member| member.rate *= 8.0);
        let owed = 3 * HALF_LIFE;
        let many = chain.blocks_in(6 * HALF_LIFE * T);
        assert!(many.abs_diff(6 * HALF_LIFE + owed) < 120, "seed {seed}: {many} blocks");
        within_5_percent(chain.mean(5_000), &format!("times 8, seed {seed}"));
        // And back to an eighth: 3 half-lives of blocks too few.
        chain.members.iter_mut().for_each(|member| member.rate /= 8.0);
        let few = chain.blocks_in(8 * HALF_LIFE * T);
        assert!(few.abs_diff(8 * HALF_LIFE - owed) < 120, "seed {seed}: {few} blocks");
        within_5_percent(chain.mean(5_000), &format!("by 8, seed {seed}"));
    }
}

/// Blocks in the first minute after an hour's stop, a second, and blocks too many in the half hour after it.
fn after_an_outage(bounded: bool, seed: u64) -> (f64, u64) {
    let mut chain = Chain::honest(4, 1, seed);
    chain.bounded = bounded;
    chain.mean(1_000);
    chain.clock += 3_600_000.0;
    let minute = chain.blocks_in(60_000);
    let rest = chain.blocks_in(1_740_000);
    (minute as f64 / 60.0, (minute + rest).saturating_sub(1_800))
}

#[test]
fn after_an_hours_outage_the_peak_is_bounded() {
    let runs: Vec<(f64, u64)> = (1..=12).map(|seed| after_an_outage(true, seed)).collect();
    let peak = runs.iter().map(|run| run.0).sum::<f64>() / 12.0;
    assert!(peak > 2.0 && peak < 3.9, "{peak} blocks a second");
    // What is paid back is two half-lives of blocks, not an hour of them.
    assert!(runs.iter().all(|run| run.1 < 2 * HALF_LIFE + 150), "{runs:?}");
    // As published it would be 25 half-lives: the model can tell the difference.
    let (plain, owed) = after_an_outage(false, 1);
    assert!(plain > 20.0 && owed > 2_500, "{plain} a second, {owed} too many");
}
