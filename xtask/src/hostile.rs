//! `cargo xtask hostile` and `cargo xtask fleet`: the tests of `emr-node` among hostile peers, at full length.

use crate::process::Tool;
use crate::rocksdb;
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;

/// How long the attack lasts if nothing else is said, seconds.
const DEFAULT_SECONDS: u32 = 60;

/// A row of the threat page, and the test that plays it at full length.
struct Row {
    name: &'static str,
    package: &'static str,
    target: &'static str,
    test: &'static str,
    /// What that test is told, if it is not the time.
    variable: Option<(&'static str, &'static str)>,
}

const fn node(name: &'static str, test: &'static str) -> Row {
    Row { name, package: "emr-node", target: "hostile", test, variable: None }
}

const fn million(name: &'static str, target: &'static str, test: &'static str) -> Row {
    Row { name, package: "blockhie-engine", target, test, variable: Some(("BLOCKHIE_FLOOD", "1000000")) }
}

/// The first is what is run if nothing is said.
const ROWS: [Row; 9] = [
    node("all", "a_hundred_hostile_connections"),
    node("p1", "rows::p1_oversized_messages_cost_a_node_less_than_16_mib"),
    node("p3", "p3_half_open_connections_and_resets"),
    node("p4", "rows::p4_bad_blocks_cost_a_node_no_disk_and_little_processor"),
    million("p5", "flood", "forks_that_cost_nothing_are_stored_up_to_a_bound"),
    Row {
        name: "p8",
        package: "blockhie-node",
        target: "hostile",
        test: "p8_restarts_among_liars_find_the_honest_again",
        variable: Some(("BLOCKHIE_RESTARTS", "100")),
    },
    node("p10", "p10_one_key_far_above_its_rate"),
    node("p10-flood", "p10_one_key_as_fast_as_it_is_answered"),
    million("p12", "hostile", "orphan_floods_are_bounded_and_the_honest_chain_goes_on"),
];

/// What `hostile` is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    seconds: u32,
    row: &'static str,
    /// The attackers get the last core for themselves, node and honest client the others: as if they were on another
    /// machine. Quiet and attacked alike.
    apart: bool,
}

impl Options {
    /// Reads the arguments; an error is one of usage.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self { seconds: DEFAULT_SECONDS, row: "all", apart: words.contains(&"--apart") };
        let words: Vec<&str> = words.iter().copied().filter(|word| *word != "--apart").collect();
        for pair in words.chunks(2) {
            match pair {
                ["--seconds", value] => {
                    let seconds = value.parse().ok().filter(|seconds| (5..=3_600).contains(seconds));
                    options.seconds =
                        seconds.with_context(|| format!("--seconds: expected 5 to 3600, got `{value}`"))?;
                }
                ["--row", value] => {
                    let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
                    let name = names.iter().find(|name| *name == value);
                    options.row =
                        name.with_context(|| format!("--row: expected one of {}, got `{value}`", names.join(", ")))?;
                }
                _ => bail!("hostile: unknown arguments `{}`", words.join(" ")),
            }
        }
        Ok(options)
    }
}

/// On an optimised build, as operators run it: without, the checks of what is refused take several times as long.
fn test(root: &Path, row: &Row, more: &[&str], seconds: Option<u32>, apart: bool) -> Result<()> {
    let variables = rocksdb::environment(root)?;
    let cores = std::thread::available_parallelism()?.get();
    let mut tool = Tool::cargo();
    if apart {
        ensure!(cores > 1, "--apart: expected two cores at least, got one");
        let runner = format!("target.'cfg(all())'.runner=['taskset', '--cpu-list', '0-{}']", cores - 2);
        tool = tool.args(["--config", &runner]).env("BLOCKHIE_EVIL_CORE", (cores - 1).to_string());
    }
    let mut tool = tool
        .args(["test", "--quiet", "--profile", "sim", "--package", row.package, "--test", row.target, "--", row.test])
        .args(more)
        .arg("--nocapture")
        .envs(&variables)
        .dir(root);
    if let Some((name, value)) = row.variable {
        tool = tool.env(name, value);
    }
    if let Some(seconds) = seconds {
        tool = tool.env("BLOCKHIE_HOSTILE_SECONDS", seconds.to_string());
    }
    tool.run()
}

/// A node, or its engine, among hostile peers at full length. The last line is `hostile: ok`.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    for row in ROWS.iter().filter(|row| row.name == options.row) {
        test(root, row, &["--exact"], Some(options.seconds), options.apart)?;
    }
    println!("hostile: ok");
    Ok(())
}

/// Eight members, one of them cut off, one killed and one lying. The last line is `fleet: ok`.
pub(crate) fn fleet(root: &Path) -> Result<()> {
    let row = Row { name: "fleet", package: "emr-node", target: "fleet", test: "", variable: None };
    test(root, &row, &["--ignored"], None, false)?;
    println!("fleet: ok");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_and_wrong_ones_refused() {
        assert_eq!(Options::parse(&[]).unwrap(), Options { seconds: 60, row: "all", apart: false });
        assert_eq!(Options::parse(&["--seconds", "90"]).unwrap(), Options { seconds: 90, row: "all", apart: false });
        assert_eq!(
            Options::parse(&["--row", "p4", "--seconds", "9"]).unwrap(),
            Options { seconds: 9, row: "p4", apart: false }
        );
        assert!(Options::parse(&["--apart", "--row", "p3"]).unwrap().apart);
        for wrong in
            [&["--row", "p2"][..], &["--row"], &["--seconds"], &["--seconds", "x"], &["--seconds", "0"], &["60"]]
        {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
