//! A whole system for a while, from the built binaries: nodes of one genesis a chain, and a gateway.

use crate::process::Tool;
use crate::rocksdb;
use crate::running::Running;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How far below the lower tip nodes must agree: blocks above it may still be reorganised.
const AGREE_BELOW: u64 = 3;
/// How long they may take to agree.
const AGREE_TIME: Duration = Duration::from_secs(60);

/// The folder of the built binaries.
#[derive(Debug, Clone)]
pub(crate) struct Binaries(PathBuf);

impl Binaries {
    /// Builds them.
    pub(crate) fn build(root: &Path) -> Result<Self> {
        let environment = rocksdb::environment(root)?;
        let build = Tool::cargo().args(["build", "--quiet", "--workspace", "--bins"]).envs(&environment).dir(root);
        eprintln!("building the binaries (minutes when cold, seconds when warm) …");
        build.run()?;
        // Wherever cargo's configuration puts them.
        let metadata =
            cargo_metadata::MetadataCommand::new().current_dir(root).no_deps().exec().context("cargo metadata")?;
        Ok(Self(metadata.target_directory.into_std_path_buf().join("debug")))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A command, to be run in the foreground.
    pub(crate) fn tool(&self, name: &str) -> Tool {
        Tool::new(self.path(name))
    }

    /// stdout of a command that must succeed.
    pub(crate) fn run(&self, name: &str, arguments: &[&str]) -> Result<String> {
        self.tool(name).args(arguments).output()
    }

    /// The exit code (-1 when a signal ended it), and what it printed: stdout, then stderr.
    pub(crate) fn try_run(&self, name: &str, arguments: &[&str]) -> Result<(i32, String)> {
        let output = Command::new(self.path(name)).args(arguments).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("start {name}"))?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        Ok((output.status.code().unwrap_or(-1), printed))
    }

    /// The JSON that a command prints, whatever its exit code.
    pub(crate) fn json(&self, name: &str, arguments: &[&str]) -> Result<Value> {
        let (code, printed) = self.try_run(name, arguments)?;
        let line = printed.lines().find(|line| line.starts_with('{'));
        let line = line.with_context(|| format!("{name} {}: exit {code}:\n{printed}", arguments.join(" ")))?;
        serde_json::from_str(line).with_context(|| format!("{name}: expected JSON, got {line:?}"))
    }

    /// Makes a key file; answers the public key.
    pub(crate) fn keygen(&self, file: &Path) -> Result<String> {
        Ok(self.run("blockhie", &["keygen", "--out", text(file)?])?.trim().to_owned())
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{}: expected a path in UTF-8", path.display()))
}

/// Which chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Proofs of records.
    Emr,
    /// Readings of devices.
    Phd,
}

impl Kind {
    /// As in routes and reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Emr => "emr",
            Self::Phd => "phd",
        }
    }

    fn node(self) -> &'static str {
        match self {
            Self::Emr => "emr-node",
            Self::Phd => "phd-node",
        }
    }
}

/// Budgets of [`Chain::limit_stores`], bytes: what a gateway gives its own store.
const STORE_BYTES: [(&str, u64); 3] =
    [("block_cache_bytes", 8 << 20), ("write_buffer_bytes", 4 << 20), ("max_wal_bytes", 8 << 20)];

/// A line of `config.toml`, with the budget of [`STORE_BYTES`] if it sets one.
fn limited(line: &str) -> String {
    let name = line.split(" = ").next().unwrap_or_default();
    match STORE_BYTES.iter().find(|(budget, _)| *budget == name) {
        Some((budget, bytes)) => format!("{budget} = {bytes}"),
        None => line.to_owned(),
    }
}

/// A chain of members, each with a data folder.
pub(crate) struct Chain {
    binaries: Binaries,
    kind: Kind,
    genesis: PathBuf,
    members: Vec<PathBuf>,
}

impl Chain {
    /// Keys, a genesis of these members, and their data folders, all in `dir`.
    pub(crate) fn make(binaries: &Binaries, dir: &Path, kind: Kind, names: &[&str]) -> Result<Self> {
        let genesis = dir.join(format!("{}.toml", kind.name()));
        let mut arguments = vec!["genesis".to_owned(), "--name".into(), format!("demo-{}", kind.name())];
        for name in names {
            let public = binaries.keygen(&dir.join(format!("{name}.key")))?;
            arguments.extend(["--member".into(), format!("{name}={public}")]);
        }
        arguments.extend(["--out".into(), text(&genesis)?.into()]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        binaries.run(kind.node(), &arguments)?;
        let members: Vec<PathBuf> = names.iter().map(|name| dir.join(name)).collect();
        for member in &members {
            let key = member.with_extension("key");
            let arguments = ["init", "--data-dir", text(member)?, "--genesis", text(&genesis)?, "--key", text(&key)?];
            binaries.run(kind.node(), &arguments)?;
        }
        Ok(Self { binaries: binaries.clone(), kind, genesis, members })
    }

    /// Gives every (stopped) node's database these budgets, so that its memory is full after a minute and not after an
    /// hour: what grows afterwards is something else.
    pub(crate) fn limit_stores(&self) -> Result<()> {
        for member in &self.members {
            let file = member.join("config.toml");
            let config = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            let lines: Vec<String> = config.lines().map(limited).collect();
            std::fs::write(&file, lines.join("\n") + "\n").with_context(|| format!("write {}", file.display()))?;
        }
        Ok(())
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn genesis(&self) -> &Path {
        &self.genesis
    }

    /// The key file of a member.
    pub(crate) fn key(&self, member: usize) -> PathBuf {
        self.members[member].with_extension("key")
    }

    /// The member's name.
    pub(crate) fn name(&self, member: usize) -> String {
        self.members[member].file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Starts a member's node at an address (port 0: any free one), with more arguments of `run`.
    pub(crate) fn start(&self, member: usize, listen: &str, peers: &[String], more: &[&str]) -> Result<Running> {
        let dir = &self.members[member];
        let mut arguments = vec!["run", "--listen", listen, "--data-dir", text(dir)?];
        for peer in peers {
            arguments.extend(["--peer", peer]);
        }
        arguments.extend(more);
        Running::start(&self.binaries.path(self.kind.node()), &arguments, &dir.join("log"))
    }

    /// Starts all members, each with those before it as peers.
    pub(crate) fn start_all(&self) -> Result<Vec<Running>> {
        let mut nodes: Vec<Running> = Vec::new();
        for member in 0..self.members.len() {
            let peers: Vec<String> = nodes.iter().map(|node| node.address().to_owned()).collect();
            nodes.push(self.start(member, "127.0.0.1:0", &peers, &[])?);
        }
        Ok(nodes)
    }

    /// Checks the store of every (stopped) member.
    pub(crate) fn fsck_all(&self) -> Result<()> {
        for (member, dir) in self.members.iter().enumerate() {
            let (code, printed) = self.binaries.try_run(self.kind.node(), &["fsck", "--data-dir", text(dir)?])?;
            ensure!(code == 0, "fsck of {}: expected exit 0, got {code}\n{printed}", self.name(member));
        }
        Ok(())
    }

    /// Waits until all these nodes have the same block a little below the lowest tip; answers its height.
    pub(crate) fn agree(&self, nodes: &[&Running]) -> Result<u64> {
        let deadline = Instant::now() + AGREE_TIME;
        loop {
            match self.agreed(nodes) {
                Ok(Some(height)) => return Ok(height),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(300)),
                Ok(None) => bail!("{}: its nodes do not agree", self.kind.name()),
                Err(error) => return Err(error),
            }
        }
    }

    fn agreed(&self, nodes: &[&Running]) -> Result<Option<u64>> {
        let mut lowest = u64::MAX;
        for node in nodes {
            lowest = lowest.min(self.tip(node)?.0);
        }
        let height = lowest.saturating_sub(AGREE_BELOW);
        let mut hashes = Vec::new();
        for node in nodes {
            hashes.push(self.ask(node, &["block", &height.to_string()])?["hash"].clone());
        }
        Ok(hashes.windows(2).all(|pair| pair[0] == pair[1]).then_some(height))
    }

    /// Height of a node's tip, and how many transactions wait there.
    pub(crate) fn tip(&self, node: &Running) -> Result<(u64, u64)> {
        let tip = self.ask(node, &["tip"])?;
        let number = |name: &str| tip[name].as_u64().with_context(|| format!("expected {name} in {tip}"));
        Ok((number("height")?, number("pending")?))
    }

    fn ask(&self, node: &Running, question: &[&str]) -> Result<Value> {
        self.binaries.json("blockhie", &[&["chain"], question, &["--node", node.address(), "--json"]].concat())
    }
}

/// What a gateway is started with.
pub(crate) struct GatewayPlan {
    /// Its data folder.
    pub(crate) dir: PathBuf,
    /// The institution's key.
    pub(crate) key: PathBuf,
    /// Address of a node of the EMR-Chain.
    pub(crate) emr: String,
    /// Address of a node of the PHD-Chain.
    pub(crate) phd: String,
    /// Within how many seconds the halves of a link go out.
    pub(crate) link_window_s: u32,
}

impl GatewayPlan {
    /// Starts it at an address.
    pub(crate) fn start(&self, binaries: &Binaries, listen: &str) -> Result<Running> {
        let window = self.link_window_s.to_string();
        let arguments = ["run", "--listen", listen, "--data-dir", text(&self.dir)?, "--key", text(&self.key)?];
        let chains = ["--emr", &self.emr, "--phd", &self.phd, "--link-window", &window];
        let log = self.dir.with_extension("log");
        Running::start(&binaries.path("gateway"), &[&arguments[..], &chains].concat(), &log)
    }

    /// The file of the operator's token.
    pub(crate) fn token(&self) -> PathBuf {
        self.dir.join("token")
    }
}

#[cfg(test)]
mod tests {
    use super::limited;

    #[test]
    fn only_the_budgets_of_a_configuration_are_changed() {
        assert_eq!(limited("write_buffer_bytes = 33554432"), "write_buffer_bytes = 4194304");
        for other in ["mine = true", "# write_buffer_bytes = 1", "[store]", ""] {
            assert_eq!(limited(other), other);
        }
    }
}
