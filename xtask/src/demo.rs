//! `cargo xtask demo`: a real record on a real chain of two nodes, proved with everything stopped.

use crate::process::Tool;
use crate::rocksdb;
use crate::running::{Running, get, stop_all};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Public half of a key pair that anybody may know, so that the patient's copy of the demo can be opened:
/// AGE-SECRET-KEY-1YY2LAJ8KLSGZT3TVKUG93CUSNJ9FV6WAY6PRVQT4060QR2YV7NSS02A4PW
const DEMO_PATIENT: &str = "age1ryxkmfgnnx0v48r093cw32f5g99ygpn8a8rqt7j2qk7j42rdngxsqn0yd2";

/// What the demo is told.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Folder of records instead of the samples.
    records: Option<PathBuf>,
    /// Go on running until ctrl-c.
    serve: bool,
    /// Keep everything in this folder.
    keep: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments; an error is one of usage.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().map(PathBuf::from).with_context(|| format!("{word}: expected a path"));
            match *word {
                "--records" => options.records = Some(value()?),
                "--keep" => options.keep = Some(value()?),
                "--serve" => options.serve = true,
                "--readings" => bail!("--readings: readings need the PHD-Chain, which this release has not built"),
                other => bail!("demo: unknown argument `{other}`"),
            }
        }
        Ok(options)
    }
}

struct Demo {
    binaries: PathBuf,
    dir: PathBuf,
    started: Instant,
}

/// Runs it. The last line is `demo: ok`.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let started = Instant::now();
    let samples = files_of(&root.join("xtask/samples"))?;
    let (first, rest) = samples.split_first().context("there are samples")?;
    let work = match &options.records {
        Some(folder) => Work { single: files_of(folder)?, batch: samples },
        None => Work { single: vec![first.clone()], batch: rest.to_vec() },
    };
    let binaries = build(root)?;
    let temporary = tempfile::tempdir().context("make a temporary folder")?;
    let dir = match &options.keep {
        Some(keep) => {
            ensure!(!keep.exists(), "--keep {}: expected a folder that is not there yet", keep.display());
            std::fs::create_dir_all(keep).with_context(|| format!("make {}", keep.display()))?;
            keep.canonicalize()?
        }
        None => temporary.path().to_owned(),
    };
    let demo = Demo { binaries, dir, started };
    demo.step("built emr-node, gateway and blockhie");
    demo.walk(&work, options)?;
    println!("demo: ok");
    Ok(())
}

/// What is published: some records each by itself, others in one transaction.
struct Work {
    single: Vec<PathBuf>,
    batch: Vec<PathBuf>,
}

/// The files of a folder by name.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("records in {}", folder.display()))?;
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>()?;
    files.retain(|file| file.is_file());
    files.sort();
    ensure!(!files.is_empty(), "records in {}: expected at least one file, got none", folder.display());
    files.iter().map(|file| file.canonicalize().context("find a record")).collect()
}

fn build(root: &Path) -> Result<PathBuf> {
    let environment = rocksdb::environment(root)?;
    let build = Tool::cargo().args(["build", "--quiet", "--workspace", "--bins"]).envs(&environment).dir(root);
    eprintln!("building the binaries (minutes when cold, seconds when warm) …");
    build.run()?;
    // Wherever cargo's configuration puts them.
    let metadata =
        cargo_metadata::MetadataCommand::new().current_dir(root).no_deps().exec().context("cargo metadata")?;
    Ok(metadata.target_directory.into_std_path_buf().join("debug"))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{}: expected a path in UTF-8", path.display()))
}

impl Demo {
    fn step(&self, what: &str) {
        println!("[{:>6.1} s] {what}", self.started.elapsed().as_secs_f64());
    }

    fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Result<String> {
        Tool::new(self.binary(name)).args(arguments).output()
    }

    fn walk(&self, work: &Work, options: &Options) -> Result<()> {
        let genesis = self.dir.join("genesis.toml");
        let nodes = self.make_nodes(&genesis)?;
        let first = self.start_node(&nodes[0], &[])?;
        let second = self.start_node(&nodes[1], &[first.address()])?;
        self.step(&format!("two nodes of one genesis run: {} and {}", first.address(), second.address()));
        let gateway = self.start_gateway(&nodes[0], first.address())?;
        let url = format!("http://{}", gateway.address());
        self.step(&format!("the gateway runs: {url}"));

        let (single, batch) = (self.dir.join("published"), self.dir.join("published-in-one"));
        self.publish(&work.single, &url, &single, &["--patient", DEMO_PATIENT])?;
        self.step(&format!("{} published and final: vault, patient's copy, proof on the chain", count(&work.single)));
        self.publish(&work.batch, &url, &batch, &["--batch"])?;
        self.step(&format!("{} published and final, all in one transaction", count(&work.batch)));
        let published: Vec<(&Path, &Path)> = (work.single.iter().map(|record| (record.as_path(), single.as_path())))
            .chain(work.batch.iter().map(|record| (record.as_path(), batch.as_path())))
            .collect();
        for (record, out) in &published {
            self.fetch_back(record, out, &gateway)?;
        }
        self.step(&format!("{} came back from the vault byte for byte", count(&published)));
        if options.serve {
            self.serve(&url)?;
        }
        stop_all(vec![gateway, second, first])?;
        self.step("everything is stopped");
        self.verify_all(&published, &genesis)?;
        self.refute(published[0].0, published[0].1, &genesis)?;
        self.summary(published.len(), options.keep.is_some());
        Ok(())
    }

    /// Keys, a genesis of two members, and their data folders.
    fn make_nodes(&self, genesis: &Path) -> Result<[PathBuf; 2]> {
        let mut arguments = vec!["genesis".to_owned(), "--name".into(), "demo".into()];
        let names = ["north-hospital", "south-hospital"];
        for name in names {
            let key = self.dir.join(format!("{name}.key"));
            let public = self.run("blockhie", &["keygen", "--out", text(&key)?])?;
            arguments.extend(["--member".into(), format!("{name}={}", public.trim())]);
        }
        arguments.extend(["--out".into(), text(genesis)?.into()]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.run("emr-node", &arguments)?;
        let dirs = names.map(|name| self.dir.join(name));
        for (dir, name) in dirs.iter().zip(names) {
            let key = self.dir.join(format!("{name}.key"));
            let arguments = ["init", "--data-dir", text(dir)?, "--genesis", text(genesis)?, "--key", text(&key)?];
            self.run("emr-node", &arguments)?;
        }
        Ok(dirs)
    }

    fn start_node(&self, dir: &Path, peers: &[&str]) -> Result<Running> {
        let mut arguments = vec!["run", "--listen", "127.0.0.1:0", "--data-dir", text(dir)?];
        for peer in peers {
            arguments.extend(["--peer", peer]);
        }
        Running::start(&self.binary("emr-node"), &arguments, &dir.join("log"))
    }

    fn start_gateway(&self, node_dir: &Path, node: &str) -> Result<Running> {
        let dir = self.dir.join("gateway");
        let key = node_dir.with_extension("key");
        let url = format!("http://{node}");
        let arguments =
            ["run", "--listen", "127.0.0.1:0", "--data-dir", text(&dir)?, "--key", text(&key)?, "--emr", &url];
        Running::start(&self.binary("gateway"), &arguments, &self.dir.join("gateway.log"))
    }

    fn publish(&self, records: &[PathBuf], url: &str, out: &Path, more: &[&str]) -> Result<()> {
        let token = self.dir.join("gateway/token");
        let files = records.iter().map(|file| text(file)).collect::<Result<Vec<_>>>()?;
        Tool::new(self.binary("blockhie"))
            .args(["record", "publish"])
            .args(files)
            .args(["--gateway", url, "--token-file", text(&token)?, "--out", text(out)?])
            .args(more)
            .run()
    }

    /// What the vault gives back is what was submitted, byte for byte.
    fn fetch_back(&self, record: &Path, out: &Path, gateway: &Running) -> Result<()> {
        let token = std::fs::read_to_string(self.dir.join("gateway/token")).context("read the gateway's token")?;
        let (code, printed) = self.verify(record, out, &self.dir.join("genesis.toml"))?;
        let commitment = printed.split_once("those of record ").and_then(|(_, rest)| rest.get(..64));
        let Some(commitment) = commitment else { bail!("{}: verify exits {code}:\n{printed}", record.display()) };
        let got = get(gateway.address(), &format!("/api/v1/records/{commitment}"), token.trim())?;
        let wanted = std::fs::read(record).context("read a record")?;
        ensure!(got == wanted, "{}: the vault gave back other bytes", record.display());
        Ok(())
    }

    fn verify(&self, record: &Path, out: &Path, genesis: &Path) -> Result<(i32, String)> {
        let name = record.file_name().and_then(|name| name.to_str()).context("a record's name in UTF-8")?;
        let receipt = out.join(format!("{name}.receipt.json"));
        let opening = out.join(format!("{name}.opening.json"));
        let output = std::process::Command::new(self.binary("blockhie"))
            .args(["verify", "--receipt", text(&receipt)?, "--record", text(record)?])
            .args(["--opening", text(&opening)?, "--genesis", text(genesis)?])
            .output()
            .context("start blockhie verify")?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        Ok((output.status.code().unwrap_or(-1), printed))
    }

    fn verify_all(&self, published: &[(&Path, &Path)], genesis: &Path) -> Result<()> {
        for (at, (record, out)) in published.iter().enumerate() {
            let (code, printed) = self.verify(record, out, genesis)?;
            if at == 0 {
                print!("{printed}");
            }
            ensure!(code == 0, "{}: verify: expected exit 0, got {code}\n{printed}", record.display());
        }
        self.step(&format!("{} proved offline, by a quorum of the members", count(published)));
        Ok(())
    }

    /// One changed byte must not pass.
    fn refute(&self, record: &Path, out: &Path, genesis: &Path) -> Result<()> {
        let name = record.file_name().context("a record has a name")?;
        let folder = self.dir.join("changed");
        std::fs::create_dir_all(&folder)?;
        let changed = folder.join(name);
        let mut bytes = std::fs::read(record)?;
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        std::fs::write(&changed, bytes)?;
        let (code, printed) = self.verify(&changed, out, genesis)?;
        ensure!(code == 1, "a changed record: verify: expected exit 1, got {code}\n{printed}");
        self.step("the same record with one byte changed is refuted (exit 1)");
        Ok(())
    }

    fn serve(&self, url: &str) -> Result<()> {
        println!("\nThe system is running. Open {url}");
        println!("Token for publishing: {}", self.dir.join("gateway/token").display());
        println!("Press enter to stop it and to verify everything offline.");
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line).context("wait for enter")?;
        if read == 0 {
            // No terminal: it runs until somebody ends this process.
            loop {
                std::thread::park();
            }
        }
        Ok(())
    }

    fn summary(&self, records: usize, kept: bool) {
        println!();
        println!("records   {records} published, final, given back, proved offline");
        if kept {
            println!("data      {} (receipts in published/)", self.dir.display());
        }
        println!("wall time {:.1} s", self.started.elapsed().as_secs_f64());
    }
}

fn count<T>(records: &[T]) -> String {
    if records.len() == 1 { "1 record".into() } else { format!("{} records", records.len()) }
}
