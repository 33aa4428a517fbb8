//! `crates/blockhie-packing-py`: its wheel is built by maturin, installed where nothing else is, and tried.

use crate::process::{Tool, cache_dir};
use crate::tools;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// What builds the wheel.
const BUILDER: &str = include_str!("../requirements-wheel.txt");

/// What its tests and its example import.
const IMPORTS: &str = include_str!("../requirements-packing.txt");

/// The oldest Python whose stable interface has the buffer protocol: `abi3-py311` in the package's manifest.
const OLDEST: &str = "import sys; sys.exit(sys.version_info < (3, 11))";

/// What is needed, fetched once.
pub(crate) struct Tools {
    /// A Python with maturin.
    builder: PathBuf,
    /// The wheels of [`IMPORTS`].
    imports: PathBuf,
}

/// Fetches maturin and what the tests import into the cache folder.
///
/// # Errors
/// Says what cannot be had, an old Python included.
pub(crate) fn tools() -> Result<Tools> {
    if Tool::new("python3").args(["-c", OLDEST]).output().is_err() {
        bail!("expected Python 3.11 or newer as python3");
    }
    let builder = tools::python_environment("python-wheel", BUILDER)?;
    let imports = cache_dir()?.join("wheels");
    let (list, stamp) = (imports.join("requirements.txt"), imports.join("complete.txt"));
    if fs::read_to_string(&stamp).is_ok_and(|fetched| fetched == IMPORTS) {
        return Ok(Tools { builder, imports });
    }
    eprintln!("fetching numpy and matplotlib into {}", imports.display());
    fs::create_dir_all(&imports).with_context(|| format!("create {}", imports.display()))?;
    fs::write(&list, IMPORTS).context("write the list of wheels")?;
    Tool::new(&builder)
        .args(["-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--requirement"])
        .arg(&list)
        .arg("--dest")
        .arg(&imports)
        .output()?;
    fs::write(&stamp, IMPORTS).context("mark the wheels as complete")?;
    Ok(Tools { builder, imports })
}

/// Checks the package as its own workspace, builds the wheel, and runs tests and example in a new environment.
///
/// # Errors
/// The first that fails.
pub(crate) fn check(root: &Path, tools: &Tools) -> Result<()> {
    let package = root.join("crates/blockhie-packing-py");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("python");
    let cargo = || {
        let cargo = Tool::cargo().dir(&package).env("CARGO_TARGET_DIR", &target);
        cargo.env("PYO3_PYTHON", &tools.builder)
    };
    cargo().args(["fmt", "--check"]).run()?;
    cargo().args(["clippy", "--quiet", "--locked", "--all-targets", "--", "-D", "warnings"]).run()?;

    // Only what is built now is to be found there.
    let out = target.join("wheel");
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("empty {}", out.display()))?;
    }
    Tool::new(&tools.builder)
        // Without the check of what glibc it would run on elsewhere: it stays here.
        .args([
            "-m",
            "maturin",
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--compatibility",
            "linux",
            "--interpreter",
        ])
        .arg(&tools.builder)
        .arg("--out")
        .arg(&out)
        .env("CARGO_TARGET_DIR", &target)
        .dir(&package)
        .run()?;
    let wheel = only_file(&out)?;

    let environment = target.join("venv");
    Tool::new("python3").args(["-m", "venv", "--clear"]).arg(&environment).output()?;
    let python = environment.join("bin/python");
    Tool::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--no-index", "--find-links"])
        .arg(&tools.imports)
        .arg("--requirement")
        .arg(tools.imports.join("requirements.txt"))
        .arg(&wheel)
        .output()?;
    Tool::new(&python).args(["-m", "unittest", "discover", "--start-directory", "tests"]).dir(&package).run()?;
    let drawn = target.join("example");
    Tool::new(&python).args(["examples/policies.py", "--blocks", "120"]).arg(&drawn).dir(&package).output()?;
    Tool::new(&python).args(["examples/evaluation.py", "tests/evaluation"]).arg(&drawn).dir(&package).output()?;
    for file in ["policies.csv", "waits.svg", "subsets.svg", "evaluation.svg", "fairness.svg", "overlap.svg"] {
        let size = fs::metadata(drawn.join(file)).with_context(|| format!("look at {file} of the examples"))?.len();
        if size == 0 {
            bail!("{file} of the examples: expected something, got an empty file");
        }
    }
    Ok(())
}

/// The one file in this folder.
fn only_file(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    let files: Vec<PathBuf> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    match files.as_slice() {
        [file] => Ok(file.clone()),
        _ => bail!("{}: expected one wheel, got {}", folder.display(), files.len()),
    }
}
