//! RocksDB as one static archive, compiled once per machine.
//!
//! `librocksdb-sys` compiles some 340 C++ files one by one, and parsing the same headers over and over
//! is most of that work. RocksDB keeps its sources fit for unity builds (its own Makefile makes a
//! `unity.cc`), so the same files are compiled here in groups, with the defines and include paths of
//! the crate's `build.rs`, into the user's cache folder. `ROCKSDB_LIB_DIR` and `ROCKSDB_STATIC` then make
//! the crate link that archive instead of compiling its own. Where the compiler, the platform or the
//! crate's features are not ones this recipe was tried on, the ordinary build is left to do its work.

use crate::{process, tools};
use anyhow::{Context, Result, ensure};
use cargo_metadata::{Metadata, MetadataCommand, Package};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

mod build;

/// Features of `librocksdb-sys` that the recipe knows; `lz4-sys` is implied by `lz4`. Those of bindgen and `static` leave RocksDB's own
/// objects alone.
const KNOWN_FEATURES: [&str; 7] =
    ["lz4", "lz4-sys", "default", "static", "bindgen", "bindgen-runtime", "bindgen-static"];

/// Variables with which somebody asks for another compiler target or other flags than the recipe's.
/// The ordinary build honours them, so it is used whenever one is set.
const FOREIGN_VARIABLES: [&str; 9] = [
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTFLAGS",
    "CFLAGS",
    "CXXFLAGS",
    "CXXSTDLIB",
    "ROCKSDB_COMPILE",
    "ROCKSDB_CXX_STD",
    "ROCKSDB_INCLUDE_DIR",
];

/// Compiler flags besides defines and include paths: those of the crate's `build.rs` and of the `cc` crate
/// at optimisation level 2, without debug information. Warnings are the upstream project's business.
const FLAGS: [&str; 8] =
    ["-O2", "-std=c++20", "-fPIC", "-ffunction-sections", "-fdata-sections", "-w", "-include", "cstdint"];

/// Defines of the crate's `build.rs` on 64-bit Linux; those of features are added in [`Recipe::new`].
const DEFINES: [&str; 10] = [
    "-DNDEBUG=1",
    "-DHAVE_ALIGNED_NEW",
    "-DHAVE_UINT128_EXTENSION",
    "-DOS_LINUX",
    "-DROCKSDB_PLATFORM_POSIX",
    "-DROCKSDB_LIB_IO_POSIX",
    "-DROCKSDB_SCHED_GETCPU_PRESENT",
    "-DROCKSDB_AUXV_GETAUXVAL_PRESENT",
    "-DROCKSDB_FALLOCATE_PRESENT",
    "-DROCKSDB_RANGESYNC_PRESENT",
];

/// The environment that makes cargo link the archive, built first when it is missing.
///
/// Empty where the ordinary build has to do (the reason goes to stderr) or where the caller's own
/// `ROCKSDB_LIB_DIR` already says what to link.
///
/// # Errors
/// When packages are missing and cannot be installed, the sources cannot be had, a compiler fails, or the cache folder cannot be written.
pub(crate) fn environment(root: &Path) -> Result<Vec<(String, String)>> {
    // The bindings are made with libclang, whoever compiled RocksDB.
    tools::ensure_build_packages()?;
    if let Some(dir) = std::env::var_os("ROCKSDB_LIB_DIR") {
        ensure!(
            Path::new(&dir).is_dir(),
            "ROCKSDB_LIB_DIR={} is not a folder: unset it, or set it again by `cargo xtask env`",
            dir.display()
        );
        eprintln!("rocksdb: using ROCKSDB_LIB_DIR={} as it is", dir.display());
        let inherited = |name: &str| std::env::var(name).ok().map(|value| (name.to_owned(), value));
        return Ok(["ROCKSDB_LIB_DIR", "ROCKSDB_STATIC"].into_iter().filter_map(inherited).collect());
    }
    let metadata = MetadataCommand::new()
        .current_dir(root)
        .exec()
        .context("cargo metadata: the sources of RocksDB are found through it")?;
    let recipe = match Recipe::new(&metadata)? {
        Ok(recipe) => recipe,
        Err(reason) => {
            eprintln!("rocksdb: {reason}; leaving it to the ordinary, slower build");
            return Ok(Vec::new());
        }
    };
    let dir = recipe.ensure_built(&process::cache_dir()?)?;
    let dir = dir.to_str().context("the cache folder's path must be UTF-8 for cargo")?;
    Ok(vec![("ROCKSDB_LIB_DIR".to_owned(), dir.to_owned()), ("ROCKSDB_STATIC".to_owned(), "1".to_owned())])
}

/// Everything that decides what the archive contains.
struct Recipe {
    /// Name of the folder in the cache: version, features and compiler.
    name: String,
    compiler: String,
    /// The crate's folder, with `rocksdb/` and `build_version.cc` in it.
    source: PathBuf,
    /// Paths of the sources, relative to `source/rocksdb`.
    files: Vec<String>,
    /// Flags and defines.
    flags: Vec<String>,
    includes: Vec<PathBuf>,
}

impl Recipe {
    /// The recipe for this machine and workspace, or the reason why the ordinary build is needed.
    fn new(metadata: &Metadata) -> Result<std::result::Result<Self, String>> {
        let target = (std::env::consts::ARCH, std::env::consts::OS);
        if !matches!(target, ("x86_64" | "aarch64", "linux")) || cfg!(not(target_env = "gnu")) {
            return Ok(Err(format!("no recipe for {}-{}", target.0, target.1)));
        }
        if let Some(name) = FOREIGN_VARIABLES.iter().find(|name| std::env::var_os(name).is_some()) {
            return Ok(Err(format!("{name} is set")));
        }
        let sys = package(metadata, "librocksdb-sys")?;
        let features = features(metadata, sys)?;
        if let Some(unknown) = features.iter().find(|f| !KNOWN_FEATURES.contains(&f.as_str())) {
            return Ok(Err(format!("no recipe for its feature `{unknown}`")));
        }
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let Some(compiler_name) = identify(&compiler) else {
            return Ok(Err(format!("`{compiler}` is neither GCC nor Clang")));
        };

        let source = folder(sys)?;
        let mut flags: Vec<String> = FLAGS.iter().chain(&DEFINES).map(ToString::to_string).collect();
        if target.0 == "x86_64" {
            // What build.rs derives from the target features of rustc's default x86-64.
            flags.extend(["-m64", "-msse2"].map(str::to_owned));
        }
        let mut includes = vec![source.join("rocksdb/include"), source.join("rocksdb"), source.clone()];
        if features.iter().any(|f| f == "lz4") {
            // The lz4-sys crate compiles and links LZ4 itself: only the header is needed here.
            flags.push("-DLZ4=1".to_owned());
            includes.push(folder(package(metadata, "lz4-sys")?)?.join("liblz4/lib"));
        }
        for include in &includes {
            ensure!(include.is_dir(), "{} is not there: the crate's layout has changed", include.display());
        }
        let tag = if features.iter().any(|f| f == "lz4") { "lz4" } else { "plain" };
        Ok(Ok(Self {
            name: format!("rocksdb-{}-{tag}-{compiler_name}", sys.version),
            compiler,
            files: sources(&source)?,
            source,
            flags,
            includes,
        }))
    }
}

/// The sources that `build.rs` compiles from RocksDB's own folder.
fn sources(crate_dir: &Path) -> Result<Vec<String>> {
    let list = crate_dir.join("rocksdb_lib_sources.txt");
    let text = fs::read_to_string(&list).with_context(|| format!("read {}", list.display()))?;
    let files: Vec<String> = text
        .lines()
        .map(str::trim)
        // A pre-generated one stands in the crate's folder.
        .filter(|file| !file.is_empty() && *file != "util/build_version.cc")
        .map(str::to_owned)
        .collect();
    ensure!(!files.is_empty(), "{} names no sources", list.display());
    Ok(files)
}

/// Kind, version and machine of a compiler, for the archive's name; `None` for one we do not know.
fn identify(compiler: &str) -> Option<String> {
    let ask = |argument: &str| {
        let output = Command::new(compiler).arg(argument).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let banner = ask("--version")?;
    let kind = if banner.contains("clang") {
        "clang"
    } else if banner.contains("Free Software Foundation") {
        "gcc"
    } else {
        return None;
    };
    let version = match kind {
        "gcc" => ask("-dumpfullversion")?,
        _ => ask("-dumpversion")?,
    };
    let machine = ask("-dumpmachine")?;
    // Other programs of the same foundation print its name, too, but no version of a compiler.
    let is_compiler = version.starts_with(|c: char| c.is_ascii_digit()) && !machine.is_empty();
    is_compiler.then(|| format!("{kind}-{version}-{machine}"))
}

fn package<'m>(metadata: &'m Metadata, name: &str) -> Result<&'m Package> {
    let mut found = metadata.packages.iter().filter(|package| package.name == name);
    let package = found.next().with_context(|| format!("the workspace does not depend on {name}"))?;
    ensure!(found.next().is_none(), "the workspace depends on several versions of {name}");
    Ok(package)
}

/// The features that the workspace resolves for a package.
fn features(metadata: &Metadata, package: &Package) -> Result<Vec<String>> {
    let resolve = metadata.resolve.as_ref().context("cargo metadata came without its resolution")?;
    let node = resolve.nodes.iter().find(|node| node.id == package.id);
    let node = node.with_context(|| format!("{} is not in the resolution", package.name))?;
    Ok(node.features.iter().map(ToString::to_string).collect())
}

fn folder(package: &Package) -> Result<PathBuf> {
    let parent = package.manifest_path.parent();
    Ok(parent.with_context(|| format!("{} has no folder", package.name))?.as_std_path().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_compiler_is_left_to_the_ordinary_build() {
        assert_eq!(identify("/nonexistent/c++"), None);
        assert_eq!(identify("true"), None);
        assert_eq!(identify("cargo"), None);
    }
}
