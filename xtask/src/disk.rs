//! Tests that need a disk of their own: an ext4 image on a loop device. `powercut` shuts it down under load, `fulldisk`
//! fills it. Where that is not possible they say that they were skipped and why.

use crate::process::Tool;
use crate::rocksdb;
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};

/// Bytes of the disk of `powercut`; sparse.
const POWERCUT_DISK: u64 = 1 << 30;
/// Bytes of the disk of `fulldisk`: small, since it is filled to the brim each time.
const FULL_DISK: u64 = 64 << 20;
/// Power cuts where no number is given.
const DEFAULT_CUTS: u32 = 50;
/// Fillings where no number is given.
const DEFAULT_FILLINGS: u32 = 20;

/// Reads the number of cuts or fillings; an error is one of usage.
pub(crate) fn count(words: &[&str]) -> Result<Option<u32>> {
    match words {
        [] => Ok(None),
        [number] => Ok(Some(number.parse().with_context(|| format!("expected a number, got `{number}`"))?)),
        _ => bail!("expected one number at most, got `{}`", words.join(" ")),
    }
}

/// An image in a temporary folder, mounted until this is dropped.
struct LoopDisk {
    folder: tempfile::TempDir,
}

impl LoopDisk {
    /// # Errors
    /// Whatever this machine does not have or allow.
    fn make(bytes: u64) -> Result<Self> {
        let user = Tool::new("id").arg("-u").output()?;
        ensure!(user.trim() == "0", "expected root, got user {}", user.trim());
        let disk = Self { folder: tempfile::tempdir().context("make a temporary folder")? };
        let file = std::fs::File::create(disk.image()).context("make an image")?;
        file.set_len(bytes).context("make an image")?;
        std::fs::create_dir(disk.mount()).context("make a mount point")?;
        Tool::new("mkfs.ext4").args(["-q", "-F"]).arg(disk.image()).output()?;
        Tool::new("mount").args(["-o", "loop"]).arg(disk.image()).arg(disk.mount()).output()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn mount(&self) -> PathBuf {
        self.folder.path().join("disk")
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // A failed test may have unmounted it, or left a file open for a moment: lazily.
        drop(Tool::new("umount").arg("--lazy").arg(self.mount()).output());
    }
}

/// The disk, or `None` after saying loudly that `name` is skipped.
fn disk_for(name: &str, bytes: u64) -> Option<LoopDisk> {
    match LoopDisk::make(bytes) {
        Ok(disk) => Some(disk),
        Err(error) => {
            println!("\n{name}: SKIPPED, nothing was tested: it needs root, mkfs.ext4 and a loop device: {error:#}");
            None
        }
    }
}

/// An ignored test of a package, told of the disk.
fn test(root: &Path, disk: &LoopDisk, target: &[&str], test: &str, variables: &[(&str, String)]) -> Result<()> {
    let environment = rocksdb::environment(root)?;
    let mut tool = Tool::cargo()
        .arg("test")
        .args(target)
        .args(["--", "--ignored", "--exact", "--nocapture", test])
        .envs(&environment)
        .env("BLOCKHIE_DISK_IMAGE", disk.image())
        .env("BLOCKHIE_DISK", disk.mount())
        .dir(root);
    for (name, value) in variables {
        tool = tool.env(name, value);
    }
    tool.run()
}

/// Power cuts of a node under load. The last line is `powercut: ok`, or says that it was skipped.
pub(crate) fn powercut(root: &Path, cuts: Option<u32>) -> Result<()> {
    let Some(disk) = disk_for("powercut", POWERCUT_DISK) else { return Ok(()) };
    if let Err(error) = Tool::new("perl").args(["-e", "1"]).output() {
        println!("\npowercut: SKIPPED, nothing was tested: it needs perl for one ioctl: {error:#}");
        return Ok(());
    }
    let cuts = ("BLOCKHIE_POWER_CUTS", cuts.unwrap_or(DEFAULT_CUTS).to_string());
    let target = ["--package", "emr-node", "--test", "powercut"];
    test(root, &disk, &target, "nothing_acknowledged_is_lost_by_a_power_cut", &[cuts])?;
    println!("powercut: ok");
    Ok(())
}

/// A small disk filled and freed, under a store and under a node. The last line is `fulldisk: ok`, or says that it was
/// skipped.
pub(crate) fn fulldisk(root: &Path, fillings: Option<u32>) -> Result<()> {
    let fillings = [("BLOCKHIE_FILLINGS", fillings.unwrap_or(DEFAULT_FILLINGS).to_string())];
    let tests: [(&[&str], &str); 2] = [
        (&["--package", "blockhie-store", "--lib"], "tests::crash::a_full_disk_refuses_and_takes_again_when_freed"),
        (&["--package", "emr-node", "--test", "fulldisk"], "a_node_serves_on_a_full_disk_and_takes_again_when_freed"),
    ];
    for (target, name) in tests {
        let Some(disk) = disk_for("fulldisk", FULL_DISK) else { return Ok(()) };
        test(root, &disk, target, name, &fillings)?;
    }
    println!("fulldisk: ok");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_and_anything_else_refused() {
        assert_eq!((count(&[]).unwrap(), count(&["7"]).unwrap()), (None, Some(7)));
        assert!(count(&["x"]).is_err() && count(&["1", "2"]).is_err());
    }
}
