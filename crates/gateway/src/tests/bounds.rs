//! What strangers could fill is bounded.

use super::devices::Pair;
use super::{Both, Chain, FakeNode, Rig};
use crate::devices::intake::ReadingsBody;
use crate::devices::{DeviceError, DeviceRow, Devices};
use crate::index::Index;
use crate::limits::{MAX_DEVICE_WAITING, MAX_DEVICES, MAX_LINKS_OPEN};
use blockhie_core::{Hash32, MemoryBlobs, PublicKey, SecretKey};
use blockhie_emr::vault::VaultIndex;
use blockhie_phd::Carriage;
use serde_json::json;
use std::sync::Arc;

fn index(folder: &std::path::Path) -> Arc<Index> {
    Arc::new(Index::open(&folder.join("index")).unwrap())
}

fn devices(index: &Arc<Index>) -> Devices {
    Devices::open(index.clone(), Arc::new(MemoryBlobs::default()), &SecretKey::from_seed([1; 32])).unwrap()
}

/// A row as [`Devices`] writes it.
fn device_row(device: &PublicKey) -> (Vec<u8>, Option<Vec<u8>>) {
    let row = DeviceRow {
        owner: *device,
        created_ms: 0,
        device_tx: Hash32::ZERO,
        enrolled: true,
        retire_tx: None,
        retired: false,
        segments: 0,
        readings: 0,
        bytes: 0,
    };
    ([b"device/row/".as_slice(), device.as_bytes()].concat(), Some(serde_json::to_vec(&row).unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_that_wait() {
    let folder = tempfile::tempdir().unwrap();
    let phd = Chain::start(FakeNode::phd(&["North"])).await;
    let pair = Pair::new(&phd);
    let index = index(folder.path());
    index.put_all(vec![device_row(&pair.key())]).unwrap();
    let store = devices(&index);
    let new = |range: std::ops::Range<u64>| {
        let sent = |seq| super::devices::sent(&pair.segment(seq, 1, Carriage::Inline), Carriage::Inline, false);
        let body: ReadingsBody =
            serde_json::from_value(json!({"segments": range.map(sent).collect::<Vec<_>>()})).unwrap();
        let read =
            |segment: crate::devices::intake::SegmentBody| segment.read(0, &pair.chain(), &pair.key(), u64::MAX / 2);
        body.segments.into_iter().map(|segment| read(segment).unwrap()).collect::<Vec<_>>()
    };
    let most = u64::try_from(MAX_DEVICE_WAITING).unwrap();
    assert_eq!(store.add(&pair.key(), new(0..most), 1).unwrap().len(), MAX_DEVICE_WAITING);
    let full = |store: &Devices| {
        let refused = store.add(&pair.key(), new(most..most + 1), 2);
        assert!(matches!(refused, Err(DeviceError::Full { .. })));
    };
    full(&store);
    // What waits is counted again at a start; what is settled makes room.
    drop(store);
    let store = devices(&index);
    full(&store);
    let first = store.unsettled(None, 1).unwrap().remove(0).txhash;
    store.settle_void(&first).unwrap();
    store.settle_void(&first).unwrap();
    assert!(store.add(&pair.key(), new(most..most + 1), 3).is_ok());
    let other = store.add(&pair.key(), new(most + 1..most + 2), 3);
    assert!(matches!(other, Err(DeviceError::Full { .. })), "settled twice is room for one");
    // The range of what is void is free again.
    let second = store.unsettled(None, 1).unwrap().remove(0).txhash;
    store.settle_void(&second).unwrap();
    let all = store.segments(&pair.key(), 0, MAX_DEVICE_WAITING).unwrap();
    let void = all.iter().find(|row| row.txhash == first).unwrap().first_seq;
    let taken = store.add(&pair.key(), new(void..void + 1), 4).unwrap();
    assert!(taken[0].fresh.is_some() && taken[0].txhash != first);
    assert_eq!(store.segment(&pair.key(), void).unwrap().txhash, taken[0].txhash);
    let readings = store.device(&pair.key()).unwrap().readings;
    assert_eq!(readings, most + 1, "replaced, not counted twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_and_links() {
    let both = Both::connected(&["North"]).await;
    let Both { rig, emr, phd } = both;
    let folder = rig.kill().await;
    {
        let index = index(&folder.path().join("data"));
        let keys = (0..MAX_DEVICES).map(|at| {
            let mut seed = [7; 32];
            seed[..8].copy_from_slice(&u64::try_from(at).unwrap().to_be_bytes());
            SecretKey::from_seed(seed).public()
        });
        let mut rows: Vec<_> = keys.map(|key| device_row(&key)).collect();
        rows.extend((0..MAX_LINKS_OPEN).map(|at| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&u64::try_from(at).unwrap().to_be_bytes());
            ([b"link/open/".as_slice(), &id].concat(), Some(vec![]))
        }));
        index.put_all(rows).unwrap();
    }
    let rig = Rig::open_in(folder, &emr.url(), Some(&phd.url()));
    rig.gateway.start().await;
    let pair = Pair::new(&phd);
    let one_more = |pair: &Pair| {
        let tx = blockhie_phd::enrol(&pair.chain(), &pair.owner, &pair.device, crate::clock::now_ms());
        super::devices::transaction(&tx)
    };
    rig.post_json("/api/v1/devices", &one_more(&pair)).await.expect_error(429, "exhausted");
    assert_eq!(rig.get("/api/v1/devices").await.json()["devices"].as_array().unwrap().len(), MAX_DEVICES);
    // A link needs a device that is here: make room for one.
    let folder = rig.kill().await;
    {
        let index = index(&folder.path().join("data"));
        let (place, _) = device_row(&first_device(&index));
        index.put_all(vec![(place, None)]).unwrap();
    }
    let rig = Rig::open_in(folder, &emr.url(), Some(&phd.url()));
    rig.gateway.start().await;
    let both = Both { rig, emr, phd };
    super::links::expect_full(&both).await;
}

fn first_device(index: &Index) -> PublicKey {
    let rows = index.range(b"device/row/", b"device/row0", 1).unwrap();
    PublicKey::from_slice(&rows[0].0[b"device/row/".len()..]).unwrap()
}
