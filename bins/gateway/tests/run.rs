//! The binary: its one line, its signals, its exit codes, its hints.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn gateway(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A folder with a key in it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_key(&folder.path().join("key"), 0o600);
    folder
}

fn write_key(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, format!("{}\n", "17".repeat(32))).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn run(folder: &Path, more: &[&str]) -> Command {
    let (data, key) = (folder.join("data"), folder.join("key"));
    let fixed = ["run", "--data-dir", data.to_str().unwrap(), "--key", key.to_str().unwrap()];
    gateway(&[&fixed, more].concat())
}

/// No node there.
const NODE: [&str; 2] = ["--emr", "http://127.0.0.1:1"];

fn failed(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(stdout.is_empty());
    let text = String::from_utf8(stderr).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    text
}

struct Running {
    child: Child,
    address: SocketAddr,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(folder: &Path, more: &[&str]) -> Self {
        let mut child = run(folder, &[NODE.as_slice(), &["--listen", "127.0.0.1:0"], more].concat()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.strip_prefix("ready listen=").and_then(|rest| rest.strip_suffix('\n')).unwrap_or_default();
        Self { address: address.parse().unwrap_or_else(|_| panic!("{line:?}")), child, stdout }
    }

    fn get(&self, path: &str) -> String {
        use std::io::Write;
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Sends a signal; what was printed after the first line, and on stderr.
    fn stop(mut self, signal: &str) -> (String, String) {
        let begun = Instant::now();
        let killed = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        let (mut rest, mut log) = (String::new(), String::new());
        self.stdout.read_to_string(&mut rest).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (rest, log)
    }
}

#[test]
fn it_starts_without_a_node_says_one_line_and_stops() {
    let folder = folder();
    let running = Running::start(folder.path(), &["--phd", "http://127.0.0.1:2"]);
    assert!(running.get("/healthz").starts_with("HTTP/1.1 200"));
    let ready = running.get("/readyz");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("\"unavailable\""), "{ready}");
    // An event stream and an idle connection do not hold up the stop.
    let mut stream = TcpStream::connect(running.address).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let _idle = TcpStream::connect(running.address).unwrap();
    let (rest, log) = running.stop("-TERM");
    assert_eq!(rest, "", "one line on stdout");
    assert!(!log.contains("not used") && log.contains("no node yet") && log.contains("stopped"), "{log}");
    let token = std::fs::read_to_string(folder.path().join("data/token")).unwrap();
    assert!(log.contains("data/token") && !log.contains(token.trim()));
    let (_, log) = Running::start(folder.path(), &[]).stop("-INT");
    assert!(!log.contains("token was made"));
    assert_eq!(std::fs::read_to_string(folder.path().join("data/token")).unwrap(), token);
}

#[test]
fn what_keeps_it_from_starting_is_said_with_a_hint() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = failed(run(folder.path(), &[NODE.as_slice(), &["--listen", &address]].concat()));
    assert!(text.contains(&address) && text.contains("hint: another process listens there"), "{text}");
    assert!(!folder.path().join("data").exists(), "nothing was made");

    let any = [NODE.as_slice(), &["--listen", "127.0.0.1:0"]].concat();
    let running = Running::start(folder.path(), &[]);
    let text = failed(run(folder.path(), &any));
    assert!(text.contains("is locked: another process has it open"), "{text}");
    running.stop("-TERM");

    write_key(&folder.path().join("key"), 0o644);
    let text = failed(run(folder.path(), &any));
    assert!(text.contains("expected permissions 0600, got 0644") && text.contains("chmod 600"), "{text}");
    std::fs::remove_file(folder.path().join("key")).unwrap();
    let text = failed(run(folder.path(), &any));
    assert!(text.contains("hint: make a key with: blockhie keygen"), "{text}");
    write_key(&folder.path().join("key"), 0o600);
    std::fs::remove_dir_all(folder.path().join("data/index")).unwrap();
    std::fs::write(folder.path().join("data/index"), "not a folder").unwrap();
    let text = failed(run(folder.path(), &any));
    assert!(text.contains("data/index"), "{text}");
}

#[test]
fn usage_errors_exit_64_and_help_has_examples() {
    for arguments in [&["walk"][..], &["run"], &["run", "--listen", "nowhere"], &[]] {
        let output = gateway(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    for arguments in [&["--help"][..], &["run", "--help"]] {
        let output = gateway(arguments).output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().contains("gateway run --data-dir"));
    }
}
