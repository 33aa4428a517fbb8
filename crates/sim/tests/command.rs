//! The program: what it prints, and its exit codes.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_blockhie-sim"))
        .args(arguments)
        .output()
        .expect("the program was built with this test");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints text");
    (status.code().expect("no signal ends it"), text(stdout), text(stderr))
}

#[test]
fn it_ends_with_the_verdict_and_names_ratio_and_commit() {
    let (code, stdout, _) = run(&["chaos", "--seeds", "0..2", "--seconds", "10", "--nodes", "3"]);
    assert_eq!(code, 0, "{stdout}");
    assert_eq!(stdout.lines().last(), Some("2 seeds, 0 violations"));
    assert!(stdout.contains("commit ") && stdout.contains(" ratio "), "{stdout}");
    let (code, stdout, _) = run(&["chaos", "--seeds", "0..1", "--seconds", "5", "--json", "--jobs", "1"]);
    let lines: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, lines.len()), (0, 2));
    assert!(lines[0]["violations"].as_array().unwrap().is_empty() && lines[1]["ratio"].is_number());
}

#[test]
fn a_bug_is_caught_with_a_seed() {
    let (code, stdout, _) = run(&["planted", "--bug", "ack-before-sync", "--seconds", "30"]);
    assert_eq!(code, 0, "{stdout}");
    assert!(stdout.contains("ack-before-sync") && stdout.contains("seed "), "{stdout}");
    assert_eq!(stdout.lines().last(), Some("1 caught, 0 missed, 0 left out"));
}

#[test]
fn help_has_examples_and_usage_errors_exit_64() {
    let (code, stdout, _) = run(&["--help"]);
    assert!(code == 0 && stdout.contains("blockhie-sim chaos --seeds 0..200"), "{stdout}");
    for bad in [
        &["chaos"][..],
        &["chaos", "--seeds", "5..5"],
        &["chaos", "--seeds", "x"],
        &["planted", "--bug", "x"],
        &["fly"],
    ] {
        let (code, _, stderr) = run(bad);
        assert!(code == 64 && stderr.contains("error") && !stderr.contains("panicked"), "{bad:?}: {stderr}");
    }
}
