//! Two real nodes of each chain in this process, and the gateway's own program.

use blockhie_core::genesis::Member;
use blockhie_core::{
    Application, ChainKind, Genesis, Hash32, MemoryStore, Router, SecretKey, Transaction, Verified, sha256,
};
use blockhie_coupling::CouplingApp;
use blockhie_emr::EmrApp;
use blockhie_node::{Config, Node, NodeBuilder};
use blockhie_phd::PhdApp;
use blockhie_transport::Limits;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Between two blocks.
const INTERVAL_MS: u32 = 200;
/// Hashes a second of a node.
const HASH_RATE: u64 = 20_000;
/// Members of each chain, one for each node.
const NAMES: [&str; 2] = ["North Hospital", "Lakeside Clinic"];

pub(crate) fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Everything that runs.
pub(crate) struct Town {
    runtime: tokio::runtime::Runtime,
    nodes: Vec<Node>,
    gateway: Child,
    agent: ureq::Agent,
    pub(crate) emr: Genesis,
    pub(crate) phd: Genesis,
    pub(crate) base: String,
    pub(crate) token: String,
    pub(crate) folder: tempfile::TempDir,
}

fn member(at: usize) -> SecretKey {
    SecretKey::from_seed(sha256(&[b"browser test", NAMES[at].as_bytes()]).0)
}

fn genesis(kind: ChainKind) -> Genesis {
    let mut members: Vec<Member> =
        (0..NAMES.len()).map(|at| Member { key: member(at).public(), name: NAMES[at].into() }).collect();
    members.sort_by_key(|member| member.key);
    let first = blockhie_pow::first_target_for(NAMES.len(), HASH_RATE, INTERVAL_MS);
    let nonce = Hash32(sha256(&[&now_ms().to_be_bytes(), kind.name().as_bytes()]).0);
    let mut genesis = Genesis::with_defaults(kind, "county health", nonce, now_ms() - 1_000, first, members);
    genesis.block_interval_ms = INTERVAL_MS;
    genesis.half_life_ms = 144 * u64::from(INTERVAL_MS);
    genesis
}

fn application(genesis: &Genesis) -> Arc<dyn Application> {
    let router = Router::new(genesis.kind).route(32..=33, Box::new(CouplingApp::new(genesis)));
    Arc::new(match genesis.kind {
        ChainKind::Emr => router.route(1..=7, Box::new(EmrApp)),
        ChainKind::Phd => router.route(16..=18, Box::new(PhdApp::new(genesis))),
    })
}

async fn start(genesis: &Genesis, at: usize, peers: &[&Node]) -> Node {
    let config = Config {
        listen: "127.0.0.1:0".into(),
        peers: peers.iter().map(|node| node.address().to_string()).collect(),
        hash_rate: HASH_RATE,
        low_water_bytes: 0,
        ..Config::default()
    };
    let builder = NodeBuilder {
        store: Arc::new(MemoryStore::new(genesis)),
        application: application(genesis),
        config,
        key: Some(member(at)),
        data_dir: None,
        limits: Limits::default(),
    };
    builder.start().await.unwrap()
}

impl Town {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let [emr, phd] = [ChainKind::Emr, ChainKind::Phd].map(genesis);
        let nodes = runtime.block_on(async {
            let mut nodes = Vec::new();
            for genesis in [&emr, &phd] {
                let first = start(genesis, 0, &[]).await;
                let second = start(genesis, 1, &[&first]).await;
                nodes.extend([first, second]);
            }
            nodes
        });
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        blockhie_core::keyfile::write_new(&key, &member(0)).unwrap();
        let data = folder.path().join("data");
        let url = |node: &Node| format!("http://{}", node.address());
        let mut gateway = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["run", "--listen", "127.0.0.1:0", "--link-window", "0"])
            .args(["--emr", &url(&nodes[0]), "--phd", &url(&nodes[2])])
            .args([Path::new("--data-dir"), &data, Path::new("--key"), &key])
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(gateway.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("ready listen=").unwrap_or_else(|| panic!("{line:?}")).trim().to_owned();
        let token = std::fs::read_to_string(data.join("token")).unwrap().trim().to_owned();
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(20)));
        let agent = config.http_status_as_error(false).build().into();
        Self { runtime, nodes, gateway, agent, emr, phd, base: format!("http://{address}"), token, folder }
    }

    /// A file of this content; a browser takes files by their path.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Asks the gateway as its operator.
    pub(crate) fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let request = self.agent.get(format!("{}{path}", self.base));
        let answer = request.header("authorization", format!("Bearer {}", self.token)).call().unwrap();
        (answer.status().as_u16(), answer.into_body().read_to_vec().unwrap())
    }

    pub(crate) fn get_json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.get(path).1).unwrap()
    }

    /// Posts JSON as the operator; the answer of a 202.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.agent.post(format!("{}{path}", self.base));
        let answer = request.header("authorization", format!("Bearer {}", self.token)).send_json(body).unwrap();
        let (status, text) = (answer.status().as_u16(), answer.into_body().read_to_string().unwrap());
        assert_eq!(status, 202, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Publishes a record.
    pub(crate) fn publish(&self, text: &str) {
        let request = self.agent.post(format!("{}/api/v1/records", self.base));
        let request = request.header("authorization", format!("Bearer {}", self.token)).content_type("text/plain");
        assert_eq!(request.send(text).unwrap().status().as_u16(), 202);
    }

    /// Waits until a path answers this at `state`.
    pub(crate) fn wait_for(&self, path: &str, state: &str) {
        let begun = Instant::now();
        loop {
            let answer = self.get_json(path);
            if answer["state"] == state {
                return;
            }
            assert!(begun.elapsed() < crate::driver::PATIENCE, "{path}: expected {state}, got {answer}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
        self.runtime.block_on(async {
            for node in self.nodes.drain(..) {
                let _ = node.stop().await;
            }
        });
    }
}

/// A signed transaction as the API takes it.
pub(crate) fn hex_of(tx: &Transaction<Verified>) -> String {
    hex::encode(tx.to_bytes())
}

/// A body with one transaction.
pub(crate) fn order(tx: &Transaction<Verified>) -> Value {
    json!({"transaction": hex_of(tx)})
}
