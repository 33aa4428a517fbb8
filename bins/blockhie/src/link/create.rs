//! `blockhie link create`.

use super::api::{Api, Body, LegView};
use super::proof::{OPENING, Proof, RECEIPTS};
use crate::clock::{MAX_TIMEOUT_S, PAUSES, now_ms, parse_time};
use crate::device::read_key;
use crate::failure::{EXIT_NOT_FINAL, Failure};
use crate::files;
use crate::http::{Access, Client, GatewayError, read_token};
use crate::output::{Output, utc};
use crate::progress::Progress;
use crate::status::State;
use crate::verify::segment::last_header;
use blockhie_core::limits::JSON_INTEGER_END;
use blockhie_core::{ChainId, ChainKind, Hash32, PublicKey, Receipt, SecretKey, Trust, Verdict};
use blockhie_coupling::{LinkOpening, LinkTerms, Seed};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Keeps seed and terms in the output folder, so that a second run goes on with the link of the first.
const TERMS: &str = ".link-terms.json";
/// Longest terms read, bytes.
const MAX_TERMS_BYTES: usize = 4_096;
const DAY_MS: u64 = 86_400_000;

const EXAMPLES: &str = "Examples:
  blockhie link create --record COMMITMENT --device PUBLIC_KEY --owner owner.key --holder me.key \\
      --audience THEIR_PUBLIC_KEY --expires-in 30 --gateway http://127.0.0.1:8080 --out link
      waits until both halves are final and writes link-opening.json and four receipts: give them to the audience,
      and to nobody else
  blockhie link create … --token-file operator.token --no-wait
      a record without addressee is linked by its institution; run it again without --no-wait to fetch the files

Each half goes out at a moment of its own in the gateway's next window (an hour unless it was set), so this takes up to
two windows. Run again with the same --out it goes on with the same link. Exit codes: 0 done, 1 failed, 2 not final
within --timeout, 3 a key file is unreadable, 64 usage.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group(clap::ArgGroup::new("until").args(["expires_in", "expiry"]).required(true)))]
pub(crate) struct Args {
    /// The record: its commitment
    #[arg(long, value_name = "COMMITMENT")]
    record: Hash32,
    /// Public key of the device
    #[arg(long, value_name = "PUBKEY")]
    device: PublicKey,
    /// Key file of the device's owner
    #[arg(long, value_name = "KEYFILE")]
    owner: PathBuf,
    /// Key file of the record's addressee; without it the record's institution signs (and wants --token-file)
    #[arg(long, value_name = "KEYFILE")]
    holder: Option<PathBuf>,
    /// Public key of whom it is told
    #[arg(long, value_name = "PUBKEY")]
    audience: PublicKey,
    /// How long it holds, days
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_525))]
    expires_in: Option<u32>,
    /// Last moment it holds
    #[arg(long, value_name = "MS|TIME", value_parser = parse_time)]
    expiry: Option<u64>,
    /// Address of the gateway
    #[arg(long, value_name = "URL")]
    gateway: String,
    /// File with the operator's token (-: standard input)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Folder of this link, a new one for each
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Do not wait until it is final
    #[arg(long)]
    no_wait: bool,
    /// How long to wait until it is final, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10_800,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_TIMEOUT_S)))]
    timeout: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a second run needs to know of the first.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    emr: ChainId,
    phd: ChainId,
    seed: Seed,
    record: Hash32,
    device: PublicKey,
    audience: PublicKey,
    expiry_ms: u64,
}

pub(super) fn run(args: &Args, out: &mut Output) -> Result<u8, Failure> {
    let owner = read_key(&args.owner, "--owner")?;
    let holder = args.holder.as_deref().map(|path| read_key(path, "--holder")).transpose()?;
    let token = args.token_file.as_deref().map(read_token).transpose()?;
    let access = token.as_ref().map_or(Access::Key(&owner), Access::Token);
    let api = Api { client: Client::new(&args.gateway)?, access };
    let chains = [ChainKind::Emr, ChainKind::Phd].map(|kind| api.chain(kind).map_err(|error| failure(&error, args)));
    let [emr, phd] = chains;
    let terms = terms(args, emr?, phd?)?;
    api.hand_in(&body(&terms, &owner, holder.as_ref())).map_err(|error| failure(&error, args))?;
    let link = terms.seed.link_id();
    if args.no_wait {
        return tell(args, &terms, None, out);
    }
    wait(&api, args, &link)?;
    let proof = fetch(&api, args, &terms)?;
    tell(args, &terms, Some(&proof), out)
}

fn body<'a>(terms: &'a LinkTerms, owner: &SecretKey, holder: Option<&SecretKey>) -> Body<'a> {
    Body {
        seed: &terms.seed,
        record: terms.record,
        device: terms.device,
        audience: terms.audience,
        expiry_ms: terms.expiry_ms,
        owner_signature: terms.sign(owner),
        holder_signature: holder.map(|holder| terms.sign(holder)),
    }
}

/// The terms of the folder's link, or new ones, kept before anybody sees them.
fn terms(args: &Args, emr: ChainId, phd: ChainId) -> Result<LinkTerms, Failure> {
    let now = now_ms();
    let asked = match (args.expiry, args.expires_in) {
        (Some(expiry), _) => expiry,
        (None, days) => now.saturating_add(u64::from(days.unwrap_or(0)).saturating_mul(DAY_MS)),
    };
    if asked <= now || asked >= JSON_INTEGER_END {
        return Err(Failure::usage(format!("--expiry: expected a moment to come, below 2^53 ms, got {asked}")));
    }
    std::fs::create_dir_all(&args.out)
        .map_err(|error| Failure::failed(format!("--out {}: {error}", args.out.display())))?;
    let path = args.out.join(TERMS);
    let kept = match read_kept(&path)? {
        Some(kept) => kept,
        None => {
            let seed = Seed::generate().map_err(|error| Failure::failed(format!("no randomness: {error}")))?;
            let (record, device, audience) = (args.record, args.device, args.audience);
            let fresh = Kept { emr, phd, seed, record, device, audience, expiry_ms: asked };
            let text = zeroize::Zeroizing::new(serde_json::to_vec(&fresh).map_err(Failure::failed)?);
            if files::write_new(&path, &text)? {
                fresh
            } else {
                return Err(Failure::failed(format!("{}: another run is at work in this folder", path.display())));
            }
        }
    };
    let others = "give each link a folder of its own with --out";
    let same = (kept.record, kept.device, kept.audience) == (args.record, args.device, args.audience);
    if !same || args.expiry.is_some_and(|expiry| expiry != kept.expiry_ms) {
        return Err(Failure::usage(format!("--out {}: holds another link", args.out.display())).hint(others));
    }
    if (kept.emr, kept.phd) != (emr, phd) {
        return Err(Failure::failed(format!("--out {}: holds a link of other chains", args.out.display()))
            .hint("is that the gateway that it was created with?"));
    }
    if kept.expiry_ms <= now {
        let ended = utc(kept.expiry_ms);
        return Err(Failure::failed(format!("--out {}: its link ended at {ended}", args.out.display())).hint(others));
    }
    let Kept { seed, record, device, audience, expiry_ms, .. } = kept;
    Ok(LinkTerms { emr, phd, seed, record, device, audience, expiry_ms })
}

fn read_kept(path: &Path) -> Result<Option<Kept>, Failure> {
    let Some(bytes) = files::read_if_there(path, MAX_TERMS_BYTES, "link terms")? else { return Ok(None) };
    // What stands there is not repeated: it holds the seed.
    serde_json::from_slice(&bytes).map(Some).map_err(|_| {
        Failure::form(format!("{}: expected the terms of a link, got something else", path.display()))
            .hint("this command wrote it; if it is damaged, take another --out")
    })
}

/// Asks until both halves are final.
fn wait(api: &Api<'_>, args: &Args, link: &Hash32) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(u64::from(args.timeout));
    let mut progress = Progress::new(2, args.json);
    let mut pause = PAUSES.0;
    loop {
        match api.link(link) {
            Ok(view) => {
                view.legs.iter().for_each(|leg| progress.tell(leg.chain.name(), &told(leg)));
                if let Some((chain, reason)) = view.void() {
                    return Err(Failure::failed(format!("{chain}: committed without effect (void): {reason}")));
                }
                if view.is_settled() {
                    return Ok(());
                }
            }
            Err(error) if error.passes() => progress.tell("link", &format!("still waiting: {error}")),
            Err(error) => return Err(failure(&error, args)),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let message = format!("link {link}: not final within the time given");
            return Err(Failure { code: EXIT_NOT_FINAL, ..Failure::failed(message) }
                .hint("nothing is lost: the gateway goes on; run the same command again to fetch it"));
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 3 / 2).min(PAUSES.1);
    }
}

fn told(leg: &LegView) -> String {
    match (leg.status.state, leg.not_before_ms) {
        (State::Queued, Some(due_ms)) if due_ms > now_ms() => format!("waits until {}", utc(due_ms)),
        _ => leg.status.told(),
    }
}

/// The five files, checked before they are kept; the opening last, so that it is there only if all of them are.
fn fetch(api: &Api<'_>, args: &Args, terms: &LinkTerms) -> Result<Proof, Failure> {
    let link = terms.seed.link_id();
    let get = |what: &str| api.text(&link, what).map_err(|error| failure(&error, args));
    let bad = |reason: String| api.client.bad_answer(reason).failure();
    let opening = get("opening")?;
    let mut texts = Vec::with_capacity(4);
    let mut receipts = Vec::with_capacity(4);
    for (name, _, _) in RECEIPTS {
        let text = get(name)?;
        receipts.push(Receipt::parse(text.as_bytes()).map_err(|error| bad(format!("{name}: {error}")))?);
        texts.push(text);
    }
    let parsed = LinkOpening::parse(opening.as_bytes()).map_err(|error| bad(error.to_string()))?;
    let receipts = receipts.try_into().map_err(|_| bad("expected four receipts".into()))?;
    let proof = Proof { opening: parsed, receipts };
    check(&proof, terms).map_err(bad)?;
    for ((_, file, _), text) in RECEIPTS.iter().zip(&texts) {
        files::write(&args.out.join(file), text.as_bytes())?;
    }
    files::write(&args.out.join(OPENING), opening.as_bytes())?;
    Ok(proof)
}

/// Whether a proof is of these terms: everything that `link verify` checks but whom to trust, which is for the audience
/// to decide. So each receipt's last header stands in as the checkpoint.
fn check(proof: &Proof, terms: &LinkTerms) -> Result<(), String> {
    let opening = &proof.opening;
    let same = (opening.emr, opening.phd, &opening.seed, opening.device, opening.audience, opening.expiry_ms)
        == (terms.emr, terms.phd, &terms.seed, terms.device.into(), terms.audience.into(), terms.expiry_ms);
    if !same {
        return Err("opening: expected the link that was asked for, got another".into());
    }
    let chains = [terms.emr, terms.phd, terms.emr, terms.phd];
    let mut trust = [Trust::default(); 4];
    for ((trust, receipt), chain) in trust.iter_mut().zip(&proof.receipts).zip(&chains) {
        trust.checkpoint = Some(last_header(receipt, chain)?);
    }
    let judged = proof.judge(&trust, Some(&terms.audience), now_ms()).map_err(|error| error.to_string())?;
    if judged.verdict == Verdict::Proved {
        return Ok(());
    }
    let step = judged.steps.iter().find(|step| step.holds != Some(true));
    Err(step.map_or_else(|| "refuted".into(), |step| format!("{}: {}", step.name, step.detail)))
}

fn failure(error: &GatewayError, args: &Args) -> Failure {
    let GatewayError::Status { status, .. } = error else { return error.failure() };
    let hint = match (status.as_u16(), &args.holder) {
        (401 | 403, None) => "without --holder the institution signs: give the operator's token with --token-file",
        (404, _) => "the gateway knows no such record and device, or these are not the keys of owner and holder",
        (503, _) => "a gateway needs a node of each chain; run the same command again later",
        _ => return error.failure(),
    };
    error.failure().hint(hint)
}

fn tell(args: &Args, terms: &LinkTerms, proof: Option<&Proof>, out: &mut Output) -> Result<u8, Failure> {
    let link = terms.seed.link_id();
    let state = if proof.is_some() { "final" } else { "submitted" };
    if args.json {
        out.json(&json!({
            "link": link, "state": state, "record": terms.record, "device": terms.device,
            "audience": terms.audience, "expiry_ms": terms.expiry_ms, "out": args.out.display().to_string(),
        }))?;
        return Ok(0);
    }
    let LinkTerms { record, device, audience, expiry_ms, .. } = terms;
    out.line(&format!("link {link}: {state}"));
    out.line(&format!("  record {record} and device {device}"));
    out.line(&format!("  told {audience} until {}", utc(*expiry_ms)));
    if proof.is_some() {
        out.line(&format!("  {OPENING} and four receipts are in {}: for that audience only", args.out.display()));
    }
    Ok(0)
}
