//! A Python client generated from the frozen contract alone, against two real nodes.
//!
//! It needs a Python with grpcio-tools and cryptography, named by `BLOCKHIE_PYTHON`; `cargo xtask test` makes one.

mod common;

use blockhie_node::Config;
use common::{config, genesis, start, until};
use std::path::Path;
use std::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_submits_reads_and_recomputes_the_chain() {
    let Some(python) = std::env::var_os("BLOCKHIE_PYTHON") else {
        eprintln!("SKIPPED: BLOCKHIE_PYTHON is not set (run `cargo xtask test`)");
        return;
    };
    let genesis = genesis(2);
    let first = start(&genesis, 1, config(&[])).await;
    let second = start(&genesis, 2, Config { mine: false, ..config(&[&first]) }).await;
    until("a few blocks", async || first.tip().height >= 5).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(python);
    command
        .arg(root.join("crates/transport/tests/interop.py"))
        .arg("--proto")
        .arg(root.join("proto/blochie.proto"))
        .args(["--address", &first.address().to_string()])
        .args(["--other-address", &second.address().to_string()])
        .args(["--genesis-hex", &hex::encode(genesis.to_bytes())])
        .args(["--member-seed", &hex::encode(common::secret(2).seed())]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.lines().last().is_some_and(|line| line.ends_with("0 failed")), "{text}");
    first.stop().await.unwrap();
    second.stop().await.unwrap();
}
