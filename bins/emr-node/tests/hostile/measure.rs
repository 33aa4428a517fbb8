//! What an honest client sees, and what a process takes.

use super::record;
use blockhie_core::Genesis;
use blockhie_transport::LedgerClient;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// The honest client's pace.
const PACE: Duration = Duration::from_millis(20);

pub(crate) fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

/// Resident memory of a process, bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1_024
}

/// CPU time of a process so far, ms, and the same of its threads by name, those of one pool together.
pub(crate) fn cpu_ms(pid: u32) -> (u64, BTreeMap<String, u64>) {
    // The clock of /proc has 100 ticks a second on every Linux that we know of.
    let of = |path: &Path| {
        let text = std::fs::read_to_string(path).ok()?;
        let (head, rest) = text.rsplit_once(')')?;
        let name = head.split_once('(')?.1.trim_end_matches(|c: char| c == '-' || c.is_ascii_digit()).to_owned();
        let mut fields = rest.split_whitespace().skip(11);
        let ticks: [u64; 2] = [fields.next()?.parse().ok()?, fields.next()?.parse().ok()?];
        Some((name, 10 * (ticks[0] + ticks[1])))
    };
    let mut threads = BTreeMap::new();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        if let Some((name, ms)) = of(&thread.path().join("stat")) {
            *threads.entry(name).or_default() += ms;
        }
    }
    (of(Path::new(&format!("/proc/{pid}/stat"))).map_or(0, |(_, ms)| ms), threads)
}

/// What the honest client saw: microseconds of each call, the largest memory of the node, and who took the processor.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) acks: Vec<u128>,
    pub(crate) tips: Vec<u128>,
    pub(crate) failed: usize,
    pub(crate) memory: u64,
    pub(crate) seconds: u64,
    pub(crate) node_ms: u64,
    pub(crate) attackers_ms: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, more: Self) {
        self.acks.extend(more.acks);
        self.tips.extend(more.tips);
        self.acks.sort_unstable();
        self.tips.sort_unstable();
        self.failed += more.failed;
        self.memory = self.memory.max(more.memory);
        self.seconds += more.seconds;
        self.node_ms += more.node_ms;
        self.attackers_ms += more.attackers_ms;
    }
}

fn percentile(sorted: &[u128], part: usize) -> u128 {
    sorted.get(sorted.len().saturating_sub(1) * part / 100).copied().unwrap_or_default()
}

pub(crate) fn p99(sorted: &[u128]) -> u128 {
    percentile(sorted, 99)
}

pub(crate) async fn honest(client: &LedgerClient, genesis: &Genesis, name: &str, pid: u32, time: Duration) -> Seen {
    let (begin, mut serial) = (Instant::now(), 0);
    let mut seen = Seen { memory: resident(pid), ..Seen::default() };
    while begin.elapsed() < time {
        let tx = record(genesis, name, serial);
        let called = Instant::now();
        match client.submit(&tx).await {
            Ok(_) => seen.acks.push(called.elapsed().as_micros()),
            Err(_) => seen.failed += 1,
        }
        let called = Instant::now();
        match client.tip().await {
            Ok(_) => seen.tips.push(called.elapsed().as_micros()),
            Err(_) => seen.failed += 1,
        }
        serial += 1;
        seen.memory = seen.memory.max(resident(pid));
        tokio::time::sleep(PACE).await;
    }
    seen
}

pub(crate) fn print(what: &str, seen: &Seen) {
    if seen.seconds == 0 {
        return;
    }
    for (name, calls) in [("ack", &seen.acks), ("tip", &seen.tips)] {
        let [half, most, p99] = [50, 90, 99].map(|part| percentile(calls, part));
        println!("{what}: {name} p50 {half}, p90 {most}, p99 {p99} us of {} calls", calls.len());
    }
    let share = |ms: u64| ms / (10 * seen.seconds);
    let (node, attackers) = (share(seen.node_ms), share(seen.attackers_ms));
    println!("{what}: {} failed; the node takes {node} % of a core, the attackers {attackers} %", seen.failed);
}
