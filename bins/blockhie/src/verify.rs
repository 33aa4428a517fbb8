//! `blockhie verify`: files in, an answer out. No socket, no clock, no store.

use crate::failure::{EXIT_USAGE, Failure};
use crate::files;
use crate::output::{Output, utc};
use blockhie_core::limits::MAX_RECEIPT_BYTES;
use blockhie_core::{
    BlockHash, ChainId, Genesis, PublicKey, Receipt, Step, Trust, TrustError, TxHash, Verdict, Verification,
    verify_receipt,
};
use blockhie_emr::opening::MAX_OPENING_BYTES;
use blockhie_emr::payload::{self, Payload};
use blockhie_emr::{Opening, check_record};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Longest genesis read, bytes: 255 members with names of 255 bytes take less than a tenth of it.
const MAX_GENESIS_BYTES: usize = 1 << 20;
/// Longest record read, bytes: it is held in memory. Far above what any vault of ours takes.
const MAX_RECORD_BYTES: usize = 1 << 30;
/// Members named in the verdict; the steps name all of them.
const MEMBERS_TOLD: usize = 8;

const EXAMPLES: &str = "Examples:
  blockhie verify --receipt R.receipt.json --genesis emr.toml
      was that transaction signed, and did a quorum of the genesis members build on it?
  blockhie verify --receipt R.receipt.json --record R.json --opening R.opening.json --genesis emr.toml
      and is it about exactly these bytes?
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
    #[arg(long, value_name = "FILE")]
    receipt: PathBuf,
    /// The record: its exact bytes
    #[arg(long, value_name = "FILE", requires = "opening")]
    record: Option<PathBuf>,
    /// The record's opening
    #[arg(long, value_name = "FILE", requires = "record")]
    opening: Option<PathBuf>,
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
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<u8, Failure> {
    let read = |path: &Path, limit, what| files::read(path, limit, what);
    let receipt = Receipt::parse(&read(&args.receipt, MAX_RECEIPT_BYTES, "receipt")?)
        .map_err(|error| malformed(&args.receipt, error, "a receipt has one text; ask whoever gave it for it again"))?;
    let genesis = args.genesis.as_deref().map(read_genesis).transpose()?;
    let opened = match (&args.record, &args.opening) {
        (Some(record), Some(opening)) => {
            let text = read(opening, MAX_OPENING_BYTES, "opening")?;
            let parsed = Opening::parse(&text).map_err(|error| {
                malformed(opening, error, "an opening has one text; ask whoever gave it for it again")
            })?;
            Some((read(record, MAX_RECORD_BYTES, "record")?, parsed))
        }
        _ => None,
    };
    let trust = Trust { genesis: genesis.as_ref(), quorum: args.quorum, checkpoint: args.checkpoint };
    let opened = opened.as_ref().map(|(record, opening)| (record.as_slice(), opening));
    let verification = judge(&receipt, &trust, opened).map_err(|error| {
        let hint = match error {
            TrustError::Open => "give --checkpoint HASH as well",
            TrustError::Quorum { .. } => "leave --quorum out to ask for the genesis's own",
            TrustError::Nothing => "give --genesis or --checkpoint",
        };
        Failure { code: EXIT_USAGE, ..Failure::failed(error) }.hint(hint)
    })?;
    print(&verification, &trust, opened.is_some(), args.json, out)?;
    Ok(verification.verdict.exit_code())
}

fn malformed(path: &Path, error: impl std::fmt::Display, hint: &str) -> Failure {
    Failure::form(format!("{}: {error}", path.display())).hint(hint)
}

fn read_genesis(path: &Path) -> Result<Genesis, Failure> {
    let hint = "it is the TOML file that `emr-node genesis` wrote and every node of the chain has";
    let bytes = files::read(path, MAX_GENESIS_BYTES, "genesis")?;
    let text = String::from_utf8(bytes).map_err(|error| malformed(path, error, hint))?;
    Genesis::from_toml(&text).map_err(|error| malformed(path, error, hint))
}

/// The receipt, then what the transaction says, then the record. A refuted step ends it; a record that is not the
/// committed one refutes also what is not final yet.
pub(crate) fn judge(
    receipt: &Receipt,
    trust: &Trust<'_>,
    opened: Option<(&[u8], &Opening)>,
) -> Result<Verification, TrustError> {
    let mut verification = verify_receipt(receipt, trust)?;
    if verification.verdict == Verdict::Refuted {
        return Ok(verification);
    }
    let tx = verification.transaction.as_ref();
    if let Some(tx) = tx.filter(|tx| matches!(tx.tx_type(), payload::RECORD..=payload::RECORDS)) {
        let (holds, detail) = match Payload::read(tx) {
            Ok(payload) => (true, describe(&payload)),
            Err(error) => (false, error.to_string()),
        };
        verification.steps.push(Step { name: "payload", holds: Some(holds), detail });
        if !holds {
            verification.verdict = Verdict::Refuted;
            return Ok(verification);
        }
    }
    if let Some((record, opening)) = opened {
        let steps = check_record(Some(record), opening, &verification, trust.genesis);
        if steps.iter().any(|step| step.holds != Some(true)) {
            verification.verdict = Verdict::Refuted;
        }
        verification.steps.extend(steps);
    }
    Ok(verification)
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
    record_checked: bool,
    json: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let summary = summarise(verification, trust, record_checked);
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
            record_checked,
        });
    }
    let width = verification.steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    for step in &verification.steps {
        let (sign, colour) = match step.holds {
            Some(true) => ("✓", "32"),
            Some(false) => ("✗", "31"),
            None => ("…", "33"),
        };
        let sign = if out.colour() { format!("\x1b[{colour}m{sign}\x1b[0m") } else { sign.to_owned() };
        out.line(&format!("{sign} {:width$}  {}", step.name, step.detail));
    }
    out.line(&summary);
    if verification.verdict == Verdict::Proved {
        out.line(
            "this does not prove: that nothing later amends it, the time its sender claimed, or that no conflicting \
             chain is final too",
        );
    }
    Ok(())
}

fn summarise(verification: &Verification, trust: &Trust<'_>, record_checked: bool) -> String {
    let failed = verification.steps.iter().find(|step| step.holds == Some(false));
    match verification.verdict {
        Verdict::Refuted => {
            format!("refuted: {} does not hold", failed.map_or("a step", |step| step.name))
        }
        Verdict::NotFinal => {
            "not final yet: all holds so far; get a newer receipt when more members have built on it".to_owned()
        }
        Verdict::Proved => {
            let what = match (by_itself(verification), record_checked) {
                (false, _) => "included; effect depends on state",
                (true, true) => "exactly these bytes were committed",
                (true, false) => "the commitment was made (give --record and --opening to compare the bytes)",
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
