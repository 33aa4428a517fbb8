//! `cargo xtask fuzz`: every target of `fuzz/` under libFuzzer and the address sanitizer for a while.
//!
//! The toolchain is the one of the repository; `RUSTC_BOOTSTRAP` lets it take the sanitizer's flag, so no nightly is
//! needed. Ordinary tests run the same targets without any of this (`crates/fuzz-targets`).

use crate::process::tail;
use crate::tools;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Seconds in all, when nothing is said.
const DEFAULT_SECONDS: u64 = 60;
/// An input that takes longer is a fault, seconds. The sanitizer makes everything some times slower.
const INPUT_SECONDS: u32 = 10;
/// Memory of a target above which an input is a fault, MiB: the sanitizer's own and what limits allow one message.
const MEMORY_MIB: u32 = 2_048;
/// Longest input, bytes: above it there is only more of the same.
const INPUT_BYTES: u32 = 16_384;

/// What it is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    seconds: u64,
    target: Option<String>,
}

impl Options {
    /// Reads the arguments; an error is one of usage.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self { seconds: DEFAULT_SECONDS, target: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().copied().with_context(|| format!("{word}: expected a value"));
            match *word {
                "--seconds" => {
                    let value = value()?;
                    options.seconds =
                        value.parse().with_context(|| format!("--seconds: expected a number, got `{value}`"))?;
                }
                "--target" => options.target = Some(value()?.to_owned()),
                other => bail!("fuzz: unknown argument `{other}`"),
            }
        }
        Ok(options)
    }
}

/// How a target's run ended.
struct Run {
    executions: u64,
    /// Where the input is that broke it, and the end of what was printed.
    crash: Option<String>,
}

/// Runs the targets one after another. The last line is `fuzz: ok`, or names what crashed.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let all = targets(root)?;
    let chosen: Vec<&String> =
        all.iter().filter(|name| options.target.as_ref().is_none_or(|wanted| wanted == *name)).collect();
    if chosen.is_empty() {
        bail!("--target: expected one of {}", all.join(", "));
    }
    let cargo_fuzz = tools::cargo_fuzz()?;
    println!("building {} targets with the address sanitizer", chosen.len());
    let mut build = command(&cargo_fuzz, root, "build");
    if let Some(target) = &options.target {
        build.arg(target);
    }
    let built = build.output().context("start cargo-fuzz")?;
    if !built.status.success() {
        bail!("cargo-fuzz build: {}\n{}", built.status, tail(&built.stderr));
    }
    let each = (options.seconds / chosen.len() as u64).max(1);
    let (mut executions, mut crashed) = (0, Vec::new());
    for target in chosen {
        let run = fuzz(&cargo_fuzz, root, target, each)?;
        executions += run.executions;
        let verdict = if run.crash.is_some() { "CRASHED" } else { "ok" };
        println!("  {target:<14} {:>10} executions in {each} s: {verdict}", run.executions);
        if let Some(crash) = run.crash {
            println!("{crash}");
            crashed.push(target.as_str());
        }
    }
    if !crashed.is_empty() {
        bail!("fuzz: {executions} executions, crashes in {}: inputs in fuzz/artifacts", crashed.join(", "));
    }
    println!("fuzz: ok, {executions} executions, 0 crashes");
    Ok(())
}

/// The names of the targets, in order.
fn targets(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// cargo-fuzz on our folder, with the sanitizer's flag allowed.
fn command(cargo_fuzz: &Path, root: &Path, subcommand: &str) -> Command {
    let target_dir = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let mut command = Command::new(cargo_fuzz);
    command.arg("fuzz").arg(subcommand).args(["--fuzz-dir", "fuzz", "--target-dir"]).arg(target_dir.join("fuzz"));
    command.env("RUSTC_BOOTSTRAP", "1").current_dir(root).stdin(Stdio::null());
    command
}

/// One target for a while, from its seeds, what once crashed it, and what earlier runs on this machine found.
fn fuzz(cargo_fuzz: &Path, root: &Path, target: &str, seconds: u64) -> Result<Run> {
    let corpus = root.join("fuzz/corpus").join(target);
    std::fs::create_dir_all(&corpus).with_context(|| format!("create {}", corpus.display()))?;
    let mut command = command(cargo_fuzz, root, "run");
    command.arg(target).arg(&corpus);
    for folder in ["fuzz/seeds", "fuzz/regressions"].map(|folder| root.join(folder).join(target)) {
        if folder.is_dir() {
            command.arg(folder);
        }
    }
    command.arg("--").args([
        format!("-max_total_time={seconds}"),
        format!("-timeout={INPUT_SECONDS}"),
        format!("-rss_limit_mb={MEMORY_MIB}"),
        format!("-max_len={INPUT_BYTES}"),
        "-print_final_stats=1".to_owned(),
    ]);
    let output = command.output().with_context(|| format!("start the target {target}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let executions = executions(&text);
    if output.status.success() && executions.is_none() {
        bail!("{target}: expected libFuzzer's statistics, got\n{}", tail(&output.stderr));
    }
    let crash = (!output.status.success()).then(|| {
        let limit = Duration::from_secs(seconds);
        format!("{target}: {} within {limit:?}\n{}", output.status, tail(&output.stderr))
    });
    Ok(Run { executions: executions.unwrap_or(0), crash })
}

/// The number in `stat::number_of_executed_units: N`.
fn executions(output: &str) -> Option<u64> {
    let line = output.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        assert_eq!(Options::parse(&[]).unwrap(), Options { seconds: 60, target: None });
        let options = Options::parse(&["--seconds", "5", "--target", "block"]).unwrap();
        assert_eq!(options, Options { seconds: 5, target: Some("block".into()) });
        for bad in [&["--seconds"][..], &["--seconds", "x"], &["block"]] {
            assert!(Options::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_number_of_executions_is_found() {
        assert_eq!(executions("INFO: x\nstat::number_of_executed_units: 1234\nstat::new:  1\n"), Some(1_234));
        assert_eq!(executions("==1== ERROR\n"), None);
    }

    #[test]
    fn the_targets_are_those_of_the_folder() {
        let names = targets(&crate::root()).unwrap();
        assert!(names.contains(&"import".to_owned()) && names.is_sorted(), "{names:?}");
    }
}
