//! `blockhie link verify`: files and a clock in, an answer out. No socket, no store.

use super::proof::{Judged, OPENING, Proof, RECEIPTS};
use crate::clock::now_ms;
use crate::failure::{EXIT_USAGE, Failure};
use crate::output::{Output, utc};
use crate::verify::{print_step, read_genesis};
use blockhie_core::{Hash32, PublicKey, Step, Trust, Verdict};
use serde::Serialize;
use std::path::PathBuf;

/// What no link can show.
const NOT_PROVED: &str = "this does not prove: that what the two say is true, that the record was not amended or \
                          retracted, or that the device is still enrolled";

const EXAMPLES: &str = "Examples:
  blockhie link verify --dir link --emr-genesis emr.toml --phd-genesis phd.toml --audience MY_PUBLIC_KEY
      do owner and holder say, to me, that this record and this device are one person's, and do both chains hold it?
  blockhie link verify --opening link-opening.json --record-receipt record.receipt.json \\
      --device-receipt device.receipt.json --link-emr-receipt link-emr.receipt.json \\
      --link-phd-receipt link-phd.receipt.json --emr-genesis emr.toml --phd-genesis phd.toml --json

Works with the network down; the end of a link is judged by this machine's clock. Without --audience it says whom the
link is told and does not compare. Exit codes: 0 proved, 1 refuted (the step is named; also when it has ended or is told
to another), 2 all holds but it is not final yet, 3 a file is unreadable or malformed, 64 usage.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The folder that `blockhie link create` wrote
    #[arg(long, value_name = "DIR", required_unless_present_all = FILES)]
    dir: Option<PathBuf>,
    /// The link's opening, if not in --dir
    #[arg(long, value_name = "FILE")]
    opening: Option<PathBuf>,
    /// Receipt of the record, if not in --dir
    #[arg(long, value_name = "FILE")]
    record_receipt: Option<PathBuf>,
    /// Receipt of the device, if not in --dir
    #[arg(long, value_name = "FILE")]
    device_receipt: Option<PathBuf>,
    /// Receipt of the half on the EMR-Chain, if not in --dir
    #[arg(long, value_name = "FILE")]
    link_emr_receipt: Option<PathBuf>,
    /// Receipt of the half on the PHD-Chain, if not in --dir
    #[arg(long, value_name = "FILE")]
    link_phd_receipt: Option<PathBuf>,
    /// The EMR-Chain's genesis (TOML), whose members you trust
    #[arg(long, value_name = "FILE")]
    emr_genesis: PathBuf,
    /// The PHD-Chain's genesis (TOML), whose members you trust
    #[arg(long, value_name = "FILE")]
    phd_genesis: PathBuf,
    /// Your public key: the link has to be told to it
    #[arg(long, value_name = "PUBKEY")]
    audience: Option<PublicKey>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const FILES: [&str; 5] = ["opening", "record_receipt", "device_receipt", "link_emr_receipt", "link_phd_receipt"];

/// What is printed with `--json`.
#[derive(Serialize)]
struct Report<'a> {
    verdict: Verdict,
    exit: u8,
    summary: &'a str,
    steps: &'a [Step],
    link: Hash32,
    device: Hash32,
    owner: Option<PublicKey>,
    issuer: Hash32,
    addressee: Option<Hash32>,
    audience: Hash32,
    audience_checked: bool,
    expiry_ms: u64,
}

pub(super) fn run(args: &Args, out: &mut Output) -> Result<u8, Failure> {
    let at = |given: &Option<PathBuf>, name: &str| {
        let in_dir = || args.dir.as_ref().map(|dir| dir.join(name));
        let missing = || Failure::usage(format!("expected --dir, or every file of the link, got no {name}"));
        given.clone().or_else(in_dir).ok_or_else(missing)
    };
    let [record, device, link_emr, link_phd] = RECEIPTS.map(|(_, file, _)| file);
    let receipts = [
        at(&args.record_receipt, record)?,
        at(&args.device_receipt, device)?,
        at(&args.link_emr_receipt, link_emr)?,
        at(&args.link_phd_receipt, link_phd)?,
    ];
    let proof = Proof::read(&at(&args.opening, OPENING)?, &receipts)?;
    let (emr, phd) = (read_genesis(&args.emr_genesis)?, read_genesis(&args.phd_genesis)?);
    let of = |genesis| Trust { genesis: Some(genesis), ..Trust::default() };
    let trust = [of(&emr), of(&phd), of(&emr), of(&phd)];
    let judged = proof.judge(&trust, args.audience.as_ref(), now_ms()).map_err(|error| {
        Failure { code: EXIT_USAGE, ..Failure::failed(error) }
            .hint("links are proved by chains with members; an open one is for development")
    })?;
    print(args, &proof, &judged, out)?;
    Ok(judged.verdict.exit_code())
}

fn print(args: &Args, proof: &Proof, judged: &Judged, out: &mut Output) -> Result<(), Failure> {
    let opening = &proof.opening;
    let failed = judged.steps.iter().find(|step| step.holds == Some(false)).map_or("a step", |step| step.name);
    let holder = if opening.addressee.is_some() { "addressee" } else { "issuer" };
    let summary = match judged.verdict {
        Verdict::Refuted => format!("refuted: {failed} does not hold"),
        Verdict::NotFinal => {
            "not final yet: all holds so far; get newer receipts when more members have built on them".to_owned()
        }
        Verdict::Proved => format!(
            "proved: the device's owner and the record's {holder} say, to {}, until {}, that both are one person's",
            opening.audience,
            utc(opening.expiry_ms)
        ),
    };
    if args.json {
        return out.json(&Report {
            verdict: judged.verdict,
            exit: judged.verdict.exit_code(),
            summary: &summary,
            steps: &judged.steps,
            link: opening.seed.link_id(),
            device: opening.device,
            owner: judged.owner,
            issuer: opening.issuer,
            addressee: opening.addressee,
            audience: opening.audience,
            audience_checked: args.audience.is_some(),
            expiry_ms: opening.expiry_ms,
        });
    }
    let width = judged.steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    judged.steps.iter().for_each(|step| print_step(step.holds, step.name, width, &step.detail, out));
    out.line(&summary);
    if judged.verdict == Verdict::Proved {
        out.line(NOT_PROVED);
    }
    Ok(())
}
