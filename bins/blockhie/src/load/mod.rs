//! `blockhie load`: RECORDs with random commitments at a steady rate, and at the end where each acknowledged one is.

mod acks;
mod stats;

use crate::chain::{connect, refused, runtime};
use crate::failure::{EXIT_FAILED, Failure};
use crate::output::{Output, note};
use acks::AckLog;
use blockhie_core::{ChainId, ChainKind, Genesis, SecretKey, Transaction, TxHash, TxStatus, Verified, keyfile};
use blockhie_emr::payload::{RECORD, Record};
use blockhie_transport::{ClientError, LedgerClient};
use prost::Message;
use stats::{Report, Tally};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;

/// Most transactions a second asked for: far above what a node takes, so that a slip of the finger costs nothing.
const MAX_TPS: u32 = 100_000;
/// Longest run, seconds: a day.
const MAX_SECONDS: u32 = 86_400;
/// Most sender keys.
const MAX_SENDERS: u16 = 1_000;
/// Most submissions in flight: what a node may keep of one client is bounded, and so is our memory.
const MAX_IN_FLIGHT: u16 = 4_096;
/// Questions in flight when the acknowledged ones are looked up.
const CHECKS_IN_FLIGHT: usize = 64;
/// How long a node that does not answer is asked again at the end: it may be restarting.
const CHECK_TIME: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "Examples:
  blockhie load --node http://127.0.0.1:7001 --tps 50 --seconds 20
  blockhie load --node 127.0.0.1:7001 --tps 500 --seconds 60 --senders 8 --json
  blockhie load --node 127.0.0.1:7001 --tps 100 --seconds 60 --acks acks.txt
      each acknowledged txhash becomes a line of acks.txt at once: kill the node when you like, start it again, and
      ask `blockhie chain tx --file acks.txt` whether it still knows them all

Lost: acknowledged, and at the end neither pending nor committed. Exit 0 if none is lost and all could be looked up.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The node: http://HOST:PORT or HOST:PORT
    #[arg(long, value_name = "URL")]
    node: String,
    /// Transactions a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_TPS)))]
    tps: u32,
    /// How long to send
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SECONDS)))]
    seconds: u32,
    /// How many keys send, made for this run
    #[arg(long, value_name = "K", default_value_t = 1, conflicts_with = "key",
          value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_SENDERS)))]
    senders: u16,
    /// Key file of the one sender, where the node lets in only enrolled keys
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Append each acknowledged txhash to this file, one a line, written at once
    #[arg(long, value_name = "FILE")]
    acks: Option<PathBuf>,
    /// Most submissions in flight
    #[arg(long, value_name = "N", default_value_t = 256,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_IN_FLIGHT)))]
    in_flight: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<u8, Failure> {
    let senders = match &args.key {
        Some(path) => vec![keyfile::read(path).map_err(Failure::form)?],
        None => (0..args.senders).map(|_| SecretKey::generate()).collect::<Result<_, _>>().map_err(Failure::failed)?,
    };
    let acks = args.acks.as_deref().map(AckLog::open).transpose()?;
    let report = runtime()?.block_on(drive(args, senders, acks))?;
    if args.json {
        out.json(&report)?;
    } else {
        report.lines().iter().for_each(|line| out.line(line));
    }
    let good = report.lost == 0 && report.unchecked == 0 && report.acknowledged > 0;
    Ok(if good { 0 } else { EXIT_FAILED })
}

/// What the submitting tasks share.
struct Shared {
    client: LedgerClient,
    chain: ChainId,
    senders: Vec<SecretKey>,
    tally: Mutex<Tally>,
    acknowledged: Mutex<Vec<TxHash>>,
    acks: Option<AckLog>,
    acks_failed: Mutex<Option<Failure>>,
}

async fn drive(args: &Args, senders: Vec<SecretKey>, acks: Option<AckLog>) -> Result<Report, Failure> {
    let client = connect(&args.node).await?;
    let bytes = client.genesis().await.map_err(|error| refused(&error))?;
    let genesis = Genesis::from_bytes(&bytes).map_err(|error| Failure::failed(format!("{}: {error}", args.node)))?;
    if genesis.kind != ChainKind::Emr {
        let got = genesis.kind.name();
        return Err(Failure::usage(format!("--node {}: expected an emr-chain, got a {got}-chain", args.node))
            .hint("RECORDs belong on an EMR-Chain"));
    }
    let shared = Arc::new(Shared {
        client,
        chain: genesis.chain_id(),
        senders,
        tally: Mutex::default(),
        acknowledged: Mutex::default(),
        acks,
        acks_failed: Mutex::default(),
    });
    let (sent, behind, elapsed) = send_all(args, &shared).await?;
    if let Some(failure) = locked(&shared.acks_failed).take() {
        return Err(failure);
    }
    let hashes = std::mem::take(&mut *locked(&shared.acknowledged));
    let found = look_up(&shared.client, &hashes).await;
    let mut tally = locked(&shared.tally);
    let acknowledged = count(hashes.len());
    // A rate is for people, who do not miss what a float above 2^52 would.
    let acknowledged_per_s = acknowledged as f64 / elapsed.as_secs_f64();
    Ok(Report {
        sent,
        acknowledged,
        lost: found.lost,
        unchecked: found.unchecked,
        committed: found.committed,
        pending: found.pending,
        failed: tally.failures().clone(),
        behind,
        acknowledged_per_s: (acknowledged_per_s * 10.0).round() / 10.0,
        p50_ms: tally.percentile_ms(50),
        p99_ms: tally.percentile_ms(99),
    })
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// A panic in one task must not take the counts of the others with it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Submits at the rate asked for until the time is over and all are answered: sent, never begun, time taken.
async fn send_all(args: &Args, shared: &Arc<Shared>) -> Result<(u64, u64, Duration), Failure> {
    let slots = Arc::new(Semaphore::new(usize::from(args.in_flight)));
    let mut tasks = JoinSet::new();
    let total = u64::from(args.tps) * u64::from(args.seconds);
    let start = tokio::time::Instant::now();
    let end = start + Duration::from_secs(u64::from(args.seconds));
    let mut sent = 0u64;
    while sent < total {
        let due = start + Duration::from_nanos(sent.saturating_mul(1_000_000_000) / u64::from(args.tps));
        tokio::time::sleep_until(due).await;
        let Ok(slot) = tokio::time::timeout_at(end, acquire(&slots)).await else { break };
        slot?.forget();
        if locked(&shared.acks_failed).is_some() {
            break;
        }
        let sender = usize::try_from(sent).unwrap_or(0) % shared.senders.len();
        let (shared, slots) = (Arc::clone(shared), Arc::clone(&slots));
        tasks.spawn(async move {
            submit(&shared, sender).await;
            slots.add_permits(1);
        });
        sent += 1;
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
    Ok((sent, total - sent, start.elapsed()))
}

async fn acquire(slots: &Semaphore) -> Result<SemaphorePermit<'_>, Failure> {
    slots.acquire().await.map_err(Failure::failed)
}

async fn submit(shared: &Shared, sender: usize) {
    let tx = match random_record(&shared.chain, &shared.senders[sender]) {
        Ok(tx) => tx,
        Err(error) => return locked(&shared.tally).failed(format!("no randomness: {error}")),
    };
    let (hash, tx) = (tx.hash(), tx.into_unverified());
    let begin = Instant::now();
    match shared.client.submit(&tx).await {
        Ok(answer) if answer == hash => {
            let latency = begin.elapsed();
            if let Some(Err(failure)) = shared.acks.as_ref().map(|acks| acks.append(&hash)) {
                *locked(&shared.acks_failed) = Some(failure);
            }
            locked(&shared.tally).acknowledged(latency);
            locked(&shared.acknowledged).push(hash);
        }
        Ok(_) => locked(&shared.tally).failed("answered another txhash".into()),
        Err(error) => locked(&shared.tally).failed(reason(&error)),
    }
}

/// Few enough different texts to count: those of the node are told apart by their class.
fn reason(error: &ClientError) -> String {
    match error {
        ClientError::Status { class, .. } => format!("refused ({class:?})").to_lowercase(),
        ClientError::Unreachable { .. } => "no answer".into(),
        ClientError::BadAnswer { .. } | ClientError::Address { .. } => "answer breaks the contract".into(),
    }
}

fn random_record(chain: &ChainId, sender: &SecretKey) -> Result<Transaction<Verified>, getrandom::Error> {
    let mut commitment = vec![0; 32];
    getrandom::fill(&mut commitment)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    Ok(Transaction::sign(chain, sender, time_ms, RECORD, None, &Record { commitment }.encode_to_vec()))
}

/// Where the acknowledged ones are.
#[derive(Default)]
struct Found {
    lost: u64,
    unchecked: u64,
    committed: u64,
    pending: u64,
}

async fn look_up(client: &LedgerClient, hashes: &[TxHash]) -> Found {
    let deadline = Instant::now() + CHECK_TIME;
    let mut found = Found::default();
    let mut told = false;
    for chunk in hashes.chunks(CHECKS_IN_FLIGHT) {
        let mut asked = JoinSet::new();
        for hash in chunk {
            let (client, hash) = (client.clone(), *hash);
            asked.spawn(async move { ask(&client, hash, deadline).await });
        }
        while let Some(answer) = asked.join_next().await {
            match answer.unwrap_or(None) {
                Some(TxStatus::Unknown) => found.lost += 1,
                Some(TxStatus::Pending { .. }) => found.pending += 1,
                Some(TxStatus::Committed { .. }) => found.committed += 1,
                None => found.unchecked += 1,
            }
        }
        if found.unchecked > 0 && !told {
            told = true;
            note("warning: the node does not answer where all acknowledged transactions stand");
        }
    }
    found
}

/// Asks until there is an answer or the time is over.
async fn ask(client: &LedgerClient, hash: TxHash, deadline: Instant) -> Option<TxStatus> {
    loop {
        match client.status(hash).await {
            Ok(status) => return Some(status),
            Err(_) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(250)).await,
            Err(_) => return None,
        }
    }
}
