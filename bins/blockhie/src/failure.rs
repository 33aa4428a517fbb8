//! Why a command failed, what to do about it, and the exit code.

use std::fmt;

/// A check failed, or the command could not do its work.
pub(crate) const EXIT_FAILED: u8 = 1;
/// All holds so far, but it is not final.
pub(crate) const EXIT_NOT_FINAL: u8 = 2;
/// A file that cannot be read or is not of its form.
pub(crate) const EXIT_FORM: u8 = 3;
/// The command was called wrongly (`EX_USAGE` of sysexits).
pub(crate) const EXIT_USAGE: u8 = 64;

/// One error for a person: what is wrong, and what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What is wrong.
    pub(crate) message: String,
    /// What helps; empty: nothing more to say.
    pub(crate) hint: String,
    /// Exit code.
    pub(crate) code: u8,
}

impl Failure {
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), hint: String::new(), code: EXIT_FAILED }
    }

    pub(crate) fn form(message: impl fmt::Display) -> Self {
        Self { code: EXIT_FORM, ..Self::failed(message) }
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { code: EXIT_USAGE, ..Self::failed(message) }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\nhint: {}", self.hint) }
    }
}
