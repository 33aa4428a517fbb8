//! The handshake: 83 bytes that say which chain a node is on, how far it is, and where it listens.

use crate::convert::ConversionError;
use blockhie_core::ChainId;

/// What both sides of `Discovery.Hello` say. Claims, never used for scoring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The chain. The service decides what to do about another one.
    pub chain_id: ChainId,
    /// Height of the best chain.
    pub height: u64,
    /// Its work, 256 bits big-endian.
    pub work: [u8; 32],
    /// TCP port at which the sender listens; the address is that of the connection. 0: it does not listen.
    pub listen_port: u16,
    /// Drawn anew by each process: a node that reads its own talks to itself.
    pub nonce: u64,
}

impl Hello {
    /// Bytes on the wire.
    pub const LEN: usize = 83;
    /// The first byte.
    pub const VERSION: u8 = 1;

    /// `0x01 ‖ chain_id ‖ height u64 ‖ work(32) ‖ listen port u16 ‖ nonce u64`.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[0] = Self::VERSION;
        out[1..33].copy_from_slice(self.chain_id.as_bytes());
        out[33..41].copy_from_slice(&self.height.to_be_bytes());
        out[41..73].copy_from_slice(&self.work);
        out[73..75].copy_from_slice(&self.listen_port.to_be_bytes());
        out[75..].copy_from_slice(&self.nonce.to_be_bytes());
        out
    }

    /// Reads exactly 83 bytes of version 1.
    ///
    /// # Errors
    /// [`ConversionError`] for another length or version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ConversionError> {
        let all: [u8; Self::LEN] = crate::convert::fixed("hello", bytes)?;
        if all[0] != Self::VERSION {
            return Err(ConversionError::new("hello version", "1", all[0].to_string()));
        }
        let long = |at: usize| u64::from_be_bytes(all[at..at + 8].try_into().expect("8 bytes"));
        Ok(Self {
            chain_id: blockhie_core::Hash32(all[1..33].try_into().expect("32 bytes")),
            height: long(33),
            work: all[41..73].try_into().expect("32 bytes"),
            listen_port: u16::from_be_bytes([all[73], all[74]]),
            nonce: long(75),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockhie_core::Hash32;
    use proptest::prelude::*;

    /// The published vectors, made by plain Python.
    #[test]
    fn the_published_bytes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/vectors.json");
        let all: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let rows = all["hello"].as_array().unwrap();
        assert!(!rows.is_empty());
        for row in rows {
            let bytes = hex::decode(row["bytes"].as_str().unwrap()).unwrap();
            let hello = Hello::from_bytes(&bytes).unwrap();
            assert_eq!(hello.chain_id.to_string(), row["chain_id"].as_str().unwrap());
            assert_eq!(hello.height, row["height"].as_u64().unwrap());
            assert_eq!(hex::encode(hello.work), row["work"].as_str().unwrap());
            assert_eq!(u64::from(hello.listen_port), row["port"].as_u64().unwrap());
            assert_eq!(hello.nonce, row["nonce"].as_u64().unwrap());
            assert_eq!(hello.to_bytes()[..], bytes);
        }
    }

    #[test]
    fn other_lengths_and_versions_are_refused() {
        let good = Hello { chain_id: Hash32::ZERO, height: 1, work: [0; 32], listen_port: 2, nonce: 3 }.to_bytes();
        let error = Hello::from_bytes(&good[1..]).unwrap_err();
        assert_eq!(error.to_string(), "hello: expected 83 bytes, got 82 bytes");
        assert!(Hello::from_bytes(&[&good[..], &[0]].concat()).is_err());
        assert!(Hello::from_bytes(&[]).is_err());
        for version in [0, 2, 255] {
            let mut other = good;
            other[0] = version;
            let error = Hello::from_bytes(&other).unwrap_err();
            assert_eq!(error.to_string(), format!("hello version: expected 1, got {version}"));
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back(chain: [u8; 32], height: u64, work: [u8; 32], listen_port: u16, nonce: u64) {
            let hello = Hello { chain_id: Hash32(chain), height, work, listen_port, nonce };
            prop_assert_eq!(Hello::from_bytes(&hello.to_bytes()).unwrap(), hello);
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(hello) = Hello::from_bytes(&bytes) {
                prop_assert_eq!(&hello.to_bytes()[..], &bytes[..]);
            }
        }
    }
}
