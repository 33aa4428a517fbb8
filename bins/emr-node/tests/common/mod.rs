//! The built binary, driven as an operator would.

// Each test binary uses its part of this module.
#![allow(dead_code, unreachable_pub)]

pub mod deep;
pub mod load;

use blockhie_core::{SecretKey, keyfile};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a node to be ready or gone.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn emr_node() -> Command {
    Command::new(env!("CARGO_BIN_EXE_emr-node"))
}

pub fn run(args: &[&str]) -> Output {
    emr_node().args(args).output().expect("the binary runs")
}

/// stdout of a command that must succeed.
pub fn succeed(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// stderr of a command that must fail.
pub fn fail(args: &[&str]) -> String {
    let output = run(args);
    assert!(!output.status.success(), "{args:?}: expected a failure");
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(!text.contains("panicked"), "{text}");
    text
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Two members of one genesis with short blocks: their data folders.
pub fn two_members(root: &Path) -> [PathBuf; 2] {
    let made = members(root, &["a", "b"], "300");
    let [a, b] = &made[..] else { panic!("two") };
    [a.0.clone(), b.0.clone()]
}

/// Members of one genesis: their data folders and keys.
pub fn members(root: &Path, names: &[&str], interval_ms: &str) -> Vec<(PathBuf, SecretKey)> {
    let genesis = root.join("genesis.toml");
    let keys: Vec<(PathBuf, SecretKey)> = names
        .iter()
        .map(|name| {
            let path = root.join(format!("{name}.key"));
            let secret = keyfile::generate(&path).expect("a key");
            (path, secret)
        })
        .collect();
    let named: Vec<String> =
        names.iter().zip(&keys).map(|(name, (_, secret))| format!("{name}={}", secret.public())).collect();
    let mut args = vec!["genesis", "--name", "test", "--interval-ms", interval_ms, "--out", text(&genesis)];
    for member in &named {
        args.extend(["--member", member]);
    }
    succeed(&args);
    let init = |(name, (key, secret)): (&&str, &(PathBuf, SecretKey))| {
        let dir = root.join(name);
        succeed(&["init", "--data-dir", text(&dir), "--genesis", text(&genesis), "--key", text(key)]);
        (dir, secret.clone())
    };
    names.iter().zip(&keys).map(init).collect()
}

/// A running node. Killed when dropped.
pub struct Running {
    pub child: Child,
    pub address: String,
    pub height: u64,
}

impl Running {
    /// Starts a node and waits for its line.
    pub fn start(dir: &Path, peers: &[&str]) -> Self {
        Self::start_at(dir, "127.0.0.1:0", peers)
    }

    /// The same, at an address.
    pub fn start_at(dir: &Path, listen: &str, peers: &[&str]) -> Self {
        let mut command = emr_node();
        command.args(["run", "--listen", listen, "--data-dir", text(dir)]);
        for peer in peers {
            command.args(["--peer", peer]);
        }
        Self::spawn(command, &dir.join("log"))
    }

    /// Starts this command, its log appended to a file, and waits for its line.
    pub fn spawn(mut command: Command, log_path: &Path) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log_path).expect("a log");
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the binary runs");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("a line");
        let field = |name: &str| {
            let value = line.split_whitespace().find_map(|word| word.strip_prefix(name));
            value.unwrap_or_else(|| panic!("{name} in {line:?}; see {}", log_path.display())).to_owned()
        };
        assert!(line.starts_with("ready "), "{line}");
        Self { child, address: field("listen="), height: field("height=").parse().expect("a number") }
    }

    /// SIGKILL: no chance to finish anything.
    pub fn kill(mut self) {
        self.child.kill().expect("kill -9");
        self.child.wait().expect("gone");
    }

    /// SIGTERM; answers how long it took and whether it ended well.
    pub fn terminate(mut self) -> (Duration, bool) {
        let started = Instant::now();
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success());
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("waits") {
                return (started.elapsed(), status.success());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the node did not stop within {PATIENCE:?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
