//! `blockhie-sim paper`: paired runs, consistent sums, the same bytes again, and the two effects that the figures are
//! about, in short.

use blockhie_sim::paper::{
    LedgerKind, POLICIES, PaperConfig, PaperError, Row, STRIPE_FIXED, Summary, draw, evaluate, policy_named,
    write_tables,
};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Many blocks are stale: the delay is twice the interval.
fn forks() -> PaperConfig {
    PaperConfig {
        nodes: 5,
        interval_ms: 250,
        delay_ms: 500,
        capacity: 9,
        policies: vec!["fair-first", "random", "stripe"],
        seeds: 0..1,
        seconds: 25,
        warm_up_s: 5,
        ..PaperConfig::default()
    }
}

fn run(config: &PaperConfig) -> Vec<Row> {
    evaluate(config, 2, &|_| ()).expect("a good configuration")
}

fn of<'a>(rows: &'a [Row], ledger: LedgerKind, policy: &str) -> &'a Row {
    rows.iter().find(|row| row.task.ledger == ledger && row.task.policy == policy).expect("it was run")
}

#[test]
fn no_policy_changes_a_plain_chain_and_different_sets_pay_where_siblings_are_merged() {
    let rows = run(&forks());
    let plain: BTreeSet<String> = rows
        .iter()
        .filter(|row| row.task.ledger == LedgerKind::Plain)
        .map(|row| format!("{} {} {}", row.throughput_tps, row.blocks, row.stale_share))
        .collect();
    assert_eq!(plain.len(), 1, "{plain:?}");
    let tps = |ledger, policy| of(&rows, ledger, policy).throughput_tps;
    let (stripe, first) = (tps(LedgerKind::Merged, "stripe"), tps(LedgerKind::Merged, "fair-first"));
    assert!(stripe > 1.3 * first, "{stripe} over {first}");
    assert!(
        of(&rows, LedgerKind::Merged, "stripe").overlap < 0.8 * of(&rows, LedgerKind::Merged, "fair-first").overlap
    );
    let plain = of(&rows, LedgerKind::Plain, "fair-first");
    assert!(plain.stale_share > 0.3 && plain.merged_share == 0.0 && plain.stale_merged_share == 0.0, "{plain:?}");
    assert!(of(&rows, LedgerKind::Merged, "stripe").merged_share > 0.1);
}

#[test]
fn runs_of_a_seed_share_blocks_and_arrivals_and_the_delay_is_exact() {
    let config = PaperConfig { seeds: 3..5, seconds: 10, warm_up_s: 2, nodes: 3, ..forks() };
    let rows = run(&config);
    assert_eq!(rows.len(), config.tasks().len());
    for seed in config.seeds.clone() {
        let of_seed = rows.iter().filter(|row| row.task.seed == seed);
        let shared: BTreeSet<_> = of_seed.map(|row| (row.schedule, row.arrivals, row.blocks, row.offered)).collect();
        assert_eq!(shared.len(), 1, "seed {seed}: {shared:?}");
    }
    assert_eq!(rows.iter().map(|row| (row.schedule, row.arrivals)).collect::<BTreeSet<_>>().len(), 2);
    for row in &rows {
        assert_eq!(row.offered, row.committed + row.waiting + row.undecided, "{row:?}");
        assert_eq!((row.delay_mean_ms, row.delay_max_ms), (500.0, 500), "{row:?}");
        assert_eq!((row.idle_finds, row.alarms), (0, 0), "{row:?}");
    }
}

#[test]
fn waits_are_bounded_from_both_sides_and_count_what_is_pending() {
    let rows = run(&PaperConfig { ledgers: vec![LedgerKind::Plain], seconds: 15, warm_up_s: 0, nodes: 4, ..forks() });
    for row in &rows {
        assert!(row.pending > 0, "twice the load that a chain with so many stale blocks takes");
        assert_eq!(row.offered, row.ended + row.pending, "without a warm-up all count");
        let [p50, p90, p99] = row.percentiles;
        assert!(p50.at_least_ms <= p90.at_least_ms && p90.at_least_ms <= p99.at_least_ms, "{row:?}");
        assert!(p99.at_least_ms <= row.max_ms && p99.at_most_ms.is_none(), "{row:?}");
        assert!(p50.at_most_ms.is_none_or(|most| most >= p50.at_least_ms), "{row:?}");
    }
    let jain = |policy| of(&rows, LedgerKind::Plain, policy).jain_censored;
    assert!(jain("fair-first") > jain("random"));
}

#[test]
fn the_summary_pairs_by_seed() {
    let config = PaperConfig {
        seeds: 0..3,
        nodes: 3,
        seconds: 15,
        warm_up_s: 5,
        policies: vec!["fair-first", "stripe"],
        ledgers: vec![LedgerKind::Merged],
        ..forks()
    };
    let rows = run(&config);
    let summary = Summary::of(&config, &rows);
    let [first, stripe] = summary.groups.as_slice() else { panic!("two groups") };
    assert_eq!(first.throughput_ratio.unwrap().mean, 1.0);
    assert!(first.less_fair_first.values().all(|less| less.mean == 0.0 && less.half_width == Some(0.0)));
    let mean =
        |name| rows.iter().filter(|row| row.task.policy == name).map(|row| row.throughput_tps).sum::<f64>() / 3.0;
    let less = stripe.less_fair_first["throughput_tps"].mean;
    assert!((less - (mean("stripe") - mean("fair-first"))).abs() < 1e-9);
    assert_eq!(stripe.means["throughput_tps"].seeds, 3);
    // A single seed has no interval, and a summary without FAIR-FIRST compares nothing; both are drawn.
    let alone: Vec<Row> = rows.into_iter().filter(|row| row.task.policy == "stripe" && row.task.seed == 0).collect();
    let config = PaperConfig { policies: vec!["stripe"], seeds: 0..1, ..config };
    let summary = Summary::of(&config, &alone);
    assert_eq!((summary.groups[0].throughput_ratio, summary.groups[0].means["overlap"].half_width), (None, None));
    let folder = tempfile::tempdir().unwrap();
    write_tables(folder.path(), &summary, &alone).unwrap();
    draw(folder.path(), &summary, &alone).unwrap();
}

#[test]
fn what_is_out_of_range_is_said() {
    type Break = fn(&mut PaperConfig);
    let breaks: [(&str, Break); 14] = [
        ("capacity m", |config| config.capacity = 0),
        ("capacity m", |config| config.capacity = 4_001),
        ("interval T", |config| config.interval_ms = 0),
        ("delay d", |config| config.delay_ms = u64::MAX),
        ("nodes", |config| config.nodes = 1),
        ("nodes", |config| config.nodes = 65),
        ("rate", |config| config.rate = f64::NAN),
        ("rate", |config| config.rate = -7.0),
        ("rate·nodes·seconds", |config| (config.rate, config.seconds) = (10_000.0, 86_400)),
        ("number of seeds", |config| config.seeds = 5..5),
        ("seconds", |config| config.seconds = 0),
        ("warm-up", |config| config.warm_up_s = config.seconds),
        ("spacing", |config| config.spacing = 5),
        ("number of different policies", |config| config.policies = vec!["fifo", "fifo"]),
    ];
    for (field, change) in breaks {
        let mut config = forks();
        change(&mut config);
        let error = config.check().unwrap_err();
        assert!(matches!(error, PaperError::Value { .. }) && error.to_string().starts_with(field), "{field}: {error}");
        assert_eq!(evaluate(&config, 1, &|_| ()).unwrap_err().to_string(), error.to_string());
    }
    for empty in [PaperConfig { policies: vec![], ..forks() }, PaperConfig { ledgers: vec![], ..forks() }] {
        assert!(matches!(empty.check(), Err(PaperError::Value { .. })));
    }
    assert_eq!(policy_named("stripe-fixed"), Ok(STRIPE_FIXED));
    let error = policy_named("best").unwrap_err().to_string();
    assert!(POLICIES.iter().all(|name| error.contains(name)), "{error}");
}

/// What a folder holds.
fn read(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .expect("the command made it")
        .map(|entry| entry.expect("it can be listed").file_name().into_string().expect("plain names"))
        .collect();
    names.sort();
    let bytes = |name: &String| std::fs::read(folder.join(name)).expect("it can be read");
    names.iter().map(|name| (name.clone(), bytes(name))).collect()
}

fn command(out: &Path, more: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_blockhie-sim"))
        .args(["paper", "--nodes", "3", "--seconds", "20", "--warm-up", "5", "--seeds", "0..2", "--capacity", "5"])
        .args(["--interval", "0.5", "--delay", "0.25", "--policy", "fair-first", "--policy", "stripe", "--out"])
        .arg(out)
        .args(more)
        .output()
        .expect("the program was built with this test");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints text");
    (output.status.code().expect("no signal ends it"), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_writes_the_same_files_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("a/b/two"));
    let (code, stdout, stderr) = command(&one, &["--jobs", "1"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("fair-first") && stdout.contains("8 runs") && stderr.contains("8/8 "), "{stdout}{stderr}");
    assert_eq!(command(&two, &["--jobs", "3"]).0, 0);
    let (one, two) = (read(&one), read(&two));
    assert_eq!(one, two);
    let names: Vec<&str> = one.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "duplicates.svg",
        "jain.svg",
        "overlap.csv",
        "overlap.svg",
        "runs.csv",
        "stale.svg",
        "summary.json",
        "throughput.svg",
        "waits.svg",
    ];
    assert_eq!(names, expected);
    for (name, bytes) in &one {
        let text = std::str::from_utf8(bytes).unwrap();
        if name.ends_with(".svg") {
            assert!(
                text.starts_with("<svg") && text.trim_end().ends_with("</svg>") && text.contains("stripe"),
                "{name}"
            );
            assert!(bytes.len() < 100_000, "{name}: {}", bytes.len());
        }
    }
    let csv = std::str::from_utf8(&one[4].1).unwrap();
    let width = csv.lines().next().unwrap().split(',').count();
    assert!(csv.lines().count() == 9 && csv.lines().all(|line| line.split(',').count() == width), "{csv}");
    let summary: serde_json::Value = serde_json::from_slice(&one[6].1).unwrap();
    assert_eq!(summary["groups"].as_array().unwrap().len(), 4);
    assert!(summary["groups"][0]["means"]["throughput_tps"]["half_width"].is_number());
}

#[test]
fn bad_parameters_exit_64_and_a_bad_folder_1() {
    let folder = tempfile::tempdir().unwrap();
    for (bad, says) in [
        (&["--capacity", "0"][..], "capacity m: expected 1 to 4000, got 0"),
        (&["--seeds", "5..5"], "A..B"),
        (&["--interval", "0"], "interval T"),
        (&["--interval", "0.0001"], "three decimals"),
        (&["--rate", "NaN"], "rate"),
        (&["--policy", "best"], "fair-first, tp-fair"),
        (&["--ledger", "best"], "plain or merged"),
        (&["--warm-up", "20"], "warm-up"),
    ] {
        // A later value of an option is the one that counts, or is refused: either way it is bad.
        let output = Command::new(env!("CARGO_BIN_EXE_blockhie-sim"))
            .args(["paper", "--seconds", "20", "--out"])
            .arg(folder.path().join("out"))
            .args(bad)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(64) && stderr.contains(says), "{bad:?}: {stderr}");
    }
    assert!(!folder.path().join("out").exists(), "nothing is written for bad parameters");
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let (code, _, stderr) = command(&file.join("below"), &[]);
    assert!(code == 1 && stderr.contains("write ") && stderr.contains("below"), "{stderr}");
}
