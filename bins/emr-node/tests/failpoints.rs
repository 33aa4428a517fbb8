//! A node dies at each failpoint: while it is made, while it starts, under load, while it prunes, in a backup and in a
//! restoring. Each time it comes back with everything that was acknowledged, and `fsck` finds nothing.
//!
//! `cargo xtask crash [PASSES]` runs it: the binary must be built with the feature `failpoints`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]

mod common;

use blockhie_core::{ChainId, TxStatus};
use blockhie_node::failpoint::{POINTS, VARIABLE};
use blockhie_transport::LedgerClient;
use common::deep::{self, Deep};
use common::load::{Dice, Load, chain_of, missing};
use common::{PATIENCE, Running, emr_node, fail, run, succeed, text, two_members};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// SIGKILL.
const KILLED: i32 = 9;
/// Submissions under way at once, and the pause of each between two.
const IN_FLIGHT: u64 = 8;
const PAUSE: Duration = Duration::from_millis(5);
/// Longest wait for the death of a node that runs.
const DEATH_WITHIN: Duration = Duration::from_secs(30);
/// Points that no node comes to: a gateway's map and vault. The store's own tests die there.
const OF_GATEWAYS: [&str; 2] = ["map.", "blob."];
/// What making a node comes to, and how often at least.
const MAKING: [(&str, u64); 17] = [
    ("init.key", 1),
    ("init.config", 1),
    ("folder.made", 1),
    ("file.begun", 2),
    ("file.written", 2),
    ("file.synced", 2),
    ("file.moved", 2),
    ("file.durable", 2),
    ("create.marked", 1),
    ("create.made", 1),
    ("create.genesis", 1),
    ("create.ready", 1),
    ("batch.begun", 2),
    ("batch.written", 2),
    ("batch.synced", 2),
    ("init.store", 1),
    ("init.done", 1),
];
/// What a start after a kill comes to. How many files RocksDB makes is its own business: 3 at least.
const STARTING: [(&str, u64); 7] = [
    ("open.begun", 1),
    ("open.recovering", 3),
    ("open.recovered", 1),
    ("open.checked", 1),
    ("start.ledger", 1),
    ("start.listening", 1),
    ("start.ready", 1),
];
/// What a node under load comes to, again and again: it dies within so many visits.
const RUNNING: [(&str, u64); 5] =
    [("batch.begun", 40), ("batch.written", 40), ("batch.synced", 40), ("turn.durable", 40), ("turn.answered", 40)];
/// What a node comes to that prunes an old store in steps, and then with each block.
const PRUNING: [(&str, u64); 2] = [("prune.begun", 3), ("prune.durable", 3)];
const BACKUP: [(&str, u64); 8] = [
    ("backup.begun", 1),
    ("backup.copied", 1),
    ("file.begun", 1),
    ("file.written", 1),
    ("file.synced", 1),
    ("file.moved", 1),
    ("file.durable", 1),
    ("backup.ready", 1),
];
const RESTORE: [(&str, u64); 8] = [
    ("restore.marked", 1),
    ("copy.written", 5),
    ("restore.copied", 1),
    ("open.begun", 1),
    ("open.recovered", 1),
    ("restore.opened", 1),
    ("restore.verified", 1),
    ("restore.ready", 1),
];

struct World {
    root: PathBuf,
    dir: PathBuf,
    chain: ChainId,
    load: Arc<Load>,
    dice: Dice,
    senders: u64,
    deaths: BTreeMap<&'static str, u64>,
}

fn no_differences(dir: &Path) {
    let report = succeed(&["fsck", "--data-dir", text(dir)]);
    assert!(report.contains("differences  0"), "{report}");
}

impl World {
    fn new(root: &Path, dir: PathBuf, chain: ChainId, passes: u64) -> Self {
        let (root, load, dice) = (root.to_owned(), Arc::new(Load::default()), Dice(passes));
        Self { root, dir, chain, load, dice, senders: 0, deaths: BTreeMap::new() }
    }

    /// It died there, and nowhere else.
    fn died(&mut self, point: &'static str, crash: &str, status: ExitStatus, said: &str) {
        assert_eq!(status.signal(), Some(KILLED), "{crash}: {status}\n{said}");
        assert!(said.contains(&format!("crash at {crash}")), "{crash}: {said}");
        *self.deaths.entry(point).or_default() += 1;
    }

    /// A command that dies at one of its first `visits` to `point`.
    fn command_dies(&mut self, (point, visits): (&'static str, u64), args: &[&str]) {
        let crash = format!("{point}:{}", 1 + self.dice.below(visits));
        let output = emr_node().args(args).env(VARIABLE, &crash).output().unwrap();
        self.died(point, &crash, output.status, &String::from_utf8_lossy(&output.stderr));
    }

    /// A folder whose making was cut short is refused with a hint, or whole.
    fn making(&mut self) {
        let (genesis, key) = (self.root.join("genesis.toml"), self.root.join("b.key"));
        for step in MAKING {
            let dir = self.root.join("made");
            let init = ["init", "--data-dir", text(&dir), "--genesis", text(&genesis), "--key", text(&key)];
            self.command_dies(step, &init);
            assert!(fail(&init).contains("expected a new or empty folder"));
            if dir.join("genesis.toml").exists() {
                no_differences(&dir);
            } else {
                assert!(fail(&["run", "--data-dir", text(&dir)]).contains("run `init"), "after {}", step.0);
            }
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }

    /// Runs the node until it dies, under load once it is ready.
    async fn node_dies(&mut self, (point, visits): (&'static str, u64)) {
        let crash = format!("{point}:{}", 1 + self.dice.below(visits));
        let log = self.root.join("log");
        let mut child = emr_node()
            .args(["run", "--listen", "127.0.0.1:0", "--data-dir", text(&self.dir)])
            .env(VARIABLE, &crash)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut tasks = Vec::new();
        if let Some(address) = line.split_whitespace().find_map(|word| word.strip_prefix("listen=")) {
            let senders = self.senders..self.senders + IN_FLIGHT;
            self.senders += IN_FLIGHT;
            tasks = self.load.begin(address, self.chain, senders, PAUSE);
        }
        let deadline = tokio::time::Instant::now() + DEATH_WITHIN;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if tokio::time::Instant::now() >= deadline {
                child.kill().unwrap();
                panic!("{crash}: it lives on");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        for task in tasks {
            task.await.unwrap();
        }
        self.died(point, &crash, status, &std::fs::read_to_string(&log).unwrap());
    }

    /// Comes back whole, takes and mines; then it is killed, so that the next start has a log to replay.
    async fn comes_back(&mut self, before: usize) {
        no_differences(&self.dir);
        let node = Running::start(&self.dir, &[]);
        assert_eq!(missing(&node.address, &self.load.since(before)).await, 0);
        let tasks = self.load.begin(&node.address, self.chain, self.senders..self.senders + 1, PAUSE);
        self.senders += 1;
        self.load.reaches(self.load.count() + 3).await;
        node.kill();
        for task in tasks {
            task.await.unwrap();
        }
    }

    async fn living(&mut self, steps: &[(&'static str, u64)]) {
        for step in steps.iter().copied() {
            let before = self.load.count();
            self.node_dies(step).await;
            self.comes_back(before).await;
        }
    }

    async fn ends(&self) {
        let node = Running::start(&self.dir, &[]);
        assert_eq!(missing(&node.address, &self.load.since(0)).await, 0, "at the end");
        assert!(node.terminate().1);
        no_differences(&self.dir);
    }

    /// All that is deep is pruned but for what is kept, and the rest is there.
    async fn ends_pruned(&self, deep: &Deep) {
        let node = Running::start(&self.dir, &[]);
        let client = LedgerClient::connect(&node.address).await.unwrap();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while client.tip().await.unwrap().pruned_below <= deep::BLOCKS {
            assert!(tokio::time::Instant::now() < deadline, "it prunes no further");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for hash in &deep.others {
            assert!(matches!(client.status(*hash).await.unwrap(), TxStatus::Committed { is_final: true, .. }));
            assert!(client.transaction(*hash).await.unwrap().is_none(), "{hash} is kept");
        }
        for hash in &deep.kept {
            client.receipt(*hash).await.unwrap();
        }
        node.kill();
        assert!(succeed(&["fsck", "--data-dir", text(&self.dir)]).contains("pruned       "));
        self.ends().await;
    }

    fn backing_up(&mut self) {
        for step in BACKUP {
            let (dir, backup) = (self.dir.clone(), self.root.join("backup"));
            self.command_dies(step, &["backup", "--data-dir", text(&dir), "--backup", text(&backup)]);
            no_differences(&dir);
            let _ = std::fs::remove_dir_all(&backup);
        }
    }

    fn restoring(&mut self) {
        let (genesis, key) = (self.root.join("genesis.toml"), self.root.join("b.key"));
        let (backup, dir) = (self.root.join("backup"), self.root.join("restored"));
        succeed(&["backup", "--data-dir", text(&self.dir), "--backup", text(&backup)]);
        succeed(&["init", "--data-dir", text(&dir), "--genesis", text(&genesis), "--key", text(&key)]);
        let restore = ["restore", "--data-dir", text(&dir), "--backup", text(&backup)];
        for step in RESTORE {
            std::fs::remove_dir_all(dir.join("store")).unwrap();
            self.command_dies(step, &restore);
            // again, unless it was done
            let again = run(&restore);
            assert_eq!(again.status.success(), step.0 != "restore.ready", "{again:?}");
            no_differences(&dir);
        }
        std::fs::remove_dir_all(&dir).unwrap();
        std::fs::remove_dir_all(&backup).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_dies_at_every_point_and_loses_nothing() {
    let passes: u64 =
        std::env::var("BLOCKHIE_CRASH_PASSES").map_or(1, |text| text.parse().expect("BLOCKHIE_CRASH_PASSES: a number"));
    let root = tempfile::tempdir().unwrap();
    let [dir, _] = two_members(root.path());
    let node = Running::start(&dir, &[]);
    let chain = chain_of(&node.address).await;
    node.kill();
    let mut world = World::new(root.path(), dir, chain, passes);
    let deep = Deep::make(&root.path().join("pruning"));
    let mut pruning = World::new(root.path(), deep.dir.clone(), deep.chain, passes);
    world.comes_back(0).await;
    for _ in 0..passes {
        world.making();
        world.living(&[STARTING.as_slice(), &RUNNING].concat()).await;
        pruning.living(&PRUNING).await;
        world.backing_up();
        world.restoring();
    }
    world.ends().await;
    pruning.ends_pruned(&deep).await;
    for (point, deaths) in &pruning.deaths {
        *world.deaths.entry(point).or_default() += deaths;
    }
    for (point, _) in POINTS.iter().filter(|(name, _)| !OF_GATEWAYS.iter().any(|start| name.starts_with(start))) {
        let deaths = world.deaths.get(point).copied().unwrap_or(0);
        assert!(deaths >= passes, "{point}: {deaths} deaths in {passes} passes");
        println!("  {point:<18} {deaths}");
    }
    let (deaths, points) = (world.deaths.values().sum::<u64>(), world.deaths.len());
    let starting: u64 = STARTING.iter().filter_map(|(point, _)| world.deaths.get(point)).sum();
    println!(
        "{deaths} deaths at {points} points, {starting} of them while coming back: {} acknowledged, 0 missing, fsck 0 \
         differences each time",
        world.load.count() + pruning.load.count()
    );
}
