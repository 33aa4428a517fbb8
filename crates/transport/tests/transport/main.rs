//! Tests of the transport over loopback, and of its contracts against the frozen files.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bulk;
mod clients;
mod contract;
mod fake;
mod limits;
mod malformed;
mod payloads;
mod roundtrip;
