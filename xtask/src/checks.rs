//! `cargo xtask test`: every check that CI runs, each with its wall time.

use crate::process::Tool;
use crate::{edges, kill9, rocksdb, tools, wheel};
use anyhow::Result;
use std::path::Path;
use std::time::{Duration, Instant};

/// How one check ended.
enum Outcome {
    Passed(Duration),
    Failed(Duration),
    /// Not run, and why.
    Skipped(String),
}

/// The checks so far, in the order they ran.
struct Report {
    rows: Vec<(&'static str, Outcome)>,
}

/// Runs all checks, prints the summary, and says whether none failed.
pub(crate) fn run(root: &Path) -> bool {
    let mut report = Report { rows: Vec::new() };
    checks(root, &mut report);
    report.print_summary();
    report.failed().is_empty()
}

fn checks(root: &Path, report: &mut Report) {
    let Some(()) = report.step("packages", tools::ensure_build_packages) else {
        return;
    };
    let Some(mut variables) = report.step("rocksdb", || rocksdb::environment(root)) else {
        return;
    };

    if report.tool("format", || tools::ensure_component("fmt", "rustfmt")).is_some() {
        report.step("format", || cargo(root, &["fmt", "--all", "--check"], &[]));
    }
    report.step("edges", || edges::check(root));
    deny(root, report);
    if let Some(python) = report.tool("vectors, interop", tools::python) {
        let value = python.to_string_lossy().into_owned();
        variables.push((tools::PYTHON_VARIABLE.to_owned(), value));
        report.step("vectors", || Tool::new(&python).args(["docs/protocol/vectors.py", "--check"]).dir(root).run());
    }
    // The tests are built and run without it, too; the one that needs it then says that it was skipped.
    if let Some(programs) = report.tool("browser tests", tools::browser) {
        let named = tools::BROWSER_VARIABLES.iter().zip(&programs);
        variables.extend(named.map(|(name, path)| ((*name).to_owned(), path.to_string_lossy().into_owned())));
    }
    if report.tool("clippy", || tools::ensure_component("clippy", "clippy")).is_some() {
        let arguments = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        report.step("clippy", || cargo(root, &arguments, &variables));
    }
    report.step("tests", || {
        if tools::has_subcommand("nextest") {
            return cargo(root, &["nextest", "run", "--workspace", "--no-fail-fast"], &variables);
        }
        let targets = ["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests", "--examples"];
        cargo(root, &targets, &variables)
    });
    report.step("crash points", || kill9::crash(root, 1));
    if let Some(found) = report.tool("python package", wheel::tools) {
        report.step("python package", || wheel::check(root, &found));
    }
    // With the profile of its own: two hundred networks take seconds with it and minutes without.
    report.step("chaos", || {
        let seeds = ["chaos", "--seeds", "0..200"];
        let run = ["run", "--quiet", "--profile", "sim", "--package", "blockhie-sim", "--bin", "blockhie-sim", "--"];
        cargo(root, &[run.as_slice(), &seeds].concat(), &variables)
    });
    report.step("doc tests", || cargo(root, &["test", "--workspace", "--doc"], &variables));
    variables.push(("RUSTDOCFLAGS".to_owned(), "-D warnings".to_owned()));
    report.step("docs", || cargo(root, &["doc", "--workspace", "--no-deps"], &variables));
}

/// The workspace's manifest, and those of the crates with a lock file of their own.
const MANIFESTS: [&str; 3] = ["Cargo.toml", "crates/blockhie-packing-py/Cargo.toml", "fuzz/Cargo.toml"];

/// Licences, sources and banned crates by `deny.toml`.
fn deny(root: &Path, report: &mut Report) {
    if let Some(deny) = report.tool("deny", tools::cargo_deny) {
        report.step("deny", || {
            // Duplicate versions are warnings: `cargo deny check bans` shows them, here they would bury the rest.
            let check = ["--log-level", "error", "check", "bans", "licenses", "sources"];
            MANIFESTS.iter().try_for_each(|manifest| {
                let of = ["--config", "deny.toml", "--manifest-path", manifest];
                Tool::new(&deny).args(of).args(check).dir(root).run()
            })
        });
    }
    // Its database is a git repository that has to be cloned, and these checks run without a network.
    report.skip(
        "advisories",
        "needs the RustSec database from the network: run `cargo deny check advisories` where there is one",
    );
}

fn cargo(root: &Path, arguments: &[&str], variables: &[(String, String)]) -> Result<()> {
    Tool::cargo().args(arguments).envs(variables).dir(root).run()
}

impl Report {
    /// Runs one check, prints how it went, and returns what it made when it passed.
    fn step<T>(&mut self, name: &'static str, check: impl FnOnce() -> Result<T>) -> Option<T> {
        println!("== {name}");
        let start = Instant::now();
        let result = check();
        let time = start.elapsed();
        match result {
            Ok(value) => {
                println!("== {name}: ok in {}", seconds(time));
                self.rows.push((name, Outcome::Passed(time)));
                Some(value)
            }
            Err(error) => {
                println!("== {name}: FAILED after {}: {error:#}", seconds(time));
                self.rows.push((name, Outcome::Failed(time)));
                None
            }
        }
    }

    /// Gets a tool that checks need; where it cannot be had they are skipped by name.
    fn tool<T>(&mut self, checks: &'static str, get: impl FnOnce() -> Result<T>) -> Option<T> {
        match get() {
            Ok(tool) => Some(tool),
            Err(error) => {
                self.skip(checks, &format!("{error:#}"));
                None
            }
        }
    }

    fn skip(&mut self, name: &'static str, reason: &str) {
        println!("== {name}: SKIPPED: {reason}");
        self.rows.push((name, Outcome::Skipped(reason.to_owned())));
    }

    fn failed(&self) -> Vec<&'static str> {
        let failed = self.rows.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_)));
        failed.map(|(name, _)| *name).collect()
    }

    /// Prints a line for each check and the verdict as the last line.
    fn print_summary(&self) {
        println!("\nsummary");
        for (name, outcome) in &self.rows {
            match outcome {
                Outcome::Passed(time) => println!("  ok       {name:<18} {:>8}", seconds(*time)),
                Outcome::Failed(time) => println!("  FAILED   {name:<18} {:>8}", seconds(*time)),
                Outcome::Skipped(reason) => println!("  SKIPPED  {name:<18} {}", reason.trim_end()),
            }
        }
        println!("{}", self.verdict());
    }

    fn verdict(&self) -> String {
        match self.failed().as_slice() {
            [] => "test: ok".to_owned(),
            failed => format!("test: FAILED ({})", failed.join(", ")),
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn the_verdict_names_what_failed_and_forgives_what_was_skipped() {
        let mut report = Report { rows: Vec::new() };
        assert_eq!(report.step("first", || Ok(7)), Some(7));
        assert!(report.tool::<()>("second", || bail!("not to be had")).is_none());
        assert_eq!(report.verdict(), "test: ok");
        assert!(report.step::<()>("third", || bail!("broken")).is_none());
        assert!(report.step::<()>("fourth", || bail!("broken too")).is_none());
        assert_eq!(report.verdict(), "test: FAILED (third, fourth)");
    }
}
