//! Hashes of transactions, headers and trees, and transactions to and from the wire.
//!
//! Ceilings: of a hash SHA-256's compression of as many 64-byte blocks in one call, padding included; of the codec
//! prost alone, without the conversion to checked fields; for decoding also prost and the decompression of both keys,
//! which is most of that conversion.

mod common;

use blockhie_benches::{Comparison, criterion, timed};
use blockhie_core::{CompactTarget, Hash32, Header, Transaction, Unverified, merkle, sha256};
use blockhie_transport::pb;
use bytes::Bytes;
use criterion::Criterion;
use ed25519_zebra::VerificationKey;
use prost::Message;
use sha2::block_api::compress256;
use std::hint::black_box;
use std::time::Duration;

/// Transactions of the largest block.
const LEAVES: usize = 4_000;

fn main() {
    let mut criterion = criterion(Duration::from_secs(1));
    hashing(&mut criterion);
    codec(&mut criterion);
    criterion.final_summary();
}

/// Blocks that SHA-256 compresses for a message of this many bytes: one bit and the length are added.
fn blocks(bytes: usize) -> usize {
    (bytes + 9).div_ceil(64)
}

fn compression(count: usize) -> impl FnMut(u64) -> Duration {
    let data = vec![[0x5a; 64]; count];
    timed(move || {
        let mut state = [0x6a09_e667; 8];
        compress256(&mut state, black_box(&data));
        state
    })
}

fn hashing(criterion: &mut Criterion) {
    let mut group = Comparison::new(criterion, "hashing");
    let genesis = common::genesis();
    let chain = genesis.chain_id();

    let tx = common::record(&genesis, &common::sender(0), common::START_MS, 0);
    let txhash = || sha256(&[b"blockhie/tx/v1\0", &chain.0, &black_box(&tx).to_bytes()]);
    assert_eq!(txhash(), tx.hash(), "this is how a txhash is made");
    let ours = group.ours("txhash", "hashes", 1, timed(txhash));
    group.ceiling(&ours, "compression", compression(blocks(15 + 32 + tx.to_bytes().len())));

    let header = Header {
        previous: Hash32([1; 32]),
        tx_root: Hash32([2; 32]),
        history_root: Hash32([3; 32]),
        siblings_root: Hash32([4; 32]),
        miner: Hash32([5; 32]),
        height: 6,
        time_ms: 7,
        tx_count: 8,
        target: CompactTarget::MOST,
        nonce: 9,
    };
    let ours = group.ours("header", "hashes", 1, timed(|| black_box(&header).hash(&chain)));
    group.ceiling(&ours, "compression", compression(blocks(blockhie_core::block::PREIMAGE_LEN)));

    let leaves: Vec<Hash32> = (0..LEAVES).map(|i| sha256(&[&i.to_be_bytes()])).collect();
    let ours = group.ours("merkle head of 4000", "heads", 1, timed(|| merkle::head(black_box(&leaves))));
    let total = LEAVES * blocks(1 + 32) + (LEAVES - 1) * blocks(1 + 2 * 32);
    group.ceiling(&ours, "compression", compression(total));
    group.finish();
}

fn codec(criterion: &mut Criterion) {
    let mut group = Comparison::new(criterion, "codec");
    let chain = common::genesis().chain_id();
    // 285 bytes on the wire: with an addressee and a payload of 103 bytes.
    let to = Some(common::sender(1).public());
    let tx = Transaction::sign(&chain, &common::sender(0), common::START_MS, 1, to, &[7; 103]).into_unverified();
    let message = pb::Transaction::from(&tx);
    let wire = Bytes::from(message.encode_to_vec());
    assert_eq!(wire.len(), 285);

    let ours = group.ours("encode", "transactions", 1, timed(|| pb::Transaction::from(black_box(&tx)).encode_to_vec()));
    group.ceiling(&ours, "prost", timed(|| black_box(&message).encode_to_vec()));

    let decode = || pb::Transaction::decode(black_box(&wire).clone()).expect("it was encoded above");
    let checked = || Transaction::<Unverified>::try_from(decode()).expect("its fields are good");
    assert_eq!(checked(), tx);
    let ours = group.ours("decode", "transactions", 1, timed(checked));
    group.ceiling(&ours, "prost", timed(decode));
    let points = || {
        let message = decode();
        let keys = [message.txfrom.as_deref(), message.txto.as_deref()].map(|key| key.expect("both are there"));
        keys.map(|key| VerificationKey::try_from(key).expect("a point of the curve"))
    };
    group.ceiling(&ours, "prost and two decompressions", timed(points));
    group.finish();
}
