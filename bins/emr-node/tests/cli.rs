//! The command line: what an operator types, and what a mistake is answered with.

mod common;

use common::{PATIENCE, Running, fail, run, succeed, text, two_members};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn help_has_examples_and_usage_errors_exit_64() {
    let help = succeed(&["--help"]);
    for word in ["Examples:", "genesis", "init", "run", "fsck", "status", "peers", "backup", "restore"] {
        assert!(help.contains(word), "{word} in {help}");
    }
    assert_eq!(run(&["run"]).status.code(), Some(64));
    assert_eq!(run(&["no-such-command"]).status.code(), Some(64));
    assert!(succeed(&["config"]).contains("packing = \"fair-first\""));
}

#[test]
fn a_folder_is_made_run_asked_checked_backed_up_and_restored() {
    let root = tempfile::tempdir().unwrap();
    let [a, b] = two_members(root.path());
    let first = Running::start(&a, &[]);
    let status = succeed(&["status", "--data-dir", text(&a), "--json"]);
    assert!(status.contains("\"height\"") && status.contains("\"final_height\""), "{status}");
    assert!(succeed(&["peers", "--node", &first.address]).contains("no peers"));

    assert!(status.contains("\"pruned_below\":0"), "{status}");

    // the same folder twice, and the same port twice
    let locked = fail(&["run", "--data-dir", text(&a), "--listen", "127.0.0.1:0"]);
    assert!(locked.contains("locked"), "{locked}");
    let port = fail(&["run", "--data-dir", text(&b), "--listen", &first.address]);
    assert!(port.contains("--listen"), "{port}");

    let (took, well) = first.terminate();
    assert!(well && took.as_secs() < 10);
    assert!(fail(&["status", "--data-dir", text(&a)]).contains("no node runs"));
    let before = succeed(&["fsck", "--data-dir", text(&a)]);
    let backup = root.path().join("backup");
    succeed(&["backup", "--data-dir", text(&a), "--backup", text(&backup)]);
    std::fs::remove_dir_all(a.join("store")).unwrap();
    fail(&["fsck", "--data-dir", text(&a)]);
    succeed(&["restore", "--data-dir", text(&a), "--backup", text(&backup)]);
    assert_eq!(succeed(&["fsck", "--data-dir", text(&a)]), before);
}

#[test]
fn mistakes_are_named_and_change_nothing() {
    let root = tempfile::tempdir().unwrap();
    let [a, _] = two_members(root.path());
    let other = root.path().join("other");
    succeed(&["init", "--data-dir", text(&other), "--open"]);
    // another chain's store in this folder
    std::fs::remove_dir_all(a.join("store")).unwrap();
    std::fs::rename(other.join("store"), a.join("store")).unwrap();
    let foreign = fail(&["fsck", "--data-dir", text(&a)]);
    assert!(foreign.contains("chain id: expected"), "{foreign}");
    assert!(fail(&["init", "--data-dir", text(&a)]).contains("expected a new or empty folder"));
    let shallow = fail(&["run", "--data-dir", text(&root.path().join("b")), "--prune-below-depth", "5"]);
    assert!(shallow.contains("prune_below_depth: expected 0 (keep all), or at least 1280, got 5"), "{shallow}");
    let nothing = root.path().join("nothing");
    assert!(fail(&["run", "--data-dir", text(&nothing)]).contains("init --data-dir"));
    assert!(fail(&["genesis", "--name", "x", "--out", text(&nothing)]).contains("--member"));
    let bad = ["genesis", "--name", "x", "--member", "a=00", "--out", text(&nothing)];
    assert!(fail(&bad).contains("expected 64 lowercase hex digits"));
    std::fs::write(a.join("config.toml"), "packing = \"fee-first\"\n").unwrap();
    assert!(fail(&["run", "--data-dir", text(&a)]).contains("one of fair-first, tp-fair, "));
    std::fs::write(a.join("config.toml"), "nonsense = 1\n").unwrap();
    assert!(fail(&["run", "--data-dir", text(&a)]).contains("nonsense"));
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let mut child = common::emr_node().arg("config").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
}

#[test]
fn a_folder_just_made_has_no_differences() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("new");
    succeed(&["init", "--data-dir", text(&dir), "--open"]);
    let report = succeed(&["fsck", "--data-dir", text(&dir)]);
    assert!(report.contains("differences  0") && report.contains("height       0"), "{report}");
}

/// Whoever reads the `ready` line may send SIGTERM at once. Here the node cannot get rid of that line before.
#[test]
fn a_signal_that_comes_with_the_ready_line_is_a_clean_stop() {
    let root = tempfile::tempdir().unwrap();
    let [dir, _] = two_members(root.path());
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let stdout = writer.try_clone().unwrap();
    // More than a pipe holds: it is full until somebody reads.
    let filler = std::thread::spawn(move || drop(writer.write_all(&vec![b'\n'; 4 << 20])));
    std::thread::sleep(Duration::from_millis(100));
    let mut command = common::emr_node();
    command.args(["run", "--listen", "127.0.0.1:0", "--data-dir", text(&dir)]);
    let mut child = command.stdout(stdout).stderr(Stdio::null()).spawn().unwrap();
    // The command holds our end of the pipe.
    drop(command);
    let started = Instant::now();
    while !dir.join("address").exists() {
        assert!(started.elapsed() < PATIENCE, "the node does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(100));
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    filler.join().unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(said.contains("ready listen="));
}
