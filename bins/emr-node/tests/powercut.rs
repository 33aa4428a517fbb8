//! Power cuts under load. `cargo xtask powercut [N]` makes an ext4 image, mounts it, and runs this with its paths; each
//! cut shuts the file system down without flushing its journal, so that only what was synced is there afterwards.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]

mod common;

use common::load::{Dice, Load, chain_of, missing, percentile};
use common::{Running, emr_node, run, succeed, text};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Acknowledgements in each round at least, before the cut.
const ENOUGH: usize = 20;
/// Submissions under way at once, and the pause of each between two.
const IN_FLIGHT: u64 = 8;
const PAUSE: Duration = Duration::from_millis(10);
/// After [`ENOUGH`] the cut comes within this time, ms.
const CUT_WITHIN_MS: u64 = 300;
/// `EXT4_IOC_SHUTDOWN` with the flag "do not flush the log": nothing reaches the medium any more. From a script, since
/// ioctl is unsafe in Rust.
const SHUT_DOWN: &str = r#"open(my $dir, "<", $ARGV[0]) or die "open: $!"; my $flag = pack("L", 2); ioctl($dir, 0x8004587D, $flag) or die "ioctl: $!""#;

/// A file system in a file.
struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

fn tool(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Disk {
    fn named() -> Option<Self> {
        let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
        Some(Self { image: path("BLOCKHIE_DISK_IMAGE")?, mount: path("BLOCKHIE_DISK")? })
    }

    fn cut(&self) {
        tool("perl", &["-e", SHUT_DOWN, text(&self.mount)]);
    }

    /// Nobody may use it any more.
    fn mount_again(&self) {
        tool("umount", &[text(&self.mount)]);
        tool("mount", &["-o", "loop", text(&self.image), text(&self.mount)]);
    }
}

/// A member alone on its chain, in a folder on that disk, with blocks every 300 ms.
fn node_on(disk: &Path, keys: &Path) -> PathBuf {
    let (genesis, key, dir) = (keys.join("genesis.toml"), keys.join("key"), disk.join("node"));
    let member = format!("a={}", blockhie_core::keyfile::generate(&key).unwrap().public());
    let made = ["genesis", "--name", "test", "--interval-ms", "300", "--out", text(&genesis), "--member", &member];
    succeed(&made);
    succeed(&["init", "--data-dir", text(&dir), "--genesis", text(&genesis), "--key", text(&key)]);
    let config = std::fs::read_to_string(dir.join("config.toml")).unwrap();
    let small = config.replace("low_water_bytes = 268435456", "low_water_bytes = 16777216");
    assert_ne!(config, small);
    std::fs::write(keys.join("config.toml"), small).unwrap();
    dir
}

fn start(dir: &Path, keys: &Path) -> Running {
    let config = keys.join("config.toml");
    let mut command = emr_node();
    command.args(["run", "--listen", "127.0.0.1:0", "--data-dir", text(dir), "--config", text(&config)]);
    Running::spawn(command, &keys.join("log"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and an ext4 image: cargo xtask powercut"]
async fn nothing_acknowledged_is_lost_by_a_power_cut() {
    let Some(disk) = Disk::named() else { return };
    let cuts: u64 =
        std::env::var("BLOCKHIE_POWER_CUTS").map_or(3, |text| text.parse().expect("BLOCKHIE_POWER_CUTS: a number"));
    let keys = tempfile::tempdir().unwrap();
    let dir = node_on(&disk.mount, keys.path());
    // What init made is durable by itself: the very first cut comes right after it.
    disk.cut();
    disk.mount_again();
    let load = Arc::new(Load::default());
    let mut dice = Dice(cuts);
    let (mut restarts, mut unsynced_lost) = (Vec::new(), 0);
    let (mut told_in_time, mut told_late, mut late_lost) = (Vec::new(), 0, 0);
    let mut node = start(&dir, keys.path());
    let chain = chain_of(&node.address).await;
    for round in 0..cuts {
        let before = load.count();
        let tasks = load.begin(&node.address, chain, round * IN_FLIGHT..(round + 1) * IN_FLIGHT, PAUSE);
        load.reaches(before + ENOUGH).await;
        tokio::time::sleep(Duration::from_millis(dice.below(CUT_WITHIN_MS))).await;
        let unsynced = disk.mount.join(format!("unsynced-{round}"));
        std::fs::write(&unsynced, "nobody synced this").unwrap();
        // Only what was told by now was told before the cut. The machine lives on for a moment, and a sync that is under
        // way while ext4 drops its journal may be told that all is well: no client of a machine without power hears that.
        let in_time = load.count();
        disk.cut();
        tokio::time::sleep(Duration::from_millis(dice.below(50))).await;
        node.kill();
        for task in tasks {
            task.await.unwrap();
        }
        disk.mount_again();
        unsynced_lost += u64::from(!unsynced.exists() || std::fs::read(&unsynced).unwrap().is_empty());
        let fsck = run(&["fsck", "--data-dir", text(&dir)]);
        let report = String::from_utf8_lossy(&fsck.stdout).into_owned();
        assert!(report.contains("differences  0"), "after cut {}: {report}{fsck:?}", round + 1);
        let started = Instant::now();
        node = start(&dir, keys.path());
        restarts.push(started.elapsed());
        let (told, late) = (load.between(before, in_time), load.since(in_time));
        assert_eq!(missing(&node.address, &told).await, 0, "after cut {}", round + 1);
        told_in_time.extend(told);
        (told_late, late_lost) = (told_late + late.len(), late_lost + missing(&node.address, &late).await);
        if round % 50 == 49 {
            println!("{} cuts, {} acknowledged", round + 1, load.count());
        }
    }
    assert_eq!(missing(&node.address, &told_in_time).await, 0, "at the end");
    assert!(node.terminate().1);
    // Otherwise these were no power cuts.
    assert!(unsynced_lost * 10 >= cuts * 9, "{unsynced_lost} of {cuts} unsynced files were lost");
    let (count, p50, p99) = (told_in_time.len(), percentile(&restarts, 50), percentile(&restarts, 99));
    println!("{cuts} power cuts under load ({unsynced_lost} of {cuts} unsynced files lost); {count} acknowledged, 0");
    println!("missing, fsck 0 differences each time; restart p50 {} ms, p99 {} ms", p50.as_millis(), p99.as_millis());
    println!("of {told_late} answers in the moment of a cut {late_lost} were of a sync that ext4 did not do");
}
