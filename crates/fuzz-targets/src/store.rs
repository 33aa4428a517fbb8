//! Values as a store on disk keeps them.

use crate::same;
use blockhie_core::app::TxPosition;
use blockhie_core::store::{IndexRow, Meta, PeerRow, Undo};
use blockhie_core::tx::StoredTx;
use blockhie_core::{Block, Hash32};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// The store's own file, compiled here once more: so no database comes into the fuzzer.
#[path = "../../store/src/codec.rs"]
#[allow(dead_code, reason = "the store uses all of it")]
mod codec;

fn takes_or_refuses<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    match codec::decode::<T>(bytes) {
        Ok(value) => {
            let written = codec::encode(&value).expect("a value that was read");
            same(&codec::decode::<T>(&written).expect("what was just written"), &value);
        }
        Err(error) => assert!(!error.expected().is_empty()),
    }
}

/// Every kind of value.
pub fn store(bytes: &[u8]) {
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
