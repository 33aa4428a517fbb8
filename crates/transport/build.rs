//! Generates the messages, servers and clients from `proto/` without a `protoc` on the machine.
#![allow(clippy::print_stdout, reason = "cargo reads what a build script prints")]

use prost::Message;
use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

/// Relative to `proto/`. The frozen contract itself is not compiled: see the head of its internal copy.
const FILES: [&str; 3] = ["internal/blochie_presence.proto", "blockhie/v1/ledger.proto", "blockhie/v1/peer.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let files = FILES.map(|file| root.join(file));
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    let descriptors = protox::compile(&files, [&root])?;
    // `compile_fds` does not write the descriptors that reflection serves.
    let mut served = descriptors.clone();
    for file in &mut served.file {
        file.source_code_info = None;
    }
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin"), served.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".").codec_path("crate::codec::BoundedCodec").compile_fds(descriptors)?;
    Ok(())
}
