//! Compiling the archive: aside, under a lock, and renamed when it is whole.

use super::Recipe;
use crate::process::{self, Tool};
use anyhow::{Context, Result, bail};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// Sources in one unity file. 30 was measured at 2.1 GB and 30-40 s a compiler; larger groups cost
/// memory in proportion and gain little, because the headers are parsed once per group already.
const SOURCES_PER_UNIT: usize = 30;

/// Compilers at work at the same time: with [`SOURCES_PER_UNIT`] sources each needs about 2 GB, and a
/// third one would not fit the 8 GB of a small build machine beside cargo itself.
const MAX_COMPILERS: usize = 2;

/// File in the archive's folder that holds the recipe it was made by; its presence says "whole".
const RECIPE_FILE: &str = "recipe";
/// The archive, by the name that `librocksdb-sys` asks the linker for.
const ARCHIVE: &str = "librocksdb.a";
/// What the folders of unfinished archives are called.
const ASIDE_PREFIX: &str = "rocksdb-building-";

impl Recipe {
    /// The folder of the finished archive, after building it if it is missing or was made otherwise.
    pub(super) fn ensure_built(&self, cache: &Path) -> Result<PathBuf> {
        let finished = cache.join(&self.name);
        if self.is_whole(&finished) {
            return Ok(finished);
        }
        fs::create_dir_all(cache).with_context(|| format!("create {}", cache.display()))?;
        // One builder at a time on this machine; the others wait here and then find the archive.
        let lock = File::create(cache.join("rocksdb.lock")).context("create the build lock")?;
        lock.lock().context("wait for the build lock")?;
        if self.is_whole(&finished) {
            return Ok(finished);
        }
        remove_abandoned(cache)?;
        let aside =
            tempfile::Builder::new().prefix(ASIDE_PREFIX).tempdir_in(cache).context("create a folder to build in")?;
        self.build(aside.path())?;
        if finished.exists() {
            fs::remove_dir_all(&finished).context("remove the archive of another recipe")?;
        }
        fs::rename(aside.path(), &finished).context("move the finished archive into place")?;
        Ok(finished)
    }

    fn is_whole(&self, dir: &Path) -> bool {
        let made_by = fs::read_to_string(dir.join(RECIPE_FILE));
        made_by.is_ok_and(|text| text == self.text()) && dir.join(ARCHIVE).is_file()
    }

    /// The recipe as text, to notice that an archive in the cache was made by another one. The paths of the
    /// sources are left out: their version is in the archive's name.
    fn text(&self) -> String {
        format!("{} {} x{SOURCES_PER_UNIT}\n", self.compiler, self.flags.join(" "))
    }

    fn build(&self, dir: &Path) -> Result<()> {
        let units = self.write_units(dir)?;
        let total = units.len();
        let parallel = thread::available_parallelism().map_or(1, usize::from).min(MAX_COMPILERS);
        eprintln!(
            "rocksdb: compiling {} sources as {total} units, {parallel} at a time, once per machine (some minutes)",
            self.files.len()
        );
        let start = Instant::now();
        let queue = Mutex::new(VecDeque::from_iter(units.iter().enumerate()));
        // A worker that failed empties the queue, so that the other one stops after its unit.
        let worker = || -> Result<()> {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some((number, unit)) = next else {
                    return Ok(());
                };
                if let Err(error) = self.compile(unit) {
                    queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    return Err(error);
                }
                eprintln!("rocksdb: unit {}/{total} done, {} s", number + 1, start.elapsed().as_secs());
            }
        };
        thread::scope(|scope| -> Result<()> {
            let workers: Vec<_> = (0..parallel).map(|_| scope.spawn(worker)).collect();
            for worker in workers {
                worker.join().expect("workers return their errors and do not panic")?;
            }
            Ok(())
        })?;
        self.archive(dir, &units)?;
        eprintln!("rocksdb: built in {} s", start.elapsed().as_secs());
        Ok(())
    }

    /// Writes the unity files; `build_version.cc`, which stands beside the sources, is the last unit.
    fn write_units(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        let mut units = Vec::new();
        for (number, group) in self.files.chunks(SOURCES_PER_UNIT).enumerate() {
            let text: String = group.iter().map(|file| format!("#include \"{file}\"\n")).collect();
            let path = dir.join(format!("unit_{number:02}.cc"));
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
            units.push(path);
        }
        let version = dir.join("build_version.cc");
        fs::copy(self.source.join("build_version.cc"), &version).context("copy build_version.cc")?;
        units.push(version);
        Ok(units)
    }

    fn compile(&self, unit: &Path) -> Result<()> {
        let output = Command::new(&self.compiler)
            .args(&self.flags)
            .args(self.includes.iter().map(|dir| format!("-I{}", dir.display())))
            .arg("-c")
            .arg(unit)
            .arg("-o")
            .arg(unit.with_extension("o"))
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("start the compiler `{}`", self.compiler))?;
        if !output.status.success() {
            bail!("{} on {}: {}\n{}", self.compiler, unit.display(), output.status, process::tail(&output.stderr));
        }
        Ok(())
    }

    /// Packs the objects, writes the recipe beside the archive and removes what is not needed any more.
    fn archive(&self, dir: &Path, units: &[PathBuf]) -> Result<()> {
        let objects = units.iter().map(|unit| unit.with_extension("o"));
        Tool::new("ar").arg("crs").arg(dir.join(ARCHIVE)).args(objects.clone()).output()?;
        for file in objects.chain(units.iter().cloned()) {
            fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
        }
        fs::write(dir.join(RECIPE_FILE), self.text()).context("write the recipe beside the archive")
    }
}

/// Removes what builders that were killed left behind. Only the holder of the lock may do this.
fn remove_abandoned(cache: &Path) -> Result<()> {
    for entry in fs::read_dir(cache).with_context(|| format!("read {}", cache.display()))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(ASIDE_PREFIX) {
            fs::remove_dir_all(entry.path()).context("remove an abandoned build")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sources in place of RocksDB's, with what is asked of the compiler written into them.
    fn recipe(root: &Path, text: &str) -> Recipe {
        fs::create_dir_all(root.join("rocksdb")).unwrap();
        fs::write(root.join("rocksdb/a.cc"), "namespace n { int a() { return VALUE; } }").unwrap();
        fs::write(root.join("rocksdb/b.cc"), text).unwrap();
        fs::write(root.join("build_version.cc"), "const char *version = \"1\";").unwrap();
        Recipe {
            name: "rocksdb-test".to_owned(),
            compiler: "c++".to_owned(),
            source: root.to_owned(),
            files: vec!["a.cc".to_owned(), "b.cc".to_owned()],
            flags: vec!["-DVALUE=7".to_owned()],
            includes: vec![root.join("rocksdb")],
        }
    }

    #[test]
    fn an_archive_is_built_once_and_again_for_another_recipe() {
        let root = tempfile::tempdir().unwrap();
        let cache = root.path().join("cache");
        fs::create_dir_all(cache.join("rocksdb-building-abandoned")).unwrap();
        let mut recipe = recipe(root.path(), "int b() { return n::a(); }");
        let dir = recipe.ensure_built(&cache).unwrap();
        let made = fs::metadata(dir.join(ARCHIVE)).unwrap().modified().unwrap();
        assert!(!cache.join("rocksdb-building-abandoned").exists());

        assert_eq!(recipe.ensure_built(&cache).unwrap(), dir);
        assert_eq!(fs::metadata(dir.join(ARCHIVE)).unwrap().modified().unwrap(), made);

        recipe.flags = vec!["-DVALUE=8".to_owned()];
        recipe.ensure_built(&cache).unwrap();
        assert_ne!(fs::metadata(dir.join(ARCHIVE)).unwrap().modified().unwrap(), made);
    }

    #[test]
    fn a_compiler_error_is_told_and_leaves_nothing_that_looks_whole() {
        let root = tempfile::tempdir().unwrap();
        let cache = root.path().join("cache");
        let recipe = recipe(root.path(), "int b() { return missing(); }");
        let error = recipe.ensure_built(&cache).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
        assert!(!recipe.is_whole(&cache.join("rocksdb-test")));
        let left = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["rocksdb.lock"]);
    }
}
