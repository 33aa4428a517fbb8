//! The command line: what an operator types, and what a mistake is answered with.

mod common;

use common::{Running, fail, run, succeed, text, two_members};
use std::process::Stdio;

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
    let nothing = root.path().join("nothing");
    assert!(fail(&["run", "--data-dir", text(&nothing)]).contains("init --data-dir"));
    assert!(fail(&["genesis", "--name", "x", "--out", text(&nothing)]).contains("--member"));
    let bad = ["genesis", "--name", "x", "--member", "a=00", "--out", text(&nothing)];
    assert!(fail(&bad).contains("expected 64 lowercase hex digits"));
    std::fs::write(a.join("config.toml"), "packing = \"random\"\n").unwrap();
    assert!(fail(&["run", "--data-dir", text(&a)]).contains("fair-first or tp-fair"));
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
