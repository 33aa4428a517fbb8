//! Being called wrongly, asked for help, and writing to nobody.

use crate::run::{blockhie, command, finish};

const HASH: &str = "008fad0a9dcfcf9919c5690472b54411ce0d9fbdd6caab8e8ef89be7164c5b14";

#[test]
fn usage_errors_exit_64_and_say_so_on_standard_error_only() {
    let wrong: [&[&str]; 34] = [
        &[],
        &["nonsense"],
        &["keygen"],
        &["record"],
        &["record", "publish", "--gateway", "http://127.0.0.1:1", "--out", "/tmp"],
        &["record", "publish", "/dev/null", "--gateway", "nonsense", "--out", "/tmp"],
        &["record", "publish", "/dev/null", "--gateway", "http://127.0.0.1:1", "--out", "/tmp", "--timeout", "0"],
        &["record", "publish", "/dev/null", "--gateway", "http://127.0.0.1:1", "--out", "/tmp", "--patient", "age1x"],
        &["record", "publish", "/dev/null", "--gateway", "http://127.0.0.1:1", "--out", "/tmp", "--addressee", "00"],
        &["record", "publish", "/dev/null", "--gateway", "http://127.0.0.1:1", "--out", "/tmp", "--media-type", "a\"b"],
        &["verify"],
        &["verify", "--receipt", "r"],
        &["verify", "--receipt", "r", "--checkpoint", "zz"],
        &["verify", "--receipt", "r", "--checkpoint", HASH, "--quorum", "1"],
        &["verify", "--receipt", "r", "--checkpoint", HASH, "--record", "f"],
        &["verify", "--receipt", "r", "--checkpoint", HASH, "--opening", "f"],
        &["verify", "--receipt", "r", "--checkpoint", HASH, "--segment", "f"],
        &["verify", "--receipt", "r", "--checkpoint", HASH, "--segment-opening", "f"],
        &["verify", "--readings", "f", "--checkpoint", HASH],
        &["verify", "--readings", "f", "--proofs", "d", "--receipt", "r", "--checkpoint", HASH],
        &["verify", "--receipt", "r", "--checkpoint", HASH, "--from", "1"],
        &["device"],
        &["link"],
        &["link", "verify"],
        &["link", "verify", "--dir", "d", "--emr-genesis", "g"],
        &["link", "verify", "--opening", "o", "--emr-genesis", "g", "--phd-genesis", "g"],
        &["link", "create", "--record", HASH, "--owner", "k", "--gateway", "http://127.0.0.1:1", "--out", "d"],
        &["link", "create", "--record", "x", "--expires-in", "3"],
        &["chain"],
        &["chain", "tip"],
        &["chain", "block", "x", "--node", "127.0.0.1:1"],
        &["chain", "tx", "--node", "127.0.0.1:1"],
        &["load", "--node", "127.0.0.1:1", "--tps", "0", "--seconds", "1"],
        &["load", "--node", "a b", "--tps", "1", "--seconds", "1"],
    ];
    for args in wrong {
        let done = blockhie(args).expect(64);
        assert!(done.stdout.is_empty() && !done.stderr.is_empty(), "{args:?}: {done:?}");
    }
}

#[test]
fn help_and_version_are_results() {
    let all: [&[&str]; 15] = [
        &["--help"],
        &["keygen", "--help"],
        &["record", "publish", "--help"],
        &["verify", "--help"],
        &["device", "register", "--help"],
        &["device", "retire", "--help"],
        &["device", "push", "--help"],
        &["device", "export", "--help"],
        &["link", "create", "--help"],
        &["link", "verify", "--help"],
        &["chain", "--help"],
        &["chain", "tip", "--help"],
        &["chain", "block", "--help"],
        &["chain", "tx", "--help"],
        &["load", "--help"],
    ];
    for args in all {
        let done = blockhie(args).expect(0);
        assert!(done.stdout.contains("Examples:") && done.stderr.is_empty(), "{args:?}");
    }
    assert!(blockhie(&["--version"]).expect(0).stdout.starts_with("blockhie "));
}

#[test]
fn a_secret_key_in_place_of_a_public_one_is_not_repeated() {
    let secret = "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ0SPLN";
    let gateway = "http://127.0.0.1:1";
    let args = ["record", "publish", "/dev/null", "--gateway", gateway, "--out", "/tmp", "--patient", secret];
    let done = blockhie(&args).expect(64);
    assert!(!done.stderr.contains("1QQQ"), "{done:?}");
}

#[test]
fn keys_are_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("k");
    let path = path.to_str().unwrap();
    let done = blockhie(&["keygen", "--out", path]).expect(0);
    let public = done.stdout.trim();
    assert_eq!((public.len(), done.stdout.len()), (64, 65));
    let secret = blockhie_core::keyfile::read(std::path::Path::new(path)).unwrap();
    assert_eq!(secret.public().to_string(), public);
    let again = blockhie(&["keygen", "--out", path]).expect(1);
    assert!(again.stdout.is_empty() && again.stderr.contains("never overwritten"));
    assert_eq!(blockhie_core::keyfile::read(std::path::Path::new(path)).unwrap().public(), secret.public());
    let other = folder.path().join("j");
    let json = blockhie(&["keygen", "--json", "--out", other.to_str().unwrap()]).expect(0).json();
    assert_eq!(json["public_key"].as_str().unwrap().len(), 64);
}

#[test]
fn a_reader_that_went_away_is_no_error_and_a_full_disk_is_one() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    finish(command().arg("--help").stdout(writer)).expect(0);
    if let Ok(full) = std::fs::File::options().write(true).open("/dev/full") {
        let done = finish(command().arg("--help").stdout(full)).expect(1);
        assert!(done.stderr.contains("standard output"), "{done:?}");
    }
}
