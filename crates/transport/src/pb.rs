//! Generated messages, servers and clients. Nothing outside [`crate::convert`] reads their fields.
#![allow(missing_docs, unused_qualifications, reason = "generated; the meaning of each field is written in proto/")]

tonic::include_proto!("_");

/// Packages of our own.
pub mod blockhie {
    /// For clients of a node.
    pub mod v1 {
        tonic::include_proto!("blockhie.v1");
    }
}

pub use blockhie::v1;

/// The descriptors of all of it, as reflection serves them.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
