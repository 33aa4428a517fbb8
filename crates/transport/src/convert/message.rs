//! `Message { value }`: a hash, a query or a handshake, as the method says.

use super::{ConversionError, fixed, present, wire};
use crate::hello::Hello;
use crate::pb;
use blockhie_core::{BlockQuery, Hash32};

const VALUE: &str = "message.value";

impl TryFrom<pb::Message> for Hash32 {
    type Error = ConversionError;
    fn try_from(message: pb::Message) -> Result<Self, ConversionError> {
        fixed(VALUE, &present(VALUE, message.value)?).map(Self)
    }
}

impl From<Hash32> for pb::Message {
    fn from(hash: Hash32) -> Self {
        Self { value: Some(wire(&hash.0)) }
    }
}

impl TryFrom<pb::Message> for BlockQuery {
    type Error = ConversionError;
    fn try_from(message: pb::Message) -> Result<Self, ConversionError> {
        let value = present(VALUE, message.value)?;
        Ok(match value.len() {
            0 => Self::Tip,
            8 => Self::Height(u64::from_be_bytes(fixed(VALUE, &value)?)),
            32 => Self::Hash(Hash32(fixed(VALUE, &value)?)),
            len => {
                let expected = "32 bytes (hash), 8 (height) or none of length 0 (tip)";
                return Err(ConversionError::new(VALUE, expected, format!("{len} bytes")));
            }
        })
    }
}

impl From<BlockQuery> for pb::Message {
    fn from(query: BlockQuery) -> Self {
        let value = match query {
            BlockQuery::Tip => wire(&[]),
            BlockQuery::Height(height) => wire(&height.to_be_bytes()),
            BlockQuery::Hash(hash) => wire(&hash.0),
        };
        Self { value: Some(value) }
    }
}

impl TryFrom<pb::Message> for Hello {
    type Error = ConversionError;
    fn try_from(message: pb::Message) -> Result<Self, ConversionError> {
        match message.value {
            Some(value) => Self::from_bytes(&value),
            None => Err(ConversionError::new("hello", "83 bytes", "none (field absent)")),
        }
    }
}

impl From<Hello> for pb::Message {
    fn from(hello: Hello) -> Self {
        Self { value: Some(wire(&hello.to_bytes())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use prost::Message;

    fn message(len: usize) -> pb::Message {
        pb::Message { value: Some(Bytes::from(vec![7; len])) }
    }

    #[test]
    fn a_block_is_asked_for_by_0_8_or_32_bytes() {
        assert_eq!(BlockQuery::try_from(message(0)).unwrap(), BlockQuery::Tip);
        assert_eq!(BlockQuery::try_from(message(8)).unwrap(), BlockQuery::Height(0x0707_0707_0707_0707));
        assert_eq!(BlockQuery::try_from(message(32)).unwrap(), BlockQuery::Hash(Hash32([7; 32])));
        for len in [1, 5, 7, 9, 31, 33] {
            assert!(BlockQuery::try_from(message(len)).is_err(), "{len}");
        }
        assert!(BlockQuery::try_from(pb::Message::default()).is_err(), "absent is not empty");
    }

    #[test]
    fn a_hash_is_32_bytes() {
        for len in [0, 31, 33] {
            assert!(Hash32::try_from(message(len)).is_err(), "{len}");
        }
        assert!(Hash32::try_from(pb::Message::default()).is_err());
        assert!(Hello::try_from(pb::Message::default()).is_err());
    }

    proptest! {
        #[test]
        fn queries_come_back(height: u64, hash: [u8; 32]) {
            for query in [BlockQuery::Tip, BlockQuery::Height(height), BlockQuery::Hash(Hash32(hash))] {
                prop_assert_eq!(BlockQuery::try_from(pb::Message::from(query)).unwrap(), query);
            }
            prop_assert_eq!(Hash32::try_from(pb::Message::from(Hash32(hash))).unwrap(), Hash32(hash));
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(message) = pb::Message::decode(&bytes[..]) {
                let _ = Hash32::try_from(message.clone());
                let _ = Hello::try_from(message.clone());
                if let Ok(query) = BlockQuery::try_from(message.clone()) {
                    prop_assert_eq!(pb::Message::from(query), message);
                }
            }
        }
    }
}
