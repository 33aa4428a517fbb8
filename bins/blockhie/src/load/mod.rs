//! `blockhie load`: transactions at a steady rate, and at the end where each acknowledged one is.

mod acks;
mod fleet;
mod outcome;
mod stats;
mod traffic;

use crate::chain::runtime;
use crate::failure::{EXIT_FAILED, EXIT_NOT_FINAL, Failure};
use crate::output::Output;
use acks::AckLog;
use blockhie_core::{ChainKind, SecretKey, keyfile};
use blockhie_transport::ClientError;
use fleet::Fleet;
use outcome::{Acknowledged, Outcome};
use stats::{Report, Sending, Tally};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use traffic::Traffic;

/// Most transactions a second asked for: far above what a node takes, so that a slip of the finger costs nothing.
const MAX_TPS: u32 = 100_000;
/// Longest run, seconds: a day. The wait at its end, too.
const MAX_SECONDS: u32 = 86_400;
/// Most sender keys or devices.
const MAX_SENDERS: u16 = 1_000;
/// Most submissions in flight: what a node may keep of one client is bounded, and so is our memory.
const MAX_IN_FLIGHT: u16 = 4_096;
/// How long a node that does not answer is asked again at the end: it may be restarting.
const CHECK_TIME: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "Examples:
  blockhie load --node http://127.0.0.1:7001 --tps 50 --seconds 20
  blockhie load --node 127.0.0.1:7001 --node 127.0.0.1:7002 --tps 500 --seconds 60 --senders 8 --settle 30 --json
      turn by turn to two nodes of one chain; afterwards up to 30 s until all of it is committed
  blockhie load --node 127.0.0.1:7001 --tps 100 --seconds 60 --acks acks.txt
      each acknowledged txhash becomes a line of acks.txt at once: kill the node when you like, start it again, and
      ask `blockhie chain tx --file acks.txt` whether it still knows them all

An EMR-Chain gets RECORDs with random commitments. A PHD-Chain gets READINGS: first --senders devices are enrolled, then
each sends segments of its own sequence with random contents, of which the chain holds the hash, or with --inline 128
sealed bytes. Both stay on the chain: use a chain made for it.

Lost: acknowledged, and at the end neither pending nor committed. Exit 0 if none is lost or void and all could be looked
up; 2 if with --settle some still wait at the end.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A node, http://HOST:PORT or HOST:PORT; repeat it, and they take turns
    #[arg(long = "node", value_name = "URL", required = true)]
    nodes: Vec<String>,
    /// Transactions a second, over all nodes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_TPS)))]
    tps: u32,
    /// How long to send
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SECONDS)))]
    seconds: u32,
    /// How long to wait at the end until everything acknowledged is committed
    #[arg(long, value_name = "SECONDS", default_value_t = 0,
          value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_SECONDS)))]
    settle: u32,
    /// How many keys or devices send, made for this run
    #[arg(long, value_name = "K", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_SENDERS)))]
    senders: u16,
    /// Key file of the one sender, or of the devices' owner, where the node lets in only enrolled keys
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// On a PHD-Chain: the sealed bytes on the chain, not only their hash
    #[arg(long)]
    inline: bool,
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
    let key = args.key.as_deref().map(keyfile::read).transpose().map_err(Failure::form)?;
    let acks = args.acks.as_deref().map(AckLog::open).transpose()?;
    let report = runtime()?.block_on(drive(args, key, acks))?;
    if args.json {
        out.json(&report)?;
    } else {
        report.lines().iter().for_each(|line| out.line(line));
    }
    Ok(match report.is_good() {
        false => EXIT_FAILED,
        true if args.settle > 0 && report.pending > 0 => EXIT_NOT_FINAL,
        true => 0,
    })
}

/// What the submitting tasks share.
struct Shared {
    fleet: Arc<Fleet>,
    traffic: Traffic,
    tally: Mutex<Tally>,
    acknowledged: Mutex<Vec<Acknowledged>>,
    acks: Option<AckLog>,
    acks_failed: Mutex<Option<Failure>>,
}

async fn drive(args: &Args, key: Option<SecretKey>, acks: Option<AckLog>) -> Result<Report, Failure> {
    let fleet = Arc::new(Fleet::connect(&args.nodes).await?);
    let traffic = traffic(args, &fleet, key).await?;
    let shared = Arc::new(Shared {
        fleet: Arc::clone(&fleet),
        traffic,
        tally: Mutex::default(),
        acknowledged: Mutex::default(),
        acks,
        acks_failed: Mutex::default(),
    });
    let sending = send_all(args, &shared).await?;
    if let Some(failure) = locked(&shared.acks_failed).take() {
        return Err(failure);
    }
    let all = std::mem::take(&mut *locked(&shared.acknowledged));
    let outcome = Outcome::settle(&fleet, all, Duration::from_secs(u64::from(args.settle))).await;
    let (kind, nodes) = (fleet.genesis().kind.name(), fleet.len());
    Ok(Report::new(kind, nodes, &sending, &mut locked(&shared.tally), outcome))
}

async fn traffic(args: &Args, fleet: &Fleet, key: Option<SecretKey>) -> Result<Traffic, Failure> {
    let make = || SecretKey::generate().map_err(Failure::failed);
    match fleet.genesis().kind {
        ChainKind::Emr if args.inline => Err(Failure::usage("--inline: expected a phd-chain, got an emr-chain")),
        ChainKind::Emr => {
            let senders = match key {
                Some(key) if args.senders == 1 => vec![key],
                Some(_) => return Err(Failure::usage("--key: on an emr-chain it is the one sender: no --senders")),
                None => (0..args.senders).map(|_| make()).collect::<Result<_, _>>()?,
            };
            Ok(Traffic::Records { senders })
        }
        ChainKind::Phd => {
            let owner = key.map_or_else(make, Ok)?;
            let devices = traffic::enrol(fleet, &owner, args.senders).await?;
            Ok(Traffic::Readings { devices, inline: args.inline })
        }
    }
}

/// Now, ms since the epoch.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// A panic in one task must not take the counts of the others with it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Submits at the rate asked for until the time is over and all are answered.
async fn send_all(args: &Args, shared: &Arc<Shared>) -> Result<Sending, Failure> {
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
        let (shared, slots, serial) = (Arc::clone(shared), Arc::clone(&slots), sent);
        tasks.spawn(async move {
            submit(&shared, serial).await;
            slots.add_permits(1);
        });
        sent += 1;
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
    Ok(Sending { sent, behind: total - sent, elapsed: start.elapsed() })
}

async fn acquire(slots: &Semaphore) -> Result<SemaphorePermit<'_>, Failure> {
    slots.acquire().await.map_err(Failure::failed)
}

async fn submit(shared: &Shared, serial: u64) {
    let tx = match shared.traffic.make(&shared.fleet.chain(), serial) {
        Ok(tx) => tx,
        Err(error) => return locked(&shared.tally).failed(format!("no randomness: {error}")),
    };
    let node = shared.fleet.turn(serial);
    let (hash, time_ms, tx) = (tx.hash(), tx.time_ms(), tx.into_unverified());
    let begin = Instant::now();
    match shared.fleet.client(node).submit(&tx).await {
        Ok(answer) if answer == hash => {
            let latency = begin.elapsed();
            if let Some(Err(failure)) = shared.acks.as_ref().map(|acks| acks.append(&hash)) {
                *locked(&shared.acks_failed) = Some(failure);
            }
            locked(&shared.tally).acknowledged(latency);
            locked(&shared.acknowledged).push(Acknowledged { hash, time_ms, node });
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
