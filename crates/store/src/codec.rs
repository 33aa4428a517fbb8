//! How values are written: one version byte, then bincode 2 (serde mode, standard configuration).
//!
//! bincode stands in this file only, so that the next version byte can bring another format. It never feeds a hash or
//! a signature: consensus bytes have their own fixed layout in the core.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::{Serialize, de::DeserializeOwned};

/// The first byte of every value written by this release.
pub(crate) const VALUE_VERSION: u8 = 1;

/// Longest value. The longest kind is the undo of a full block (4,000 transactions of its own and its siblings' with a
/// few state entries each, about 10 MiB); a longer one is a bug and is refused before it is written.
pub(crate) const MAX_VALUE_BYTES: usize = 32 << 20;

/// What bincode may claim while decoding one value. It counts each integer at full width though it is written in as
/// little as one byte, so 8 times [`MAX_VALUE_BYTES`]. Without it a flipped bit in a length asks for any memory.
const DECODE_LIMIT: usize = 8 * MAX_VALUE_BYTES;

const CONFIG: Configuration<LittleEndian, Varint, Limit<DECODE_LIMIT>> =
    bincode::config::standard().with_limit::<DECODE_LIMIT>();

/// Why a value could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("no byte")]
    Empty,
    #[error("value version {got}")]
    Version { got: u8 },
    #[error("{got} bytes")]
    TooLong { got: usize },
    #[error("{got} bytes after the end")]
    Trailing { got: usize },
    #[error("{reason}")]
    Body { reason: String },
}

impl CodecError {
    /// What should have stood there.
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Empty | Self::Version { .. } => format!("value version {VALUE_VERSION}"),
            Self::TooLong { .. } => format!("at most {MAX_VALUE_BYTES} bytes"),
            Self::Trailing { .. } => "nothing after the value".into(),
            Self::Body { .. } => "a value of its type".into(),
        }
    }
}

/// The bytes of a value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![VALUE_VERSION];
    bincode::serde::encode_into_std_write(value, &mut bytes, CONFIG)
        .map_err(|error| CodecError::Body { reason: error.to_string() })?;
    if bytes.len() > MAX_VALUE_BYTES {
        return Err(CodecError::TooLong { got: bytes.len() });
    }
    Ok(bytes)
}

/// The value of exactly these bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > MAX_VALUE_BYTES {
        return Err(CodecError::TooLong { got: bytes.len() });
    }
    let body = match bytes.split_first() {
        None => return Err(CodecError::Empty),
        Some((&VALUE_VERSION, body)) => body,
        Some((&got, _)) => return Err(CodecError::Version { got }),
    };
    let (value, read) = bincode::serde::borrow_decode_from_slice(body, CONFIG)
        .map_err(|error| CodecError::Body { reason: error.to_string() })?;
    if read != body.len() {
        return Err(CodecError::Trailing { got: body.len() - read });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockhie_core::app::TxPosition;
    use blockhie_core::store::{IndexRow, Meta, PeerRow, Undo};
    use blockhie_core::tx::StoredTx;
    use blockhie_core::{Block, Hash32};
    use bytes::Bytes;
    use proptest::prelude::*;

    /// Decoding must answer; and what it takes, it writes and reads back as the same.
    fn takes_or_refuses<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
        if let Ok(value) = decode::<T>(bytes) {
            let written = encode(&value).unwrap();
            assert_eq!(decode::<T>(&written).unwrap(), value);
        }
    }

    fn takes_or_refuses_any(bytes: &[u8]) {
        takes_or_refuses::<Block>(bytes);
        takes_or_refuses::<IndexRow>(bytes);
        takes_or_refuses::<Hash32>(bytes);
        takes_or_refuses::<StoredTx>(bytes);
        takes_or_refuses::<TxPosition>(bytes);
        takes_or_refuses::<Bytes>(bytes);
        takes_or_refuses::<Undo>(bytes);
        takes_or_refuses::<u64>(bytes);
        takes_or_refuses::<PeerRow>(bytes);
        takes_or_refuses::<Meta>(bytes);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), versioned: bool) {
            if let Some(first) = bytes.first_mut().filter(|_| versioned) {
                *first = VALUE_VERSION;
            }
            takes_or_refuses_any(&bytes);
        }

        #[test]
        fn values_come_back(
            state in proptest::collection::vec((any::<Vec<u8>>(), any::<Option<Vec<u8>>>()), 0..9),
            hashes in proptest::collection::vec(any::<[u8; 32]>(), 0..9),
            miner_seen: Option<u64>,
            flip in any::<prop::sample::Index>(),
        ) {
            let undo = Undo { state, transactions: hashes.into_iter().map(Hash32).collect(), miner_seen };
            let mut bytes = encode(&undo).unwrap();
            prop_assert_eq!(decode::<Undo>(&bytes), Ok(undo.clone()));
            for end in 0..bytes.len() {
                prop_assert!(decode::<Undo>(&bytes[..end]).is_err());
            }
            let at = flip.index(bytes.len() * 8);
            bytes[at / 8] ^= 1 << (at % 8);
            takes_or_refuses_any(&bytes);
        }
    }

    #[test]
    fn each_refusal_says_what_was_expected() {
        let bytes = encode(&7u64).unwrap();
        assert_eq!(bytes, [VALUE_VERSION, 7]);
        let refused = |bytes: &[u8]| decode::<u64>(bytes).unwrap_err();
        assert_eq!(refused(&[]), CodecError::Empty);
        assert_eq!(refused(&[2, 7]), CodecError::Version { got: 2 });
        assert_eq!(refused(&[1, 7, 7]), CodecError::Trailing { got: 1 });
        assert!(matches!(refused(&[1]), CodecError::Body { .. }));
        assert_eq!(refused(&[2, 7]).expected(), "value version 1");
    }

    #[test]
    fn lengths_are_bounded_both_ways() {
        // bytes of 4 GiB, announced in 5
        let huge = [&[VALUE_VERSION, 252][..], &[255; 4]].concat();
        assert!(matches!(decode::<Bytes>(&huge), Err(CodecError::Body { .. })));
        let most = Bytes::from(vec![0; MAX_VALUE_BYTES - 6]);
        let bytes = encode(&most).unwrap();
        assert_eq!(bytes.len(), MAX_VALUE_BYTES);
        assert_eq!(decode::<Bytes>(&bytes).as_ref(), Ok(&most));
        let over = Bytes::from(vec![0; MAX_VALUE_BYTES - 5]);
        assert_eq!(encode(&over), Err(CodecError::TooLong { got: MAX_VALUE_BYTES + 1 }));
        assert_eq!(
            decode::<Bytes>(&vec![VALUE_VERSION; MAX_VALUE_BYTES + 1]),
            Err(CodecError::TooLong { got: MAX_VALUE_BYTES + 1 })
        );
        // what may be written must be readable: small integers claim the most for each byte
        let undo =
            Undo { state: vec![(vec![], None); MAX_VALUE_BYTES / 2 - 8], transactions: vec![], miner_seen: None };
        let bytes = encode(&undo).unwrap();
        assert!(bytes.len() > MAX_VALUE_BYTES - 32);
        assert!(decode::<Undo>(&bytes).is_ok());
    }
}
