//! What every [`Store`] and [`BlobStore`] must do; each one's tests run it.
//!
//! It panics where a store does not conform: call it from tests only.

use super::{BlobStore, IndexRow, Judgement, Meta, Op, PeerRow, Pruned, Store, Undo};
use crate::app::TxPosition;
use crate::block::{Block, Header};
use crate::bytes::{Hash32, sha256};
use crate::crypto::SecretKey;
use crate::genesis::{ChainKind, Genesis, Member};
use crate::merkle::Peaks;
use crate::target::CompactTarget;
use crate::tx::Transaction;

/// A genesis with two members, for tests.
#[must_use]
pub fn genesis() -> Genesis {
    let members =
        [1u8, 2].map(|i| Member { key: SecretKey::from_seed([i; 32]).public(), name: format!("member {i}") }).to_vec();
    let nonce = Hash32([7; 32]);
    Genesis::with_defaults(ChainKind::Emr, "conformance", nonce, 1_700_000_000_000, CompactTarget::MOST, members)
}

fn hash(i: u8) -> Hash32 {
    sha256(&[&[i]])
}

fn block(i: u8) -> Block {
    let header = Header {
        previous: hash(i.wrapping_sub(1)),
        tx_root: hash(100),
        history_root: hash(101),
        siblings_root: hash(102),
        miner: hash(103),
        height: u64::from(i),
        time_ms: 5,
        tx_count: 1,
        target: CompactTarget::MOST,
        nonce: 6,
    };
    let secret = SecretKey::from_seed([1; 32]);
    let signature = Some(secret.sign(b"block"));
    Block { hash: hash(i), header, txhashes: vec![hash(9)], siblings: vec![hash(10)], signature }
}

fn row(i: u8) -> IndexRow {
    let mut peaks = Peaks::default();
    peaks.push(&hash(i));
    IndexRow {
        parent: hash(i.wrapping_sub(1)),
        height: u64::from(i),
        time_ms: 5,
        work: hash(55),
        lag_ms: -(1 << 90),
        miner: hash(103),
        peaks,
        judgement: Judgement::NotValid,
    }
}

/// Runs the whole suite; `make` gives an empty store for [`genesis`] each time.
///
/// # Panics
/// Where the store does not conform.
pub fn run_store(make: &dyn Fn() -> Box<dyn Store>) {
    values_come_back(make().as_ref());
    snapshots_do_not_move(make().as_ref());
    ranges_are_ordered(make().as_ref());
    pages_cover_all(make().as_ref());
    later_ops_stand(make().as_ref());
}

fn values_come_back(store: &dyn Store) {
    let tx = Transaction::sign(&hash(0), &SecretKey::from_seed([3; 32]), 9, 1, None, b"x").to_stored();
    let position = TxPosition {
        height: 3,
        block: hash(3),
        index: 4,
        via_sibling: Some(hash(10)),
        void: Some("second".into()),
        first_seen_ms: Some(77),
    };
    let undo = Undo {
        state: vec![(vec![0, 255], None), (vec![1], Some(vec![]))],
        transactions: vec![tx.hash],
        miner_seen: Some(7),
    };
    let peer = PeerRow { address: "127.0.0.1:9".into(), since_ms: 2, last_seen_ms: 3 };
    assert_eq!(store.snapshot().pruned(), Ok(Pruned::default()), "a new store is whole");
    let mut meta = store.snapshot().meta().expect("a new store has its meta");
    assert_eq!(meta, Meta::new(&genesis()));
    meta.tip = Some(hash(3));
    meta.alarm = Some(12);
    store
        .commit(vec![
            Op::PutBlock(block(3)),
            Op::PutIndex(hash(3), row(3)),
            Op::Height(3, Some(hash(3))),
            Op::HistoryNode(1, 7, Some(hash(8))),
            Op::PutTx(tx.clone()),
            Op::TxPosition(tx.hash, Some(position.clone())),
            Op::State(b"rec/a".to_vec(), Some(vec![1, 2])),
            Op::Undo(hash(3), Some(undo.clone())),
            Op::Listed(hash(10), Some(3)),
            Op::Side((4, hash(11)), Some(6)),
            Op::Carried((hash(9), hash(11)), true),
            Op::Pruned(Pruned { below: 2, next: 5 }),
            Op::Pending(tx.hash, Some(5)),
            Op::Peer(peer.address.clone(), Some(peer.clone())),
            Op::Meta(meta.clone()),
        ])
        .expect("commits");
    let view = store.snapshot();
    assert_eq!(view.block(&hash(3)), Ok(Some(block(3))));
    assert_eq!(view.index(&hash(3)), Ok(Some(row(3))));
    assert_eq!(view.hash_at(3), Ok(Some(hash(3))));
    assert_eq!(view.history_node(1, 7), Ok(Some(hash(8))));
    assert_eq!(view.tx(&tx.hash), Ok(Some(tx.clone())));
    assert_eq!(view.tx_position(&tx.hash), Ok(Some(position)));
    assert_eq!(view.state_get(b"rec/a"), Ok(Some(vec![1, 2])));
    assert_eq!(view.undo(&hash(3)), Ok(Some(undo)));
    assert_eq!(view.listed(&hash(10)), Ok(Some(3)));
    assert_eq!(view.listed_page(None, 9), Ok(vec![(hash(10), 3)]));
    assert_eq!(view.side_page(None, 9), Ok(vec![((4, hash(11)), 6)]));
    assert_eq!(view.side(&(4, hash(11))), Ok(Some(6)));
    assert_eq!(view.carriers(&hash(9), 9), Ok(vec![hash(11)]));
    assert_eq!(view.carried_page(None, 9), Ok(vec![(hash(9), hash(11))]));
    assert_eq!(view.pruned(), Ok(Pruned { below: 2, next: 5 }));
    assert_eq!(view.pending_since(&tx.hash), Ok(Some(5)));
    assert_eq!(view.pending(None, 9), Ok(vec![(tx.hash, 5)]));
    assert_eq!(view.peers(), Ok(vec![peer]));
    assert_eq!(view.meta(), Ok(meta));
    // and what is not there is not there
    assert_eq!(view.block(&hash(4)), Ok(None));
    assert_eq!(view.index(&hash(4)), Ok(None));
    assert_eq!(view.hash_at(4), Ok(None));
    assert_eq!(view.history_node(2, 7), Ok(None));
    assert_eq!(view.tx(&hash(4)), Ok(None));
    assert_eq!(view.state_get(b"rec/"), Ok(None));
    assert_eq!(view.listed(&hash(4)), Ok(None));
    assert_eq!(view.side(&(3, hash(11))), Ok(None));
    assert_eq!(view.carriers(&hash(11), 9), Ok(vec![]));
    drop(view);
    store
        .commit(vec![
            Op::Height(3, None),
            Op::HistoryNode(1, 7, None),
            Op::TxPosition(tx.hash, None),
            Op::State(b"rec/a".to_vec(), None),
            Op::Undo(hash(3), None),
            Op::Pending(tx.hash, None),
            Op::Peer("127.0.0.1:9".into(), None),
            Op::Listed(hash(10), None),
            Op::Side((4, hash(11)), None),
            Op::Carried((hash(9), hash(11)), false),
            Op::DropTx(tx.hash),
        ])
        .expect("commits");
    let view = store.snapshot();
    assert_eq!(view.hash_at(3), Ok(None));
    assert_eq!(view.history_node(1, 7), Ok(None));
    assert_eq!(view.tx_position(&tx.hash), Ok(None));
    assert_eq!(view.state_get(b"rec/a"), Ok(None));
    assert_eq!(view.undo(&hash(3)), Ok(None));
    assert_eq!(view.pending(None, 9), Ok(vec![]));
    assert_eq!((view.tx(&tx.hash), view.carried_page(None, 9)), (Ok(None), Ok(vec![])));
    assert_eq!(view.peers(), Ok(vec![]));
    assert_eq!((view.listed(&hash(10)), view.listed_page(None, 9)), (Ok(None), Ok(vec![])));
    assert_eq!(view.side_page(None, 9), Ok(vec![]));
    assert!(view.block(&hash(3)).is_ok_and(|block| block.is_some()));
    drop(view);
    store.commit(vec![Op::DropBlock(hash(3))]).expect("commits");
    let view = store.snapshot();
    assert_eq!(view.block(&hash(3)), Ok(None));
    assert!(view.index(&hash(3)).is_ok_and(|row| row.is_some()), "a row is kept for ever");
}

fn snapshots_do_not_move(store: &dyn Store) {
    store.commit(vec![Op::Height(1, Some(hash(1)))]).expect("commits");
    let before = store.snapshot();
    store.commit(vec![Op::Height(1, Some(hash(2))), Op::Height(2, Some(hash(3)))]).expect("commits");
    assert_eq!(before.hash_at(1), Ok(Some(hash(1))));
    assert_eq!(before.hash_at(2), Ok(None));
    assert_eq!(before.heights_page(None, 9), Ok(vec![(1, hash(1))]));
    assert_eq!(store.snapshot().hash_at(1), Ok(Some(hash(2))));
}

fn ranges_are_ordered(store: &dyn Store) {
    let keys: [&[u8]; 5] = [b"a/", b"a/\x00", b"a/b", b"a/\xff", b"b"];
    let ops = keys.iter().rev().map(|key| Op::State(key.to_vec(), Some(key.to_vec()))).collect();
    store.commit(ops).expect("commits");
    let view = store.snapshot();
    let range = |start: &[u8], end: Option<&[u8]>, limit| -> Vec<Vec<u8>> {
        let entries = view.state_range(start, end, limit).expect("reads");
        entries.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(range(b"", None, 99), keys);
    assert_eq!(range(b"a/", Some(b"b"), 99), keys[..4]);
    assert_eq!(range(b"a/\x00", None, 2), keys[1..3]);
    assert_eq!(range(b"c", None, 2), Vec::<Vec<u8>>::new());
    assert_eq!(range(b"b", Some(b"a"), 2), Vec::<Vec<u8>>::new());
}

fn pages_cover_all(store: &dyn Store) {
    let mut ops = Vec::new();
    for i in 0..25u8 {
        ops.push(Op::Pending(hash(i), Some(u64::from(i))));
        ops.push(Op::PutIndex(hash(i), row(i)));
        ops.push(Op::Listed(hash(i), Some(5)));
        ops.push(Op::Side((250 + u64::from(i / 2), hash(i)), Some(5)));
        ops.push(Op::Carried((hash(i / 5), hash(i)), true));
        // heights on both sides of a byte boundary: integer keys must sort as integers
        ops.push(Op::Height(250 + u64::from(i), Some(hash(i))));
        ops.push(Op::HistoryNode(1 + i / 20, 250 + u64::from(i), Some(hash(i))));
    }
    store.commit(ops).expect("commits");
    let view = store.snapshot();
    let (mut pending, mut index, mut heights, mut history) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    while let page @ [_, ..] = view.pending(pending.last(), 7).expect("reads").as_slice() {
        pending.extend(page.iter().map(|(key, _)| *key));
        assert!(pending.len() <= 25, "each page starts after the last");
    }
    while let page @ [_, ..] = view.index_page(index.last(), 7).expect("reads").as_slice() {
        index.extend(page.iter().map(|(key, _)| *key));
        assert!(index.len() <= 25, "each page starts after the last");
    }
    while let page @ [_, ..] = view.heights_page(heights.last().copied(), 7).expect("reads").as_slice() {
        heights.extend(page.iter().map(|(key, _)| *key));
        assert!(heights.len() <= 25, "each page starts after the last");
    }
    while let page @ [_, ..] = view.history_page(history.last().copied(), 7).expect("reads").as_slice() {
        history.extend(page.iter().map(|(key, _)| *key));
        assert!(history.len() <= 25, "each page starts after the last");
    }
    let mut carried = Vec::new();
    while let page @ [_, ..] = view.carried_page(carried.last(), 7).expect("reads").as_slice() {
        carried.extend_from_slice(page);
        assert!(carried.len() <= 25, "each page starts after the last");
    }
    assert!(carried.len() == 25 && carried.is_sorted());
    for i in 0..5 {
        let all: Vec<_> = carried.iter().filter(|(txhash, _)| *txhash == hash(i)).map(|(_, block)| *block).collect();
        assert_eq!((all.len(), view.carriers(&hash(i), 2)), (5, Ok(all[..2].to_vec())));
        assert_eq!(view.carriers(&hash(i), 9), Ok(all));
    }
    let (mut listed, mut side) = (Vec::new(), Vec::new());
    while let page @ [_, ..] = view.listed_page(listed.last(), 7).expect("reads").as_slice() {
        listed.extend(page.iter().map(|(key, _)| *key));
        assert!(listed.len() <= 25, "each page starts after the last");
    }
    while let page @ [_, ..] = view.side_page(side.last(), 7).expect("reads").as_slice() {
        side.extend(page.iter().map(|(key, _)| *key));
        assert!(side.len() <= 25, "each page starts after the last");
    }
    assert!((listed.len(), side.len()) == (25, 25) && listed.is_sorted() && side.is_sorted());
    assert_eq!(heights, (250..275).collect::<Vec<u64>>());
    assert_eq!((pending.len(), index.len(), history.len()), (25, 25, 25));
    assert!(pending.is_sorted() && index.is_sorted() && history.is_sorted());
}

fn later_ops_stand(store: &dyn Store) {
    let key = b"k".to_vec();
    store
        .commit(vec![
            Op::State(key.clone(), Some(vec![1])),
            Op::State(key.clone(), None),
            Op::State(key.clone(), Some(vec![2])),
            Op::Height(1, Some(hash(1))),
            Op::Height(1, None),
        ])
        .expect("commits");
    assert_eq!(store.snapshot().state_get(&key), Ok(Some(vec![2])));
    assert_eq!(store.snapshot().hash_at(1), Ok(None));
}

/// The suite of a blob store.
///
/// # Panics
/// Where it does not conform.
pub fn run_blobs(blobs: &dyn BlobStore) {
    assert_eq!(blobs.get(&hash(1)), Ok(None));
    for bytes in [vec![], vec![0; 3], vec![7; 1 << 20]] {
        blobs.put(&hash(1), &bytes).expect("puts");
        blobs.put(&hash(1), &bytes).expect("puts again");
        assert_eq!(blobs.get(&hash(1)).expect("gets").as_deref(), Some(bytes.as_slice()));
        blobs.delete(&hash(1)).expect("deletes");
        blobs.delete(&hash(1)).expect("deletes again");
        assert_eq!(blobs.get(&hash(1)), Ok(None));
    }
}
