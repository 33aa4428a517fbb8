//! `cargo xtask hostile` and `cargo xtask fleet`: the tests of `emr-node` among hostile peers, at full length.

use crate::process::Tool;
use crate::rocksdb;
use anyhow::{Context, Result, bail};
use std::path::Path;

/// How long the attack lasts if nothing else is said, seconds.
const DEFAULT_SECONDS: u32 = 60;

/// What `hostile` is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    seconds: u32,
}

impl Options {
    /// Reads the arguments; an error is one of usage.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        match words {
            [] => Ok(Self { seconds: DEFAULT_SECONDS }),
            ["--seconds", value] => {
                let seconds = value.parse().ok().filter(|seconds| (5..=3_600).contains(seconds));
                Ok(Self { seconds: seconds.with_context(|| format!("--seconds: expected 5 to 3600, got `{value}`"))? })
            }
            other => bail!("hostile: unknown arguments `{}`", other.join(" ")),
        }
    }
}

fn test(root: &Path, name: &str, more: &[&str], seconds: Option<u32>) -> Result<()> {
    let variables = rocksdb::environment(root)?;
    let mut tool = Tool::cargo()
        .args(["test", "--quiet", "--profile", "sim", "--package", "emr-node", "--test", name, "--"])
        .args(more)
        .arg("--nocapture")
        .envs(&variables)
        .dir(root);
    if let Some(seconds) = seconds {
        tool = tool.env("BLOCKHIE_HOSTILE_SECONDS", seconds.to_string());
    }
    tool.run()
}

/// A hundred hostile connections against a node. The last line is `hostile: ok`.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    test(root, "hostile", &["a_hundred_hostile_connections"], Some(options.seconds))?;
    println!("hostile: ok");
    Ok(())
}

/// Eight members, one of them cut off, one killed and one lying. The last line is `fleet: ok`.
pub(crate) fn fleet(root: &Path) -> Result<()> {
    test(root, "fleet", &["--ignored"], None)?;
    println!("fleet: ok");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_and_wrong_ones_refused() {
        assert_eq!(Options::parse(&[]).unwrap(), Options { seconds: 60 });
        assert_eq!(Options::parse(&["--seconds", "90"]).unwrap(), Options { seconds: 90 });
        for wrong in [&["--seconds"][..], &["--seconds", "x"], &["--seconds", "0"], &["60"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
