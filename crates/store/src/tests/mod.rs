//! Tests of the stores as a whole, on real folders.

mod blobs;
mod budgets;
mod crash;
mod fixtures;
mod keyvalue;
mod points;
mod prune;
mod refusals;
mod rocks;
mod rot;
mod startup;

use crate::{RocksStore, StoreConfig};
use blockhie_core::store::conformance::genesis;
use blockhie_core::store::{IndexRow, Judgement, Op};
use blockhie_core::{Genesis, Hash32, Store, sha256};
use std::path::Path;

fn hash(i: u64) -> Hash32 {
    sha256(&[&i.to_be_bytes()])
}

fn create(path: &Path) -> RocksStore {
    RocksStore::create(path, &genesis(), &StoreConfig::small()).unwrap()
}

fn open(path: &Path) -> Result<RocksStore, blockhie_core::StoreError> {
    RocksStore::open(path, Some(&genesis().chain_id()), &StoreConfig::small())
}

fn other_genesis() -> Genesis {
    let mut genesis = genesis();
    genesis.name = "another".into();
    genesis
}

/// One tip change to height `i`, over several column families.
fn extend(store: &RocksStore, i: u64) {
    let row = IndexRow {
        parent: hash(i - 1),
        height: i,
        time_ms: i,
        work: hash(0),
        lag_ms: -1,
        miner: hash(0),
        peaks: Default::default(),
        judgement: Judgement::Valid,
    };
    let mut meta = store.snapshot().meta().unwrap();
    meta.tip = Some(hash(i));
    let batch = vec![
        Op::PutIndex(hash(i), row),
        Op::Height(i, Some(hash(i))),
        Op::State(i.to_be_bytes().to_vec(), Some(hash(i).0.to_vec())),
        Op::Meta(meta),
    ];
    store.commit(batch).unwrap();
}

/// The height that the store stands at, after a look at every entry that [`extend`] made up to it.
fn height_of(store: &RocksStore) -> Result<u64, blockhie_core::StoreError> {
    store.verify()?;
    let view = store.snapshot();
    let heights = view.heights_page(None, usize::MAX)?;
    let state = view.state_range(&[], None, usize::MAX)?;
    let last = heights.last().map_or(0, |(height, _)| *height);
    let expected: Vec<u64> = (1..=last).collect();
    assert_eq!(heights, expected.iter().map(|i| (*i, hash(*i))).collect::<Vec<_>>());
    assert_eq!(state, expected.iter().map(|i| (i.to_be_bytes().to_vec(), hash(*i).0.to_vec())).collect::<Vec<_>>());
    for i in expected {
        assert_eq!(view.index(&hash(i))?.expect("an index row for each height").height, i);
    }
    assert_eq!(view.meta()?.tip, (last > 0).then(|| hash(last)));
    Ok(last)
}

fn copy_folder(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// The newest write-ahead log.
fn newest_log(path: &Path) -> std::path::PathBuf {
    let names = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|name| name.extension().is_some_and(|e| e == "log")).max().unwrap()
}
