//! The vectors of `docs/protocol/vectors.json`, made by plain Python before this code.

use blockhie_core::block::Header;
use blockhie_core::bytes::{Hash32, Signature};
use blockhie_core::genesis::Genesis;
use blockhie_core::merkle;
use blockhie_core::receipt::{Receipt, Trust, verify_receipt};
use blockhie_core::tx::{Transaction, Unverified, Verified};
use blockhie_core::{CompactTarget, PublicKey, SecretKey, U256};
use serde_json::Value;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/vectors.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("vectors are committed")).expect("JSON")
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("text")).expect("hex")
}

fn hash(value: &Value) -> Hash32 {
    value.as_str().expect("text").parse().expect("32 bytes")
}

fn hashes(value: &Value) -> Vec<Hash32> {
    value.as_array().expect("list").iter().map(hash).collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    let list = value[key].as_array().expect("list");
    assert!(!list.is_empty(), "{key} has entries");
    list
}

#[test]
fn genesis_bytes_and_chain_ids() {
    let all = vectors();
    for row in list(&all, "chain_id") {
        let genesis = Genesis::from_bytes(&bytes(&row["bytes"])).expect("a good genesis");
        assert_eq!(genesis.chain_id(), hash(&row["chain_id"]));
        assert_eq!(genesis.to_bytes(), bytes(&row["bytes"]));
        assert_eq!(u64::from(genesis.first_target.get()), row["first_target"].as_u64().expect("u32"));
        assert_eq!(Genesis::from_toml(&genesis.to_toml()).expect("comes back"), genesis);
    }
    for row in list(&all, "genesis_invalid") {
        assert!(Genesis::from_bytes(&bytes(&row["bytes"])).is_err(), "{}", row["reason"]);
    }
}

#[test]
fn keys_and_signatures() {
    let all = vectors();
    for row in list(&all, "keys") {
        assert_eq!(PublicKey::from_slice(&bytes(&row["key"])).is_ok(), row["fault"].is_null(), "{row}");
    }
    for row in list(&all, "zip215") {
        let Ok(key) = PublicKey::from_slice(&bytes(&row["key"])) else { continue };
        let signature = Signature::from_slice(&bytes(&row["signature"])).expect("64 bytes");
        let message = bytes(&row["message"]);
        assert_eq!(key.verify(&message, &signature), row["valid"] == true, "{row}");
        let check = blockhie_core::crypto::SignatureCheck { key, message, signature };
        assert_eq!(blockhie_core::crypto::verify_signatures(&[check]), [row["valid"] == true], "{row}");
    }
}

#[test]
fn transactions_are_signed_and_hashed_alike() {
    let all = vectors();
    for row in list(&all, "transactions") {
        let chain = hash(&row["chain_id"]);
        let secret = SecretKey::from_seed(bytes(&row["secret"]).try_into().expect("32 bytes"));
        let to = row["to"].as_str().map(|to| to.parse().expect("a key"));
        let tx_type = i32::try_from(row["type"].as_i64().expect("i32")).expect("i32");
        let time_ms = row["time_ms"].as_u64().expect("u64");
        let tx = Transaction::<Verified>::sign(&chain, &secret, time_ms, tx_type, to, &bytes(&row["payload"]));
        assert_eq!(tx.body().to_vec(), bytes(&row["body"]), "{}", row["name"]);
        assert_eq!(tx.hash(), hash(&row["txhash"]), "{}", row["name"]);
        assert_eq!(tx.to_bytes(), bytes(&row["canonical"]), "{}", row["name"]);
        let kind = list(&all, "chain_id").iter().find(|g| g["chain_id"] == row["chain_id"]).expect("its chain");
        let genesis = Genesis::from_bytes(&bytes(&kind["bytes"])).expect("good");
        tx.into_unverified().verify(&chain, genesis.kind).expect("verifies");
    }
}

#[test]
fn merkle_heads_and_paths() {
    let all = vectors();
    let leaves = hashes(&all["merkle"]["leaves"]);
    for (n, row) in list(&all["merkle"], "heads").iter().enumerate() {
        assert_eq!(merkle::head(&leaves[..n]), hash(row), "{n} leaves");
    }
    for row in list(&all["merkle"], "paths") {
        let number = |key: &str| usize::try_from(row[key].as_u64().expect("u64")).expect("small");
        let (index, size) = (number("index"), number("size"));
        assert_eq!(merkle::path(&leaves[..size], index).expect("there"), hashes(&row["path"]));
    }
}

#[test]
fn headers_hash_alike() {
    let all = vectors();
    for row in list(&all, "headers") {
        let chain = hash(&row["chain_id"]);
        let header = Header::from_preimage(&bytes(&row["preimage"]), &chain).expect("a header");
        assert_eq!(header.hash(&chain), hash(&row["blockhash"]));
        assert_eq!(header.preimage(&chain).to_vec(), bytes(&row["preimage"]));
        assert_eq!(header.tx_root, merkle::head(&hashes(&row["txhashes"])));
        assert_eq!(header.siblings_root, merkle::head(&hashes(&row["siblings"])));
        assert_eq!(Some(header.height), row["height"].as_u64());
        if let Some(signature) = row["signature"].as_str().filter(|text| !text.is_empty()) {
            let signature: Signature = signature.parse().expect("64 bytes");
            let miner = PublicKey::new(header.miner.0).expect("a key");
            assert!(miner.verify(&bytes(&row["signing_bytes"]), &signature));
        }
    }
}

#[test]
fn compact_targets() {
    let all = vectors();
    let compact = |row: &Value| u32::try_from(row.as_u64().expect("u32")).expect("u32");
    let wide = |row: &Value| U256::from_big_endian(&bytes(row));
    for row in list(&all["compact"], "decode") {
        let target = CompactTarget::new(compact(&row["compact"])).expect("canonical");
        assert_eq!(target.to_u256(), wide(&row["target"]));
        assert_eq!(target.work(), wide(&row["work"]));
    }
    for row in list(&all["compact"], "encode") {
        assert_eq!(CompactTarget::from_u256(wide(&row["target"])).get(), compact(&row["compact"]));
    }
    for row in list(&all["compact"], "invalid") {
        assert!(CompactTarget::new(compact(&row["compact"])).is_err(), "{}", row["reason"]);
    }
}

#[test]
fn receipts_get_the_exit_codes_they_must() {
    let all = vectors();
    let chain = &all["chain"];
    let genesis = Genesis::from_bytes(&bytes(&chain["genesis"])).expect("good");
    for case in list(chain, "cases") {
        let text = chain["receipts"][case["receipt"].as_str().expect("name")].as_str().expect("text");
        let trust = Trust {
            genesis: (case["genesis"] == true).then_some(&genesis),
            quorum: case["quorum"].as_u64().map(|quorum| u32::try_from(quorum).expect("small")),
            checkpoint: case["checkpoint"].as_str().map(|hash| hash.parse().expect("a hash")),
        };
        let exit = Receipt::parse(text.as_bytes())
            .map_or(3, |receipt| verify_receipt(&receipt, &trust).expect("usable trust").verdict.exit_code());
        assert_eq!(u64::from(exit), case["exit"].as_u64().expect("exit"), "{case}");
    }
}

/// Any changed byte gives exit 1 or 3, never 0 (nor 2, here where the quorum stands).
#[test]
fn no_changed_byte_of_a_receipt_is_overlooked() {
    let all = vectors();
    let chain = &all["chain"];
    let genesis = Genesis::from_bytes(&bytes(&chain["genesis"])).expect("good");
    let trust = Trust { genesis: Some(&genesis), ..Trust::default() };
    for name in ["full", "anchored, two members"] {
        let text = chain["receipts"][name].as_str().expect("text").as_bytes();
        for at in 0..text.len() {
            for flip in [1u8, 2, 4] {
                let mut changed = text.to_vec();
                changed[at] ^= flip;
                let exit = Receipt::parse(&changed)
                    .map_or(3, |receipt| verify_receipt(&receipt, &trust).expect("usable").verdict.exit_code());
                assert!(matches!(exit, 1 | 3), "{name}: byte {at} flipped by {flip} gives {exit}");
            }
        }
    }
}

/// With a checkpoint alone there is no roster; still no single signature can be taken out of the run.
#[test]
fn a_signature_taken_out_of_the_run_is_refuted_without_a_roster_too() {
    let all = vectors();
    let mut receipt =
        Receipt::parse(all["chain"]["receipts"]["full"].as_str().expect("text").as_bytes()).expect("form");
    let last = receipt.run.last_mut().expect("a run");
    let chain = hash(&all["chain"]["chain_id"]);
    let checkpoint = Header::from_preimage(&last.header.0, &chain).expect("a header").hash(&chain);
    last.signature = None;
    let trust = Trust { checkpoint: Some(checkpoint), ..Trust::default() };
    assert_eq!(verify_receipt(&receipt, &trust).expect("usable").verdict.exit_code(), 1);
}

#[test]
fn unverified_bytes_of_the_vectors_come_back() {
    let all = vectors();
    for row in list(&all, "transactions") {
        let tx =
            Transaction::<Unverified>::from_bytes(&bytes(&row["canonical"]), &hash(&row["chain_id"])).expect("form");
        assert_eq!(tx.hash(), hash(&row["txhash"]));
    }
}
