//! `record publish` against a gateway that misbehaves.

use crate::gateway::{Gateway, Manners, TOKEN};
use crate::run::{Done, blockhie, blockhie_with_stdin};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The first recipient of age's own documentation.
const PATIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

struct Desk {
    folder: TempDir,
    gateway: Gateway,
}

impl Desk {
    fn new(manners: Manners) -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap(), gateway: Gateway::start(manners) };
        desk.write("a.json", br#"{"value":1.50}"#);
        desk.write("genesis.toml", Gateway::genesis().to_toml().as_bytes());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn args(&self, files: &[&str], more: &[&str]) -> Vec<String> {
        let mut args = vec!["record".to_owned(), "publish".to_owned()];
        args.extend(files.iter().map(|name| self.path(name).to_str().unwrap().to_owned()));
        args.extend(["--gateway".into(), self.gateway.url.clone(), "--out".into(), self.out().display().to_string()]);
        args.extend(more.iter().map(|more| (*more).to_owned()));
        args
    }

    fn out(&self) -> PathBuf {
        self.path("out")
    }

    fn publish(&self, files: &[&str], more: &[&str]) -> Done {
        blockhie(&self.args(files, more))
    }

    fn verify(&self, name: &str) -> Done {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        blockhie(&[
            "verify".to_owned(),
            "--receipt".into(),
            text(self.out().join(format!("{name}.receipt.json"))),
            "--opening".into(),
            text(self.out().join(format!("{name}.opening.json"))),
            "--record".into(),
            text(self.path(name)),
            "--genesis".into(),
            text(self.path("genesis.toml")),
        ])
    }

    /// Names in the output folder.
    fn kept(&self) -> Vec<String> {
        let Ok(entries) = self.out().read_dir() else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_file_becomes_a_receipt_that_verifies_and_a_second_run_publishes_nothing() {
    let desk = Desk::new(Manners::default());
    let done = desk.publish(&["a.json"], &["--patient", PATIENT]).expect(0);
    assert!(done.stdout.contains("a.json: final, in block 1"), "{done:?}");
    for step in ["submitted", "in block 1, 1 of 2 members", "final"] {
        assert!(done.stderr.contains(step), "{step}: {}", done.stderr);
    }
    assert_eq!(desk.kept(), [".a.json.idempotency", "a.json.age", "a.json.opening.json", "a.json.receipt.json"]);
    desk.verify("a.json").expect(0);
    let age = std::fs::read(desk.out().join("a.json.age")).unwrap();
    assert!(age.starts_with(b"age-encryption.org/v1"));
    let again = desk.publish(&["a.json"], &["--json"]).expect(0).json();
    let row = &again["records"][0];
    assert_eq!((row["state"].as_str(), row["height"].as_u64(), row["age"].as_str()), (Some("final"), Some(1), None));
    assert_eq!(row["txhash"].as_str().unwrap().len(), 64);
    assert_eq!(desk.gateway.posts(), (1, 1));
    let opening = std::fs::read_to_string(desk.out().join("a.json.opening.json")).unwrap();
    assert!(opening.contains(r#""media_type":"application/fhir+json""#));
}

#[cfg(unix)]
#[test]
fn outputs_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::new(Manners::default());
    desk.publish(&["a.json"], &[]).expect(0);
    for name in desk.kept() {
        let mode = desk.out().join(&name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
}

#[test]
fn a_connection_cut_after_the_request_publishes_once() {
    let desk = Desk::new(Manners { hang_up: 2, ..Manners::default() });
    for _ in 0..2 {
        let done = desk.publish(&["a.json"], &[]).expect(1);
        assert!(done.stderr.contains("no answer") && done.stderr.contains("Nothing is lost"), "{done:?}");
        assert_eq!(desk.kept(), [".a.json.idempotency"]);
    }
    desk.publish(&["a.json"], &[]).expect(0);
    desk.verify("a.json").expect(0);
    let (_, keys) = desk.gateway.posts();
    assert_eq!(keys, 1, "one key, one record");
}

#[test]
fn a_crash_between_any_two_writes_is_put_right() {
    let desk = Desk::new(Manners::default());
    desk.publish(&["a.json"], &["--patient", PATIENT]).expect(0);
    let memory = std::fs::read_to_string(desk.out().join(".a.json.idempotency")).unwrap();
    let (head, _) = memory.split_once(r#""records":["#).unwrap();
    let before_answer = format!("{head}\"records\":[]}}\n");
    for lost in [&["receipt.json"][..], &["receipt.json", "age"], &["receipt.json", "age", "opening.json"]] {
        for told in [&memory, &before_answer] {
            std::fs::write(desk.out().join(".a.json.idempotency"), told).unwrap();
            for suffix in lost {
                std::fs::remove_file(desk.out().join(format!("a.json.{suffix}"))).unwrap();
            }
            desk.publish(&["a.json"], &["--patient", PATIENT]).expect(0);
            desk.verify("a.json").expect(0);
            assert_eq!(desk.kept().len(), 4);
            assert_eq!(desk.gateway.posts().1, 1);
        }
    }
}

#[test]
fn a_changed_file_is_a_new_record_and_the_old_proof_stays() {
    let desk = Desk::new(Manners::default());
    desk.publish(&["a.json"], &[]).expect(0);
    let old = std::fs::read(desk.out().join("a.json.receipt.json")).unwrap();
    desk.write("a.json", br#"{"value":1.5}"#);
    let done = desk.publish(&["a.json"], &[]).expect(0);
    assert!(done.stderr.contains("earlier version"), "{done:?}");
    desk.verify("a.json").expect(0);
    assert_eq!(desk.gateway.posts(), (2, 2));
    let aside = desk.kept().into_iter().find(|name| name.ends_with(".receipt.json") && name != "a.json.receipt.json");
    assert_eq!(std::fs::read(desk.out().join(aside.unwrap())).unwrap(), old);
}

#[test]
fn tokens_come_from_a_file_or_standard_input_and_are_never_shown() {
    let desk = Desk::new(Manners { token: true, ..Manners::default() });
    let done = desk.publish(&["a.json"], &[]).expect(1);
    assert!(done.stderr.contains("401") && done.stderr.contains("--token-file"), "{done:?}");
    desk.write("token", b"wrong-token\n");
    let token = desk.path("token").to_str().unwrap().to_owned();
    let done = desk.publish(&["a.json"], &["--token-file", &token]).expect(1);
    assert!(!done.stderr.contains("wrong-token"), "{done:?}");
    for bad in [&b""[..], b"two words", b"\xff", &[b'a'; 5_000]] {
        desk.write("token", bad);
        desk.publish(&["a.json"], &["--token-file", &token]).expect(3);
    }
    blockhie_with_stdin(&desk.args(&["a.json"], &["--token-file", "-"]), &format!("{TOKEN}\n")).expect(0);
    assert_eq!(desk.gateway.posts(), (1, 1));
    desk.write("token", TOKEN.as_bytes());
    desk.publish(&["a.json"], &["--token-file", &token]).expect(0);
}

#[test]
fn no_gateway_no_loss() {
    let desk = Desk::new(Manners::default());
    let nobody = "http://127.0.0.1:1";
    let mut args = desk.args(&["a.json"], &[]);
    let at = args.iter().position(|arg| arg == "--gateway").unwrap();
    let here = std::mem::replace(&mut args[at + 1], nobody.into());
    let done = blockhie(&args).expect(1);
    assert!(done.stderr.contains(nobody) && done.stderr.contains("is the gateway running"), "{done:?}");
    args[at + 1] = here;
    blockhie(&args).expect(0);
    assert_eq!(desk.gateway.posts(), (1, 1));
}

#[test]
fn several_files_are_several_records_and_a_batch_is_one_request() {
    let desk = Desk::new(Manners::default());
    desk.write("b.pdf", b"%PDF\r\n\r\n--x");
    desk.write("c", b"");
    let files = ["c", "a.json", "b.pdf"];
    desk.publish(&files, &[]).expect(0);
    assert_eq!(desk.gateway.posts(), (3, 3));
    files.iter().for_each(|name| assert!(desk.verify(name).expect(0).stdout.contains("RECORD:")));
    let desk = Desk::new(Manners::default());
    desk.write("b.pdf", b"%PDF\r\n\r\n--x");
    desk.write("c", b"");
    let json = desk.publish(&files, &["--batch", "--json"]).expect(0).json();
    assert_eq!(json["records"].as_array().unwrap().len(), 3);
    desk.publish(&["b.pdf", "c", "a.json"], &["--batch"]).expect(0);
    assert_eq!(desk.gateway.posts(), (1, 1), "the order in which files are named does not matter");
    files.iter().for_each(|name| assert!(desk.verify(name).expect(0).stdout.contains("of 3 in its batch")));
    let opening = std::fs::read_to_string(desk.out().join("b.pdf.opening.json")).unwrap();
    assert!(opening.contains(r#""media_type":"application/pdf""#));
}

#[test]
fn not_waiting_keeps_the_opening_and_the_next_run_fetches_the_rest() {
    let desk = Desk::new(Manners { terse: true, ..Manners::default() });
    let key = blockhie_core::SecretKey::from_seed([5; 32]).public().to_string();
    let done = desk.publish(&["a.json"], &["--no-wait", "--addressee", &key]).expect(0);
    assert!(done.stderr.contains("run the same command again"));
    assert_eq!(desk.kept(), [".a.json.idempotency", "a.json.opening.json"]);
    desk.publish(&["a.json"], &["--addressee", &key]).expect(0);
    desk.verify("a.json").expect(0);
    assert_eq!(desk.gateway.posts(), (1, 1));
    assert!(std::fs::read_to_string(desk.out().join("a.json.opening.json")).unwrap().contains(&key));
}

#[test]
fn what_does_not_become_final_is_told() {
    let desk = Desk::new(Manners { state: "in_block", ..Manners::default() });
    let done = desk.publish(&["a.json"], &["--timeout", "1"]).expect(2);
    assert!(done.stderr.contains("in block 1, 1 of 2 members") && done.stderr.contains("not final after 1 s"));
    assert!(!desk.out().join("a.json.receipt.json").exists());
    desk.gateway.behave(Manners { state: "void", ..Manners::default() });
    let done = desk.publish(&["a.json"], &[]).expect(1);
    assert!(done.stdout.contains("void"), "{done:?}");
    desk.gateway.behave(Manners::default());
    desk.publish(&["a.json"], &[]).expect(0);
    assert_eq!(desk.gateway.posts(), (1, 1));
}

#[test]
fn a_gateway_that_lies_is_caught_and_nothing_of_it_is_kept() {
    let desk = Desk::new(Manners { lies: true, ..Manners::default() });
    let done = desk.publish(&["a.json"], &[]).expect(1);
    assert!(done.stderr.contains("does not fit the file"), "{done:?}");
    assert_eq!(desk.kept(), [".a.json.idempotency"]);
}

#[test]
fn refusals_are_told_and_redirects_not_followed() {
    let desk = Desk::new(Manners { refuse: Some((413, "X: y")), ..Manners::default() });
    assert!(desk.publish(&["a.json"], &[]).expect(1).stderr.contains("smaller records"));
    desk.gateway.behave(Manners { refuse: Some((307, "Location: http://127.0.0.1:1/")), ..Manners::default() });
    assert!(desk.publish(&["a.json"], &[]).expect(1).stderr.contains("redirects are not followed"));
}

#[test]
fn unreadable_files_stop_before_anything_is_sent() {
    let desk = Desk::new(Manners::default());
    let done = desk.publish(&["a.json", "missing.json"], &[]).expect(3);
    assert!(done.stderr.contains("missing.json") && done.stderr.contains("check the path"), "{done:?}");
    desk.publish(&["a.json", "a.json"], &[]).expect(64);
    std::fs::create_dir(desk.path("folder")).unwrap();
    desk.publish(&["folder"], &[]).expect(3);
    assert_eq!(desk.gateway.posts(), (0, 0));
    desk.write("out", b"a file where the folder should be");
    assert!(desk.publish(&["a.json"], &[]).expect(1).stderr.contains("cannot be made"));
    assert!(Path::new(&desk.path("a.json")).is_file());
}
