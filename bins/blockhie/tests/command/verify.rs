//! `verify` against the vectors, which were made before any of this code.

use crate::gateway::{Gateway, receipt};
use crate::run::blockhie;
use blockhie_core::{Genesis, SecretKey, Transaction};
use blockhie_emr::payload::{GRANT, Grant};
use prost::Message;
use serde_json::Value;
use std::path::PathBuf;
use tempfile::TempDir;

struct Case {
    folder: TempDir,
    chain: Value,
}

impl Case {
    fn new() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/vectors.json");
        let chain = serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap()["chain"].take();
        let case = Self { folder: tempfile::tempdir().unwrap(), chain };
        let genesis = Genesis::from_bytes(&hex::decode(case.text("genesis")).unwrap()).unwrap();
        case.write("genesis.toml", genesis.to_toml().as_bytes());
        case.write("record", &hex::decode(case.text("record")).unwrap());
        case.write("opening", case.text("opening").as_bytes());
        case.write("receipt", case.receipt("full").as_bytes());
        case
    }

    fn text(&self, name: &str) -> &str {
        self.chain[name].as_str().unwrap()
    }

    fn receipt(&self, name: &str) -> &str {
        self.chain["receipts"][name].as_str().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn verify(&self, files: &[&str], more: &[&str]) -> crate::run::Done {
        let mut args = vec!["verify".to_owned()];
        for name in files {
            let option = name.split('.').next().unwrap();
            args.extend([format!("--{option}"), self.path(name).to_str().unwrap().to_owned()]);
        }
        args.extend(more.iter().map(|more| (*more).to_owned()));
        blockhie(&args)
    }
}

const ALL: [&str; 4] = ["receipt", "record", "opening", "genesis.toml"];

#[test]
fn every_case_of_the_vectors_has_its_exit_code() {
    let case = Case::new();
    let cases = case.chain["cases"].as_array().unwrap();
    assert!(cases.len() >= 24);
    for row in cases {
        case.write("receipt", case.receipt(row["receipt"].as_str().unwrap()).as_bytes());
        let mut more = Vec::new();
        let mut files = vec!["receipt"];
        if row["genesis"] == Value::Bool(true) {
            files.push("genesis.toml");
        }
        let quorum = row["quorum"].as_u64().map(|quorum| quorum.to_string());
        if let Some(quorum) = &quorum {
            more.extend(["--quorum", quorum]);
        }
        if let Some(checkpoint) = row["checkpoint"].as_str() {
            more.extend(["--checkpoint", checkpoint]);
        }
        let done = case.verify(&files, &more);
        assert_eq!(i64::from(done.code), row["exit"].as_i64().unwrap(), "{row}: {done:#?}");
    }
}

#[test]
fn the_record_is_proved_step_by_step() {
    let case = Case::new();
    let done = case.verify(&ALL, &[]).expect(0);
    for step in ["✓ chain", "✓ inclusion", "✓ quorum", "✓ payload", "✓ record", "✓ authenticity", "proved: exactly"]
    {
        assert!(done.stdout.contains(step), "{step}: {}", done.stdout);
    }
    assert!(!done.stdout.contains('\x1b') && done.stderr.is_empty());
    let json = case.verify(&ALL, &["--json"]).expect(0).json();
    assert_eq!((json["verdict"].as_str(), json["exit"].as_u64()), (Some("proved"), Some(0)));
    assert_eq!(json["record_checked"], Value::Bool(true));
    assert!(json["steps"].as_array().unwrap().iter().all(|step| step["holds"] == Value::Bool(true)));
    let without = case.verify(&["receipt", "genesis.toml"], &[]).expect(0);
    assert!(without.stdout.contains("give --record and --opening"));
}

#[test]
fn a_record_that_is_not_the_committed_one_refutes_also_what_is_not_final() {
    let case = Case::new();
    case.write("receipt", case.receipt("block only").as_bytes());
    assert!(case.verify(&ALL, &[]).expect(2).stdout.contains("… quorum"));
    case.write("record", b"another");
    let done = case.verify(&ALL, &[]).expect(1);
    assert!(done.stdout.contains("✗ record") && done.stdout.contains("refuted: record"), "{}", done.stdout);
}

#[test]
fn a_changed_byte_anywhere_never_proves_anything() {
    let case = Case::new();
    for name in ["receipt", "opening", "record"] {
        let good = std::fs::read(case.path(name)).unwrap();
        // A prime step over the bytes, and each of the first and last ones.
        let step = (good.len() / 45).max(1) | 1;
        let places = (0..good.len()).filter(|at| at % step == 0 || *at < 3 || at + 3 > good.len());
        for (turn, at) in places.enumerate() {
            let mut bad = good.clone();
            bad[at] = match (bad[at], turn % 2) {
                (b'0'..=b'8' | b'a'..=b'e', 0) => bad[at] + 1,
                (b'9' | b'f', 0) => b'0',
                (byte, _) => byte ^ 0x01,
            };
            case.write(name, &bad);
            let done = case.verify(&ALL, &[]);
            assert!(matches!(done.code, 1 | 3), "{name} byte {at}: {done:#?}");
            assert!(done.code == 3 || done.stdout.contains('✗'), "{name} byte {at}: {done:#?}");
        }
        case.write(name, &good);
    }
    case.verify(&ALL, &[]).expect(0);
}

#[test]
fn files_that_cannot_be_used_exit_3_and_questions_that_cannot_be_asked_64() {
    let case = Case::new();
    for name in ALL {
        let good = std::fs::read(case.path(name)).unwrap();
        std::fs::remove_file(case.path(name)).unwrap();
        assert!(case.verify(&ALL, &[]).expect(3).stderr.contains("cannot be read"));
        if name != "record" {
            for bad in [&b""[..], b"{}", b"\xff\xfe", &good[..good.len() - 1], &vec![b'{'; (1 << 20) + 1]] {
                if name == "genesis.toml" && bad.len() + 1 == good.len() {
                    continue; // TOML does not need its last newline.
                }
                case.write(name, bad);
                let done = case.verify(&ALL, &[]).expect(3);
                assert!(done.stdout.is_empty() && done.stderr.contains(name), "{name}: {done:?}");
            }
        }
        case.write(name, &good);
    }
    for quorum in ["0", "3", "4294967295"] {
        case.verify(&["receipt", "genesis.toml"], &["--quorum", quorum]).expect(64);
    }
}

#[test]
fn another_chains_genesis_refutes_and_an_open_one_cannot_be_asked() {
    let case = Case::new();
    let text = std::fs::read_to_string(case.path("genesis.toml")).unwrap();
    let mut genesis = Genesis::from_toml(&text).unwrap();
    genesis.time_ms += 1;
    case.write("genesis.toml", genesis.to_toml().as_bytes());
    assert!(case.verify(&ALL, &[]).expect(1).stdout.contains("✗ chain"));
    (genesis.members, genesis.quorum, genesis.spacing) = (Vec::new(), 0, 0);
    case.write("genesis.toml", genesis.to_toml().as_bytes());
    assert!(case.verify(&ALL, &[]).expect(64).stderr.contains("--checkpoint"));
}

#[test]
fn other_types_are_included_and_their_effect_depends_on_state() {
    let case = Case::new();
    let genesis = Gateway::genesis();
    case.write("genesis.toml", genesis.to_toml().as_bytes());
    let verify = |tx_type, payload: &[u8]| {
        let tx = Transaction::sign(&genesis.chain_id(), &SecretKey::from_seed([3; 32]), 9, tx_type, None, payload);
        case.write("receipt", receipt(&tx).to_json().as_bytes());
        case.verify(&["receipt", "genesis.toml"], &[])
    };
    let grant = Grant { consent: vec![5; 32], expires_ms: 0 }.encode_to_vec();
    let done = verify(GRANT, &grant).expect(0);
    assert!(done.stdout.contains("included; effect depends on state") && done.stdout.contains("✓ payload"), "{done:?}");
    assert!(verify(32, b"a link").expect(0).stdout.contains("included; effect depends on state"));
    assert!(verify(GRANT, &grant[1..]).expect(1).stdout.contains("✗ payload"));
    assert!(verify(16, b"a device").expect(1).stdout.contains("✗ transaction"));
}
