//! Starting other programs, and the folder where they leave what is worth keeping.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Bytes of a failed program's output that are repeated in our error: a screenful. Compilers can print
/// megabytes after one mistake.
const TAIL_BYTES: usize = 8 * 1024;

/// A program with its arguments, run in the foreground, whose failure is an error that names it.
pub(crate) struct Tool {
    command: Command,
}

impl Tool {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self { command: Command::new(program) }
    }

    /// The cargo that runs us, so that toolchain overrides carry over.
    pub(crate) fn cargo() -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn envs<'a>(mut self, variables: impl IntoIterator<Item = &'a (String, String)>) -> Self {
        for (name, value) in variables {
            self.command.env(name, value);
        }
        self
    }

    pub(crate) fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn dir(mut self, dir: impl AsRef<std::path::Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs it with our own output streams; a failure of the program is an error.
    pub(crate) fn run(mut self) -> Result<()> {
        let status = self.command.status().with_context(|| format!("start {}", self.line()))?;
        if !status.success() {
            bail!("`{}`: {status}", self.line());
        }
        Ok(())
    }

    /// Runs it with our own streams and returns its exit code; 1 when a signal ended it.
    pub(crate) fn exit_code(mut self) -> Result<i32> {
        let status = self.command.status().with_context(|| format!("start {}", self.line()))?;
        Ok(status.code().unwrap_or(1))
    }

    /// Runs it and returns what it printed on stdout; its output is shown only when it fails.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self.command.stdin(Stdio::null()).output().with_context(|| format!("start {}", self.line()))?;
        if !output.status.success() {
            bail!("`{}`: {}\n{}{}", self.line(), output.status, tail(&output.stdout), tail(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The command as somebody would type it, for messages.
    pub(crate) fn line(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }
}

/// The end of a program's output as text.
pub(crate) fn tail(output: &[u8]) -> String {
    let start = output.len().saturating_sub(TAIL_BYTES);
    String::from_utf8_lossy(&output[start..]).into_owned()
}

/// The user's cache folder for this project: `$XDG_CACHE_HOME/blockhie` or `~/.cache/blockhie`.
///
/// # Errors
/// When neither variable is set.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(base) => PathBuf::from(base),
        None => std::env::home_dir().context("expected a home folder, got none: set HOME")?.join(".cache"),
    };
    Ok(base.join("blockhie"))
}
