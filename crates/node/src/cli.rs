//! The command line that `emr-node` and `phd-node` share.

mod args;
mod serve;

use crate::config::{Config, DEFAULT_HASH_RATE};
use crate::datadir::{DataDir, read_genesis, write_genesis};
use anyhow::{Context, Result, anyhow, bail};
use args::{AskArgs, Cli, Command, FsckArgs, GenesisArgs, InitArgs, examples};
use blockhie_core::genesis::{ChainKind, Genesis, Member};
use blockhie_core::{Application, Hash32, SecretKey, keyfile};
use blockhie_store::RocksStore;
use blockhie_transport::LedgerClient;
use clap::{CommandFactory, FromArgMatches};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// What distinguishes one node binary from another.
pub struct NodeKind {
    /// The binary's name.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// Which chain.
    pub kind: ChainKind,
    /// Its packing policy by default.
    pub packing: &'static str,
    /// Its application.
    pub application: fn(&Genesis) -> Arc<dyn Application>,
}

/// Usage errors (sysexits.h).
const EXIT_USAGE: u8 = 64;

/// Runs a node binary.
#[must_use]
pub fn main(kind: &NodeKind) -> ExitCode {
    let command = Cli::command().name(kind.name).bin_name(kind.name).about(kind.about).after_help(examples(kind.name));
    let cli = match command.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing helps when the terminal is gone.
            drop(error.print());
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match run(kind, cli.command) {
        Ok(code) => code,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{}: {error:#}", kind.name));
            ExitCode::FAILURE
        }
    }
}

/// One line on stdout. A reader that is gone ends the command, not with a panic.
fn say(line: impl std::fmt::Display) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("write to stdout")
}

fn run(kind: &NodeKind, command: Command) -> Result<ExitCode> {
    match command {
        Command::Genesis(args) => new_genesis(kind, &args)?,
        Command::Init(args) => init(kind, &args)?,
        Command::Run(args) => runtime()?.block_on(serve::serve(kind, args))?,
        Command::Config => say(default_config(kind).commented().trim_end())?,
        Command::Fsck(args) => return fsck(kind, &args),
        Command::Status(args) => runtime()?.block_on(status(&args))?,
        Command::Peers(args) => runtime()?.block_on(peers(&args))?,
        Command::Backup(args) => {
            let dir = DataDir::new(&args.data_dir);
            dir.store(&dir.config(None)?)?.checkpoint(&args.backup)?;
            say(format_args!("backup written to {}", args.backup.display()))?;
        }
        Command::Restore(args) => {
            let dir = DataDir::new(&args.data_dir);
            let chain = dir.genesis()?.chain_id();
            drop(RocksStore::restore(&args.backup, &dir.store_path(), Some(&chain), &dir.config(None)?.store)?);
            say(format_args!("store restored from {}", args.backup.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")
}

fn default_config(kind: &NodeKind) -> Config {
    Config { packing: kind.packing.into(), ..Config::default() }
}

fn random_hash() -> Result<Hash32> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("the operating system gave no randomness: {error}"))?;
    Ok(Hash32(bytes))
}

fn build_genesis(kind: ChainKind, name: &str, members: Vec<Member>, interval_ms: u32) -> Result<Genesis> {
    let first = blockhie_pow::first_target_for(members.len(), DEFAULT_HASH_RATE, interval_ms);
    let mut genesis = Genesis::with_defaults(kind, name, random_hash()?, crate::driver::wall_ms(), first, members);
    genesis = genesis.with_siblings();
    genesis.block_interval_ms = interval_ms;
    genesis.half_life_ms = 144 * u64::from(interval_ms);
    Ok(genesis)
}

fn parse_member(text: &str) -> Result<Member> {
    let (name, key) = text.split_once('=').ok_or_else(|| anyhow!("--member: expected NAME=PUBKEY, got {text:?}"))?;
    let key = key.parse().with_context(|| format!("--member {name}"))?;
    Ok(Member { key, name: name.to_owned() })
}

fn new_genesis(kind: &NodeKind, args: &GenesisArgs) -> Result<()> {
    let members = args.members.iter().map(|text| parse_member(text)).collect::<Result<Vec<_>>>()?;
    if members.is_empty() && !args.open {
        bail!("expected at least one --member NAME=PUBKEY (or --open, for development), got none");
    }
    let mut genesis = build_genesis(kind.kind, &args.name, members, args.interval_ms)?;
    genesis.max_transactions = args.max_transactions;
    (genesis.sibling_window, genesis.sibling_limit) = (args.sibling_window, args.sibling_limit);
    genesis.quorum = args.quorum.unwrap_or(genesis.quorum);
    genesis.spacing = args.spacing.unwrap_or(genesis.spacing);
    genesis.check()?;
    write_genesis(&args.out, &genesis)?;
    if genesis.is_open() {
        say("OPEN chain: anybody may mine, nothing becomes final. For development only.")?;
    }
    say(format_args!("chain {}", genesis.chain_id()))
}

fn init(kind: &NodeKind, args: &InitArgs) -> Result<()> {
    let secret = match &args.key {
        Some(path) => keyfile::read(path)?,
        None => SecretKey::generate().map_err(|error| anyhow!("the operating system gave no randomness: {error}"))?,
    };
    let genesis = match &args.genesis {
        Some(path) => read_genesis(path)?,
        None if args.open => build_genesis(kind.kind, "development", Vec::new(), 1_000)?,
        None => {
            let member = Member { key: secret.public(), name: "this node".into() };
            build_genesis(kind.kind, "one member", vec![member], 1_000)?
        }
    };
    check_kind(kind, &genesis)?;
    let dir = DataDir::new(&args.data_dir);
    dir.init(&genesis, &secret, &default_config(kind))?;
    say(format_args!("data folder {}", args.data_dir.display()))?;
    say(format_args!("public key  {}", secret.public()))?;
    say(format_args!(
        "chain       {}{}",
        genesis.chain_id(),
        if genesis.is_open() { " (open: development only)" } else { "" }
    ))
}

fn check_kind(kind: &NodeKind, genesis: &Genesis) -> Result<()> {
    if genesis.kind == kind.kind {
        return Ok(());
    }
    bail!("genesis: expected a chain of kind {}, got {}", kind.kind.name(), genesis.kind.name())
}

fn fsck(kind: &NodeKind, args: &FsckArgs) -> Result<ExitCode> {
    let dir = DataDir::new(&args.data_dir);
    let genesis = dir.genesis()?;
    let store = dir.store(&dir.config(None)?)?;
    let entries = store.verify()?;
    let consensus = Arc::new(blockhie_pow::ProofOfWork::new(&genesis));
    let view = blockhie_core::Store::snapshot(&store);
    let report = blockhie_core::fsck::fsck(view.as_ref(), consensus, (kind.application)(&genesis))?;
    if args.json {
        say(serde_json::json!({
            "height": report.height, "tip": report.tip, "transactions": report.transactions,
            "pending": report.pending, "state_hash": report.state_hash, "entries": entries,
            "pruned_below": report.pruned_below, "bodies_pruned": report.bodies_pruned,
            "differences": report.differences, "described": report.described,
        }))?;
    } else {
        for line in &report.described {
            say(format_args!("DIFFERS {line}"))?;
        }
        say(format_args!("entries      {entries} read, checksums hold"))?;
        say(format_args!("height       {} (tip {})", report.height, report.tip))?;
        say(format_args!("transactions {} committed, {} waiting", report.transactions, report.pending))?;
        if report.pruned_below > 0 {
            let (bodies, below) = (report.bodies_pruned, report.pruned_below);
            say(format_args!("pruned       {bodies} bodies below height {below}: there the state is taken as stored"))?;
        }
        say(format_args!("state hash   {}", report.state_hash))?;
        say(format_args!("differences  {}", report.differences))?;
    }
    Ok(if report.differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn client(args: &AskArgs) -> Result<LedgerClient> {
    let address = match (&args.node, &args.data_dir) {
        (Some(node), _) => node.clone(),
        (None, Some(path)) => DataDir::new(path).address().context("no node runs in this folder")?,
        (None, None) => bail!("expected --data-dir or --node"),
    };
    Ok(LedgerClient::connect(&address).await?)
}

async fn status(args: &AskArgs) -> Result<()> {
    let client = client(args).await?;
    let (tip, genesis) = (client.tip().await?, client.genesis().await?);
    let genesis = Genesis::from_bytes(&genesis)?;
    // A node of an earlier release does not tell.
    let sync = client.sync().await.ok();
    if args.json {
        let sync = sync.map(|sync| {
            let lasting_ms = u64::try_from(sync.lasting.as_millis()).unwrap_or(u64::MAX);
            serde_json::json!({"reason": sync.reason, "text": sync.text, "lasting_ms": lasting_ms})
        });
        return say(serde_json::json!({
            "sync": sync, "chain": genesis.chain_id(), "name": genesis.name, "kind": genesis.kind, "height": tip.height,
            "hash": tip.hash, "time_ms": tip.time_ms, "work": format!("{:#x}", tip.work),
            "final_height": tip.final_height, "pending": tip.pending, "alarm": tip.alarm,
            "pruned_below": tip.pruned_below,
        }));
    }
    say(format_args!("chain   {} ({}, {})", genesis.chain_id(), genesis.name, genesis.kind.name()))?;
    say(format_args!("height  {} (tip {})", tip.height, tip.hash))?;
    let last = tip.final_height.map_or_else(|| "none yet".to_owned(), |height| height.to_string());
    say(format_args!("final   {last} (quorum {} of {} members)", genesis.quorum, genesis.members.len()))?;
    say(format_args!("waiting {} transactions", tip.pending))?;
    if tip.pruned_below > 0 {
        say(format_args!("pruned  bodies below height {}", tip.pruned_below))?;
    }
    if let Some(sync) = sync {
        let word = if sync.reason == "clock" { "ALARM  " } else { "sync   " };
        say(format_args!("{word} {} (for {} s)", sync.text, sync.lasting.as_secs()))?;
    }
    if let Some(height) = tip.alarm {
        say(format_args!(
            "ALARM   the final block at height {height} was abandoned; mining is stopped (run --clear-alarm)"
        ))?;
    }
    Ok(())
}

async fn peers(args: &AskArgs) -> Result<()> {
    let peers = client(args).await?.peers().await?;
    if args.json {
        let rows: Vec<_> = peers
            .iter()
            .map(|peer| serde_json::json!({"address": peer.address.to_string(), "height": peer.height, "connected": peer.connected}))
            .collect();
        return say(serde_json::Value::from(rows));
    }
    if peers.is_empty() {
        return say("no peers");
    }
    for peer in peers {
        let state = match (peer.banned, peer.connected, peer.left_alone) {
            (true, ..) => "banned",
            (_, true, _) => "connected",
            (.., Some(_)) => "left alone",
            _ => "not connected",
        };
        say(format_args!("{:<24} {state:<14} height {}", peer.address.to_string(), peer.height))?;
    }
    Ok(())
}
