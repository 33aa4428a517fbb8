//! Developer tasks: `cargo xtask --help` lists them.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool: stdout and stderr are its interface"
)]

use anyhow::Result;
use process::Tool;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod checks;
mod demo;
mod disk;
mod edges;
mod fuzz;
mod hostile;
mod kill9;
mod process;
mod rocksdb;
mod running;
mod soak;
mod system;
#[cfg(test)]
mod threats;
mod tools;
mod wheel;

const HELP: &str = "\
Developer tasks of BlockHIE.

Usage: cargo xtask <command>

  demo          two nodes of each chain and a gateway: records published, a
                device's readings pushed, one of each linked, and all of it
                proved with everything stopped; the last line is `demo: ok`
                  --records DIR    publish the files of this folder instead
                  --readings FILE  push this CSV instead: one value a line, or
                                   time and value
                  --rate HZ        readings a second, for one value a line (1)
                  --code LOINC     what was measured (8867-4, heart rate)
                  --serve          go on running until enter is pressed
                  --keep DIR       keep the data in this new folder
  test          install what is missing and run every check that CI runs;
                the last line is `test: ok` or `test: FAILED (names)`
  env           build the RocksDB archive if it is missing and print the
                `export NAME=value` lines that make cargo link it
  cargo <args>  run cargo with that environment
  kill9 [N]     kill -9 a node under load N times (50), every third time
                again while it comes back, then any process of the demo's
                system while records, readings and links come in, and look for
                losses; the last line is `kill9: ok`
                  --rounds R       kills of the second part (half of N, 25)
                  --seed S         the same victims and pauses again
  crash [N]     let a node die at every failpoint N times (10): while it is
                made, starts, works, is backed up and restored, and look for
                losses; then cut files of a store at every byte of their ends
                and flip bits; the last line is `crash: ok`
  powercut [N]  cut the power N times (50) under a loaded node's disk, an ext4
                image; `powercut: ok`, or SKIPPED with the reason
  fulldisk [N]  fill and free a disk of 64 MiB N times (20) under a store and
                a loaded node; `fulldisk: ok`, or SKIPPED with the reason
  hostile       a node among 100 hostile connections: memory, and how long an
                honest client waits; the last line is `hostile: ok`
                  --seconds S      for so long (60)
                  --row NAME       all (the default), or one row of the threat
                                   page: p1, p3, p4, p5, p8, p10,
                                   p10-flood, p12
                  --apart          attackers on a core of their own, node and
                                   honest client on the others
  fleet         eight members, one cut off and healed, one killed and coming
                back, one lying: all honest ones agree; the last line is
                `fleet: ok`
  soak          four nodes of each chain under a steady load: waits, fairness,
                losses, memory; the last line is `soak: ok`
                  --tps T          transactions a second at each node (7)
                  --seconds S      for so long (600)
                  --warm-up S      before that for S s at a higher rate, to fill
                                   the caches (120; 0: not)
                  --chain C        only this one, emr or phd
  fuzz          every decoder and the import of blocks under libFuzzer and the
                address sanitizer; the last line is `fuzz: ok, …`
                  --seconds N      in all, shared by the targets (60)
                  --target T       only this one, for all of the time
  edges         check who depends on whom in this workspace
  wheel         build the wheel of crates/blockhie-packing-py, install it into a
                fresh environment, run its tests and its example

Examples:
  cargo xtask demo
  cargo xtask demo --readings pulse.csv --rate 100 --serve
  cargo xtask test
  cargo xtask kill9 0 --rounds 5
  cargo xtask soak --seconds 120
  eval \"$(cargo xtask env)\"
  cargo xtask cargo test -p blockhie-store

The archive is kept in ~/.cache/blockhie. A plain `cargo build` works without
it; it then compiles RocksDB by itself, which takes about four times as long.
";

/// The exit code of a command line that we do not understand (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        [] | ["-h" | "--help" | "help"] => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        ["demo", rest @ ..] => with(demo::Options::parse(rest), |options| demo::run(&root(), options)),
        ["kill9", rest @ ..] => with(kill9::Options::parse(rest), |options| kill9::run(&root(), options)),
        ["crash", rest @ ..] => with(kill9::passes(rest), |passes| kill9::crash(&root(), *passes)),
        ["powercut", rest @ ..] => with(disk::count(rest), |cuts| disk::powercut(&root(), *cuts)),
        ["fulldisk", rest @ ..] => with(disk::count(rest), |fillings| disk::fulldisk(&root(), *fillings)),
        ["soak", rest @ ..] => with(soak::Options::parse(rest), |options| soak::run(&root(), options)),
        ["fuzz", rest @ ..] => with(fuzz::Options::parse(rest), |options| fuzz::run(&root(), options)),
        ["hostile", rest @ ..] => with(hostile::Options::parse(rest), |options| hostile::run(&root(), options)),
        ["fleet"] => hostile::fleet(&root()).map(|()| ExitCode::SUCCESS),
        ["test"] => Ok(exit(checks::run(&root()))),
        ["env"] => print_environment(),
        ["cargo", rest @ ..] => run_cargo(rest),
        ["wheel"] => wheel::tools().and_then(|found| wheel::check(&root(), &found)).map(|()| {
            println!("wheel: ok");
            ExitCode::SUCCESS
        }),
        ["edges"] => edges::check(&root()).map(|()| {
            println!("edges: ok");
            ExitCode::SUCCESS
        }),
        _ => {
            eprintln!("error: unknown command `{}`\n\n{HELP}", words.join(" "));
            Ok(ExitCode::from(USAGE))
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn print_environment() -> Result<ExitCode> {
    for (name, value) in rocksdb::environment(&root())? {
        println!("export {name}='{}'", value.replace('\'', r"'\''"));
    }
    Ok(ExitCode::SUCCESS)
}

fn run_cargo(arguments: &[&str]) -> Result<ExitCode> {
    let variables = rocksdb::environment(&root())?;
    let code = Tool::cargo().args(arguments).envs(&variables).exit_code()?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Runs a command with its options, or says how it is used.
fn with<T>(options: Result<T>, run: impl FnOnce(&T) -> Result<()>) -> Result<ExitCode> {
    match options {
        Ok(options) => run(&options).map(|()| ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("error: {error:#}\n\n{HELP}");
            Ok(ExitCode::from(USAGE))
        }
    }
}

fn exit(passed: bool) -> ExitCode {
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The repository's root.
fn root() -> PathBuf {
    let parent = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    parent.expect("the manifest of xtask stands in a folder of the repository").to_owned()
}
