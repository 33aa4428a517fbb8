//! The ledger store on RocksDB, the blob store in a folder, and a small durable map.
//!
//! - [`RocksStore`]: the [`Store`](blockhie_core::Store) of a node. `docs/store.md` lists its column families.
//! - [`FolderBlobs`]: a [`BlobStore`](blockhie_core::BlobStore), one file a blob.
//! - [`KeyValue`]: bytes to bytes with atomic durable writes, for a gateway's own records.
//!
//! Each of them owns one folder, names itself in that folder's `BLOCKHIE` file (kind, format version, state), holds a
//! lock while it is open, and refuses what is not its own with a [`StoreError`](blockhie_core::StoreError) that says
//! what to do. What a method has returned `Ok` for survives a power cut. Unix only: folders are synced as files are.

mod blobs;
mod codec;
mod columns;
mod config;
mod errors;
pub mod failpoint;
mod files;
mod keyvalue;
mod manifest;
mod marker;
mod rocks;
mod snapshot;
#[cfg(test)]
mod tests;

pub use blobs::FolderBlobs;
pub use config::StoreConfig;
pub use files::free_bytes;
pub use keyvalue::{Change, Entry, KeyValue};
pub use rocks::RocksStore;
