//! `blockhie verify`: files in, an answer out. No socket, no clock, no store.

mod readings;
pub(crate) mod segment;

use crate::clock::parse_time;
use crate::failure::{EXIT_USAGE, Failure};
use crate::files;
use crate::output::{Output, utc};
use blockhie_core::limits::MAX_RECEIPT_BYTES;
use blockhie_core::{
    BlockHash, ChainId, Genesis, PublicKey, Receipt, Step, Transaction, Trust, TrustError, TxHash, Verdict,
    Verification, Verified, verify_receipt,
};
use blockhie_emr::opening::MAX_OPENING_BYTES;
use blockhie_emr::payload::{self, Payload};
use blockhie_emr::{Opening, check_record};
use blockhie_phd::{Payload as PhdPayload, SegmentOpening, check_segment};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Longest genesis read, bytes: 255 members with names of 255 bytes take less than a tenth of it.
const MAX_GENESIS_BYTES: usize = 1 << 20;
/// Longest record read, bytes: it is held in memory. Far above what any vault of ours takes.
const MAX_RECORD_BYTES: usize = 1 << 30;
/// What no receipt can show.
const NOT_PROVED: &str = "this does not prove: that nothing later amends it, the time its sender claimed, or that no \
                          conflicting chain is final too";
/// Members named in the verdict; the steps name all of them.
const MEMBERS_TOLD: usize = 8;

const EXAMPLES: &str = "Examples:
  blockhie verify --receipt R.receipt.json --genesis emr.toml
      was that transaction signed, and did a quorum of the genesis members build on it?
  blockhie verify --receipt R.receipt.json --record R.json --opening R.opening.json --genesis emr.toml
      and is it about exactly these bytes?
  blockhie verify --receipt R.receipt.json --segment S.data --segment-opening S.opening.json --genesis phd.toml
      a segment of a device's readings
  blockhie verify --readings ppg/readings.csv --proofs ppg --genesis phd.toml
      every reading of a file that `blockhie device export --with-proofs` wrote
  blockhie verify --receipt R.receipt.json --genesis emr.toml --quorum 3 --json
  blockhie verify --receipt R.receipt.json --checkpoint HASH
      HASH is a block's hash that you have from someone you trust

Works with the network down. Exit codes: 0 proved, 1 refuted (the step is named), 2 all holds but it is not final yet,
3 a file is unreadable or malformed, 64 usage.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group(clap::ArgGroup::new("trust").args(["genesis", "checkpoint"]).required(true).multiple(true)))]
pub(crate) struct Args {
    /// The receipt
    #[arg(long, value_name = "FILE", required_unless_present = "readings")]
    receipt: Option<PathBuf>,
    /// The record: its exact bytes
    #[arg(long, value_name = "FILE", requires = "opening")]
    record: Option<PathBuf>,
    /// The record's opening
    #[arg(long, value_name = "FILE", requires = "record")]
    opening: Option<PathBuf>,
    /// The data of a segment of readings
    #[arg(long, value_name = "FILE", requires = "segment_opening", conflicts_with = "record")]
    segment: Option<PathBuf>,
    /// The segment's opening
    #[arg(long, value_name = "FILE", requires = "segment")]
    segment_opening: Option<PathBuf>,
    /// A file of readings, to be compared with their proofs
    #[arg(long, value_name = "FILE", requires = "proofs", conflicts_with_all = ["receipt", "record", "segment"])]
    readings: Option<PathBuf>,
    /// The folder with data, opening and receipt of each segment
    #[arg(long, value_name = "DIR", requires = "readings")]
    proofs: Option<PathBuf>,
    /// The readings were exported with this --from
    #[arg(long, value_name = "MS|TIME", value_parser = parse_time, requires = "readings")]
    from: Option<u64>,
    /// The readings were exported with this --to
    #[arg(long, value_name = "MS|TIME", value_parser = parse_time, requires = "readings")]
    to: Option<u64>,
    /// The genesis (TOML) whose members you trust
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Ask for this many members instead of the genesis's quorum
    #[arg(long, value_name = "Q", requires = "genesis")]
    quorum: Option<u32>,
    /// Hash of a block that you trust: it has to be among the receipt's headers
    #[arg(long, value_name = "HASH")]
    checkpoint: Option<BlockHash>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Report<'a> {
    verdict: Verdict,
    exit: u8,
    summary: &'a str,
    effect: &'static str,
    steps: &'a [Step],
    chain_id: ChainId,
    txhash: Option<TxHash>,
    #[serde(rename = "type")]
    tx_type: Option<i32>,
    from: Option<PublicKey>,
    height: u64,
    block_time_ms: u64,
    proved_time_ms: Option<u64>,
    members: &'a [String],
    record_checked: bool,
    segment_checked: bool,
}

/// What a receipt is compared with.
pub(crate) enum Opened<'a> {
    /// The record's bytes and its opening.
    Record(&'a [u8], &'a Opening),
    /// A segment's data and its opening.
    Segment(&'a [u8], &'a SegmentOpening),
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<u8, Failure> {
    if let (Some(file), Some(folder)) = (&args.readings, &args.proofs) {
        return readings::run(args, file, folder, out);
    }
    let read = |path: &Path, limit, what| files::read(path, limit, what);
    let path = args.receipt.as_deref().ok_or_else(|| Failure::usage("--receipt: expected a file, got none"))?;
    let receipt = Receipt::parse(&read(path, MAX_RECEIPT_BYTES, "receipt")?)
        .map_err(|error| malformed(path, error, "a receipt has one text; ask whoever gave it for it again"))?;
    let genesis = args.genesis.as_deref().map(read_genesis).transpose()?;
    let record = match (&args.record, &args.opening) {
        (Some(record), Some(opening)) => {
            let text = read(opening, MAX_OPENING_BYTES, "opening")?;
            let parsed = Opening::parse(&text).map_err(|error| {
                malformed(opening, error, "an opening has one text; ask whoever gave it for it again")
            })?;
            Some((read(record, MAX_RECORD_BYTES, "record")?, parsed))
        }
        _ => None,
    };
    let proof = match (&args.segment, &args.segment_opening) {
        (Some(data), Some(opening)) => Some(segment::read(path, opening, data)?),
        _ => None,
    };
    let opened = match (&record, &proof) {
        (Some((record, opening)), _) => Some(Opened::Record(record, opening)),
        (None, Some(proof)) => Some(Opened::Segment(&proof.data, &proof.opening)),
        (None, None) => None,
    };
    let trust = trusted(args, genesis.as_ref());
    let verification = judge(&receipt, &trust, opened.as_ref()).map_err(usage)?;
    print(&verification, &trust, opened.as_ref(), args.json, out)?;
    Ok(verification.verdict.exit_code())
}

/// Whom the arguments say to trust.
fn trusted<'a>(args: &Args, genesis: Option<&'a Genesis>) -> Trust<'a> {
    Trust { genesis, quorum: args.quorum, checkpoint: args.checkpoint }
}

/// A question that cannot be asked.
fn usage(error: TrustError) -> Failure {
    let hint = match error {
        TrustError::Open => "give --checkpoint HASH as well",
        TrustError::Quorum { .. } => "leave --quorum out to ask for the genesis's own",
        TrustError::Nothing => "give --genesis or --checkpoint",
    };
    Failure { code: EXIT_USAGE, ..Failure::failed(error) }.hint(hint)
}

pub(crate) fn malformed(path: &Path, error: impl std::fmt::Display, hint: &str) -> Failure {
    Failure::form(format!("{}: {error}", path.display())).hint(hint)
}

pub(crate) fn read_genesis(path: &Path) -> Result<Genesis, Failure> {
    let hint =
        "it is the TOML file that `emr-node genesis` or `phd-node genesis` wrote and every node of the chain has";
    let bytes = files::read(path, MAX_GENESIS_BYTES, "genesis")?;
    let text = String::from_utf8(bytes).map_err(|error| malformed(path, error, hint))?;
    Genesis::from_toml(&text).map_err(|error| malformed(path, error, hint))
}

/// The receipt, then what the transaction says, then the record or segment. A refuted step ends it; bytes that are not
/// the committed ones refute also what is not final yet.
pub(crate) fn judge(
    receipt: &Receipt,
    trust: &Trust<'_>,
    opened: Option<&Opened<'_>>,
) -> Result<Verification, TrustError> {
    let mut verification = verify_receipt(receipt, trust)?;
    if verification.verdict == Verdict::Refuted {
        return Ok(verification);
    }
    let said = verification.transaction.as_ref().and_then(|tx| read_payload(tx, &verification.chain_id));
    if let Some(said) = said {
        let (holds, detail) = match said {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        verification.steps.push(Step { name: "payload", holds: Some(holds), detail });
        if !holds {
            verification.verdict = Verdict::Refuted;
            return Ok(verification);
        }
    }
    let steps = match opened {
        Some(Opened::Record(record, opening)) => check_record(Some(record), opening, &verification, trust.genesis),
        Some(Opened::Segment(data, opening)) => check_segment(Some(data), opening, &verification),
        None => vec![],
    };
    // A segment's data of another encoding are proved as bytes; that step says so and decides nothing.
    if steps.iter().any(|step| step.holds != Some(true) && step.name != "samples" || step.holds == Some(false)) {
        verification.verdict = Verdict::Refuted;
    }
    verification.steps.extend(steps);
    Ok(verification)
}

/// What the transaction says, or what is wrong with it; `None` for types that are not read here.
fn read_payload(tx: &Transaction<Verified>, chain: &ChainId) -> Option<Result<String, String>> {
    match tx.tx_type() {
        payload::RECORD..=payload::RECORDS => {
            Some(Payload::read(tx).map(|payload| describe(&payload)).map_err(|error| error.to_string()))
        }
        blockhie_phd::payload::DEVICE..=blockhie_phd::payload::RETIRE => {
            let read = PhdPayload::read(tx, chain);
            Some(read.map(|payload| describe_phd(&payload)).map_err(|error| error.to_string()))
        }
        _ => None,
    }
}

fn describe_phd(payload: &PhdPayload) -> String {
    match payload {
        PhdPayload::Device(device) => format!("DEVICE: enrols {}", hex::encode(&device.device_key)),
        PhdPayload::Retire(retire) => format!("RETIRE: of device {}", hex::encode(&retire.device_key)),
        PhdPayload::Readings(readings) => {
            let last = readings.first_seq.saturating_add(u64::from(readings.count)).saturating_sub(1);
            let carriage = if readings.blob.is_empty() { "sealed on the chain" } else { "sealed in a blob store" };
            format!("READINGS: {} to {last}, {carriage}", readings.first_seq)
        }
    }
}

fn describe(payload: &Payload) -> String {
    match payload {
        Payload::Record(record) => format!("RECORD: commits record {}", hex::encode(&record.commitment)),
        Payload::Records(records) => {
            format!("RECORDS: commits {} records under root {}", records.count, hex::encode(&records.root))
        }
        Payload::Amend(amend) => format!("AMEND: of record {}", hex::encode(&amend.previous)),
        Payload::Retract(retract) => format!("RETRACT: of record {}", hex::encode(&retract.record)),
        Payload::Grant(grant) => format!("GRANT: consent {}", hex::encode(&grant.consent)),
        Payload::Revoke(revoke) => format!("REVOKE: of grant {}", hex::encode(&revoke.grant)),
        Payload::Access(access) => format!("ACCESS: {} entries", access.count),
    }
}

/// RECORD and RECORDS are proved by themselves; the effect of anything else depends on what else the chain holds.
fn by_itself(verification: &Verification) -> bool {
    let tx = verification.transaction.as_ref();
    tx.is_some_and(|tx| matches!(tx.tx_type(), payload::RECORD | payload::RECORDS))
}

fn print(
    verification: &Verification,
    trust: &Trust<'_>,
    opened: Option<&Opened<'_>>,
    json: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let summary = summarise(verification, trust, opened);
    if json {
        let tx = verification.transaction.as_ref();
        return out.json(&Report {
            verdict: verification.verdict,
            exit: verification.verdict.exit_code(),
            summary: &summary,
            effect: if by_itself(verification) { "by itself" } else { "depends on state" },
            steps: &verification.steps,
            chain_id: verification.chain_id,
            txhash: tx.map(|tx| tx.hash()),
            tx_type: tx.map(|tx| tx.tx_type()),
            from: tx.map(|tx| *tx.from()),
            height: verification.height,
            block_time_ms: verification.block_time_ms,
            proved_time_ms: verification.proved_time_ms,
            members: &verification.members,
            record_checked: matches!(opened, Some(Opened::Record(..))),
            segment_checked: matches!(opened, Some(Opened::Segment(..))),
        });
    }
    let width = verification.steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    verification.steps.iter().for_each(|step| print_step(step.holds, step.name, width, &step.detail, out));
    out.line(&summary);
    if verification.verdict == Verdict::Proved {
        out.line(NOT_PROVED);
    }
    Ok(())
}

pub(crate) fn print_step(holds: Option<bool>, name: &str, width: usize, detail: &str, out: &mut Output) {
    let (sign, colour) = match holds {
        Some(true) => ("✓", "32"),
        Some(false) => ("✗", "31"),
        None => ("…", "33"),
    };
    let sign = if out.colour() { format!("\x1b[{colour}m{sign}\x1b[0m") } else { sign.to_owned() };
    out.line(&format!("{sign} {name:width$}  {detail}"));
}

fn summarise(verification: &Verification, trust: &Trust<'_>, opened: Option<&Opened<'_>>) -> String {
    let failed = verification.steps.iter().find(|step| step.holds == Some(false));
    match verification.verdict {
        Verdict::Refuted => {
            format!("refuted: {} does not hold", failed.map_or("a step", |step| step.name))
        }
        Verdict::NotFinal => {
            "not final yet: all holds so far; get a newer receipt when more members have built on it".to_owned()
        }
        Verdict::Proved => {
            let what = match (by_itself(verification), opened) {
                (false, Some(Opened::Segment(..))) => {
                    "exactly this segment was committed by its device; effect depends on state"
                }
                (false, _) => "included; effect depends on state",
                (true, Some(_)) => "exactly these bytes were committed",
                (true, None) => "the commitment was made (give --record and --opening to compare the bytes)",
            };
            let mut text = format!("proved: {what}, in block {}", verification.height);
            if trust.genesis.is_some_and(|genesis| !genesis.is_open()) {
                let members = &verification.members;
                let mut names = members.iter().take(MEMBERS_TOLD).cloned().collect::<Vec<_>>().join(", ");
                if members.len() > MEMBERS_TOLD {
                    names.push_str(", …");
                }
                let time = verification.proved_time_ms.map_or_else(String::new, |time| {
                    format!(", not later than {} if one of the quorum is honest", utc(time))
                });
                text.push_str(&format!("; {} members built on it ({names}){time}", members.len()));
            }
            if trust.checkpoint.is_some() {
                text.push_str("; it leads to the checkpoint");
            }
            text
        }
    }
}
