//! Proof of work: compact targets, ASERT on a bounded lag, and midstate sealing.
