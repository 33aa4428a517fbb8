//! What goes wrong, and when: a plan drawn from the seed before the run starts.

use crate::rng::Rng;

/// Mean virtual ms between the starts of two faults.
const FAULT_EVERY_MS: u64 = 4_000;
/// Faults do not start before: the nodes connect first.
const QUIET_MS: u64 = 1_500;

/// At which step of a turn a node dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// Between two turns.
    Idle,
    /// Everything is decided, nothing is written.
    BeforeCommit,
    /// Written, and nobody was told.
    AfterCommit,
    /// Written, and some of the actions were performed.
    Midway,
}

/// One kind of trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// These cannot speak to the others.
    Partition(Vec<usize>),
    /// Nothing gets from one to the other; the other way works.
    OneWay(usize, usize),
    /// Messages lost, in a million, on all links.
    Loss(u32),
    /// Messages delivered twice, in a million, on all links.
    Duplicates(u32),
    /// Delays this many times as long, and as scattered, on all links.
    Slow(u64),
    /// A node dies and comes back at the end.
    Crash(usize, CrashPoint),
    /// A node is stopped (SIGSTOP) and goes on at the end.
    Pause(usize),
    /// A node's wall clock jumps by so many ms, and back at the end.
    Clock(usize, i64),
    /// A node sees its disk nearly full and takes nothing.
    DiskFull(usize),
    /// Of a node's commits so many in a million fail.
    CommitFails(usize, u32),
    /// Of a node's reads so many in a million fail.
    ReadFails(usize, u32),
    /// A node's hash rate is this many times as high (with proof of work).
    HashRate(usize, u64),
}

/// A trouble, and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub trouble: Trouble,
    /// From, virtual ms.
    pub from_ms: u64,
    /// Until, virtual ms.
    pub until_ms: u64,
}

/// The faults of a run of `nodes` nodes.
#[must_use]
pub fn plan(seed: u64, nodes: usize, chaos_ms: u64, interval_ms: u64) -> Vec<Fault> {
    let mut rng = Rng::stream(seed, "faults");
    let mut faults = Vec::new();
    let mut at_ms = QUIET_MS;
    if rng.chance(500_000) && chaos_ms > 8 * QUIET_MS {
        // A late joiner: it catches up while other things go wrong.
        let trouble = Trouble::Crash(rng.index(nodes), CrashPoint::Idle);
        faults.push(Fault { trouble, from_ms: QUIET_MS, until_ms: chaos_ms * (1 + rng.below(3)) / 4 });
    }
    loop {
        at_ms += rng.exponential_ms(FAULT_EVERY_MS).max(1);
        if at_ms >= chaos_ms {
            return faults;
        }
        let trouble = draw(&mut rng, nodes);
        let mean_ms = match trouble {
            Trouble::Partition(_) | Trouble::OneWay(..) => 8 * interval_ms,
            Trouble::Pause(_) | Trouble::Clock(..) => 6_000,
            // Long enough that who comes back catches up headers first.
            Trouble::Crash(_, CrashPoint::Idle) => *rng.pick(&[2_000, 20 * interval_ms]),
            _ => 4_000,
        };
        let until_ms = (at_ms + 200 + rng.exponential_ms(mean_ms)).min(chaos_ms);
        faults.push(Fault { trouble, from_ms: at_ms, until_ms });
    }
}

fn draw(rng: &mut Rng, nodes: usize) -> Trouble {
    let node = rng.index(nodes);
    match rng.below(16) {
        0 | 1 => {
            let side: Vec<usize> = (0..nodes).filter(|_| rng.chance(500_000)).collect();
            Trouble::Partition(if side.is_empty() { vec![node] } else { side })
        }
        2 => Trouble::OneWay(node, (node + 1 + rng.index(nodes - 1)) % nodes),
        3 => Trouble::Loss(*rng.pick(&[50_000, 200_000, 500_000])),
        4 => Trouble::Duplicates(300_000),
        5 => Trouble::Slow(*rng.pick(&[5, 20, 60])),
        6 => Trouble::Crash(node, CrashPoint::Idle),
        7 => Trouble::Crash(node, CrashPoint::BeforeCommit),
        8 => Trouble::Crash(node, CrashPoint::AfterCommit),
        9 => Trouble::Crash(node, CrashPoint::Midway),
        10 => Trouble::Pause(node),
        11 => {
            let ms = *rng.pick(&[700, 4_000, 20_000, 90_000]);
            Trouble::Clock(node, if rng.chance(500_000) { ms } else { -ms })
        }
        12 => Trouble::DiskFull(node),
        13 => Trouble::CommitFails(node, *rng.pick(&[200_000, 600_000, 1_000_000])),
        14 => Trouble::ReadFails(node, *rng.pick(&[1_000, 20_000, 300_000])),
        _ => Trouble::HashRate(node, *rng.pick(&[0, 8])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::mem::discriminant;

    #[test]
    fn every_kind_comes_and_ends_in_time() {
        let mut kinds = Vec::new();
        let mut points = BTreeSet::new();
        for seed in 0..40 {
            for fault in plan(seed, 5, 60_000, 1_000) {
                assert!(fault.from_ms < fault.until_ms && fault.until_ms <= 60_000, "seed {seed}: {fault:?}");
                if let Trouble::Crash(_, point) = fault.trouble {
                    points.insert(format!("{point:?}"));
                }
                if !kinds.contains(&discriminant(&fault.trouble)) {
                    kinds.push(discriminant(&fault.trouble));
                }
            }
        }
        assert_eq!((kinds.len(), points.len()), (12, 4));
        assert_eq!(plan(3, 5, 60_000, 1_000), plan(3, 5, 60_000, 1_000));
    }
}
