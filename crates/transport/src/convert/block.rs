//! `Block` of the frozen contract and its tags 10 to 12.

use super::{ConversionError, counted, fixed, hash_bytes, hashes, present, required, wire};
use crate::limits::{MAX_BLOCK_HASHES, MAX_SIBLINGS};
use crate::pb;
use blockhie_core::{Hash32, Signature, UncheckedBlock};

impl TryFrom<pb::Block> for UncheckedBlock {
    type Error = ConversionError;
    /// `miner` need not be a key here: in the genesis block it is zero, elsewhere the ledger asks for a member.
    fn try_from(block: pb::Block) -> Result<Self, ConversionError> {
        let height = present("block.height", block.height)?;
        let time_ms = u64::from_be_bytes(required("block.unixtime", block.unixtime.as_ref())?);
        let previous = Hash32(required("block.previoushash", block.previoushash.as_ref())?);
        let claimed_hash = Hash32(required("block.blockhash", block.blockhash.as_ref())?);
        let target = u32::from_be_bytes(required("block.difficulty", block.difficulty.as_ref())?);
        let nonce = u64::from_be_bytes(required("block.answer", block.answer.as_ref())?);
        let miner = Hash32(required("block.miner", block.miner.as_ref())?);
        counted("block.number", block.number, block.txshash.len(), MAX_BLOCK_HASHES)?;
        let txhashes = hashes("block.txshash", &block.txshash)?;
        let count = block.siblinghash.len();
        if count > MAX_SIBLINGS {
            let expected = format!("at most {MAX_SIBLINGS} hashes");
            return Err(ConversionError::new("block.siblinghash", expected, count.to_string()));
        }
        let siblings = hashes("block.siblinghash", &block.siblinghash)?;
        let signature = match &block.minersignature {
            Some(bytes) => Some(Signature(fixed("block.minersignature", bytes)?)),
            None => None,
        };
        let history_root = match &block.historyroot {
            Some(bytes) => Some(Hash32(fixed("block.historyroot", bytes)?)),
            None => None,
        };
        Ok(Self {
            height,
            time_ms,
            previous,
            claimed_hash,
            target,
            nonce,
            txhashes,
            miner,
            siblings,
            signature,
            history_root,
        })
    }
}

impl From<&UncheckedBlock> for pb::Block {
    fn from(block: &UncheckedBlock) -> Self {
        Self {
            height: Some(block.height),
            unixtime: Some(wire(&block.time_ms.to_be_bytes())),
            previoushash: Some(wire(&block.previous.0)),
            blockhash: Some(wire(&block.claimed_hash.0)),
            difficulty: Some(wire(&block.target.to_be_bytes())),
            answer: Some(wire(&block.nonce.to_be_bytes())),
            txshash: hash_bytes(&block.txhashes),
            miner: Some(wire(&block.miner.0)),
            // The ledger makes no block of more than 4,000; a longer one would be refused at the other door.
            number: Some(i32::try_from(block.txhashes.len()).unwrap_or(i32::MAX)),
            siblinghash: hash_bytes(&block.siblings),
            minersignature: block.signature.map(|signature| wire(&signature.0)),
            historyroot: block.history_root.map(|root| wire(&root.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use prost::Message;

    fn sample() -> pb::Block {
        (&UncheckedBlock {
            height: 3,
            time_ms: 4,
            previous: Hash32([1; 32]),
            claimed_hash: Hash32([2; 32]),
            target: 0x207f_ffff,
            nonce: 5,
            txhashes: vec![Hash32([6; 32]), Hash32([7; 32])],
            miner: Hash32([8; 32]),
            siblings: vec![Hash32([9; 32])],
            signature: Some(Signature([10; 64])),
            history_root: Some(Hash32([11; 32])),
        })
            .into()
    }

    fn error(change: impl Fn(&mut pb::Block)) -> String {
        let mut block = sample();
        change(&mut block);
        UncheckedBlock::try_from(block).unwrap_err().to_string()
    }

    fn long(len: usize) -> Option<Bytes> {
        Some(Bytes::from(vec![1; len]))
    }

    #[test]
    fn every_required_field_has_to_be_there() {
        assert!(UncheckedBlock::try_from(sample()).is_ok());
        assert!(UncheckedBlock::try_from(pb::Block::default()).is_err());
        type Absent = fn(&mut pb::Block);
        let fields: [(&str, Absent); 8] = [
            ("block.height", |b| b.height = None),
            ("block.unixtime", |b| b.unixtime = None),
            ("block.previoushash", |b| b.previoushash = None),
            ("block.blockhash", |b| b.blockhash = None),
            ("block.difficulty", |b| b.difficulty = None),
            ("block.answer", |b| b.answer = None),
            ("block.miner", |b| b.miner = None),
            ("block.number", |b| b.number = None),
        ];
        for (field, absent) in fields {
            let text = error(absent);
            assert!(text.starts_with(&format!("{field}: expected ")) && text.contains("got none"), "{text}");
        }
        // An empty list is no field at all on the wire, and its number is still there.
        let mut empty = sample();
        (empty.txshash, empty.number) = (Vec::new(), None);
        assert!(UncheckedBlock::try_from(empty.clone()).is_err());
        empty.number = Some(0);
        assert!(UncheckedBlock::try_from(empty).is_ok());
    }

    #[test]
    fn tags_10_to_12_may_be_absent() {
        let mut block = sample();
        (block.siblinghash, block.minersignature, block.historyroot) = (Vec::new(), None, None);
        let block = UncheckedBlock::try_from(block).unwrap();
        assert_eq!((block.siblings.len(), block.signature, block.history_root), (0, None, None));
    }

    #[test]
    fn every_length_is_exact() {
        type Set = fn(&mut pb::Block, Option<Bytes>);
        let fields: [(&str, usize, Set); 8] = [
            ("block.unixtime", 8, |b, v| b.unixtime = v),
            ("block.previoushash", 32, |b, v| b.previoushash = v),
            ("block.blockhash", 32, |b, v| b.blockhash = v),
            ("block.difficulty", 4, |b, v| b.difficulty = v),
            ("block.answer", 8, |b, v| b.answer = v),
            ("block.miner", 32, |b, v| b.miner = v),
            ("block.minersignature", 64, |b, v| b.minersignature = v),
            ("block.historyroot", 32, |b, v| b.historyroot = v),
        ];
        for (field, right, set) in fields {
            for len in [0, right - 1, right + 1] {
                let text = format!("{field}: expected {right} bytes, got {len} bytes");
                assert_eq!(error(|block| set(block, long(len))), text);
            }
        }
        for len in [0, 31, 33] {
            assert!(error(|b| b.txshash[1] = vec![0; len].into()).starts_with("block.txshash: expected 32 bytes"));
            assert!(error(|b| b.siblinghash[0] = vec![0; len].into()).starts_with("block.siblinghash: expected 32"));
        }
    }

    #[test]
    fn lists_are_counted_and_bounded() {
        for number in [-1, 0, 1, 3, i32::MIN, i32::MAX] {
            assert!(error(|block| block.number = Some(number)).contains("expected the count of the list, 2, got"));
        }
        let most = |block: &mut pb::Block, count: usize| {
            block.txshash = vec![Bytes::from(vec![1; 32]); count];
            block.number = Some(i32::try_from(count).unwrap());
        };
        let mut block = sample();
        most(&mut block, 4_000);
        assert!(UncheckedBlock::try_from(block).is_ok());
        assert_eq!(error(|b| most(b, 4_001)), "block.number: expected a list of at most 4000, got 4001");
        let mut block = sample();
        block.siblinghash = vec![Bytes::from(vec![1; 32]); 255];
        assert!(UncheckedBlock::try_from(block).is_ok());
        let text = error(|block| block.siblinghash = vec![Bytes::from(vec![1; 32]); 256]);
        assert_eq!(text, "block.siblinghash: expected at most 255 hashes, got 256");
    }

    proptest! {
        #[test]
        fn blocks_come_back(
            numbers: (u64, u64, u32, u64), roots: ([u8; 32], [u8; 32], [u8; 32]), signed: bool,
            txs in proptest::collection::vec(any::<[u8; 32]>(), 0..20),
            siblings in proptest::collection::vec(any::<[u8; 32]>(), 0..5), root: Option<[u8; 32]>,
        ) {
            let (height, time_ms, target, nonce) = numbers;
            let block = UncheckedBlock {
                height, time_ms, target, nonce,
                previous: Hash32(roots.0), claimed_hash: Hash32(roots.1), miner: Hash32(roots.2),
                txhashes: txs.into_iter().map(Hash32).collect(),
                siblings: siblings.into_iter().map(Hash32).collect(),
                signature: signed.then_some(Signature([5; 64])), history_root: root.map(Hash32),
            };
            let bytes = pb::Block::from(&block).encode_to_vec();
            let back = UncheckedBlock::try_from(pb::Block::decode(&bytes[..]).unwrap()).unwrap();
            prop_assert_eq!(&back, &block);
            prop_assert_eq!(pb::Block::from(&back).encode_to_vec(), bytes);
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(block) = pb::Block::decode(&bytes[..]) {
                let _ = UncheckedBlock::try_from(block);
            }
        }

        #[test]
        fn any_damage_is_answered(at: prop::sample::Index, bit in 0u8..8, cut: prop::sample::Index) {
            let mut bytes = sample().encode_to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            bytes.truncate(cut.index(bytes.len()) + 1);
            if let Ok(block) = pb::Block::decode(&bytes[..]) {
                let _ = UncheckedBlock::try_from(block);
            }
        }
    }
}
