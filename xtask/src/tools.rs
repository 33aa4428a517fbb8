//! What a machine needs besides the toolchain, found or installed.

use crate::process::{Tool, cache_dir};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The cargo-deny that is installed where there is none; another one on the path is taken as it is.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// The cargo-fuzz that is installed where there is none.
const CARGO_FUZZ_VERSION: &str = "0.13.2";

/// Python packages of the interop test and of the protocol vectors, each with its exact version.
const PYTHON_REQUIREMENTS: &str = include_str!("../requirements.txt");

/// Name of a user's Python with those packages; set by us for the tests, taken as it is when set already.
pub(crate) const PYTHON_VARIABLE: &str = "BLOCKHIE_PYTHON";

/// Names of a user's browser and its driver; set by us for the tests, taken as they are when both are set already.
pub(crate) const BROWSER_VARIABLES: [&str; 2] = ["BLOCKHIE_CHROMIUM", "BLOCKHIE_CHROMEDRIVER"];

/// Debian's browser, its driver, and a font, without which pictures have no letters.
const BROWSER_PACKAGES: [&str; 3] = ["chromium", "chromium-driver", "fonts-dejavu-core"];

/// The file that says a Python environment is whole, and for which packages.
const PYTHON_STAMP: &str = "blockhie-requirements";

/// Makes sure that there is a C++ compiler and a libclang for RocksDB and its bindings.
///
/// # Errors
/// Names the command to run where packages are missing and cannot be installed.
pub(crate) fn ensure_build_packages() -> Result<()> {
    install(&missing_build_packages()?)
}

/// Makes sure that rustfmt and clippy are there; the toolchain file names them, but rustup adds them by
/// itself only where it is allowed to.
pub(crate) fn ensure_component(subcommand: &str, component: &str) -> Result<()> {
    if Tool::cargo().args([subcommand, "--version"]).output().is_ok() {
        return Ok(());
    }
    eprintln!("adding the toolchain component {component}");
    Tool::new("rustup").args(["component", "add", component]).run()
}

/// Whether cargo has this subcommand.
pub(crate) fn has_subcommand(name: &str) -> bool {
    Tool::cargo().args([name, "--version"]).output().is_ok()
}

/// The path of cargo-deny, installed into the cache folder when there is none.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    installed("cargo-deny", CARGO_DENY_VERSION)
}

/// The path of cargo-fuzz, installed into the cache folder when there is none.
pub(crate) fn cargo_fuzz() -> Result<PathBuf> {
    installed("cargo-fuzz", CARGO_FUZZ_VERSION)
}

/// A program of crates.io: the one on the path, or ours in the cache folder.
fn installed(name: &str, version: &str) -> Result<PathBuf> {
    let on_path = PathBuf::from(name);
    if Tool::new(&on_path).arg("--version").output().is_ok() {
        return Ok(on_path);
    }
    let tools = cache_dir()?.join("tools");
    let ours = tools.join("bin").join(name);
    if Tool::new(&ours).arg("--version").output().is_err() {
        eprintln!("installing {name} {version} into {} (some minutes, once)", tools.display());
        Tool::cargo()
            // Unoptimised: it compiles in a third of the time and does our work in a second all the same.
            .args(["install", "--quiet", "--debug", "--locked", "--root"])
            .arg(&tools)
            .arg(format!("{name}@{version}"))
            .env_remove("CARGO_TARGET_DIR")
            .run()?;
    }
    Ok(ours)
}

/// A Python with the packages of the interop test: the caller's own, or a virtual environment in the cache.
pub(crate) fn python() -> Result<PathBuf> {
    if let Some(python) = std::env::var_os(PYTHON_VARIABLE) {
        return Ok(python.into());
    }
    python_environment("python", PYTHON_REQUIREMENTS)
}

/// The Python of a virtual environment in this folder of the cache, made when it does not have just these packages.
pub(crate) fn python_environment(folder: &str, requirements: &str) -> Result<PathBuf> {
    install(&missing_python_packages())?;
    let version = Tool::new("python3").args(["-c", "import platform; print(platform.python_version())"]).output()?;
    let wanted = format!("# Python {version}{requirements}");
    let cache = cache_dir()?;
    fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    let lock = File::create(cache.join("python.lock")).context("create the Python lock")?;
    lock.lock().context("wait for the Python lock")?;

    let environment = cache.join(folder);
    let python = environment.join("bin/python");
    let stamp = environment.join(PYTHON_STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|made_for| made_for == wanted) {
        return Ok(python);
    }
    eprintln!("making a Python environment in {}", environment.display());
    Tool::new("python3").args(["-m", "venv", "--clear"]).arg(&environment).output()?;
    let list = environment.join("requirements.txt");
    fs::write(&list, requirements).context("write the Python requirements")?;
    Tool::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--requirement"])
        .arg(&list)
        .output()?;
    fs::write(&stamp, wanted).context("mark the Python environment as whole")?;
    Ok(python)
}

/// A Chromium and its chromedriver: the caller's own, those on the path, or Debian's.
pub(crate) fn browser() -> Result<[PathBuf; 2]> {
    if let [Some(chromium), Some(driver)] = BROWSER_VARIABLES.map(std::env::var_os) {
        return Ok([chromium.into(), driver.into()]);
    }
    let found =
        || Some([on_path(&["chromium", "google-chrome-stable", "google-chrome"])?, on_path(&["chromedriver"])?]);
    if let Some(programs) = found() {
        return Ok(programs);
    }
    let [chromium, driver] = BROWSER_VARIABLES;
    let named = || format!("install Chromium and chromedriver, or name them in {chromium} and {driver}");
    install(&BROWSER_PACKAGES.map(str::to_owned)).with_context(named)?;
    found().with_context(named)
}

/// The first of these programs that is on the path.
fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let at = |name: &&str| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    names.iter().find_map(at)
}

fn missing_build_packages() -> Result<Vec<String>> {
    let mut packages = Vec::new();
    if std::env::var_os("CXX").is_none() && Tool::new("c++").arg("--version").output().is_err() {
        packages.push("g++".to_owned());
    }
    if !has_libclang() {
        packages.extend(libclang_packages()?);
    }
    Ok(packages)
}

fn missing_python_packages() -> Vec<String> {
    let complete = Tool::new("python3").args(["-c", "import venv, ensurepip"]).output().is_ok();
    // It brings python3 along.
    if complete { Vec::new() } else { vec!["python3-venv".to_owned()] }
}

/// Whether bindgen will find a libclang and that version's own headers (`stddef.h` and the like).
fn has_libclang() -> bool {
    if std::env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    let with_prefix = |dir: &Path, prefix: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let fits = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
        entries.map(|entry| entry.path()).filter(fits).collect()
    };
    let has_library = |lib: &Path| {
        let exact = |path: &PathBuf| !path.to_string_lossy().contains("libclang-cpp");
        with_prefix(lib, "libclang.so").into_iter().chain(with_prefix(lib, "libclang-")).any(|path| exact(&path))
    };
    let has_headers = |lib: &Path| {
        with_prefix(&lib.join("clang"), "").iter().any(|version| version.join("include/stddef.h").is_file())
    };
    let llvm = with_prefix(Path::new("/usr/lib"), "llvm-").into_iter().map(|dir| dir.join("lib"));
    let complete = llvm.into_iter().any(|lib| has_library(&lib) && has_headers(&lib));
    // Elsewhere than on Debian and Ubuntu library and headers stand in the system's own folders.
    complete || (has_library(Path::new("/usr/lib64")) && has_headers(Path::new("/usr/lib")))
}

/// The two packages that hold libclang: version 14 on Debian 12, elsewhere the newest there is.
fn libclang_packages() -> Result<Vec<String>> {
    const NAMED: &str = "install libclang (the library and its headers), or set LIBCLANG_PATH";
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let is = |line: &str| release.lines().any(|have| have.replace('"', "") == line);
    let names = if is("ID=debian") && is("VERSION_ID=12") {
        String::from("libclang1-14")
    } else {
        // Fresh images come without package lists, and then the search finds nothing.
        if let Some(mut apt) = apt_get()? {
            apt = apt.arg("update");
            apt.output()?;
        }
        Tool::new("apt-cache").args(["search", "--names-only", "^libclang1-[0-9]+(t64)?$"]).output().context(NAMED)?
    };
    let (library, version) = newest_libclang(&names).context(NAMED)?;
    Ok(vec![library, format!("libclang-common-{version}-dev")])
}

/// The package with the highest number in lines of `libclang1-N …`, and N.
fn newest_libclang(names: &str) -> Option<(String, u32)> {
    let packages = names.lines().filter_map(|line| line.split_whitespace().next());
    let numbered = packages.filter_map(|name| {
        let number = name.strip_prefix("libclang1-")?.trim_end_matches("t64").parse().ok()?;
        Some((name.to_owned(), number))
    });
    numbered.max_by_key(|(_, number): &(String, u32)| *number)
}

/// Installs Debian packages, or names the command where only somebody else may run it.
fn install(packages: &[String]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    let (Some(update), Some(install)) = (apt_get()?, apt_get()?) else {
        bail!(
            "missing on this machine, and only root may install it; run\n    \
             apt-get update && apt-get install -y --no-install-recommends {list}"
        );
    };
    eprintln!("installing {list}");
    update.arg("update").output()?;
    install.args(["install", "-y", "--no-install-recommends"]).args(packages).output()?;
    Ok(())
}

/// `apt-get` with the rights to install, if we have them without asking anybody for a password.
fn apt_get() -> Result<Option<Tool>> {
    if Tool::new("apt-get").arg("--version").output().is_err() {
        return Ok(None);
    }
    let is_root = Tool::new("id").arg("-u").output()?.trim() == "0";
    let apt = if is_root {
        Tool::new("apt-get")
    } else if Tool::new("sudo").args(["-n", "true"]).output().is_ok() {
        Tool::new("sudo").args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"])
    } else {
        return Ok(None);
    };
    Ok(Some(apt.env("DEBIAN_FRONTEND", "noninteractive")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_libclang_is_the_one_with_the_highest_number() {
        let names = "libclang1-9 - C interface\nlibclang1-18t64 - C interface\nlibclang1-14 - C interface\n";
        assert_eq!(newest_libclang(names), Some(("libclang1-18t64".to_owned(), 18)));
        assert_eq!(newest_libclang("libclang1\nlibclang1-14-dbg\n"), None);
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(on_path(&["no-such-program-here", "sh"]).is_some_and(|file| file.ends_with("sh")));
        assert_eq!(on_path(&["no-such-program-here"]), None);
    }

    #[test]
    fn every_python_package_has_an_exact_version() {
        let wheel = [include_str!("../requirements-wheel.txt"), include_str!("../requirements-packing.txt")].concat();
        let lines = PYTHON_REQUIREMENTS.lines().chain(wheel.lines()).filter(|line| !line.starts_with('#'));
        assert!(lines.clone().count() > 0);
        for line in lines {
            assert!(line.contains("=="), "{line}");
        }
    }
}
