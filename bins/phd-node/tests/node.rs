//! The built binary, driven as an operator and a device would. What it shares with `emr-node` is tested there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]

use blockhie_core::{ChainId, Genesis, SecretKey, Transaction, TxHash, TxStatus, Verified};
use blockhie_phd::{Carriage, Samples, Segment, Timing, enrol, prepare_segment, retire};
use blockhie_transport::LedgerClient;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longest wait for a node or for a block.
const PATIENCE: Duration = Duration::from_secs(60);

fn phd_node(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_phd-node")).args(args).output().unwrap()
}

fn succeed(args: &[&str]) -> String {
    let output = phd_node(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A running node. Killed when dropped.
struct Running {
    child: Child,
    address: String,
}

impl Running {
    fn start(dir: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_phd-node"));
        command.args(["run", "--mine", "--listen", "127.0.0.1:0", "--data-dir", text(dir)]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().find_map(|word| word.strip_prefix("listen=")).unwrap().to_owned();
        Self { child, address }
    }

    fn terminate(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn it_packs_by_tp_fair_and_runs_phd_chains_only() {
    let help = succeed(&["--help"]);
    for word in ["Examples:", "phd-node", "genesis", "init", "run", "fsck", "status", "peers", "backup", "restore"] {
        assert!(help.contains(word), "{word} in {help}");
    }
    assert!(succeed(&["config"]).contains("packing = \"tp-fair\""));
    assert_eq!(phd_node(&["run"]).status.code(), Some(64));
    let root = tempfile::tempdir().unwrap();
    let [file, dir] = ["genesis.toml", "node"].map(|name| root.path().join(name));
    succeed(&["genesis", "--name", "test", "--open", "--out", text(&file)]);
    let genesis = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, genesis.replace("\"phd\"", "\"emr\"")).unwrap();
    let refused = phd_node(&["init", "--data-dir", text(&dir), "--genesis", text(&file)]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("expected a chain of kind phd, got emr"), "{said}");
}

async fn committed(client: &LedgerClient, hash: TxHash) {
    let deadline = Instant::now() + PATIENCE;
    while !matches!(client.status(hash).await.unwrap(), TxStatus::Committed { void: None, .. }) {
        assert!(Instant::now() < deadline, "{hash} is not committed");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

fn segment(chain: &ChainId, device: &SecretKey, first_seq: u64, carriage: Carriage) -> Segment {
    let values = (0..50).map(|at| blockhie_phd::Decimal::new(500 + at, 0).unwrap()).collect();
    let samples = Samples::new("8867-4", "/min", 1_750_000_000_000, Timing::Rate("100".parse().unwrap()), values);
    prepare_segment(chain, device, first_seq, &samples, carriage, now_ms()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_enrolled_read_and_retired() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("node");
    succeed(&["init", "--data-dir", text(&dir)]);
    let node = Running::start(&dir);
    let client = LedgerClient::connect(&node.address).await.unwrap();
    let chain = Genesis::from_bytes(&client.genesis().await.unwrap()).unwrap().chain_id();
    let (owner, device) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
    let submit = |tx: Transaction<Verified>| {
        let client = client.clone();
        async move { client.submit(&tx.into_unverified()).await.map_err(|error| error.to_string()) }
    };

    // What would be void now is refused at the door and leaves nothing behind.
    let early = submit(segment(&chain, &device, 0, Carriage::Blob).transaction).await.unwrap_err();
    assert!(early.contains("not an enrolled device"), "{early}");
    let enrolled = submit(enrol(&chain, &owner, &device, now_ms())).await.unwrap();
    committed(&client, enrolled).await;
    let again = submit(enrol(&chain, &owner, &device, now_ms() + 1)).await.unwrap_err();
    assert!(again.contains("enrolled"), "{again}");

    let blob = submit(segment(&chain, &device, 0, Carriage::Blob).transaction).await.unwrap();
    let inline = submit(segment(&chain, &device, 60, Carriage::Inline).transaction).await.unwrap();
    committed(&client, blob).await;
    committed(&client, inline).await;
    let meets = submit(segment(&chain, &device, 40, Carriage::Blob).transaction).await.unwrap_err();
    assert!(meets.contains("readings 40 to 89 meet a segment"), "{meets}");
    assert!(client.receipt(blob).await.unwrap().contains("blockhie-receipt/v1"));

    let retired = submit(retire(&chain, &owner, &device.public(), now_ms())).await.unwrap();
    committed(&client, retired).await;
    let late = submit(segment(&chain, &device, 200, Carriage::Blob).transaction).await.unwrap_err();
    assert!(late.contains("not an enrolled device"), "{late}");
    // A type of the other chain.
    assert!(submit(Transaction::sign(&chain, &owner, now_ms(), 1, None, &[])).await.is_err());

    node.terminate();
    let report = succeed(&["fsck", "--data-dir", text(&dir)]);
    assert!(report.contains("4 committed") && report.contains("differences  0"), "{report}");
}
