//! The committed seeds, and all targets over them and over mutations of them. No fuzzer is needed for it.
//!
//! Seeds stand in `fuzz/seeds/TARGET`; they are made from `docs/protocol/vectors.json` by this file:
//! `BLOCKHIE_WRITE_SEEDS=1 cargo test -p blockhie-fuzz-targets committed`. What once crashed a target stands in
//! `fuzz/regressions/TARGET` and is run with them.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod peer;

use blockhie_core::{Genesis, Hash32, PublicKey, SecretKey, Signature, SignedRequest, Transaction, UncheckedBlock};
use blockhie_fuzz_targets::{Reached, TARGETS, import_reaching};
use blockhie_transport::pb;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use prost::Message;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Committed seeds are small: what is long is found by mutation.
const MOST_SEED_BYTES: usize = 6_000;
/// Of all seeds together.
const MOST_BYTES: usize = 300 << 10;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

type Seeds = BTreeMap<(&'static str, String), Vec<u8>>;

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn hash(value: &Value) -> Hash32 {
    value.as_str().unwrap().parse().unwrap()
}

fn list(value: &Value) -> &[Value] {
    let rows = value.as_array().unwrap();
    assert!(!rows.is_empty());
    rows
}

fn int(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// A transaction of the vectors as a message, its key taken as it stands, good or not.
fn transaction(row: &Value) -> Vec<u8> {
    let field = |name: &str| row[name].as_str().map(|text| hex::decode(text).unwrap().into());
    pb::Transaction {
        unixtime: Some(int(&row["time_ms"]).to_be_bytes().to_vec().into()),
        body: field("body"),
        txhash: field("txhash"),
        r#type: row["type"].as_i64().and_then(|kind| i32::try_from(kind).ok()),
        txfrom: field("from"),
        txto: field("to"),
    }
    .encode_to_vec()
}

fn block(row: &Value) -> UncheckedBlock {
    UncheckedBlock {
        height: int(&row["height"]),
        time_ms: u64::from_str_radix(row["unixtime"].as_str().unwrap(), 16).unwrap(),
        previous: hash(&row["previoushash"]),
        claimed_hash: hash(&row["blockhash"]),
        target: u32::from_str_radix(row["difficulty"].as_str().unwrap(), 16).unwrap(),
        nonce: u64::from_str_radix(row["answer"].as_str().unwrap(), 16).unwrap(),
        txhashes: row["txshash"].as_array().unwrap().iter().map(hash).collect(),
        miner: hash(&row["miner"]),
        siblings: vec![],
        signature: row["minersignature"].as_str().filter(|text| !text.is_empty()).map(|text| text.parse().unwrap()),
        history_root: row["historyroot"].as_str().map(|text| text.parse().unwrap()),
    }
}

fn consensus(vectors: &Value, add: &mut dyn FnMut(&'static str, &str, Vec<u8>)) {
    for group in ["transactions", "transactions_invalid"] {
        for (i, row) in list(&vectors[group]).iter().enumerate() {
            let name = format!("{group}-{i}");
            add("transaction", &name, transaction(row));
            if let Some(canonical) = row["canonical"].as_str() {
                add("transaction", &format!("{name}-canonical"), hex::decode(canonical).unwrap());
            }
            let kind = u8::try_from(int(&row["type"]) % 128).unwrap() | u8::from(!row["to"].is_null()) << 7;
            let payload = bytes(&row["body"]).get(65..).unwrap_or_default().to_vec();
            add("payload", &name, [vec![kind], payload].concat());
        }
    }
    for (i, row) in list(&vectors["chain"]["blocks"]).iter().enumerate() {
        add("block", &format!("chain-{i}"), pb::Block::from(&block(row)).encode_to_vec());
        add("header", &format!("chain-{i}"), bytes(&row["preimage"]));
    }
    for (i, row) in list(&vectors["headers"]).iter().enumerate() {
        add("header", &format!("headers-{i}"), bytes(&row["preimage"]));
    }
    for (i, row) in list(&vectors["chain_id"]).iter().enumerate() {
        let genesis = bytes(&row["bytes"]);
        add("genesis_toml", &format!("{i}"), Genesis::from_bytes(&genesis).unwrap().to_toml().into());
        add("genesis", &format!("{i}"), genesis);
    }
    for (i, row) in list(&vectors["genesis_invalid"]).iter().enumerate() {
        add("genesis", &format!("invalid-{i}"), bytes(&row["bytes"]));
    }
    for (i, row) in list(&vectors["hello"]).iter().enumerate() {
        let value = bytes(&row["bytes"]);
        add("messages", &format!("hello-{i}"), pb::Message { value: Some(value.into()) }.encode_to_vec());
    }
    let addresses = ["127.0.0.1:8765", "[::1]:80"].map(|text: &str| text.parse().unwrap());
    add("messages", "node", pb::Node::from(&addresses[..]).encode_to_vec());
}

fn files(vectors: &Value, add: &mut dyn FnMut(&'static str, &str, Vec<u8>)) {
    let texts = |group: &Value| -> Vec<Vec<u8>> {
        group.as_object().unwrap().values().map(|text| text.as_str().unwrap().into()).collect()
    };
    for (i, text) in texts(&vectors["chain"]["receipts"]).into_iter().enumerate() {
        add("receipt", &format!("{i}"), text);
    }
    add("openings", "record", vectors["chain"]["opening"].as_str().unwrap().into());
    for (i, text) in texts(&vectors["link"]["openings"]).into_iter().enumerate() {
        add("openings", &format!("link-{i}"), text);
    }
    for (i, row) in list(&vectors["segment_seal"]).iter().enumerate() {
        add("openings", &format!("segment-{i}"), row["opening"].as_str().unwrap().into());
    }
    for (i, row) in list(&vectors["segment_data"]).iter().enumerate() {
        add("samples", &format!("{i}"), bytes(&row["data"]));
    }
    for (i, text) in [
        "72.5\n73\n-0.001\n",
        "time,value\r\n0,1\r\n4.5,1.50\r\n",
        "0,60\n1000,61\n1000,62",
        "t,v\n2016-11-24 13:58:58.081000,1\n2016-11-24 13:58:59,2\n",
        "72\n73",
    ]
    .into_iter()
    .enumerate()
    {
        add("csv", &format!("{i}"), text.into());
    }
    let secret = SecretKey::from_seed([9; 32]);
    for (name, text) in [
        ("key", format!("{}\n", hex::encode([9; 32]))),
        ("public", PublicKey::to_string(&secret.public())),
        ("signature", Signature([7; 64]).to_string()),
        ("request", SignedRequest::sign(&secret, "GET", "/v1", b"", 1_750_000_000_000)),
        ("recipient", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".into()),
        ("media", "application/fhir+json".into()),
        ("decimal", "-12.500".into()),
    ] {
        add("texts", name, text.into());
    }
}

/// Values as the store writes them: version 1, then bincode.
fn values(vectors: &Value, add: &mut dyn FnMut(&'static str, &str, Vec<u8>)) {
    let mut write = |name: &str, value: Vec<u8>| add("store", name, [vec![1], value].concat());
    let config = bincode::config::standard();
    for (i, row) in list(&vectors["chain"]["blocks"]).iter().enumerate().skip(1) {
        let block = block(row);
        let header = block.header(block.history_root.unwrap()).unwrap();
        let block = blockhie_core::Block {
            hash: block.claimed_hash,
            header,
            txhashes: block.txhashes,
            siblings: vec![],
            signature: block.signature,
        };
        write(&format!("block-{i}"), bincode::serde::encode_to_vec(&block, config).unwrap());
    }
    let undo = blockhie_core::store::Undo {
        state: vec![(b"key".to_vec(), Some(b"value".to_vec())), (b"gone".to_vec(), None)],
        transactions: vec![Hash32([5; 32])],
        miner_seen: Some(7),
    };
    write("undo", bincode::serde::encode_to_vec(&undo, config).unwrap());
    let genesis = Genesis::from_bytes(&bytes(&vectors["chain"]["genesis"])).unwrap();
    // A seed stays as it is when the version moves on.
    let meta = blockhie_core::store::Meta { format_version: 1, ..blockhie_core::store::Meta::new(&genesis) };
    write("meta", bincode::serde::encode_to_vec(&meta, config).unwrap());
    let peer = blockhie_core::store::PeerRow { address: "127.0.0.1:1".into(), last_seen_ms: 9, since_ms: 7 };
    write("peer", bincode::serde::encode_to_vec(&peer, config).unwrap());
}

/// Scripts of `import`. A block is: step 0, parent (0: newest), miner, time, count, one number a transaction, nonce.
fn scripts(add: &mut dyn FnMut(&'static str, &str, Vec<u8>)) {
    let mine = |parent: u8, miner: u8, time: u8| vec![0, parent, miner, time, 0, 1];
    add("import", "a-chain", (0..9).flat_map(|i| mine(0, i % 3, 9)).collect());
    // Two records, one amended, mined three at once, committed and opened again.
    let sends = [4, 0, 3, 1, 4, 0, 3, 2, 4, 3, 3, 9];
    let three = [0, 0, 0, 9, 3, 0, 1, 2, 1];
    add("import", "records", [&sends[..], &three, &[5], &mine(0, 1, 9), &[6]].concat());
    // Two blocks stand, the first with all three; a branch of three from the genesis wins, without and with them.
    let stands = [&sends[..], &three, &mine(0, 1, 9), &[5]].concat();
    let branch = [mine(2, 2, 3), mine(0, 1, 3), mine(0, 0, 3), vec![5, 7, 2]].concat();
    add("import", "a-fork", [&stands[..], &branch].concat());
    let again = [&mine(2, 2, 3)[..], &mine(0, 1, 3), &[0, 0, 0, 3, 2, 0, 2, 1], &mine(0, 1, 9), &[6]].concat();
    add("import", "a-fork-with-them", [&stands[..], &again].concat());
    // A heavier branch whose last block repeats a transaction: it is left again.
    let bad = [&[0, 2, 2, 3, 1, 0, 1][..], &mine(0, 1, 3), &[0, 0, 0, 3, 1, 0, 1], &mine(4, 2, 9), &[6]].concat();
    add("import", "a-fork-that-is-not-valid", [&stands[..], &bad].concat());
    // Two blocks from the genesis, and one over the first that lists the second; and a pair of siblings.
    let lists = |parent: u8, miner: u8, siblings: &[u8]| {
        [&[2, parent, miner, 9, 0, u8::try_from(siblings.len()).unwrap() - 1], siblings, &[1]].concat()
    };
    let sibling = [0, 1, 1, 3, 2, 0, 1, 1];
    let one = [&mine(0, 0, 9)[..], &sibling, &lists(1, 2, &[0]), &mine(0, 0, 9), &[6]].concat();
    add("import", "a-sibling", [&sends[..], &one].concat());
    let pair = [&mine(0, 0, 9)[..], &sibling, &mine(0, 2, 3), &[0, 2, 2, 9, 0, 1], &mine(0, 1, 9)].concat();
    add("import", "two-siblings", [&sends[..], &pair, &lists(0, 0, &[3, 2]), &mine(0, 2, 9)].concat());
    for field in 0..12 {
        for seal in [0, 0x42, 0x80, 0xc2] {
            let spoilt = [3, 0, 2, 9, 0, 1, field, 0x55, seal, 0];
            add("import", &format!("spoilt-{field}-{seal}"), [&mine(0, 0, 9)[..], &spoilt, &mine(0, 1, 9)].concat());
        }
    }
}

fn made() -> Seeds {
    let text = std::fs::read(root().join("docs/protocol/vectors.json")).unwrap();
    let vectors: Value = serde_json::from_slice(&text).unwrap();
    let mut seeds = Seeds::new();
    let mut add = |target: &'static str, name: &str, bytes: Vec<u8>| {
        if bytes.len() <= MOST_SEED_BYTES {
            assert!(seeds.insert((target, name.to_owned()), bytes).is_none(), "{target} {name} twice");
        }
    };
    consensus(&vectors, &mut add);
    files(&vectors, &mut add);
    values(&vectors, &mut add);
    scripts(&mut add);
    peer::seeds(&vectors, &mut add);
    seeds
}

/// What stands in a folder of each target.
fn committed(folder: &str) -> Seeds {
    let mut seeds = Seeds::new();
    for (target, _) in TARGETS {
        let Ok(entries) = std::fs::read_dir(root().join("fuzz").join(folder).join(target)) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            seeds.insert((target, name), std::fs::read(&path).unwrap());
        }
    }
    seeds
}

#[test]
fn the_committed_seeds_are_what_the_vectors_make() {
    let made = made();
    if std::env::var_os("BLOCKHIE_WRITE_SEEDS").is_some() {
        let _ = std::fs::remove_dir_all(root().join("fuzz/seeds"));
        for ((target, name), bytes) in &made {
            let folder = root().join("fuzz/seeds").join(target);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
    let stands = committed("seeds");
    let names = |seeds: &Seeds| seeds.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&stands), names(&made), "see the head of this file");
    assert!(stands == made, "see the head of this file");
    assert!(stands.values().map(Vec::len).sum::<usize>() < MOST_BYTES);
    for (target, _) in TARGETS {
        assert!(stands.keys().any(|(of, _)| *of == target), "{target} has no seed");
    }
}

/// Every target has its file for libFuzzer, and every file its target.
#[test]
fn the_fuzzer_has_these_targets() {
    let entries = std::fs::read_dir(root().join("fuzz/fuzz_targets")).unwrap();
    let mut files: Vec<String> =
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
    files.sort();
    assert_eq!(files, TARGETS.map(|(name, _)| name));
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
        let main = std::fs::read_to_string(root().join(format!("fuzz/fuzz_targets/{name}.rs"))).unwrap();
        assert!(main.contains(&format!("blockhie_fuzz_targets::{name}(")), "{name}.rs runs something else");
    }
}

/// Runs a target, and says on which bytes it panicked: they belong into `fuzz/regressions`.
fn checked(target: &str, run: fn(&[u8]), bytes: &[u8], name: &str) {
    struct Say<'a>(&'a str, &'a str, &'a [u8]);
    impl Drop for Say<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                println!("{} {}: {}", self.0, self.1, hex::encode(self.2));
            }
        }
    }
    let _say = Say(target, name, bytes);
    run(bytes);
}

#[test]
fn seeds_and_what_once_crashed_pass() {
    let mut ran = 0;
    for ((target, name), bytes) in committed("seeds").into_iter().chain(committed("regressions")) {
        let (_, run) = TARGETS.into_iter().find(|(of, _)| *of == target).unwrap();
        checked(target, run, &bytes, &name);
        ran += 1;
    }
    assert!(ran > 100);
}

/// One change that a fuzzer would make.
fn mutate(rng: &mut TestRng, mut bytes: Vec<u8>, other: &[u8]) -> Vec<u8> {
    use proptest::prelude::Rng;
    let mut below = |end: usize| if end == 0 { 0 } else { usize::try_from(rng.next_u64() % end as u64).unwrap() };
    for _ in 0..=below(4) {
        let at = below(bytes.len());
        match below(8) {
            0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << below(8),
            2 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b',', b'\n'][below(8)],
            3 => bytes.insert(at, u8::try_from(below(256)).unwrap()),
            4 if !bytes.is_empty() => drop(bytes.drain(at..(at + 1 + below(9)).min(bytes.len()))),
            5 => bytes.truncate(at),
            6 => bytes.truncate(at + other.len().min(at)),
            _ => {
                let from = below(other.len());
                let part = &other[from..(from + 1 + below(40)).min(other.len())];
                bytes.splice(at..at, part.iter().copied());
            }
        }
    }
    bytes
}

#[test]
fn mutations_of_the_seeds_pass() {
    // The same on every run: what fails here fails again.
    let mut rng =
        TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha)).new_rng();
    let seeds = committed("seeds");
    for (target, run) in TARGETS {
        let of: Vec<&Vec<u8>> = seeds.iter().filter(|((name, _), _)| *name == target).map(|(_, bytes)| bytes).collect();
        for i in 0..1_024 {
            let input = mutate(&mut rng, of[i % of.len()].clone(), of[(i * 7 + 3) % of.len()]);
            checked(target, run, &input, "mutated");
        }
    }
}

/// The scripts of the seeds come as far as they are meant to.
#[test]
fn scripts_extend_reorganise_and_are_refused() {
    let seeds = committed("seeds");
    let reached = |name: &str| import_reaching(&seeds[&("import", name.to_owned())]);
    assert_eq!(reached("a-chain"), Reached { extended: 9, ..Reached::default() });
    assert_eq!(reached("records"), Reached { extended: 2, committed: 3, ..Reached::default() });
    let fork = Reached { extended: 2, side: 2, reorganised: 1, ..Reached::default() };
    assert_eq!(reached("a-fork"), fork);
    assert_eq!(reached("a-fork-with-them"), Reached { extended: 3, committed: 2, ..fork });
    let refused = reached("a-fork-that-is-not-valid");
    assert!(refused.reorganised == 0 && refused.refused == 1 && refused.committed == 3, "{refused:?}");
    let merged = Reached { extended: 3, side: 1, committed: 2, ..Reached::default() };
    assert_eq!(reached("a-sibling"), merged);
    assert_eq!(reached("two-siblings"), Reached { side: 2, reorganised: 2, ..merged });
    let spoilt: Vec<Reached> = seeds
        .iter()
        .filter(|((target, name), _)| *target == "import" && name.starts_with("spoilt"))
        .map(|(_, script)| import_reaching(script))
        .collect();
    assert!(spoilt.iter().filter(|reached| reached.refused > 0).count() > 30, "{spoilt:?}");
}

/// The fuzzer starts from messages that pass every check, not only from ones that are refused early.
#[test]
fn seeds_hold_transactions_that_verify() {
    let text = std::fs::read(root().join("docs/protocol/vectors.json")).unwrap();
    let vectors: Value = serde_json::from_slice(&text).unwrap();
    let chains: Vec<Genesis> =
        list(&vectors["chain_id"]).iter().map(|row| Genesis::from_bytes(&bytes(&row["bytes"])).unwrap()).collect();
    let verifies = |bytes: &Vec<u8>| {
        let tx = pb::Transaction::decode(&bytes[..]).ok().and_then(|tx| Transaction::try_from(tx).ok());
        tx.is_some_and(|tx| chains.iter().any(|of| tx.clone().verify(&of.chain_id(), of.kind).is_ok()))
    };
    let seeds = committed("seeds");
    let of = seeds.iter().filter(|((target, _), _)| *target == "transaction");
    assert!(of.filter(|(_, bytes)| verifies(bytes)).count() >= 10);
}
