//! The ledger core: canonical bytes, validity, fork choice, mempool and receipts.
