//! What the fuzzer runs: a function for each decoder, for round trips and for the import of blocks.
//!
//! Each takes any bytes, returns nothing, and panics where an invariant of the threat model is broken (I9: invalid input
//! never panics and never changes state; what is decoded encodes to the same). Three runners share them: `fuzz/` with
//! libFuzzer and a sanitizer, `cargo xtask fuzz` around that, and the tests of this crate, which replay the committed
//! seeds and mutations of them without either.

mod import;
mod peer;
mod readings;
mod rules;
mod store;
mod texts;
mod wire;

pub use import::{Reached, import, import_reaching};
pub use peer::{PEER_ASKED, peer};
pub use readings::{csv, samples};
pub use store::store;
pub use texts::{genesis_toml, openings, receipt, texts};
pub use wire::{block, genesis, header, messages, payload, transaction};

/// A target: its name, as in `fuzz/fuzz_targets` and `fuzz/seeds`, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 15] = [
    ("block", block),
    ("csv", csv),
    ("genesis", genesis),
    ("genesis_toml", genesis_toml),
    ("header", header),
    ("import", import),
    ("messages", messages),
    ("openings", openings),
    ("payload", payload),
    ("peer", peer),
    ("receipt", receipt),
    ("samples", samples),
    ("store", store),
    ("texts", texts),
    ("transaction", transaction),
];

/// What was read has to be written as it stood.
#[track_caller]
fn same<T: PartialEq + std::fmt::Debug + ?Sized>(written: &T, read: &T) {
    assert!(written == read, "written {written:?}\n   read {read:?}");
}
