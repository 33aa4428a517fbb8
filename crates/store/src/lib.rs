//! The ledger store on RocksDB and the blob store in a folder.
