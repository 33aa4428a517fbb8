//! Running the command.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Stdio};

/// What came of it.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// Fails the test unless the exit code is `code`; whatever happened, nothing panicked.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blockhie"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn blockhie<S: AsRef<OsStr>>(args: &[S]) -> Done {
    finish(command().args(args))
}

pub(crate) fn blockhie_with_stdin<S: AsRef<OsStr>>(args: &[S], stdin: &str) -> Done {
    let mut child = command().args(args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    done(child.wait_with_output().unwrap())
}

pub(crate) fn finish(command: &mut Command) -> Done {
    done(command.output().unwrap())
}

fn done(output: std::process::Output) -> Done {
    Done {
        code: output.status.code().expect("ended by itself"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
