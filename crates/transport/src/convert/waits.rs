//! Waiting times and peers of `blockhie.v1.Ledger`.

use super::{ConversionError, fixed, node, wire};
use crate::limits::MAX_WAIT_BLOCKS;
use crate::pb::v1;
use crate::service::PeerInfo;
use blockhie_core::query::waits::{BlockWaits, Waits};
use blockhie_core::{Hash32, U256};
use std::time::Duration;

/// How many of the newest blocks: 1 to [`MAX_WAIT_BLOCKS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitsRange(pub u32);

impl TryFrom<v1::WaitsRequest> for WaitsRange {
    type Error = ConversionError;
    fn try_from(request: v1::WaitsRequest) -> Result<Self, ConversionError> {
        let v1::WaitsRequest { blocks } = request;
        if !(1..=MAX_WAIT_BLOCKS).contains(&blocks) {
            return Err(ConversionError::new("waits.blocks", format!("1 to {MAX_WAIT_BLOCKS}"), blocks.to_string()));
        }
        Ok(Self(blocks))
    }
}

impl From<WaitsRange> for v1::WaitsRequest {
    fn from(WaitsRange(blocks): WaitsRange) -> Self {
        Self { blocks }
    }
}

impl TryFrom<v1::BlockWaits> for BlockWaits {
    type Error = ConversionError;
    fn try_from(block: v1::BlockWaits) -> Result<Self, ConversionError> {
        let v1::BlockWaits { height, hash, time_ms, measured_ms, claimed_ms } = block;
        Ok(Self { height, hash: Hash32(fixed("waits.hash", &hash)?), time_ms, measured_ms, claimed_ms })
    }
}

impl TryFrom<v1::WaitsResponse> for Waits {
    type Error = ConversionError;
    fn try_from(response: v1::WaitsResponse) -> Result<Self, ConversionError> {
        let v1::WaitsResponse { now_ms, blocks, pending, pending_ms } = response;
        let most = usize::try_from(MAX_WAIT_BLOCKS).unwrap_or(usize::MAX);
        if !(1..=most).contains(&blocks.len()) {
            let got = blocks.len().to_string();
            return Err(ConversionError::new("waits.blocks", format!("1 to {most} blocks"), got));
        }
        let blocks: Vec<BlockWaits> = blocks.into_iter().map(BlockWaits::try_from).collect::<Result<_, _>>()?;
        for pair in blocks.windows(2) {
            let next = pair[0].height.checked_add(1);
            if next != Some(pair[1].height) {
                let expected = next.map_or("nothing".into(), |height| height.to_string());
                return Err(ConversionError::new("waits.height", expected, pair[1].height.to_string()));
            }
        }
        if pending < u64::try_from(pending_ms.len()).unwrap_or(u64::MAX) {
            let got = format!("{} waits", pending_ms.len());
            return Err(ConversionError::new("waits.pending_ms", format!("at most {pending} waits"), got));
        }
        Ok(Self { now_ms, blocks, pending, pending_ms })
    }
}

impl From<Waits> for v1::WaitsResponse {
    fn from(waits: Waits) -> Self {
        let block = |block: BlockWaits| {
            let BlockWaits { height, hash, time_ms, measured_ms, claimed_ms } = block;
            v1::BlockWaits { height, hash: wire(&hash.0), time_ms, measured_ms, claimed_ms }
        };
        let Waits { now_ms, blocks, pending, pending_ms } = waits;
        Self { now_ms, blocks: blocks.into_iter().map(block).collect(), pending, pending_ms }
    }
}

impl TryFrom<v1::PeerRow> for PeerInfo {
    type Error = ConversionError;
    fn try_from(peer: v1::PeerRow) -> Result<Self, ConversionError> {
        let v1::PeerRow { address, height, connected, incoming, named, work, score, left_alone_ms, banned } = peer;
        let work = match work.is_empty() {
            true => None,
            false => Some(U256::from_big_endian(&fixed::<32>("peer.work", &work)?)),
        };
        if banned && left_alone_ms.is_none() {
            return Err(ConversionError::new("peer.left_alone_ms", "how long it is banned", "none (field absent)"));
        }
        let address = node::address("peer.address", address.as_bytes())?;
        let left_alone = left_alone_ms.map(Duration::from_millis);
        Ok(Self { address, height, work, connected, incoming, named, score, left_alone, banned })
    }
}

impl From<&PeerInfo> for v1::PeerRow {
    fn from(peer: &PeerInfo) -> Self {
        let PeerInfo { address, height, work, connected, incoming, named, score, left_alone, banned } = *peer;
        Self {
            address: address.to_string(),
            height,
            connected,
            incoming,
            named,
            work: work.map(|work| wire(&work.to_big_endian())).unwrap_or_default(),
            score,
            left_alone_ms: left_alone.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            banned,
        }
    }
}

impl TryFrom<v1::PeersResponse> for Vec<PeerInfo> {
    type Error = ConversionError;
    fn try_from(response: v1::PeersResponse) -> Result<Self, ConversionError> {
        response.peers.into_iter().map(PeerInfo::try_from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use prost::Message;

    fn waits() -> Waits {
        let block = |height, measured_ms, claimed_ms| {
            let (hash, time_ms) = (Hash32([7; 32]), height * 1_000);
            BlockWaits { height, hash, time_ms, measured_ms, claimed_ms }
        };
        let blocks = vec![block(4, vec![0, 300, u64::MAX], vec![]), block(5, vec![], vec![9])];
        Waits { now_ms: 6_000, blocks, pending: 3, pending_ms: vec![1, 2] }
    }

    fn peer() -> PeerInfo {
        PeerInfo {
            address: "[::1]:7".parse().unwrap(),
            height: 1,
            work: Some(U256::MAX - 1),
            connected: true,
            incoming: false,
            named: true,
            score: 20,
            left_alone: Some(Duration::from_millis(1_500)),
            banned: true,
        }
    }

    #[test]
    fn waits_come_back() {
        let bytes = v1::WaitsResponse::from(waits()).encode_to_vec();
        assert_eq!(Waits::try_from(v1::WaitsResponse::decode(&bytes[..]).unwrap()).unwrap(), waits());
        for blocks in [0, MAX_WAIT_BLOCKS + 1, u32::MAX] {
            let error = WaitsRange::try_from(v1::WaitsRequest { blocks }).unwrap_err();
            assert_eq!(error.to_string(), format!("waits.blocks: expected 1 to 512, got {blocks}"));
        }
        let range = WaitsRange(MAX_WAIT_BLOCKS);
        assert_eq!(WaitsRange::try_from(v1::WaitsRequest::from(range)).unwrap(), range);
    }

    #[test]
    fn malformed_waits_are_refused_with_expected_and_got() {
        let good = v1::WaitsResponse::from(waits());
        let refused = |change: &dyn Fn(&mut v1::WaitsResponse)| {
            let mut bad = good.clone();
            change(&mut bad);
            Waits::try_from(bad).unwrap_err().to_string()
        };
        let none = refused(&|bad| bad.blocks.clear());
        assert_eq!(none, "waits.blocks: expected 1 to 512 blocks, got 0");
        assert!(refused(&|bad| bad.blocks = vec![bad.blocks[0].clone(); 513]).ends_with("got 513"));
        assert_eq!(refused(&|bad| bad.blocks[1].height = 6), "waits.height: expected 5, got 6");
        assert_eq!(refused(&|bad| bad.blocks.swap(0, 1)), "waits.height: expected 6, got 4");
        assert_eq!(refused(&|bad| bad.blocks[0].height = u64::MAX), "waits.height: expected nothing, got 5");
        assert_eq!(refused(&|bad| bad.pending = 1), "waits.pending_ms: expected at most 1 waits, got 2 waits");
        for len in [0, 31, 33] {
            let error = refused(&|bad| bad.blocks[0].hash = Bytes::from(vec![0; len]));
            assert!(error.starts_with("waits.hash: expected 32 bytes"), "{error}");
        }
    }

    #[test]
    fn peers_come_back_and_malformed_ones_do_not() {
        let silent = PeerInfo { work: None, left_alone: None, banned: false, ..peer() };
        for peer in [peer(), silent] {
            assert_eq!(PeerInfo::try_from(v1::PeerRow::from(&peer)).unwrap(), peer);
        }
        let good = v1::PeerRow::from(&peer());
        assert!(PeerInfo::try_from(v1::PeerRow::default()).is_err(), "no address");
        assert!(PeerInfo::try_from(v1::PeerRow { address: "localhost:7".into(), ..good.clone() }).is_err());
        for len in [1, 31, 33] {
            assert!(PeerInfo::try_from(v1::PeerRow { work: Bytes::from(vec![0; len]), ..good.clone() }).is_err());
        }
        assert!(PeerInfo::try_from(v1::PeerRow { left_alone_ms: None, ..good }).is_err(), "banned for no time");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn any_damage_is_answered(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = v1::WaitsResponse::from(waits()).encode_to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let _ = v1::WaitsResponse::decode(&bytes[..]).map(Waits::try_from);
            let mut bytes = v1::PeerRow::from(&peer()).encode_to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let _ = v1::PeerRow::decode(&bytes[..]).map(PeerInfo::try_from);
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = v1::WaitsResponse::decode(&bytes[..]).map(Waits::try_from);
            let _ = v1::PeersResponse::decode(&bytes[..]).map(Vec::<PeerInfo>::try_from);
        }
    }
}
