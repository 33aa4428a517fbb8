//! `blockhie device export`: readings come back, as a file and with what proves them.

use super::api::{Api, SegmentView};
use super::read_key;
use crate::clock::parse_time;
use crate::failure::{EXIT_NOT_FINAL, EXIT_USAGE, Failure};
use crate::files;
use crate::http::{Access, GatewayError, read_token};
use crate::output::{Output, note};
use crate::status::State;
use crate::verify::segment::{Proof, file_names, judge_as_handed};
use blockhie_core::{ChainId, PublicKey, Receipt, SecretKey};
use blockhie_phd::formats::{Format, lines};
use blockhie_phd::{Coverage, Payload, Place, Samples, SegmentKey, SegmentOpening, unseal};
use serde_json::json;
use std::path::PathBuf;
use zeroize::Zeroizing;

const EXAMPLES: &str = "Examples:
  blockhie device export --device PUBLIC_KEY --format csv --key owner.key --gateway http://127.0.0.1:8080 --out ppg
      writes ppg/readings.csv: the file that was pushed, byte for byte
  blockhie device export --device PUBLIC_KEY --format csv --with-proofs --key owner.key --gateway URL --out ppg
      and for each segment its data, opening and receipt; then, with the network down:
      blockhie verify --readings ppg/readings.csv --proofs ppg --genesis phd.toml
  blockhie device export --device PUBLIC_KEY --format fhir --from 2026-01-31T12:00:00Z --to 2026-01-31T13:00:00Z \\
      --token-file token --gateway https://gw.example --out ppg

With the device's own key file and --with-proofs also segments come back whose keys the gateway does not have. Exit codes:
0 written, 1 failed, 2 a segment is not final yet, 3 a file is unreadable, 64 usage.";

/// The forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FormatArg {
    /// As the file was that was pushed
    Csv,
    /// One JSON object a reading
    Jsonl,
    /// A FHIR R4 Bundle of Observations
    Fhir,
}

impl FormatArg {
    fn format(self) -> Format {
        match self {
            Self::Csv => Format::Csv,
            Self::Jsonl => Format::Jsonl,
            Self::Fhir => Format::Fhir,
        }
    }

    /// As the gateway calls it, and the file that is written.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Csv => ("csv", "readings.csv"),
            Self::Jsonl => ("jsonl", "readings.jsonl"),
            Self::Fhir => ("fhir", "readings.fhir.json"),
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group(clap::ArgGroup::new("right").args(["key", "token_file"]).required(true)))]
pub(crate) struct Args {
    /// Public key of the device
    #[arg(long, value_name = "PUBKEY")]
    device: PublicKey,
    /// In which form
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: FormatArg,
    /// Only readings from then on: ms since 1970, or RFC 3339
    #[arg(long, value_name = "MS|TIME", value_parser = parse_time)]
    from: Option<u64>,
    /// Only readings before then
    #[arg(long, value_name = "MS|TIME", value_parser = parse_time)]
    to: Option<u64>,
    /// Also write data, opening and receipt of each segment
    #[arg(long)]
    with_proofs: bool,
    /// Address of the gateway
    #[arg(long, value_name = "URL")]
    gateway: String,
    /// Key file of the device's owner, or of the device
    #[arg(long, value_name = "KEYFILE")]
    key: Option<PathBuf>,
    /// Or a file with the gateway's token; `-` reads it from standard input
    #[arg(long, value_name = "FILE|-")]
    token_file: Option<PathBuf>,
    /// Folder for the files; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// By what right, and with which key segments can be opened here.
struct Right {
    key: Option<SecretKey>,
    token: Option<Zeroizing<String>>,
}

impl Right {
    fn access(&self) -> Access<'_> {
        match (&self.key, &self.token) {
            (Some(key), _) => Access::Key(key),
            (None, Some(token)) => Access::Token(token),
            (None, None) => Access::Public,
        }
    }
}

pub(super) fn run(args: &Args, out: &mut Output) -> Result<u8, Failure> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from >= to
    {
        return Err(Failure { code: EXIT_USAGE, ..Failure::failed("--from, --to: expected a time before --to") });
    }
    let key = args.key.as_deref().map(|path| read_key(path, "--key")).transpose()?;
    let right = Right { key, token: args.token_file.as_deref().map(read_token).transpose()? };
    let api = Api::new(&args.gateway)?;
    std::fs::create_dir_all(&args.out).map_err(|error| {
        Failure::failed(format!("--out {}: cannot be made: {error}", args.out.display()))
            .hint("it has to be a folder where you may write")
    })?;
    if args.with_proofs { with_proofs(args, &api, &right, out) } else { plain(args, &api, &right, out) }
}

fn told(error: &GatewayError) -> Failure {
    match error.not_found() {
        true => error.failure().hint("is that the device's key, and is the key file its owner's or its own?"),
        false => error.failure(),
    }
}

/// The gateway's file as it is.
fn plain(args: &Args, api: &Api, right: &Right, out: &mut Output) -> Result<u8, Failure> {
    let (format, name) = args.format.names();
    let mut query = format!("format={format}");
    for (bound, value) in [("from", args.from), ("to", args.to)] {
        if let Some(value) = value {
            query.push_str(&format!("&{bound}={value}"));
        }
    }
    let bytes = api.readings(&args.device, &query, right.access()).map_err(|error| told(&error))?;
    let path = args.out.join(name);
    files::write(&path, &bytes)?;
    if args.json {
        out.json(&json!({ "device": args.device, "file": path.display().to_string(), "bytes": bytes.len() }))?;
    } else {
        out.line(&format!("{}: {} bytes, not proved (see --with-proofs)", path.display(), bytes.len()));
    }
    Ok(0)
}

/// Every segment checked before it is kept, and the file written from what they prove.
fn with_proofs(args: &Args, api: &Api, right: &Right, out: &mut Output) -> Result<u8, Failure> {
    let chain = api.chain().map_err(|error| error.failure())?;
    let view = api.device(&args.device, right.access()).map_err(|error| told(&error))?;
    let (void, mut wanted): (Vec<SegmentView>, _) = view.segments.into_iter().partition(|row| row.state == State::Void);
    for row in void {
        note(&format!("segment {} is void: it has no effect and no proof", row.first_seq));
    }
    wanted.sort_by_key(|row| row.first_seq);
    wanted.retain(|row| {
        let late = args.to.zip(row.start_ms).is_some_and(|(to, start)| start >= to);
        let early = args.from.zip(row.end_ms).is_some_and(|(from, end)| end.saturating_add(1) < from);
        !late && !early
    });
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for row in &wanted {
        match fetch(args, api, right, &chain, row)? {
            Some((proof, samples)) => {
                let range = samples.between(args.from, args.to);
                if range.is_empty() {
                    continue;
                }
                proof.write(&args.out)?;
                if row.state == State::InBlock {
                    note(&format!("segment {} is not final yet: export it again for a newer receipt", row.first_seq));
                }
                let first = row.first_seq.saturating_add(u64::try_from(range.start).unwrap_or(u64::MAX));
                kept.push((first, row.first_seq, samples.slice(range)));
            }
            None => left_out.push(row.first_seq),
        }
    }
    for first_seq in &left_out {
        note(&format!("segment {first_seq} is left out: the gateway has not its key, or it was erased"));
    }
    for gap in &Coverage::of(&wanted.iter().map(|row| (row.first_seq, row.count)).collect::<Vec<_>>()).gaps {
        let last = gap.first_seq.saturating_add(gap.count).saturating_sub(1);
        note(&format!("gap: readings {} to {last} were never pushed", gap.first_seq));
    }
    let segments: Vec<(u64, &Samples)> = kept.iter().map(|(first, _, samples)| (*first, samples)).collect();
    let text: String = lines(args.format.format(), &chain, &args.device, &segments)
        .iter()
        .flat_map(|line| [line.text.as_str(), line.end])
        .collect();
    let path = args.out.join(args.format.names().1);
    files::write(&path, text.as_bytes())?;
    let readings: usize = kept.iter().map(|(_, _, samples)| samples.len()).sum();
    if args.json {
        let numbers: Vec<u64> = kept.iter().map(|(_, first, _)| *first).collect();
        out.json(&json!({
            "device": args.device, "owner": view.owner, "file": path.display().to_string(), "readings": readings,
            "segments": numbers, "left_out": left_out, "gaps": view.gaps,
        }))?;
    } else {
        out.line(&format!("{}: {readings} readings of {} segments", path.display(), kept.len()));
        out.line(&format!("  proofs   {}", args.out.display()));
        out.line(&format!(
            "  check    blockhie verify --readings {} --proofs {} --genesis GENESIS",
            path.display(),
            args.out.display()
        ));
    }
    Ok(0)
}

/// A segment with its proof; `None` where nobody here can open it.
fn fetch(
    args: &Args,
    api: &Api,
    right: &Right,
    chain: &ChainId,
    row: &SegmentView,
) -> Result<Option<(Proof, Samples)>, Failure> {
    let (device, first_seq) = (&args.device, row.first_seq);
    let own = right.key.as_ref().filter(|key| key.public() == *device);
    if !row.held && own.is_none() {
        return Ok(None);
    }
    let text = match api.receipt(device, first_seq, right.access()) {
        Ok(text) => text,
        Err(error) if error.passes() || error.not_found() => {
            let failure = Failure::failed(format!("segment {first_seq} has no receipt yet: {error}"));
            return Err(Failure { code: EXIT_NOT_FINAL, ..failure }
                .hint("it is not final: nothing is lost, run the same command again"));
        }
        Err(error) => return Err(error.failure()),
    };
    let disagrees = |reason: String| api.bad_answer(format!("segment {first_seq}: {reason}"));
    let receipt = Receipt::parse(text.as_bytes()).map_err(|error| disagrees(error.to_string()))?;
    let found = match own.filter(|_| !row.held) {
        None => held(args, api, right, first_seq),
        Some(key) => sealed(args, api, right, chain, (key, row, &receipt)),
    };
    let (opening, data) = match found {
        Ok(found) => found,
        Err(Missing::Gone) => return Ok(None),
        Err(Missing::Failure(failure)) => return Err(failure),
        Err(Missing::Disagrees(reason)) => return Err(disagrees(reason)),
    };
    let proof = Proof { receipt, opening, data };
    let samples = judge_as_handed(&proof, chain, device, first_seq).map_err(disagrees)?;
    Ok(Some((proof, samples)))
}

/// Why a segment is not there.
enum Missing {
    /// Erased, or its key never came.
    Gone,
    /// The gateway.
    Failure(Failure),
    /// What it answered does not fit together.
    Disagrees(String),
}

impl From<GatewayError> for Missing {
    fn from(error: GatewayError) -> Self {
        if error.not_found() { Self::Gone } else { Self::Failure(error.failure()) }
    }
}

type Opened = (SegmentOpening, Zeroizing<Vec<u8>>);

/// As the gateway opened it.
fn held(args: &Args, api: &Api, right: &Right, first_seq: u64) -> Result<Opened, Missing> {
    let opening = api.opening(&args.device, first_seq, right.access())?;
    let opening = SegmentOpening::parse(&opening).map_err(|error| Missing::Disagrees(error.to_string()))?;
    Ok((opening, Zeroizing::new(api.bytes(&args.device, first_seq, "data", right.access())?)))
}

/// Opened here, with the key that the device derives.
fn sealed(
    args: &Args,
    api: &Api,
    right: &Right,
    chain: &ChainId,
    (key, row, receipt): (&SecretKey, &SegmentView, &Receipt),
) -> Result<Opened, Missing> {
    let disagrees = |error: &dyn std::fmt::Display| Missing::Disagrees(error.to_string());
    let bytes = api.bytes(&args.device, row.first_seq, "sealed", right.access())?;
    let tx = blockhie_core::Transaction::<blockhie_core::Unverified>::from_bytes(&receipt.transaction.0, chain);
    let tx = tx.map_err(Missing::Disagrees)?.verify(chain, blockhie_core::ChainKind::Phd);
    let payload = Payload::read(&tx.map_err(|error| disagrees(&error))?, chain).map_err(|error| disagrees(&error))?;
    let Payload::Readings(readings) = payload else {
        return Err(Missing::Disagrees("receipt: expected a transaction of type 17".into()));
    };
    let place = Place { chain: *chain, device: args.device, first_seq: row.first_seq, count: row.count };
    let content = blockhie_core::Hash32::from_slice(&readings.content).map_err(|error| disagrees(&error))?;
    let opened = unseal(&SegmentKey::derive(key, &place), &place, &bytes, &content);
    let (salt, data) = opened.map_err(|error| disagrees(&error))?;
    let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
    Ok((SegmentOpening::new(&place, salt, length), data))
}

impl Proof {
    /// Writes its three files.
    fn write(&self, folder: &std::path::Path) -> Result<(), Failure> {
        let [data, opening, receipt] = file_names(self.opening.first_seq).map(|name| folder.join(name));
        files::write(&data, &self.data)?;
        files::write(&opening, self.opening.to_json().as_bytes())?;
        files::write(&receipt, self.receipt.to_json().as_bytes())
    }
}
