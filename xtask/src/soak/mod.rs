//! `cargo xtask soak`: nodes of both chains in full mesh and a gateway under a steady load, and what it does to them. The
//! numbers, eight nodes and 7 transactions a second at each, are those of the paper's experiment; this does not reproduce
//! it.

mod memory;

use crate::running::{Background, Running, get, stop_all};
use crate::system::{Binaries, Chain, GatewayPlan, Kind};
use anyhow::{Context, Result, bail, ensure};
use memory::Memory;
use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Members of each chain: eight nodes in all.
const MEMBERS: [&str; 4] = ["a", "b", "c", "d"];
/// Transactions a second at each node.
const DEFAULT_TPS: u32 = 7;
/// How long to send.
const DEFAULT_SECONDS: u32 = 600;
/// How long to send before that: until what fills up is full, or it looks like a leak in what is measured. The largest is
/// each node's memory of verified hashes: 65,536, which at [`WARM_UP_TPS`] on each of four nodes take 328 s; 78,000 come in
/// this time. The caches of the stores, which at the paper's rate take half an hour, are full before.
const DEFAULT_WARM_UP: u32 = 390;
/// How many a second at each node meanwhile.
const WARM_UP_TPS: u32 = 50;
/// How long what was acknowledged may take to be committed at the end: after that it is stuck.
const SETTLE_S: u32 = 120;
/// Between two looks at the memory.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// Blocks whose waiting times the gateway is asked for at the end; the most that it gives.
const WAIT_BLOCKS: u32 = 512;
/// No link is made here; the gateway has to be told something.
const LINK_WINDOW_S: u32 = 60;
/// Between two lines of progress.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What the soak is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    tps: u32,
    seconds: u32,
    /// Seconds; 0: none.
    warm_up: u32,
    kinds: Vec<Kind>,
}

impl Options {
    /// Reads the arguments; an error is one of usage.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self {
            tps: DEFAULT_TPS,
            seconds: DEFAULT_SECONDS,
            warm_up: DEFAULT_WARM_UP,
            kinds: vec![Kind::Emr, Kind::Phd],
        };
        for pair in words.chunks(2) {
            let [word, value] = pair else { bail!("{}: expected a value", pair[0]) };
            let number = || {
                let number = value.parse::<u32>().ok().filter(|number| *number > 0);
                number.with_context(|| format!("{word}: expected a number above 0, got `{value}`"))
            };
            match *word {
                "--tps" => options.tps = number()?,
                "--seconds" => options.seconds = number()?,
                "--warm-up" if *value == "0" => options.warm_up = 0,
                "--warm-up" => options.warm_up = number()?,
                "--chain" => {
                    options.kinds.retain(|kind| kind.name() == *value);
                    ensure!(!options.kinds.is_empty(), "--chain: expected emr or phd, got `{value}`");
                }
                other => bail!("soak: unknown argument `{other}`"),
            }
        }
        Ok(options)
    }
}

/// One chain under load.
struct Soaked {
    chain: Chain,
    nodes: Vec<Running>,
    /// Where each node tells its counters.
    metrics: Vec<String>,
    memory: Vec<Memory>,
    load: Background,
}

/// `blockhie load` at all nodes of a chain.
fn load(binaries: &Binaries, nodes: &[Running], tps: u32, seconds: u32) -> Result<Background> {
    let count = u32::try_from(nodes.len()).context("few members")?;
    let mut load = Command::new(binaries.path("blockhie"));
    load.arg("load").args(nodes.iter().flat_map(|node| ["--node", node.address()]));
    load.args(["--tps", &tps.saturating_mul(count).to_string()]);
    load.args(["--seconds", &seconds.to_string(), "--settle", &SETTLE_S.to_string()]);
    load.args(["--senders", &count.to_string(), "--json"]);
    Background::start(&mut load)
}

/// The gateway, which shows both chains meanwhile.
struct Watched {
    gateway: Running,
    memory: Memory,
}

impl Watched {
    fn start(binaries: &Binaries, dir: &Path, emr: &Soaked, phd: &Soaked) -> Result<Self> {
        let key = dir.join("gateway.key");
        binaries.keygen(&key)?;
        let plan = GatewayPlan {
            dir: dir.join("gateway"),
            key,
            emr: emr.nodes[0].url(),
            phd: phd.nodes[0].url(),
            link_window_s: LINK_WINDOW_S,
        };
        Ok(Self { gateway: plan.start(binaries, "127.0.0.1:0")?, memory: Memory::new("gateway".into()) })
    }

    fn sample(&mut self) -> Result<()> {
        self.gateway.ensure_alive()?;
        self.memory.push(self.gateway.resident_bytes()?);
        Ok(())
    }

    /// Prints what the fairness page shows of a chain.
    fn print_waits(&self, kind: &str) -> Result<()> {
        let path = format!("/api/v1/chains/{kind}/waits?blocks={WAIT_BLOCKS}");
        let answer = get(self.gateway.address(), &path, "")?;
        let waits: Value = serde_json::from_slice(&answer).with_context(|| format!("{path}: expected JSON"))?;
        let shape = |name: &str| {
            let shape = &waits[name];
            let number = |name: &str| shape[name].as_u64().unwrap_or(0);
            format!(
                "{} {name}, p50 {} ms, p90 {} ms, p99 {} ms, at most {} ms, Jain's index {:.3}",
                number("count"),
                number("p50_ms"),
                number("p90_ms"),
                number("p99_ms"),
                number("max_ms"),
                shape["jain"].as_f64().unwrap_or(0.0)
            )
        };
        println!("  fairness page, blocks {} to {}: {}", waits["from_height"], waits["to_height"], shape("measured"));
        if waits["claimed"]["count"].as_u64().is_some_and(|count| count > 0) {
            println!("  fairness page: {}", shape("claimed"));
        }
        Ok(())
    }
}

/// Runs it. The last line is `soak: ok`.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let binaries = Binaries::build(root)?;
    let folder = tempfile::tempdir().context("make a temporary folder")?;
    let mut all = Vec::new();
    for kind in &options.kinds {
        all.push(Soaked::start(&binaries, folder.path(), *kind, options)?);
    }
    let (nodes, tps, seconds) = (MEMBERS.len(), options.tps, options.seconds);
    println!("{nodes} nodes of each chain in full mesh, {tps} transactions a second at each node for {seconds} s");
    println!("(their databases have small budgets, so that memory that only warms up is warm soon)");
    if options.warm_up > 0 {
        println!(
            "first {WARM_UP_TPS} a second for {} s, to fill the caches; none of it is in the figures",
            options.warm_up
        );
        for one in &mut all {
            one.warmed_up(&binaries, options)?;
        }
    }
    let mut watched = match all.as_slice() {
        [emr, phd] => Some(Watched::start(&binaries, folder.path(), emr, phd)?),
        // A gateway always has the EMR-Chain; the soak of one chain does without.
        _ => None,
    };
    watch(&mut all, watched.as_mut())?;
    let mut faults = Vec::new();
    for one in all {
        faults.extend(one.finish(watched.as_ref())?);
    }
    if let Some(watched) = watched {
        println!("\ngateway\n  {}", watched.memory.line());
        faults.extend(watched.memory.fault());
        stop_all([watched.gateway])?;
    }
    ensure!(faults.is_empty(), "soak:\n{}", faults.join("\n"));
    println!("soak: ok");
    Ok(())
}

/// Samples the memory until every load has ended.
fn watch(all: &mut [Soaked], mut watched: Option<&mut Watched>) -> Result<()> {
    let (started, mut told) = (Instant::now(), Duration::ZERO);
    loop {
        let mut ended = true;
        for one in &mut *all {
            one.sample()?;
            ended &= one.load.has_ended()?;
        }
        if let Some(watched) = &mut watched {
            watched.sample()?;
        }
        if ended {
            return Ok(());
        }
        if started.elapsed() >= told + TELL_EVERY {
            told = started.elapsed();
            let heights = all.iter().map(|one| one.told()).collect::<Result<Vec<_>>>()?;
            println!("[{:>6.1} s] {}", told.as_secs_f64(), heights.join(", "));
        }
        let next = Instant::now() + SAMPLE_EVERY;
        while Instant::now() < next && !all.iter_mut().all(|one| one.load.has_ended().unwrap_or(true)) {
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// An address that was free a moment ago.
fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr()?.to_string())
}

impl Soaked {
    fn start(binaries: &Binaries, dir: &Path, kind: Kind, options: &Options) -> Result<Self> {
        let names = MEMBERS.map(|name| format!("{}-{name}", kind.name()));
        let chain = Chain::make(binaries, dir, kind, &names.each_ref().map(String::as_str))?;
        chain.limit_stores()?;
        let (mut nodes, mut metrics): (Vec<Running>, Vec<String>) = (Vec::new(), Vec::new());
        for member in 0..MEMBERS.len() {
            let peers: Vec<String> = nodes.iter().map(|node| node.address().to_owned()).collect();
            let address = free_address()?;
            nodes.push(chain.start(member, "127.0.0.1:0", &peers, &["--metrics", &address])?);
            metrics.push(address);
        }
        let (tps, seconds) = match options.warm_up {
            0 => (options.tps, options.seconds),
            seconds => (WARM_UP_TPS, seconds),
        };
        let load = load(binaries, &nodes, tps, seconds)?;
        let memory = names.map(Memory::new).into();
        Ok(Self { chain, nodes, metrics, memory, load })
    }

    /// Waits for the end of the warm-up and starts the load that is measured.
    fn warmed_up(&mut self, binaries: &Binaries, options: &Options) -> Result<()> {
        let (status, line) = self.load.finish()?;
        ensure!(status.success(), "{}: warm-up: {status}: {line}", self.chain.kind().name());
        self.load = load(binaries, &self.nodes, options.tps, options.seconds)?;
        Ok(())
    }

    fn sample(&mut self) -> Result<()> {
        for (node, memory) in self.nodes.iter_mut().zip(&mut self.memory) {
            node.ensure_alive()?;
            memory.push(node.resident_bytes()?);
        }
        Ok(())
    }

    fn told(&self) -> Result<String> {
        let (height, pending) = self.chain.tip(&self.nodes[0])?;
        Ok(format!("{}: height {height}, {pending} waiting", self.chain.kind().name()))
    }

    /// Blocks that all nodes mined since they started.
    fn mined(&self) -> Result<u64> {
        let counts = self.metrics.iter().map(|address| {
            let text = String::from_utf8(get(address, "/metrics", "")?).context("metrics are text")?;
            // A counter that was never touched is not told.
            let count = text.lines().find_map(|line| line.strip_prefix("blockhie_mined_total "));
            count.map_or(Ok(0), |count| count.parse::<u64>().with_context(|| format!("mined: {count:?}")))
        });
        counts.sum()
    }

    /// Prints what came of it, stops the nodes and answers what is wrong.
    fn finish(mut self, watched: Option<&Watched>) -> Result<Vec<String>> {
        let kind = self.chain.kind().name();
        let (status, line) = self.load.finish()?;
        let report: Value = serde_json::from_str(line.trim())
            .with_context(|| format!("{kind}: blockhie load: {}, and no report: {line:?}", status))?;
        let (mined, tip) = (self.mined()?, self.chain.tip(&self.nodes[0])?.0);
        let agreed = self.chain.agree(&self.nodes.iter().collect::<Vec<_>>())?;
        print_report(kind, &report);
        if let Some(watched) = watched {
            watched.print_waits(kind)?;
        }
        stop_all(self.nodes)?;
        self.chain.fsck_all()?;
        let stale = mined.saturating_sub(tip);
        // For people, who do not miss a block of the last second.
        let percent = 100.0 * stale as f64 / mined.max(1) as f64;
        println!("  {mined} blocks mined for {tip} heights: {percent:.1} % stale; all nodes agree on block {agreed}");
        let mut faults = Vec::new();
        if !status.success() {
            faults.push(format!("{kind}: blockhie load: {}: expected all to be committed", status));
        }
        for memory in &self.memory {
            println!("  {}", memory.line());
            faults.extend(memory.fault().map(|fault| format!("{kind}: {fault}")));
        }
        Ok(faults)
    }
}

fn print_report(kind: &str, report: &Value) {
    let (number, wait) = (|name: &str| report[name].as_u64().unwrap_or(0), &report["wait"]);
    println!("\n{kind}");
    println!(
        "  offered {}, acknowledged {}, committed {}, pending {}, lost {}",
        number("sent") + number("behind"),
        number("acknowledged"),
        number("committed"),
        number("pending"),
        number("lost")
    );
    println!("  acknowledged after: p50 {} ms, p99 {} ms", report["p50_ms"], report["p99_ms"]);
    println!(
        "  committed after:    p50 {} ms, p90 {} ms, p99 {} ms, at most {} ms; Jain's index {}",
        wait["p50_ms"], wait["p90_ms"], wait["p99_ms"], wait["max_ms"], wait["jain"]
    );
    if let Some(failed) = report["failed"].as_object().filter(|failed| !failed.is_empty()) {
        println!("  not acknowledged: {failed:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_and_wrong_ones_refused() {
        let both = vec![Kind::Emr, Kind::Phd];
        assert_eq!(Options::parse(&[]).unwrap(), Options { tps: 7, seconds: 600, warm_up: 390, kinds: both });
        let options = Options::parse(&["--seconds", "60", "--tps", "3", "--warm-up", "0", "--chain", "phd"]).unwrap();
        assert_eq!(options, Options { tps: 3, seconds: 60, warm_up: 0, kinds: vec![Kind::Phd] });
        for wrong in [&["--tps"][..], &["--tps", "0"], &["--tps", "x"], &["--chain", "x"], &["--nonsense", "1"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
